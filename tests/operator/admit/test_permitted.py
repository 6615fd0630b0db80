"""What an operator allows by `--allow`, and what of a spec it does not."""

import pytest

from mailport.__main__ import _parser
from mailport.operator.admit.permitted import (
    ALLOWANCES,
    DEFAULT,
    DEFAULT_PATTERNS,
    PATTERNS,
    Allowed,
    not_permitted,
    parse,
)
from tests.operator.making import CORPUS, EVERYTHING, gateway, maildir, read
from tests.tables import table

NODE_PORT = {"listeners": [{"name": "a", "port": 25}, {"name": "b", "port": 587, "nodePort": 30587}]}
NOTHING = parse(",".join(f"{kind}=" for kind in PATTERNS))


@pytest.mark.parametrize(
    "text, allowed",
    table(
        {
            "one name": ("image", Allowed(frozenset({"image"}))),
            "several, with spaces around": (" image, hostNetwork ", Allowed(frozenset({"image", "hostNetwork"}))),
            "the same twice": ("image,image", Allowed(frozenset({"image"}))),
            "an empty text allows no name": ("", Allowed()),
            "nor does a blank one": ("  ", Allowed()),
            "all": (",".join(ALLOWANCES), Allowed(frozenset(ALLOWANCES))),
            "the default, written out": ("loadBalancer,nodePort", DEFAULT),
            "patterns, in the order given": (
                "annotations=b.org/*,annotations=a.org/x,labels=team",
                Allowed(frozenset(), {"annotations": ("b.org/*", "a.org/x"), "labels": ("team",)}),
            ),
            "a kind with nothing behind it allows nothing of it": ("claims=", Allowed(frozenset(), {"claims": ()})),
            "an image by name and one by pattern": (
                "image,image=a/*",
                Allowed(frozenset({"image"}), {"image": ("a/*",)}),
            ),
        }
    ),
)
def test_names_and_patterns_are_read(text, allowed):
    assert parse(text) == allowed


@pytest.mark.parametrize(
    "text, unknown",
    table(
        {
            "a name nobody knows": ("image,host", "'host'"),
            "another case": ("Image", "'Image'"),
            "a comma too many": ("image,", "''"),
            "several are all named": ("one,image,two", "'one', 'two'"),
            "a pattern of a kind that has none": ("hostNetwork=*", "'hostNetwork=*'"),
            "a kind without its pattern": ("annotations", "'annotations'"),
        }
    ),
)
def test_an_unknown_name_is_an_error_that_says_which_there_are(text, unknown):
    with pytest.raises(ValueError, match="not one of") as raised:
        parse(text)

    assert str(raised.value) == (
        f"{unknown}: not one of hostNetwork, nodePort, loadBalancer, localDestinations, tolerations, priorityClass, "
        "serviceAccount, image, env, volumes, volumeMounts, dnsPolicy, dnsConfig, runtimeClassName, or a pattern for "
        "image=, annotations=, serviceAnnotations=, labels=, claims=, loadBalancerClasses="
    )


@pytest.mark.parametrize(
    "arguments, environment, allowed",
    table(
        {
            "nothing said is the default": ([], None, DEFAULT),
            "what the environment says": ([], "image", Allowed(frozenset({"image"}))),
            "an option is in its place": (["--allow=env"], "image", Allowed(frozenset({"env"}))),
            "several are taken together": (
                ["--allow=env,labels=a", "--allow=nodePort", "--allow=labels=b/*"],
                None,
                Allowed(frozenset({"env", "nodePort"}), {"labels": ("a", "b/*")}),
            ),
            "an empty one allows no name": (["--allow="], None, Allowed()),
        }
    ),
)
def test_the_option_may_be_given_several_times(monkeypatch, arguments, environment, allowed):
    if environment is None:
        monkeypatch.delenv("MAILPORT_ALLOW", raising=False)
    else:
        monkeypatch.setenv("MAILPORT_ALLOW", environment)

    assert _parser().parse_args(["operator", *arguments]).allow == allowed


def to(kind, **settings):
    """A spec with one route, to a destination of that kind."""
    clients = {"clients": "Authenticated"} if kind == "smtp" else {}
    return {"routes": [{"name": "a", "recipients": ["*@example.org"], **clients, "deliver": {kind: settings}}]}


VOLUME = {"volumes": [{"name": "a", "configMap": {"name": "a"}}]}
MULTUS = "k8s.v1.cni.cncf.io/networks"
AWS = "service.beta.kubernetes.io/aws-load-balancer-type"


@pytest.mark.parametrize(
    "spec, allowance, path",
    table(
        {
            "a node's network": ({"network": {"hostNetwork": True}}, "hostNetwork", "spec.network.hostNetwork"),
            "ports of every node": ({"service": {"type": "NodePort"}}, "nodePort", "spec.service.type"),
            "a load balancer": ({"service": {"type": "LoadBalancer"}}, "loadBalancer", "spec.service.type"),
            "a chosen port of every node, behind a load balancer that is allowed": (
                NODE_PORT | {"service": {"type": "LoadBalancer"}},
                "nodePort",
                "spec.listeners[1].nodePort",
            ),
            "tainted nodes": (
                {"pod": {"tolerations": [{"operator": "Exists"}]}},
                "tolerations",
                "spec.pod.tolerations",
            ),
            "precedence over others' pods": (
                {"pod": {"priorityClassName": "system-node-critical"}},
                "priorityClass",
                "spec.pod.priorityClassName",
            ),
            "another's identity": (
                {"pod": {"serviceAccountName": "default"}},
                "serviceAccount",
                "spec.pod.serviceAccountName",
            ),
            "variables": ({"pod": {"env": [{"name": "TZ", "value": "UTC"}]}}, "env", "spec.pod.env"),
            "volumes": ({"pod": VOLUME}, "volumes", "spec.pod.volumes"),
            "volumes in the container": (
                {"pod": VOLUME | {"volumeMounts": [{"name": "a", "mountPath": "/mnt"}]}},
                "volumeMounts",
                "spec.pod.volumeMounts",
            ),
            "a resolv.conf of the node's": ({"pod": {"dnsPolicy": "Default"}}, "dnsPolicy", "spec.pod.dnsPolicy"),
            "one of the author's": ({"pod": {"dnsConfig": {}}}, "dnsConfig", "spec.pod.dnsConfig"),
            "another container runtime": (
                {"pod": {"runtimeClassName": "kata"}},
                "runtimeClassName",
                "spec.pod.runtimeClassName",
            ),
            "a program of the author's": (
                {"pod": {"image": "registry.example.org/own:1"}},
                "image=registry.example.org/own:1",
                "spec.pod.image",
            ),
            "what a controller reads of a pod": (
                {"pod": {"annotations": {MULTUS: "storage"}}},
                f"annotations={MULTUS}",
                f"spec.pod.annotations[{MULTUS}]",
            ),
            "what another Service may select": (
                {"pod": {"labels": {"app": "db"}}},
                "labels=app",
                "spec.pod.labels[app]",
            ),
            "what a controller reads of a Service": (
                {"service": {"annotations": {"external-dns.alpha.kubernetes.io/hostname": "mx.example.org"}}},
                "serviceAnnotations=external-dns.alpha.kubernetes.io/hostname",
                "spec.service.annotations[external-dns.alpha.kubernetes.io/hostname]",
            ),
            "a claim": (
                {"routes": [maildir("a", None), maildir("b", "mail")]},
                "claims=mail",
                "spec.routes[1].deliver.maildir.claimName",
            ),
            "a next hop in the pod itself": (
                to("lmtp", host="127.0.0.1", port=24),
                "localDestinations",
                "spec.routes[0].deliver.lmtp.host",
            ),
            "a cloud's metadata service": (
                to("webhook", url="http://169.254.169.254/latest"),
                "localDestinations",
                "spec.routes[0].deliver.webhook.url",
            ),
            "a DNS server of the node's": (
                {"checks": {"dns": {"servers": [{"address": "192.0.2.53"}, {"address": "169.254.20.10"}]}}},
                "localDestinations",
                "spec.checks.dns.servers[1].address",
            ),
            "a kind of load balancer": (
                {"service": {"type": "LoadBalancer", "loadBalancerClass": "example.com/lb"}},
                "loadBalancerClasses=example.com/lb",
                "spec.service.loadBalancerClass",
            ),
        }
    ),
)
def test_a_field_needs_its_allowance_and_no_other(spec, allowance, path):
    """The message has what would allow it, and the administrator may copy that."""
    made = gateway(**spec)
    kind, is_pattern, _ = allowance.partition("=")
    others = Allowed(
        frozenset(ALLOWANCES) - {kind},
        {other: ("*",) for other in PATTERNS if other != kind} | ({kind: ()} if is_pattern else {}),
    )
    if kind == "serviceAnnotations":  # those of pods and Services are of both
        others = Allowed(others.names, others.patterns | {"annotations": ()})

    assert [str(fault) for fault in not_permitted(made.spec, others)] == [
        f"{path}: this operator does not allow it: --allow {allowance}"
    ]
    assert list(not_permitted(made.spec, others.together_with(parse(allowance)))) == []
    assert list(not_permitted(made.spec, EVERYTHING)) == []


@pytest.mark.parametrize(
    "kind, pattern, value, fits",
    table(
        {
            "a star is any characters": ("annotations", "example.org/*", "example.org/x", True),
            "none among them": ("annotations", "example.org/*", "example.org/", True),
            "and a slash": ("image", "registry.example.org/*", "registry.example.org/mail/mailport:1", True),
            "in the middle too": ("image", "*/mailport:*", "registry.example.org/mail/mailport:1", True),
            "a pattern is of the whole text": ("image", "registry.example.org/*", "x.registry.example.org/a", False),
            "from its beginning to its end": ("claims", "mail", "mail-of-others", False),
            "a point is a point": ("annotations", "example.org/*", "example-org/x", False),
            "so is whatever else means something elsewhere": ("labels", "[a-z]+", "abc", False),
        }
    ),
)
def test_a_pattern_fits(kind, pattern, value, fits):
    assert parse(f"{kind}={pattern}").covers(kind, value) == fits


@pytest.mark.parametrize(
    "spec, fields",
    table(
        {
            "IPv4": (to("smtp", host="127.0.0.1"), ["smtp.host"]),
            "IPv6": (to("smtp", host="::1"), ["smtp.host"]),
            "IPv4 within IPv6": (to("lmtp", host="::ffff:127.0.0.1", port=24), ["lmtp.host"]),
            "the metadata service over IPv6": (to("webhook", url="https://[fd00:ec2::254]/x"), ["webhook.url"]),
            "a store in the pod": (to("s3", bucket="mail", endpoint="http://127.0.0.1:9000"), ["s3.endpoint"]),
            "a server in the pod": (to("nats", url="nats://[::1]:4222", stream="MAIL", subject="mail"), ["nats.url"]),
            "a private address, which denyDestinations is for": (to("smtp", host="10.1.2.3"), []),
            "a name, which the pod looks up": (to("smtp", host="localhost"), []),
            "a store's own address": (to("s3", bucket="mail"), []),
        }
    ),
)
def test_addresses_of_the_pod_itself_and_its_link_need_leave(spec, fields):
    """Where the document has the address, that is known before any pod runs."""
    found = [str(fault) for fault in not_permitted(gateway(**spec).spec, DEFAULT)]

    assert found == [
        f"spec.routes[0].deliver.{field}: this operator does not allow it: --allow localDestinations"
        for field in fields
    ]


def test_annotations_of_both_are_allowed_on_services_too():
    """And those of Services on Services alone."""
    both, services = parse("annotations=example.org/*"), parse("serviceAnnotations=example.org/*")

    assert both.covers("annotations", "example.org/x")
    assert both.covers("serviceAnnotations", "example.org/x")
    assert services.covers("serviceAnnotations", "example.org/x")
    assert not services.covers("annotations", "example.org/x")


def test_by_default_load_balancers_are_set_up_and_pods_are_left_alone():
    """Claims and classes are not restricted, so that an upgrade breaks nobody."""
    made = gateway(
        service={"type": "LoadBalancer", "loadBalancerClass": "example.com/lb", "annotations": {AWS: "external"}},
        pod={"annotations": {AWS: "external"}, "labels": {"team": "mail"}},
        routes=[maildir("a", "mail")],
    )

    assert [fault.path for fault in not_permitted(made.spec, DEFAULT)] == [
        "spec.pod.labels[team]",
        f"spec.pod.annotations[{AWS}]",
    ]
    assert DEFAULT_PATTERNS.keys() == set(PATTERNS)


@pytest.mark.parametrize(
    "key",
    [
        "container.apparmor.security.beta.kubernetes.io/listener",
        "container.seccomp.security.alpha.kubernetes.io/listener",
        "seccomp.security.alpha.kubernetes.io/pod",
        "mailport.dev/poke",
        "x.mailport.dev/y",
    ],
)
def test_what_a_pod_is_confined_by_is_never_an_authors(key):
    """Not by any pattern."""
    (fault,) = not_permitted(gateway(pod={"annotations": {key: "unconfined"}}).spec, EVERYTHING)

    assert str(fault) == f"spec.pod.annotations[{key}]: this annotation is reserved; no --allow permits it"


def test_every_field_is_named():
    """A nodePort and the type that it needs are two."""
    made = gateway(**NODE_PORT, service={"type": "NodePort"}, network={"hostNetwork": True})

    assert [fault.path for fault in not_permitted(made.spec, NOTHING)] == [
        "spec.listeners[1].nodePort",
        "spec.network.hostNetwork",
        "spec.service.type",
    ]


@pytest.mark.parametrize("spec", table({"ClusterIP": {}, "None": {"service": {"type": "None"}}}))
def test_what_stays_in_the_cluster_needs_nothing(spec):
    """Nor does what a pod of the author's own could have."""
    pod = {"resources": {"limits": {"cpu": "2"}}, "nodeSelector": {"disk": "ssd"}}

    assert list(not_permitted(gateway(**spec, pod=pod).spec, NOTHING)) == []


def test_documents_of_the_corpus_ask_for_what_is_known():
    """By default all but these are served."""
    refused = {path.stem for path in CORPUS if list(not_permitted(read(path).spec, DEFAULT))}
    ever = {path.stem for path in CORPUS if list(not_permitted(read(path).spec, EVERYTHING))}

    assert refused == {
        "contract",
        "host-network",
        "load-balancer",  # an annotation that no load balancer is set up by
        "pod-additions",
        "pod-settings",
        "user-on-a-nodes-network",
    }
    assert ever == set()
