"""The ConfigMap's one key: what the listener reads is what was validated."""

import json

import pytest

from mailport.contract import documents
from mailport.contract.faults import Fault
from mailport.contract.model import Listener, Spec
from mailport.listener import load
from mailport.operator.children import configuration, format_1
from mailport.operator.children.configuration import FORMAT, KEY, MAX_BYTES, SPEC_FIELDS
from mailport.operator.children.manifests import children, too_large
from tests.operator.making import CORPUS, GIVEN, by_kind, gateway, maildir, read
from tests.tables import table

# Of the spec, what only Kubernetes is concerned with. A new field has to be put into one of the two lists.
KUBERNETES = {"replicas", "service", "autoscaling", "disruptionBudget", "networkPolicy", "management"}


def configured(made):
    return documents.load([(KEY, configuration.render(made, FORMAT))]).gateway


def test_each_field_of_the_spec_is_for_the_listener_or_for_kubernetes():
    """None is forgotten."""
    fields = {field.alias for field in Spec.model_fields.values()}

    assert set(SPEC_FIELDS) | KUBERNETES == fields
    assert not set(SPEC_FIELDS) & KUBERNETES


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_listener_reads_what_was_validated(path):
    """Every good document's configuration loads, with the same values in every field that the listener needs."""
    made = read(path)
    seen = configured(made)

    names = {field.alias: name for name, field in Spec.model_fields.items()}
    for field in set(SPEC_FIELDS) - {"listeners", "limits", "pod"}:
        assert getattr(seen.spec, names[field]) == getattr(made.spec, names[field])
    assert seen.spec.limits == made.spec.limits.model_copy(update={"drain_seconds": made.spec.drain_seconds})
    without_node_ports = [Listener.model_copy(one, update={"node_port": None}) for one in made.spec.listeners]
    assert list(seen.spec.listeners) == without_node_ports
    assert seen.spec.pod.admin_port == made.spec.pod.admin_port
    assert seen.spec.drain_seconds == made.spec.drain_seconds
    assert seen.metadata == made.metadata


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_hash_is_the_one_that_the_listener_reports(path):
    """The sha256 of the ConfigMap's bytes is `hash` in /status."""
    made = read(path)
    content = by_kind(made)["ConfigMap"]["data"][KEY].encode()

    assert configuration.digest(configuration.render(made, configuration.FORMAT)) == load._hash(
        [("/etc/mailport/config/inboundsmtp.json", content)]
    )


def test_a_whole_listener_loads_it(tmp_path):
    """As mounted: the same hash, and the generation that /status shows."""
    made = gateway(generation=7)
    mounted = tmp_path / KEY
    mounted.write_bytes(configuration.render(made, FORMAT))
    config = load.Loader(load.Places(files=(mounted,))).load()

    assert config.hash == configuration.digest(configuration.render(made, configuration.FORMAT))
    assert config.generation == 7


@pytest.mark.parametrize(
    "spec",
    table(
        {
            "a listener on 8080, where the admin port is another": {
                "listeners": [{"name": "smtp", "port": 8080}],
                "pod": {"adminPort": 9090},
            },
            "a node port, which needs a type of Service": {
                "listeners": [{"name": "smtp", "port": 25, "nodePort": 30025}],
                "service": {"type": "NodePort"},
            },
        }
    ),
)
def test_what_rules_compare_goes_along_or_stays_behind(spec):
    """The listener checks the same rules on less than the whole, and must not find a fault in it."""
    configured(gateway(**spec))


def test_the_same_document_gives_the_same_bytes():
    """Whatever order its author wrote it in; and another document gives others."""
    one = configuration.render(gateway(limits={"maxErrors": 1, "maxRecipients": 100}), FORMAT)
    same = configuration.render(gateway(limits={"maxRecipients": 100, "maxErrors": 1}), FORMAT)
    other = configuration.render(gateway(limits={"maxErrors": 2}), FORMAT)

    assert one == same
    assert one != other


def test_it_is_ascii_whatever_is_in_it():
    """No YAML or JSON on the way can write it in another way; the hash is of these bytes."""
    route = {"name": "people", "recipients": ["jürgen@example.org"], "deliver": {"discard": {}}}
    made = gateway(routes=[route])

    assert configuration.render(made, FORMAT).isascii()
    assert configured(made).spec.routes == made.spec.routes


@pytest.mark.parametrize(
    "spec",
    table(
        {
            "replicas": {"replicas": 5},
            "the Service": {"service": {"type": "LoadBalancer"}},
            "what pods get": {"pod": {"image": "registry.example.org/other", "labels": {"team": "mail"}}},
            "scaling": {"autoscaling": {"maxReplicas": 3}},
            "the budget": {"disruptionBudget": {"maxUnavailable": 2}},
            "the NetworkPolicy": {"networkPolicy": "Managed"},
            "management": {"management": "Suspended"},
        }
    ),
)
def test_what_the_listener_does_not_need_changes_nothing(spec):
    """Nothing is reloaded for it (but for the generation, which a cluster counts up)."""
    assert configuration.render(gateway(**spec), FORMAT) == configuration.render(gateway(), FORMAT)


def test_no_secret_is_in_it():
    """It names Secrets, and the operator has no verb to read one."""
    content = json.loads(configuration.render(read(next(p for p in CORPUS if p.stem == "contract")), FORMAT))

    assert content["spec"]["auth"] == {
        "htpasswd": {"secretRef": {"name": "mx-users", "key": "htpasswd"}},
        "senderMatch": "Any",
    }


def test_the_largest_spec_may_not_fit():
    """The bounds of the model allow more than a ConfigMap holds: that is why there is ConfigTooLarge."""
    recipients = [f"{'a' * 64}@{'b' * 60}.{'c' * 60}.x{number:03}.example.org" for number in range(100)]
    routes = [{"name": f"r{n}", "recipients": recipients, "deliver": {"discard": {}}} for n in range(64)]

    made = gateway(routes=routes)
    size = len(configuration.render(made, FORMAT))

    assert size > MAX_BYTES
    assert too_large(children(made, GIVEN)) == Fault(
        "spec", f"the listener's configuration is {size} bytes, and a ConfigMap holds 1048576"
    )
    assert too_large(children(gateway(), GIVEN)) is None


# --- the format of before


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_format_1_loses_nothing_unsaid(path):
    """A field that it lacks, and that is not as by default, is named: the operator then refuses the document."""
    made = read(path)
    lost = [fault.path for fault in configuration.not_carried(made, 1)]
    written = made.model_copy(update={"spec": made.spec.model_copy(update={"pod": configured(made).spec.pod})})

    if not lost:
        seen = documents.load([(KEY, configuration.render(made, 1))]).gateway
        assert seen.spec.limits.drain_seconds == made.spec.limits.drain_seconds
        assert configuration.render(seen, 2).decode() == configuration.render(written, 2).decode()
    for route in made.spec.routes:
        served = route.deliver.kind in ("maildir", "discard", "refuse")
        assert any(path.endswith(f".deliver.{route.deliver.kind}") for path in lost) is not served


def test_what_format_1_cannot_carry_has_its_place_in_the_document():
    """With the index of a list's item, as in any other fault."""
    lmtp = {"name": "b", "recipients": ["b@example.org"], "deliver": {"lmtp": {"host": "dovecot", "port": 24}}}
    made = gateway(routes=[{"name": "a", "recipients": ["a@example.org"], "deliver": {"discard": {}}}, lmtp])

    assert [str(fault) for fault in configuration.not_carried(made, 1)] == [
        "spec.routes[1].deliver.lmtp: the configuration of configFormat 1 does not carry it"
    ]


def test_a_new_field_is_refused_in_format_1_where_it_says_something(monkeypatch):
    """One that the model has and FORMAT 1 has not: here, by taking two out of FORMAT 1."""
    monkeypatch.setitem(format_1.FIELDS, "content", {})
    monkeypatch.delitem(format_1.FIELDS, "access")
    by_default = gateway(content={"bareNewlines": "Normalize"})
    written = gateway(content={"bareNewlines": "Reject"}, access={"policy": "DenyListed"})

    assert configuration.not_carried(by_default, 1) == ()
    assert json.loads(configuration.render(by_default, 1))["spec"]["content"] == {}
    assert [fault.path for fault in configuration.not_carried(written, 1)] == [
        "spec.content.bareNewlines",
        "spec.access",
    ]
    assert configuration.not_carried(written, 2) == ()


def test_a_listener_of_format_1_drains_as_long_as_its_pod_lets_it():
    """Its own default is another than this version's, and its pod's grace period is made for it."""
    pinned = {"pod": {"configFormat": 1}}
    template = by_kind(gateway(**pinned, routes=[maildir("people", "mail")]))["Deployment"]["spec"]["template"]
    written = by_kind(gateway(**pinned, limits={"drainSeconds": 90}))["Deployment"]["spec"]["template"]

    assert template["spec"]["terminationGracePeriodSeconds"] == 5 + 40 + 5
    assert written["spec"]["terminationGracePeriodSeconds"] == 5 + 90 + 5
