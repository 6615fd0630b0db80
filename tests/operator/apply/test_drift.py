"""Drift, on objects as the API server has them; tests/kube/test_drift.py has the API server itself."""

import copy
import json
from dataclasses import replace

import pytest

from mailport.operator.apply.additions import added
from mailport.operator.apply.drift import ATOMIC_MAPS, KEYED_LISTS, differences, dropped
from tests.operator.making import GIVEN, by_kind, gateway
from tests.tables import table

KINDS = ("ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget")
SPEC = {
    "replicas": 2,
    "listeners": [{"name": "smtp", "port": 25, "nodePort": 30025}, {"name": "submission", "port": 587}],
    "service": {"type": "NodePort", "annotations": {"example.org/pool": "mail", "example.org/zone": "a"}},
    "pod": {
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "mail", "operator": "Exists"}],
    },
}
CHILDREN = by_kind(gateway(**SPEC))
SERVICE, DEPLOYMENT, CONFIG_MAP = CHILDREN["Service"], CHILDREN["Deployment"], CHILDREN["ConfigMap"]
POD = "spec/template/spec"
CONTAINER = f"{POD}/containers/0"
DOTTED = ".spec.template.spec"
UPDATE = {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "time": "2026-11-22T10:00:00Z"}


# --- an object in the cluster


def applied(manifest):
    """Make what the API server has after an apply of ours, with who owns what; of its defaults only some."""
    observed = copy.deepcopy(manifest)
    metadata = {field: value for field, value in manifest["metadata"].items() if field not in ("name", "namespace")}
    body = {field: value for field, value in manifest.items() if field not in ("apiVersion", "kind", "metadata")}
    observed["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 1}
    entry = UPDATE | {"manager": "mailport-operator", "operation": "Apply"}
    observed["metadata"]["managedFields"] = [entry | {"fieldsV1": fields(body | {"metadata": metadata}, "")}]
    return observed


def fields(value, place):
    """FieldsV1, as the API server has it by its types."""
    if isinstance(value, dict) and place not in ATOMIC_MAPS:
        return {f"f:{field}": fields(below, f"{place}.{field}") for field, below in value.items()}
    if isinstance(value, list) and place in KEYED_LISTS:
        return {
            f"k:{json.dumps({key: item[key] for key in KEYED_LISTS[place]}, separators=(',', ':'))}": (
                {".": {}} | fields(item, f"{place}[]") if f"{place}[]" not in ATOMIC_MAPS else {}
            )
            for item in value
        }
    return {}


def change(observed, path, value=None):
    """Set what is at a path, a JSON Pointer; `-` is the end of a list, and None takes it away."""
    *way, last = [int(part) if part.isdigit() else part.replace("~1", "/") for part in path.split("/")]
    for part in way:
        observed = observed[part] if isinstance(observed, list) else observed.setdefault(part, {})
    if value is None:
        del observed[last]
    elif last == "-":
        observed.append(value)
    else:
        observed[last] = value


def seen(manifest, *changes):
    observed = applied(manifest)
    for path, value in changes:
        change(observed, path, value)
    return observed


def owned_by(manager, fields, **more):
    """An entry of managedFields."""
    return ("metadata/managedFields/-", UPDATE | {"manager": manager, "fieldsV1": fields, **more})


def nested(*way):
    """FieldsV1 of one field."""
    *above, last = way
    found = {last: {}}
    for name in reversed(above):
        found = {name: found}
    return found


# --- differences


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_as_applied_does_not_differ(kind):
    manifest = CHILDREN[kind]
    observed = applied(manifest)

    assert list(differences(manifest, observed)) == []
    assert list(dropped(manifest, observed)) == []
    assert added(manifest, observed) == []


@pytest.mark.parametrize(
    "manifest, changes, paths",
    table(
        {
            "an image": (DEPLOYMENT, [(f"{CONTAINER}/image", "other")], [f"{DOTTED}.containers[0].image"]),
            "an argument": (DEPLOYMENT, [(f"{CONTAINER}/args/0", "x")], [f"{DOTTED}.containers[0].args[0]"]),
            "an argument more": (DEPLOYMENT, [(f"{CONTAINER}/args/-", "x")], [f"{DOTTED}.containers[0].args"]),
            "a label": (
                SERVICE,
                [("metadata/labels/mailport.dev~1inboundsmtp", None)],
                [".metadata.labels.mailport.dev/inboundsmtp"],
            ),
            "the content": (CONFIG_MAP, [("data/inboundsmtp.json", "{}")], [".data.inboundsmtp.json"]),
            "replicas": (DEPLOYMENT, [("spec/replicas", 5)], [".spec.replicas"]),
            "a port's name": (SERVICE, [("spec/ports/0/name", "x")], [".spec.ports[0].name"]),
            "a port's number, which is another port then": (
                SERVICE,
                [("spec/ports/1/port", 588)],
                [".spec.ports[1]"],
            ),
            "a port that is gone, and the other in its place": (
                SERVICE,
                [("spec/ports/0", None)],
                [".spec.ports[0]"],
            ),
            "a volume of another source": (
                DEPLOYMENT,
                [(f"{POD}/volumes/0", {"name": "config", "emptyDir": {}})],
                [f"{DOTTED}.volumes[0].configMap"],
            ),
            "one more label in a selector, which nobody may add to": (
                SERVICE,
                [("spec/selector/app", "x")],
                [".spec.selector.app"],
            ),
            "one more in a nodeSelector": (
                DEPLOYMENT,
                [(f"{POD}/nodeSelector/zone", "a")],
                [f"{DOTTED}.nodeSelector.zone"],
            ),
            "one more field in an item of a list without keys": (
                DEPLOYMENT,
                [(f"{POD}/tolerations/0/effect", "NoExecute")],
                [f"{DOTTED}.tolerations[0].effect"],
            ),
            "several": (
                DEPLOYMENT,
                [(f"{CONTAINER}/image", "other"), ("spec/minReadySeconds", 0)],
                [".spec.minReadySeconds", f"{DOTTED}.containers[0].image"],
            ),
        }
    ),
)
def test_a_field_of_ours_that_differs_is_named(manifest, changes, paths):
    assert list(differences(manifest, seen(manifest, *changes))) == paths


BESIDE = {
    "a mesh's annotations on the object and on its pods": (
        DEPLOYMENT,
        [
            ("metadata/annotations", {"mesh.example.org/inject": "true"}),
            ("spec/template/metadata/annotations", {"mesh.example.org/inject": "true"}),
        ],
    ),
    "a label": (SERVICE, [("metadata/labels/team", "mail")]),
    "what the API server fills in": (
        DEPLOYMENT,
        [
            (f"{POD}/restartPolicy", "Always"),
            (f"{CONTAINER}/livenessProbe/successThreshold", 1),
            (f"{CONTAINER}/livenessProbe/httpGet/scheme", "HTTP"),
            (f"{POD}/volumes/0/configMap/defaultMode", 420),
            ("status", {"replicas": 2}),
        ],
    ),
    "addresses and a port of the node": (
        SERVICE,
        [("spec/clusterIP", "10.96.0.7"), ("spec/ports/1/nodePort", 31234), ("spec/healthCheckNodePort", 30001)],
    ),
    "a variable, a mount of what is mounted already, a limit": (
        DEPLOYMENT,
        [
            (f"{CONTAINER}/env/-", {"name": "TZ", "value": "UTC"}),
            (f"{CONTAINER}/volumeMounts/-", {"name": "scratch", "mountPath": "/var/tmp"}),
            (f"{CONTAINER}/resources/limits", {"cpu": "2"}),
        ],
    ),
    "what a policy sets everywhere, and gives no right": (
        DEPLOYMENT,
        [
            (f"{CONTAINER}/securityContext/privileged", False),
            (f"{CONTAINER}/securityContext/runAsNonRoot", True),
            ("spec/paused", False),
        ],
    ),
    "another's owner reference": (
        by_kind(gateway(), replace(GIVEN, owner_uid="u"))["ConfigMap"],
        [("metadata/ownerReferences/-", {"apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "x"})],
    ),
}


@pytest.mark.parametrize("manifest, changes", table(BESIDE))
def test_what_others_have_beside_ours_is_no_drift(manifest, changes):
    observed = seen(manifest, *changes)

    assert list(differences(manifest, observed)) == []
    assert list(dropped(manifest, observed)) == []
    assert added(manifest, observed) == []


def test_items_are_compared_by_their_key_in_any_order():
    """Containers that come first do not shift ours."""
    observed = applied(DEPLOYMENT)
    containers = observed["spec"]["template"]["spec"]["containers"]
    containers[0]["image"] = "other"
    containers.insert(0, {"name": "sidecar", "image": "x"})
    observed["spec"]["template"]["spec"]["volumes"].reverse()

    assert list(differences(DEPLOYMENT, observed)) == [f"{DOTTED}.containers[0].image"]


def test_null_is_as_good_as_nothing():
    """An author may write it where a type of Kubernetes' own is taken as it is; the API server does not keep it."""
    resources = {"requests": {"cpu": "1"}}
    manifest = by_kind(gateway(pod={"resources": resources | {"limits": None}}))["Deployment"]
    observed = applied(by_kind(gateway(pod={"resources": resources}))["Deployment"])

    assert list(differences(manifest, observed)) == []


def test_what_the_api_server_writes_in_its_own_way_differs():
    """For ever: the caller knows that from right after an apply."""
    manifest = by_kind(gateway(pod={"resources": {"requests": {"cpu": 0.1}}}))["Deployment"]
    observed = seen(manifest, (f"{CONTAINER}/resources/requests/cpu", "100m"))

    assert list(differences(manifest, observed)) == [f"{DOTTED}.containers[0].resources.requests.cpu"]


def test_a_field_that_is_not_ours_any_more_differs_though_its_value_does_not():
    """Someone changed it and changed it back; without an apply it would stay when it is dropped one day."""
    observed = applied(SERVICE)
    mine = observed["metadata"]["managedFields"][0]["fieldsV1"]
    del mine["f:metadata"]["f:labels"]["f:app.kubernetes.io/name"]
    del mine["f:spec"]["f:ports"]['k:{"port":25,"protocol":"TCP"}']

    assert list(differences(SERVICE, observed)) == [".metadata.labels.app.kubernetes.io/name", ".spec.ports[0]"]


def test_what_someone_else_made_just_alike_differs():
    observed = applied(CONFIG_MAP)
    observed["metadata"]["managedFields"][0]["manager"] = "kubectl"

    assert list(differences(CONFIG_MAP, observed)) == [".metadata.labels", ".data"]


# --- dropped


def without(manifest, *paths):
    """The manifest of a spec that asks for less."""
    less = copy.deepcopy(manifest)
    for path in paths:
        change(less, path)
    return less


TWO_KEYS = CONFIG_MAP | {"data": {"inboundsmtp.json": "{}", "more.json": "{}"}}


@pytest.mark.parametrize(
    "manifest, removed, paths",
    table(
        {
            "the annotations": (SERVICE, ["metadata/annotations"], [".metadata.annotations"]),
            "a nodePort": (
                SERVICE,
                ["spec/ports/0/nodePort"],
                ['.spec.ports[port=25,protocol="TCP"].nodePort'],
            ),
            "a port": (SERVICE, ["spec/ports/0"], ['.spec.ports[port=25,protocol="TCP"]']),
            "a key": (TWO_KEYS, ["data/more.json"], [".data.more.json"]),
            "replicas, which an autoscaler sets from now on": (DEPLOYMENT, ["spec/replicas"], [".spec.replicas"]),
            "resources": (
                DEPLOYMENT,
                [f"{CONTAINER}/resources"],
                [f'{DOTTED}.containers[name="listener"].resources'],
            ),
            "a volume and its mount": (
                DEPLOYMENT,
                [f"{CONTAINER}/volumeMounts/1", f"{POD}/volumes/1"],
                [
                    f'{DOTTED}.containers[name="listener"].volumeMounts[mountPath="/tmp"]',
                    f'{DOTTED}.volumes[name="scratch"]',
                ],
            ),
            "a nodeSelector": (DEPLOYMENT, [f"{POD}/nodeSelector"], [f"{DOTTED}.nodeSelector"]),
        }
    ),
)
def test_what_we_own_and_no_longer_render_is_named(manifest, removed, paths):
    """It is ours to take away, so nobody added it."""
    less = without(manifest, *removed)
    observed = applied(manifest)

    assert sorted(dropped(less, observed)) == sorted(paths)
    assert list(differences(less, observed)) == []
    assert added(less, observed) == []


def test_one_annotation_of_several_is_named():
    less = without(SERVICE, "metadata/annotations/example.org~1zone")

    assert list(dropped(less, applied(SERVICE))) == [".metadata.annotations.example.org/zone"]


def test_an_item_that_is_owned_by_its_value_is_named():
    """No child has a list of that kind today; FieldsV1 knows them."""
    observed = applied(SERVICE)
    observed["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:finalizers"] = {
        ".": {},
        'v:"example.org/a"': {},
        'v:"example.org/b"': {},
    }
    manifest = copy.deepcopy(SERVICE)
    manifest["metadata"]["finalizers"] = ["example.org/a"]

    assert list(dropped(manifest, observed)) == ['.metadata.finalizers[="example.org/b"]']


def test_what_others_own_is_not_dropped_by_us():
    """By another manager, or by another way of writing than apply."""
    theirs = nested("f:metadata", "f:annotations", "f:theirs")
    observed = seen(SERVICE, owned_by("kubectl", theirs), owned_by("mailport-operator", theirs, subresource="status"))

    assert list(dropped(SERVICE, observed)) == []
