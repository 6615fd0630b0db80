"""One contract: what the API server says of a document, the model says too, and of the same field."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mailport.contract import documents, yaml_text
from mailport.contract.faults import Invalid
from tests.kube.cluster import Answer, Cluster

CORPUS = Path(__file__).parent.parent / "corpus"
GOOD = sorted((CORPUS / "good").glob("*.yaml"))
BAD = sorted((CORPUS / "bad").glob("*.yaml"))

# A null is dropped by the API server before anything looks at it, as for types of its own; nobody there can refuse it.
# The model tells its author. `null-object` is refused all the same, since a route without destination is left.
DROPPED_BEFORE_IT_IS_SEEN = {"null-field"}

# What Kubernetes says of an object's own head before it looks at a schema, and the field that is meant
OF_THE_HEAD = {
    r'InboundSmtp in version "(?!v1alpha1")': "apiVersion",
    r"name or generateName is required": "metadata.name",
}

# A rule can name no item of the list or map that it looks through, nor the one destination too many
RULES_LOOK_THROUGH = re.compile(
    r"spec\.(listeners(\[\d+])?|routes(\[\d+]\.deliver)?|tls\.certificateRefs|network\.(ipFamilies|bindAddresses)"
    r"|(pod|service)\.(labels|annotations|nodeSelector)|pod\.(env|volumes|volumeMounts))"
)


def stem(path: Path) -> str:
    return path.stem


def gateway(path: Path) -> dict[str, Any]:
    (document,) = yaml_text.read(path.read_bytes())
    return document


def resource(name: str = "", namespace: str = "mail") -> str:
    return f"/apis/mailport.dev/v1alpha1/namespaces/{namespace}/inboundsmtps/{name}".removesuffix("/")


def create(cluster: Cluster, content: bytes | dict[str, Any], namespace: str = "mail", **query: str) -> Answer:
    """Create an InboundSmtp, from YAML as it stands in a file or from an object."""
    kind = "application/yaml" if isinstance(content, bytes) else "application/json"
    path = resource(namespace=namespace)
    return cluster.ask("POST", path, content, content_type=kind, fieldValidation="Strict", **query)


def refused_fields(answer: Answer) -> set[str]:
    """The fields that the API server names in what it refuses."""
    message = answer.body["message"]
    if head := {field for said, field in OF_THE_HEAD.items() if re.search(said, message)}:
        return head
    causes = answer.body.get("details", {}).get("causes") or ()
    named = {cause["field"].removeprefix(".") for cause in causes} | set(
        re.findall(r'unknown field "([^"]+)"', message)
    )
    return named - {"<nil>"}  # "some validation rules were not checked because the object was invalid"


def is_of(field: str, path: str) -> bool:
    """Whether the API server's field is the one that the model's path means, or a rule's that looks through it."""
    path = re.sub(r"\[([^]]*[^]0-9][^]]*)]", r".\1", path)  # labels[team]: labels.team
    if field == path or field.startswith(f"{path}."):  # an object is not there: its parts are missed
        return True
    return bool(RULES_LOOK_THROUGH.fullmatch(field)) and path.startswith((f"{field}.", f"{field}["))


@pytest.fixture(scope="module")
def mail(cluster: Cluster) -> Cluster:
    """The cluster, with the namespace that some of the corpus is for."""
    cluster.create_namespace("mail")
    return cluster


@pytest.mark.parametrize("path", GOOD, ids=stem)
def test_what_the_model_takes_the_api_server_takes_and_gives_back(mail, path):
    """No default is added but that of replicas, nothing is pruned, no number is rewritten."""
    applied = gateway(path)
    name = applied["metadata"]["name"]

    try:
        create(mail, path.read_bytes()).expect_accepted()
        found = mail.ask("GET", resource(name)).body
    finally:
        mail.ask("DELETE", resource(name))

    assert found["spec"] == {"replicas": 1} | applied["spec"]
    assert "status" not in found  # which is the operator's to write
    for part in ("labels", "annotations"):
        assert found["metadata"].get(part) == applied["metadata"].get(part)


@pytest.mark.parametrize("path", [path for path in BAD if path.stem not in DROPPED_BEFORE_IT_IS_SEEN], ids=stem)
def test_what_the_model_refuses_the_api_server_refuses_for_the_same_field(mail, path):
    with pytest.raises(Invalid) as caught:
        documents.load([(path.name, path.read_bytes())])
    (fault,) = caught.value.faults

    answer = create(mail, path.read_bytes(), dryRun="All")

    assert not answer.accepted
    named = refused_fields(answer)
    assert named, answer.body
    assert [field for field in named if not is_of(field, fault.path)] == [], answer.body["message"]


@pytest.mark.parametrize(
    "name",
    [
        "port-is-admin-port",
        "implicit-without-certificate",
        "auth-always-without-users",
        "auth-required-without-users",
        "auth-required-secure-only-without-tls",
        "node-port-without-service",
    ],
)
def test_where_the_path_cannot_say_which_listener_is_meant_the_message_does(mail, name):
    path = CORPUS / f"bad/{name}.yaml"
    (index,) = re.findall(r"^# path: spec\.listeners\[(\d)]\.", path.read_text())

    (cause,) = create(mail, path.read_bytes(), dryRun="All").body["details"]["causes"]

    assert cause["field"] == "spec.listeners"
    assert f": {gateway(path)['spec']['listeners'][int(index)]['name']}: " in cause["message"]


@pytest.mark.parametrize("name", sorted(DROPPED_BEFORE_IT_IS_SEEN))
def test_a_null_is_dropped_before_it_is_seen(mail, name):
    """So it never reaches the operator: what is stored is what the model takes."""
    stored = create(mail, (CORPUS / f"bad/{name}.yaml").read_bytes(), dryRun="All").expect_accepted().body

    assert "null" not in json.dumps(stored["spec"])
    documents.load([(name, json.dumps(stored).encode())])


def test_the_largest_document_is_checked_within_the_cost_limits(mail):
    """The API server bounds what rules may cost at run time too: each list as long as it may be, with real content."""
    listeners = [
        {
            "name": f"l-{index}",
            "port": 1000 + index,
            "auth": {"mode": "SecureOnly", "required": True},
            "tls": {"mode": "Implicit"},
            "proxyProtocol": {"trustedCIDRs": [f"2001:db8:{index:x}:{each:x}::/64" for each in range(256)]},
        }
        for index in range(16)
    ]
    routes = [
        {
            "name": f"route-{index}-{'r' * 48}",
            "recipients": [f"a-rather-long-local-part-{each}@*.{index}.department.example.org" for each in range(100)],
            "clients": "Authenticated",
            "deliver": {"smtp": {"host": "smarthost.example.org"}},
        }
        for index in range(64)
    ]
    document = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": "largest"},
        "spec": {
            "hostname": "mx.example.org",
            "listeners": listeners,
            "tls": {"certificateRefs": [{"name": f"certificate-{each}"} for each in range(16)]},
            "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
            "access": {"policy": "DenyListed", "addresses": [f"2001:db8:ffff:{each:x}::/64" for each in range(4096)]},
            "network": {"bindAddresses": [f"::ffff:192.0.2.{each}" for each in range(64)]},
            "service": {
                "type": "LoadBalancer",
                "loadBalancerSourceRanges": [f"::ffff:10.{each}.0.0/112" for each in range(256)],
                "annotations": {f"{'a' * 60}.example.org/{'b' * 60}{each}": "c" * 100 for each in range(64)},
            },
            "pod": {
                "labels": {f"{'a' * 60}.example.org/{'b' * 60}{each}": "c" * 63 for each in range(64)},
                "env": [{"name": f"{'A' * 250}{each:02}", "value": "v" * 16_384} for each in range(64)],
                "volumes": [{"name": f"{'v' * 60}{each:02}", "configMap": {"name": "a"}} for each in range(32)],
                "volumeMounts": [
                    {"name": f"{'v' * 60}31", "mountPath": f"/{'m' * 250}{each:02}"} for each in range(32)
                ],
            },
            "routes": routes,
        },
    }
    documents.load([("largest", json.dumps(document).encode())])

    create(mail, document, dryRun="All").expect_accepted()


def test_applying_again_changes_nothing(mail, namespace):
    """A GitOps tool that applies the same document every minute makes no new generation, and no new version of it."""
    content = (CORPUS / "good/pod-settings.yaml").read_bytes()
    first = mail.server_side_apply(resource("mx", namespace), content).expect_accepted().body
    again = mail.server_side_apply(resource("mx", namespace), content).expect_accepted().body

    assert again["metadata"]["generation"] == first["metadata"]["generation"] == 1
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


# --- what kubectl makes of it


def test_kubectl_explains_the_fields(mail):
    """With what it means, whether it is required and what its default is."""
    listeners = mail.kubectl("explain", "inboundsmtp.spec.listeners")

    assert "FIELD: listeners <[]Object>" in listeners
    assert "name\t<string> -required-" in listeners
    assert "Default: chosen by" in listeners
    assert "enum: Normalize, Reject" in mail.kubectl("explain", "ismtp.spec.content")
    leads = " ".join(mail.kubectl("explain", "ismtp.spec.service.type").split())
    assert "`None`: no Service, as with hostNetwork, or where you make one yourself" in leads
    assert "Default: `1000`." in mail.kubectl("explain", "ismtp.spec.limits.maxConnections")


@pytest.fixture
def observed(mail: Cluster, namespace: str) -> str:
    """A namespace with the contract's own example in it, status included."""
    document = gateway(CORPUS / "good/contract.yaml")
    document["metadata"]["namespace"] = namespace
    create(mail, document, namespace).expect_accepted()
    status = document["status"] | {"ports": "25,587,465"}
    path = f"{resource('mx', namespace)}/status"
    query = {"fieldValidation": "Strict"}
    mail.ask("PATCH", path, {"status": status}, content_type="application/merge-patch+json", **query).expect_accepted()
    return namespace


def test_kubectl_lists_what_a_person_wants_to_know(mail, observed):
    """Under the category and the short name; more with -o wide."""
    header, row = mail.kubectl("get", "mail", "--namespace", observed).splitlines()
    wide_header, wide_row = mail.kubectl("get", "ismtp", "--namespace", observed, "-o", "wide").splitlines()

    assert header.split() == ["NAME", "READY", "REASON", "REPLICAS", "PORTS", "ADDRESS", "AGE"]
    assert row.split()[:-1] == ["mx", "True", "Ready", "2", "25,587,465", "192.0.2.25"]
    assert re.split(r" {2,}", wide_header)[-3:] == ["TLS EXPIRY", "MANAGEMENT", "MESSAGE"]
    assert re.split(r" {2,}", wide_row)[-3:] == [
        "2027-02-01T00:00:00Z",
        "Managed",
        "2 of 2 replicas serve generation 3",
    ]


def test_kubectl_scales_it(mail, observed):
    """The scale subresource reads the status, and writes replicas."""
    mail.kubectl("scale", "ismtp/mx", "--replicas=3", "--namespace", observed)
    scale = mail.ask("GET", f"{resource('mx', observed)}/scale").body

    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "mailport.dev/inboundsmtp=mx"}
    assert mail.ask("GET", resource("mx", observed)).body["spec"]["replicas"] == 3


def test_status_is_apart_from_the_spec(mail, observed):
    """Writing the spec leaves the status, writing the status makes no new generation."""
    before = mail.ask("GET", resource("mx", observed)).body
    patch = {"spec": {"management": "Suspended"}, "status": {"replicas": 99}}
    mail.ask("PATCH", resource("mx", observed), patch, content_type="application/merge-patch+json").expect_accepted()
    after = mail.ask("GET", resource("mx", observed)).body

    assert before["metadata"]["generation"] == 1
    assert after["metadata"]["generation"] == 2
    assert after["status"] == before["status"]
