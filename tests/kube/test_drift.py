"""Drift, against the API server: what it says of children that others tamper with, and what puts them back."""

import json
from dataclasses import replace

import pytest

from mailport.operator.apply.additions import added
from mailport.operator.apply.drift import ATOMIC_MAPS, KEYED_LISTS, differences, dropped
from mailport.operator.children.manifests import children
from mailport.operator.kinds import CHILDREN
from mailport.operator.managed_fields import compact, replicas_owned_by_others
from mailport.operator.metadata import OPERATOR
from tests.kube.fixtures import running
from tests.kube.test_render import place, within
from tests.operator.making import CORPUS, GIVEN, ROOT, gateway, read
from tests.tables import table

DOCUMENTS = ["autoscaled", "contract", "host-network", "node-port", "pod-settings"]
SPEC = {
    "replicas": 2,
    "listeners": [{"name": "smtp", "port": 25}, {"name": "submission", "port": 587}],
    "service": {"annotations": {"example.org/pool": "mail"}},
}
POD = "/spec/template/spec"
CONTAINER = f"{POD}/containers/0"
DOTTED = ".spec.template.spec"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


# --- what an operator and others do


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One without controllers, which other tests may have started on theirs: they write too."""
    with running(tmp_path_factory.mktemp("drift")) as cluster:
        cluster.install_crd()
        yield cluster


def rendered(namespace, **spec):
    """The children by kind: there is one of each."""
    return {child["kind"]: child for child in children(within(gateway(**spec), namespace), GIVEN)}


def address(manifest):
    return f"{place(manifest, manifest['metadata']['namespace'])}/{manifest['metadata']['name']}"


def apply(cluster, manifest):
    content = json.dumps(manifest).encode()
    answer = cluster.server_side_apply(address(manifest), content, fieldManager=OPERATOR, force="true")
    return answer.expect_accepted().body


def patch(cluster, manifest, body, *, content_type=JSON_PATCH, manager="kubectl-edit", subresource=""):
    content = json.dumps(body).encode()
    path = f"{address(manifest)}{subresource}"
    return cluster.ask("PATCH", path, content, content_type=content_type, fieldManager=manager).expect_accepted().body


def take_out(cluster, manifest, observed):
    version = observed["metadata"]["resourceVersion"]
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    return patch(cluster, manifest, [test, *added(manifest, observed)], manager=OPERATOR)


def drift(manifest, observed):
    """All three answers, which are the same of a compact object."""
    said, small = (
        (list(differences(manifest, each)), list(dropped(manifest, each)), added(manifest, each))
        for each in (observed, compact(observed))
    )
    assert said == small
    return said


NONE = ([], [], [])


def put_back(cluster, manifest, observed):
    """Do as the operator does, until nothing is left to do; return the object, and how many writes it took."""
    writes = 0
    while drift(manifest, observed) != NONE:
        assert writes < 4, drift(manifest, observed)
        if added(manifest, observed):
            observed = take_out(cluster, manifest, observed)
            writes += 1
        if any(differences(manifest, observed)) or any(dropped(manifest, observed)):
            observed = apply(cluster, manifest)
            writes += 1
    return observed, writes


def ours(observed):
    """What we own, and how."""
    entries = [entry for entry in observed["metadata"]["managedFields"] if entry["manager"] == OPERATOR]
    return [(entry["operation"], entry["fieldsV1"]) for entry in entries]


# --- as applied


@pytest.mark.parametrize("name", DOCUMENTS)
def test_after_an_apply_there_is_no_drift(cluster, namespace, name):
    """With an owner too, and with anything that an author may write."""
    made = read(ROOT / f"tests/corpus/good/{name}.yaml")
    for child in children(within(made, namespace), GIVEN):
        owner = {"apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": "0", "controller": True}
        child["metadata"]["ownerReferences"] = [owner]

        assert drift(child, apply(cluster, child)) == NONE

        if child["kind"] == "Service":  # node ports belong to the whole cluster
            cluster.ask("DELETE", address(child)).expect_accepted()


# --- tampering

SIDECAR = {"name": "x", "image": "x", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}
EMPTY_DIR = {"name": "x", "emptyDir": {}}


def put(path, value):
    """An operation that sets a field, adds a key or, at -, an item."""
    return {"op": "add", "path": path, "value": value}


def remove(*paths):
    return [{"op": "remove", "path": path} for path in paths]


@pytest.mark.parametrize(
    "kind, tampering, paths, operations",
    table(
        {
            "an image": ("Deployment", [put(f"{CONTAINER}/image", "x")], [f"{DOTTED}.containers[0].image"], []),
            "replicas": ("Deployment", [put("/spec/replicas", 5)], [".spec.replicas"], []),
            "a label of another value": (
                "Deployment",
                [put("/metadata/labels/app.kubernetes.io~1component", "x")],
                [".metadata.labels.app.kubernetes.io/component"],
                [],
            ),
            "a label less": (
                "Service",
                remove("/metadata/labels/mailport.dev~1inboundsmtp"),
                [".metadata.labels.mailport.dev/inboundsmtp"],
                [],
            ),
            "a selector that selects less": ("Service", [put("/spec/selector/x", "y")], [".spec.selector.x"], []),
            "another type of Service": ("Service", [put("/spec/type", "LoadBalancer")], [".spec.type"], []),
            "the name of a port": ("Service", [put("/spec/ports/0/name", "x")], [".spec.ports[0].name"], []),
            "another strategy": (
                "Deployment",
                [put("/spec/strategy", {"type": "Recreate"})],
                [".spec.strategy.type", ".spec.strategy.rollingUpdate"],
                [],
            ),
            "the configuration": ("ConfigMap", [put("/data/inboundsmtp.json", "{}")], [".data.inboundsmtp.json"], []),
            "a key more": ("ConfigMap", [put("/data/x", "y")], [], remove("/data/x")),
            "the configuration as binary data": (
                "ConfigMap",
                [*remove("/data"), put("/binaryData", {"inboundsmtp.json": "e30="})],
                [".data"],
                remove("/binaryData/inboundsmtp.json"),
            ),
            "a port more": (
                "Service",
                [put("/spec/ports/-", {"name": "x", "port": 99})],
                [],
                remove("/spec/ports/2"),
            ),
            "a container and its volume": (
                "Deployment",
                [put(f"{POD}/volumes/-", EMPTY_DIR), put(f"{POD}/containers/-", SIDECAR)],
                [],
                remove(f"{POD}/containers/1", f"{POD}/volumes/2"),
            ),
            "a container before ours": (
                "Deployment",
                [put(f"{POD}/containers/0", {"name": "x", "image": "x"})],
                [],
                remove(f"{POD}/containers/0"),
            ),
            "an init container": (
                "Deployment",
                [put(f"{POD}/initContainers", [{"name": "x", "image": "x"}])],
                [],
                remove(f"{POD}/initContainers/0"),
            ),
            "the number of a port": (
                "Service",
                [put("/spec/ports/0/port", 2525)],
                [".spec.ports[0]"],
                remove("/spec/ports/0"),
            ),
        }
    ),
)
def test_tampering_is_seen_and_put_back(cluster, namespace, kind, tampering, paths, operations):
    """In a write for what was added, and one for what differs; then we own what we owned."""
    manifest = rendered(namespace, **SPEC)[kind]
    before = apply(cluster, manifest)
    tampered = patch(cluster, manifest, tampering)
    said = drift(manifest, tampered)
    after, writes = put_back(cluster, manifest, tampered)

    assert said == (paths, [], operations)
    assert writes == bool(paths) + bool(operations)
    assert ours(after) == ours(before)


LIMITED = {"requests": {"cpu": "10m"}, "limits": {"cpu": "20m"}}


@pytest.mark.parametrize(
    "kind, tampering",
    table(
        {
            "the number of the only port": ("Service", [put("/spec/ports/0/port", 2525)]),
            "the name of the container": ("Deployment", [put(f"{CONTAINER}/name", "x")]),
            "another volume in place of ours": (
                "Deployment",
                [
                    put(f"{POD}/volumes/0/name", "x"),
                    put(f"{CONTAINER}/volumeMounts/0/name", "x"),
                ],
            ),
            "a volume that our container mounts": (
                "Deployment",
                [
                    put(f"{POD}/volumes/-", EMPTY_DIR),
                    put(f"{CONTAINER}/volumeMounts/-", {"name": "x", "mountPath": "/x"}),
                ],
            ),
            "the source of a volume": (
                "Deployment",
                [*remove(f"{POD}/volumes/0/configMap"), put(f"{POD}/volumes/0/emptyDir", {})],
            ),
            "a probe": ("Deployment", [put(f"{CONTAINER}/livenessProbe", {"tcpSocket": {"port": 25}})]),
            "a variable": ("Deployment", [put(f"{CONTAINER}/env/0", {"name": "POD_IP", "value": "::"})]),
            "where a variable comes from": (
                "Deployment",
                [put(f"{CONTAINER}/env/0/valueFrom", {"secretKeyRef": {"name": "x", "key": "x"}})],
            ),
            "a limit below our request": ("Deployment", [put(f"{CONTAINER}/resources", LIMITED)]),
            "the number of the container's port": ("Deployment", [put(f"{CONTAINER}/ports/0/containerPort", 26)]),
            "the budget's other field": (
                "PodDisruptionBudget",
                [*remove("/spec/maxUnavailable"), put("/spec/minAvailable", 1)],
            ),
        }
    ),
)
def test_what_cannot_stand_beside_ours_is_put_back_whole(cluster, namespace, kind, tampering):
    """In a patch, an apply, and a patch that lets go of what the first one made us own."""
    manifest = rendered(namespace, replicas=2)[kind]
    before = apply(cluster, manifest)
    tampered = patch(cluster, manifest, tampering)
    (operation,) = added(manifest, tampered)
    after, writes = put_back(cluster, manifest, tampered)

    assert operation["op"] == "replace"
    assert writes <= 3
    assert ours(after) == ours(before)
    assert after["spec"] == before["spec"]


def test_what_is_put_back_whole_can_be_dropped_later(cluster, namespace):
    """It has one owner again."""
    manifest = rendered(namespace)["Deployment"]
    less = rendered(namespace, pod={"resources": {"requests": {"cpu": "100m"}}})["Deployment"]
    apply(cluster, manifest)
    tampered = patch(cluster, manifest, [put(f"{CONTAINER}/name", "x")])
    put_back(cluster, manifest, tampered)
    after = apply(cluster, less)

    assert after["spec"]["template"]["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}}
    assert drift(less, after) == NONE


def test_what_was_changed_and_changed_back_becomes_ours_again(cluster, namespace):
    """Else it would stay when it is dropped one day."""
    manifest = rendered(namespace, **SPEC)["Service"]
    before = apply(cluster, manifest)
    for value in ("x", "mail"):
        tampered = patch(cluster, manifest, [put("/metadata/annotations/example.org~1pool", value)])
    said = drift(manifest, tampered)
    after, _ = put_back(cluster, manifest, tampered)

    assert said == ([".metadata.annotations"], [], [])
    assert ours(after) == ours(before)


def test_what_is_others_to_set_is_no_drift(cluster, namespace):
    """A mesh's annotations, a scale where we render no replicas, a person's variables and labels."""
    manifests = rendered(namespace, autoscaling={"minReplicas": 2, "maxReplicas": 4})
    deployment, service = manifests["Deployment"], manifests["Service"]
    for manifest in (deployment, service):
        apply(cluster, manifest)
    annotations = {"annotations": {"mesh.example.org/inject": "true"}, "labels": {"team": "mail"}}
    patch(cluster, deployment, {"spec": {"replicas": 3}}, content_type=MERGE_PATCH, subresource="/scale")
    patch(
        cluster,
        deployment,
        {"metadata": annotations, "spec": {"template": {"metadata": annotations}}},
        content_type=MERGE_PATCH,
        manager="mesh",
    )
    meshed = patch(cluster, service, {"metadata": annotations}, content_type=MERGE_PATCH, manager="mesh")
    edited = patch(
        cluster,
        deployment,
        [
            put(f"{CONTAINER}/env/0", {"name": "TZ", "value": "UTC"}),
            put(f"{CONTAINER}/resources/limits", {"memory": "1Gi"}),
            put(f"{CONTAINER}/ports/0", {"containerPort": 26}),
            put(f"{POD}/tolerations", [{"key": "x", "operator": "Exists"}]),
        ],
    )

    assert drift(service, meshed) == NONE
    assert drift(deployment, edited) == NONE


# --- dropped


def test_what_a_spec_no_longer_asks_for_is_applied_away(cluster, namespace):
    """Annotations, a nodePort's number, a port, resources, a volume: by one apply, without a patch."""
    rich = SPEC | {
        "listeners": [{"name": "smtp", "port": 25, "nodePort": 30026}, {"name": "submission", "port": 587}],
        "service": {"type": "LoadBalancer", "annotations": {"example.org/pool": "mail"}},
        "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
        "pod": {"nodeSelector": {"disk": "ssd"}, "annotations": {"a": "b"}},
    }
    poor = {"replicas": 2, "pod": {"resources": {}}}
    more, less = rendered(namespace, **rich), rendered(namespace, **poor)
    seen = {kind: drift(less[kind], apply(cluster, more[kind])) for kind in ("Service", "Deployment")}
    after = {kind: apply(cluster, less[kind]) for kind in ("Service", "Deployment")}

    assert sorted(seen["Service"][1]) == [
        ".metadata.annotations",
        ".spec.externalTrafficPolicy",
        '.spec.ports[port=25,protocol="TCP"].nodePort',
        '.spec.ports[port=587,protocol="TCP"]',
    ]
    listener = f'{DOTTED}.containers[name="listener"]'
    assert sorted(seen["Deployment"][1]) == [
        ".spec.template.metadata.annotations",
        f'{listener}.ports[containerPort=587,protocol="TCP"]',
        f"{listener}.resources",
        f'{listener}.volumeMounts[mountPath="/etc/mailport/secrets/users"]',
        f"{DOTTED}.nodeSelector",
        f'{DOTTED}.volumes[name="{more["Deployment"]["spec"]["template"]["spec"]["volumes"][1]["name"]}"]',
    ]
    assert [operations for _, _, operations in seen.values()] == [[], []]
    assert [drift(less[kind], after[kind]) for kind in after] == [NONE, NONE]


def test_a_listener_on_another_port_needs_no_patch(cluster, namespace):
    """The port goes and comes by one apply, under the same name."""
    before = rendered(namespace)
    after = rendered(namespace, listeners=[{"name": "smtp", "port": 2525}])
    kinds = ("Service", "Deployment")
    seen = [drift(after[kind], apply(cluster, before[kind])) for kind in kinds]

    assert [operations for _, _, operations in seen] == [[], []]
    assert [drift(after[kind], apply(cluster, after[kind])) for kind in kinds] == [NONE, NONE]


# --- an autoscaler's replicas


def test_replicas_go_over_to_an_autoscaler_when_it_sets_them(cluster, namespace):
    """Through the scale subresource; what we stop applying then stays as it is."""
    applied = rendered(namespace, replicas=2)["Deployment"]
    handed_over = rendered(namespace, autoscaling={"minReplicas": 2, "maxReplicas": 4})["Deployment"]
    before = apply(cluster, applied)
    scale = {"spec": {"replicas": 3}}
    patch(cluster, applied, scale, content_type=MERGE_PATCH, manager="kube-controller-manager", subresource="/scale")
    scaled = cluster.ask("GET", address(applied)).body

    assert [replicas_owned_by_others(each) for each in (before, compact(before))] == [False, False]
    assert [replicas_owned_by_others(each) for each in (scaled, compact(scaled))] == [True, True]
    assert list(dropped(handed_over, before)) == [".spec.replicas"]
    assert drift(applied, scaled)[0] == [".spec.replicas"]
    assert drift(handed_over, scaled) == NONE
    assert apply(cluster, handed_over)["spec"]["replicas"] == 3


# --- the API's types


@pytest.fixture(scope="module")
def merging(cluster):
    """By kind, what the published types say: the keys of each list that is merged by them, None for an atomic map."""
    found = {}
    for kind in CHILDREN:
        root = f"apis/{kind.api_version}" if kind.group else f"api/{kind.api_version}"
        schemas = cluster.ask("GET", f"/openapi/v3/{root}").expect_accepted().body["components"]["schemas"]
        group, _, version = kind.api_version.rpartition("/")
        names = [{"group": group, "kind": kind.name, "version": version}]
        schema = next(each for each in schemas.values() if each.get("x-kubernetes-group-version-kind") == names)
        found[kind.name] = dict(merged(schema, schemas, ""))
    return found


def merged(schema, schemas, place):
    # a field refers to its type, and says itself how it is merged
    for part in schema.get("allOf", [schema]):
        if "$ref" in part:
            schema = schemas[part["$ref"].rpartition("/")[2]] | {k: v for k, v in schema.items() if k.startswith("x-")}
    if schema.get("x-kubernetes-list-type") == "map":
        yield place, tuple(schema["x-kubernetes-list-map-keys"])
        yield from merged(schema["items"], schemas, f"{place}[]")
    elif schema.get("x-kubernetes-map-type") == "atomic":
        yield place, None
    else:
        for field, below in schema.get("properties", {}).items():
            if (place, field) != ("", "status"):
                yield from merged(below, schemas, f"{place}.{field}")


def places(value, place=""):
    """All places of an object that hold a map or a list."""
    if isinstance(value, dict | list):
        yield place
        below = value.items() if isinstance(value, dict) else ((None, item) for item in value)
        for field, inside in below:
            yield from places(inside, f"{place}[]" if field is None else f"{place}.{field}")


TABLES = KEYED_LISTS | dict.fromkeys(ATOMIC_MAPS)


@pytest.mark.parametrize("place", sorted(TABLES))
def test_the_tables_are_what_the_api_server_says(merging, place):
    """Of every kind that has such a field."""
    said = {types[place] for types in merging.values() if place in types}

    assert said == {TABLES[place]}


def test_whatever_is_merged_in_a_child_is_in_the_tables(merging):
    """In the children of every good document; all other lists are atomic."""
    documents = [*CORPUS, *(ROOT / "tests/operator/children/documents").glob("*.yaml")]
    rendered = [child for path in documents for child in children(read(path), replace(GIVEN, owner_uid="u"))]
    found = {place for child in rendered for place in places(child) if place in merging[child["kind"]]}

    assert found
    assert found <= TABLES.keys()
