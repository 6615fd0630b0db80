"""Beyond the corpus: documents that nobody wrote, put to the model and to the API server, which must agree.

The examples are the same in each run; without `derandomize` below they are others.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mailport.contract import documents
from mailport.contract.faults import Invalid
from tests.kube.cluster import Cluster
from tests.kube.test_crd import GOOD, create, gateway

Place = tuple[str | int, ...]

many = settings(
    max_examples=500,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

OPAQUE = {"resources", "affinity", "tolerations", "topologySpreadConstraints", "metrics"}
OPAQUE |= {"configMap", "secret", "csi", "downwardAPI"}  # sources of volumes


def judged_by_model(document: dict[str, Any]) -> list[str]:
    try:
        documents.load([("", json.dumps(document).encode())])
    except Invalid as invalid:
        return [str(fault) for fault in invalid.faults]
    return []


def assert_agreement(cluster: Cluster, document: dict[str, Any]) -> None:
    """Fail where one of the two takes what the other refuses."""
    faults = judged_by_model(document)
    answer = create(cluster, document, "default", dryRun="All")
    assert answer.accepted == (not faults), (
        f"model: {faults or 'good'}; API server: {answer.body.get('message', 'good')}"
    )


# --- good documents, with one value bent


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*place, key))
    elif not OPAQUE & set(place):
        yield place, value


def good_documents() -> list[dict[str, Any]]:
    found = [gateway(path) for path in GOOD]
    for document in found:
        document.pop("status", None)
        document["metadata"].pop("namespace", None)
    return found


LEAVES = [(document, place, value) for document in good_documents() for place, value in leaves(document["spec"])]

# What has a meaning to some field: delimiters, wildcards, prefixes, suffixes, the ends of character classes
CHARACTERS = "aZ019-._@*:/[]{}()%+\\\"'` #?$~!,;=|^&<>\n\t\x00\x7fé界"
WORDS = ["..", "--", "::", "::ffff:", "/24", "/129", "IPv6:", "://", "{domain}", "{local}", "Mi", "e5", "xn--"]
PIECES = st.sampled_from([*CHARACTERS, *WORDS, "admin", "default", "a" * 64])
NUMBERS = [-1, 0, 1, 99, 100, 65535, 65536, 1 << 31, 1 << 63]


def bent(value: Any) -> st.SearchStrategy[Any]:
    """Values near a good one."""
    if isinstance(value, bool):
        return st.sampled_from([not value, 0, 1, "true", ""])
    if isinstance(value, int):
        return st.sampled_from([*NUMBERS, value - 1, value + 1, value * 10, str(value), value + 0.5, True])
    edit = st.tuples(st.integers(0, len(value)), st.integers(0, 2), PIECES)
    edits = st.lists(edit, min_size=1, max_size=3).map(lambda edits: edited(value, edits))
    return edits | st.sampled_from(["", 1, True, value * 20])


def edited(value: str, edits: list[tuple[int, int, str]]) -> str:
    """Put something in at a place, for none, one or two of the characters there."""
    for place, gone, piece in edits:
        value = value[:place] + piece + value[place + gone :]
    return value


def beyond_a_schema(place: Place, value: Any) -> bool:
    """What is known to differ, each refused by the model and taken by the API server or the other way round.

    The rules of IDNA (RFC 5891) for international domains; and a prefix's length with a zero in front, /08.
    """
    if not isinstance(value, str):
        return False
    domain = value.rpartition("@")[2]
    return ({"recipients", "postmaster"} & set(place) != set() and not domain.isascii()) or "/0" in value


@given(st.data())
@many
def test_both_say_the_same_of_a_good_document_with_one_value_bent(cluster, data):
    document, place, value = data.draw(st.sampled_from(LEAVES))
    changed = data.draw(bent(value))
    assume(not beyond_a_schema(place, changed))

    assert_agreement(cluster, replaced(document, place, changed))


# --- good documents, with one value of another shape


def nodes(value: Any, place: Place = ()) -> Iterator[Place]:
    if place:
        yield place
    if isinstance(value, dict | list) and not OPAQUE & set(place):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(inner, (*place, key))


NODES = [(document, place) for document in good_documents() for place in nodes(document["spec"])]
GONE = object()
SHAPES = [GONE, None, [], {}, "", "x", 0, 1, 1.0, 2.5, True, [None], [1], ["x"], [{}], [[]], {"a": 1}, {"name": "x"}]


@given(changed=st.sampled_from(NODES), shape=st.sampled_from(SHAPES))
@many
def test_what_the_model_takes_is_stored_and_what_is_stored_the_model_takes(cluster, changed, shape):
    """The API server drops null, and writes 1.0 as 1, before it looks: the model refuses both in a file.

    So the two are compared where it counts: the operator can read whatever the API server stores.
    """
    document, place = changed
    document = replaced(document, place, shape)

    answer = create(cluster, document, "default", dryRun="All")

    if answer.accepted:
        assert judged_by_model(answer.body) == []
    else:
        assert judged_by_model(document) != [], answer.body["message"]


def replaced(document: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """Return a copy with something else at a place in its spec, or nothing."""
    document = copy.deepcopy(document)
    *above, last = place
    holder = document["spec"]
    for key in above:
        holder = holder[key]
    if value is GONE:
        del holder[last]
    else:
        holder[last] = value
    return document


# --- settings that depend on each other


def record(required: dict[str, Any] | None = None, /, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An object: what is required, and any of the rest."""
    as_strategies = {
        name: value if isinstance(value, st.SearchStrategy) else st.sampled_from(value)
        for name, value in ((required or {}) | optional).items()
    }
    return st.fixed_dictionaries(
        {name: as_strategies[name] for name in required or {}},
        optional={name: as_strategies[name] for name in optional},
    )


TLS = record(mode=["Disabled", "StartTLS", "StartTLSRequired", "Implicit"])
LISTENER = record(
    {"name": ["a", "b", "c", "d"], "port": [25, 465, 587, 2525, 8080]},
    nodePort=[30025, 30465],
    tls=TLS,
    auth=record(mode=["Always", "Never", "SecureOnly"], required=[True, False]),
)
SECRET = st.just({"name": "secret"})
DESTINATIONS: dict[str, st.SearchStrategy[Any]] = {
    "maildir": st.just({}),
    "discard": st.just({}),
    "lmtp": st.just({"host": "lmtp", "port": 24}),
    "smtp": record({"host": ["relay"]}, tls=TLS, credentialsSecretRef=SECRET),
    "s3": record({"bucket": ["mail"]}, kmsKeyId=["key"], serverSideEncryption=["AES256", "aws:kms"]),
}
DELIVER = st.one_of(
    st.sampled_from(sorted(DESTINATIONS)).flatmap(lambda kind: st.fixed_dictionaries({kind: DESTINATIONS[kind]})),
    record(**DESTINATIONS),
)
ROUTE = record(
    {
        "name": ["a", "b", "c"],
        "recipients": st.lists(
            st.sampled_from(["a@b.c", "*@b.c", "*", "*@*", "a@*.c", '"a@*"@b.c', "a*@[192.0.2.1]"]),
            min_size=1,
            max_size=2,
        ),
        "deliver": DELIVER,
    },
    clients=["Anyone", "Authenticated"],
)
KEY = st.just({"name": "a", "key": "b"})
ENV = record(
    {"name": ["A", "B"]},
    value=["", "1"],
    valueFrom=record(secretKeyRef=KEY, configMapKeyRef=KEY, fieldRef=[{"fieldPath": "metadata.name"}]),
)
SOURCE = record(
    configMap=[{"name": "a"}],
    secret=[{"name": "a"}],
    serviceAccountToken=[{"path": "token"}, {"path": "token", "audience": "a"}],
)
VOLUME = record(
    {"name": ["a", "b", "mail"]},
    configMap=[{"name": "a"}],
    emptyDir=[{}, {"sizeLimit": "1Gi"}, {"sizeLimit": 0}],
    projected=record({"sources": st.lists(SOURCE, max_size=2)}),
)
SPEC = record(
    {
        "hostname": ["mx.example.org"],
        "listeners": st.lists(LISTENER, min_size=1, max_size=3),
        "routes": st.lists(ROUTE, min_size=1, max_size=2),
    },
    tls=record({"certificateRefs": [[{"name": "a"}], [{"name": "a"}, {"name": "b"}], [{"name": "a"}, {"name": "a"}]]}),
    auth=st.just({"htpasswd": {"secretRef": {"name": "users"}}}),
    network=record(
        hostNetwork=[True, False],
        ipFamilies=[["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv6"]],
        bindAddresses=[[], ["192.0.2.1"], ["2001:db8::/32"], ["192.0.2.1", "2001:db8::1"]],
    ),
    service=record(
        type=["ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "None"],
        externalTrafficPolicy=["Local", "Cluster"],
        loadBalancerClass=["example.org/class"],
        loadBalancerSourceRanges=[[], ["192.0.2.0/24"]],
        allocateLoadBalancerNodePorts=[True, False],
    ),
    pod=record(
        adminPort=[25, 9090],
        runAsUser=[1000],
        env=st.lists(ENV, max_size=2),
        volumes=st.lists(VOLUME, max_size=2),
        volumeMounts=st.lists(record({"name": ["a", "b"], "mountPath": ["/mnt/a", "/mnt/b", "/tmp"]}), max_size=2),
        dnsPolicy=["ClusterFirst", "None"],
        dnsConfig=record(nameservers=[[], ["192.0.2.53"], ["::ffff:192.0.2.53"], ["2001:db8::53"]]),
    ),
    networkPolicy=["Managed", "Unmanaged"],
    disruptionBudget=record(maxUnavailable=[0, 1, "0%", "1%", "00%", "100%", 1001]),
    autoscaling=record({"maxReplicas": [1, 2]}, minReplicas=[1, 2, 3]),
)


@given(spec=SPEC)
@many
def test_both_say_the_same_of_settings_that_depend_on_each_other(cluster, spec):
    head = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}}

    assert_agreement(cluster, head | {"spec": spec})


@pytest.mark.parametrize(
    "key",
    [
        *["team", "a" * 63, "a" * 64, "-a", "a-", "", "a_b", "a b", "A.b"],
        *["example.org/team", "a.b/" + "c" * 63, "a/b/c", "A.b/c", "a..b/c", "/a", "a/"],
        *["mailport.dev", "mailport.dev/a", "x.mailport.dev/a", "xmailport.dev/a", "app.kubernetes.io/a"],
    ],
)
def test_both_say_the_same_of_the_keys_of_maps(cluster, key):
    document = gateway(next(path for path in GOOD if path.stem == "minimal"))
    for field in ("labels", "annotations", "nodeSelector"):
        document["spec"]["pod"] = {field: {key: "value"}}

        assert_agreement(cluster, document)


@pytest.mark.parametrize(
    "name",
    [
        *["TZ", "_", "A1", "1A", "A-B", "a.b", "A" * 253, "A" * 254, "", "Ä"],
        *["MAILPORT_X", "mailport_x", "MAILPORT", "PYTHONPATH", "PYTHON", "MY_PYTHON", "LD_PRELOAD", "LD", "OLD_X"],
        *["HTTPS_PROXY", "no_proxy", "PROXY", "_PROXY", "PROXY_X", "SSL_CERT_FILE", "OPENSSL_CONF", "AWS_REGION"],
        *["PATH", "path", "PATHS", "MYPATH", "POD_IP", "GCONV_PATH", "LOCPATH"],
    ],
)
def test_both_say_the_same_of_names_of_variables(cluster, name):
    document = gateway(next(path for path in GOOD if path.stem == "minimal"))
    document["spec"]["pod"] = {"env": [{"name": name, "value": "1"}]}

    assert_agreement(cluster, document)


@pytest.mark.parametrize(
    "path",
    [
        *["/mnt", "/mnt/", "//mnt", "mnt", "/", "", "/a b", "/a:b", "/.", "/..", "/a/..", "/a/.b", "/...", "/a/../b"],
        *[
            "/etc",
            "/etc/x",
            "/etc/mailport",
            "/etc/mailport/x",
            "/etc/mailports",
            "/etc/ssl",
            "/etc/ssl/certs",
            "/etc/sslx",
        ],
        *["/etc/python3", "/etc/python3/x", "/etc/ld.so.conf.d", "/etc/ldxso", "/opt", "/opt/x", "/opt/mailport"],
        *["/opt/mailport/lib", "/tmp", "/tmp/x", "/tmpx", "/usr", "/usr/x", "/usrx", "/lib", "/lib64", "/library/x"],
        *["/var", "/var/x", "/var/lib", "/var/lib/x", "/var/lib/mailport", "/var/lib/mailport/x", "/proc", "/sys/x"],
    ],
)
def test_both_say_the_same_of_where_a_volume_is_mounted(cluster, path):
    document = gateway(next(each for each in GOOD if each.stem == "minimal"))
    volumes = [{"name": "a", "configMap": {"name": "a"}}]
    document["spec"]["pod"] = {"volumes": volumes, "volumeMounts": [{"name": "a", "mountPath": path}]}

    assert_agreement(cluster, document)


HOSTS = st.lists(
    st.sampled_from(
        [
            *[
                "a",
                "B-c",
                "-",
                "_",
                ".",
                "..",
                ":",
                "::",
                "::ffff:",
                "[",
                "]",
                "%",
                "1",
                "01",
                "255",
                "256",
                "0x7f",
                "0xg",
            ],
            *["192.0.2.1", "10.1", "2001:db8", "64:ff9b::", "a" * 63, "a" * 64, ".example", ":25"],
        ]
    ),
    min_size=1,
    max_size=5,
).map("".join)


@given(host=HOSTS, port=st.sampled_from(["", ":", ":80", ":65536"]))
@many
def test_both_say_the_same_of_hosts(cluster, host, port):
    """By itself, as the name of a certificate, and in a URL with and without brackets."""
    tls = {"serverName": host}
    for deliver in (
        {"lmtp": {"host": host, "port": 24}},
        {"smtp": {"host": "mail", "tls": tls}},
        {"webhook": {"url": f"http://{host}{port}/in"}},
        {"nats": {"url": f"nats://[{host}]{port}", "stream": "M", "subject": "m"}},
    ):
        document = gateway(next(path for path in GOOD if path.stem == "minimal"))
        document["spec"]["routes"] = [{"name": "a", "recipients": ["a@example.org"], "deliver": deliver}]

        assert_agreement(cluster, document)
