"""What the operator remembers of the cluster: the newest state of each object, from wherever it comes."""

from mailport.operator.kinds import CLAIM, CONFIG_MAP, INBOUND_SMTP, POD
from mailport.operator.store import Key, Store

MX = Key("mail", "mx")


def thing(name, version, *, label="mx", namespace="mail", **fields):
    labels = {"mailport.dev/inboundsmtp": label} if label else {}
    return {
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version), "labels": labels}
    } | fields


def gateway(version, claim=None):
    maildir = {"claimName": claim} if claim else {}
    return thing("mx", version, label=None, spec={"routes": [{"deliver": {"maildir": maildir}}]})


def test_news_of_a_child_concern_the_gateway_of_its_label():
    """By label: that is how it is watched."""
    store = Store()

    assert store.put(CONFIG_MAP, thing("mx-c1", 5)) == {MX}
    assert store.children(MX, CONFIG_MAP) == [thing("mx-c1", 5)]


def test_an_older_state_never_replaces_a_newer_one():
    """An answer to a request of ours and a watch come in any order."""
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 10, data="new"))

    assert store.put(CONFIG_MAP, thing("mx-c1", 9, data="old")) == set()
    assert store.put(CONFIG_MAP, thing("mx-c1", 10, data="new")) == set()
    assert store.get(CONFIG_MAP, "mail", "mx-c1")["data"] == "new"


def test_versions_are_numbers():
    """9 comes before 10, which as text it does not."""
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 9))

    assert store.put(CONFIG_MAP, thing("mx-c1", 10)) == {MX}


def test_what_is_gone_does_not_come_back_by_an_older_answer():
    """It does as a new object."""
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 5))

    assert store.drop(CONFIG_MAP, thing("mx-c1", 8)) == {MX}
    assert store.put(CONFIG_MAP, thing("mx-c1", 7)) == set()
    assert store.get(CONFIG_MAP, "mail", "mx-c1") is None
    assert store.put(CONFIG_MAP, thing("mx-c1", 9)) == {MX}


def test_the_end_of_an_object_does_not_touch_the_next_of_its_name():
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 12))

    assert store.drop(CONFIG_MAP, thing("mx-c1", 8)) == set()
    assert store.children(MX, CONFIG_MAP)


def test_a_child_that_loses_its_label_concerns_whom_it_had_and_is_not_listed():
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 5))

    assert store.put(CONFIG_MAP, thing("mx-c1", 6, label="other")) == {MX, Key("mail", "other")}
    assert store.children(MX, CONFIG_MAP) == []


def test_a_claim_concerns_the_gateways_that_name_it():
    """Of its namespace."""
    store = Store()
    store.put(INBOUND_SMTP, gateway(1, claim="mail"))

    assert store.put(CLAIM, thing("mail", 2, label=None)) == {MX}
    assert store.put(CLAIM, thing("other", 3, label=None)) == set()
    assert store.put(CLAIM, thing("mail", 4, label=None, namespace="elsewhere")) == set()


def test_a_list_drops_what_is_not_in_it_and_keeps_what_came_while_it_was_made():
    """So that an end that no watch told of is found."""
    store = Store()
    for name in ("gone", "listed", "changed"):
        store.put(POD, thing(name, 5))
    before = store.snapshot(POD, "mail")
    store.put(POD, thing("changed", 9))
    store.put(POD, thing("new", 10))

    assert store.only(POD, {"mail/listed"}, before) == {MX}
    assert [pod["metadata"]["name"] for pod in store.children(MX, POD)] == ["changed", "listed", "new"]


def test_a_list_of_one_namespace_says_nothing_of_others():
    store = Store()
    store.put(POD, thing("a", 5))
    store.put(POD, thing("b", 6, namespace="elsewhere"))

    assert store.only(POD, set(), store.snapshot(POD, "mail")) == {MX}
    assert store.get(POD, "elsewhere", "b") is not None


def test_gateways_come_and_go():
    store = Store()
    store.put(INBOUND_SMTP, gateway(1))

    assert store.keys() == [MX]
    store.drop(INBOUND_SMTP, gateway(2))
    assert store.keys() == []
    assert len(store) == 0
