"""What the operator remembers of the cluster: the newest state of each object, from wherever it comes."""

import json

import pytest

from mailport.operator.kinds import (
    AUTOSCALER,
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    INBOUND_SMTP,
    POD,
    REPLICA_SET,
    SERVICE,
)
from mailport.operator.ownership import controller, is_ours
from mailport.operator.watch.store import Key, Store
from tests.tables import table

MX = Key("mail", "mx")
OWNER = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "name": "mx", "uid": "1", "controller": True}


def thing(name, version, *, label="mx", namespace="mail", **fields):
    labels = {"mailport.dev/inboundsmtp": label} if label else {}
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata | {"ownerReferences": [OWNER]}} | fields


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
    store.put(CONFIG_MAP, thing("mx-c1", 9, data="old"))

    assert store.put(CONFIG_MAP, thing("mx-c1", 10, data="new")) == {MX}


def test_what_differs_in_its_version_alone_is_no_news():
    """The version is kept all the same: a write names the one that it saw."""
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 5, data="same"))

    assert store.put(CONFIG_MAP, thing("mx-c1", 6, data="same")) == set()
    assert store.get(CONFIG_MAP, "mail", "mx-c1") == thing("mx-c1", 6, data="same")
    assert store.put(CONFIG_MAP, thing("mx-c1", 5, data="older")) == set()


@pytest.mark.parametrize(
    ("kind", "before", "after", "is_news"),
    table(
        {
            "an autoscaler's metrics, every 15 s, are no news": (
                AUTOSCALER,
                {"currentMetrics": [1]},
                {"currentMetrics": [2]},
                False,
            ),
            "a budget's count of pods is none": (
                DISRUPTION_BUDGET,
                {"currentHealthy": 1},
                {"currentHealthy": 2},
                False,
            ),
            "a ReplicaSet's is none": (REPLICA_SET, {"readyReplicas": 1}, {"readyReplicas": 2}, False),
            "a Deployment's is": (DEPLOYMENT, {"updatedReplicas": 1}, {"updatedReplicas": 2}, True),
            "a Service's address is": (
                SERVICE,
                {"loadBalancer": {}},
                {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
                True,
            ),
            "a pod's address is": (POD, {"podIP": ""}, {"podIP": "192.0.2.1"}, True),
            "how often a container was restarted is not": (
                POD,
                {"containerStatuses": [{"name": "listener", "restartCount": 1, "state": {"running": {}}}]},
                {"containerStatuses": [{"name": "listener", "restartCount": 2, "state": {"running": {}}}]},
                False,
            ),
            "why one waits is": (
                POD,
                {"containerStatuses": [{"name": "listener", "state": {"running": {}}}]},
                {"containerStatuses": [{"name": "listener", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
                True,
            ),
            "that a condition was looked at again is not": (
                POD,
                {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": "1"}]},
                {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": "2"}]},
                False,
            ),
        }
    ),
)
def test_a_status_is_news_where_somebody_reads_it(kind, before, after, is_news):
    store = Store()
    store.put(kind, thing("mx", 1, status=before))

    assert store.put(kind, thing("mx", 2, status=after)) == ({MX} if is_news else set())


def test_of_a_pod_and_a_replica_set_what_is_read_is_kept():
    """Of what they mount the ConfigMaps, and what goes with a pod; the rest is nine tenths."""
    spec = {
        "serviceAccountName": "mx-listener",
        "nodeName": "node-1",
        "containers": [{"name": "listener", "image": "x", "ports": [{"name": "admin", "containerPort": 8080}]}],
        "volumes": [
            {"name": "config", "configMap": {"name": "mx-c1"}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "secret-a", "secret": {"secretName": "a"}},
        ],
    }
    kept = {
        "serviceAccountName": "mx-listener",
        "containers": [{"name": "listener", "ports": [{"name": "admin", "containerPort": 8080}]}],
        "volumes": [{"name": "config", "configMap": {"name": "mx-c1"}}, {"name": "scratch", "emptyDir": {}}],
    }
    pod = thing("mx-1", 1, spec=spec)
    pod["metadata"]["annotations"] = {"mailport.dev/poke": "abc.1", "example.org/network": "long"}
    store = Store()
    store.put(POD, pod)
    store.put(REPLICA_SET, thing("mx-7f", 2, spec={"replicas": 2, "template": {"spec": spec}}))

    assert store.get(POD, "mail", "mx-1")["spec"] == kept
    assert store.get(POD, "mail", "mx-1")["metadata"]["annotations"] == {"mailport.dev/poke": "abc.1"}
    assert store.get(REPLICA_SET, "mail", "mx-7f")["spec"] == {"replicas": 2, "template": {"spec": kept}}


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


# --- lists


def take(store, kind, *bodies, namespace="mail", meanwhile=lambda: None):
    """Have a list of these; return the gateways that it is news for, and whether it was of an earlier time."""
    listing = store.begin_list(kind, namespace)
    meanwhile()
    concerned = set()
    for body in bodies:
        concerned |= store.put_listed(listing, body)
    return concerned | store.end_list(listing), listing.went_back


def test_a_list_drops_what_is_not_in_it_and_keeps_what_came_while_it_was_made():
    """So that an end that no watch told of is found."""
    store = Store()
    for name in ("gone", "listed", "changed"):
        store.put(POD, thing(name, 5))

    def meanwhile():
        store.put(POD, thing("changed", 9, spec={"nodeName": "new"}))
        store.put(POD, thing("new", 10))

    assert take(store, POD, thing("listed", 5), thing("changed", 5), meanwhile=meanwhile) == ({MX}, False)
    assert [pod["metadata"]["name"] for pod in store.children(MX, POD)] == ["changed", "listed", "new"]
    assert store.get(POD, "mail", "changed")["metadata"]["resourceVersion"] == "9"


def test_a_list_that_lacks_what_has_changed_meanwhile_does_not_end_it():
    """It was made anew while the list was on its way: the pages that came before know nothing of it."""
    store = Store()
    store.put(POD, thing("anew", 5))

    def meanwhile():
        store.drop(POD, thing("anew", 6))
        store.put(POD, thing("anew", 7))

    assert take(store, POD, meanwhile=meanwhile) == (set(), False)
    assert store.get(POD, "mail", "anew") is not None


def test_a_list_of_one_namespace_says_nothing_of_others():
    store = Store()
    store.put(POD, thing("a", 5))
    store.put(POD, thing("b", 6, namespace="elsewhere"))

    assert take(store, POD) == ({MX}, False)
    assert store.get(POD, "elsewhere", "b") is not None


def test_a_list_is_the_truth_whatever_its_versions():
    """etcd was restored from a backup: all is as it was, what has come since is not there, and what had gone is."""
    store = Store()
    for name in ("same", "changed", "new", "gone"):
        store.put(CONFIG_MAP, thing(name, 100, data="later"))
    store.drop(CONFIG_MAP, thing("gone", 101))
    restored = [thing("same", 40, data="later"), thing("changed", 50, data="earlier"), thing("gone", 60, data="back")]

    assert take(store, CONFIG_MAP, *restored) == ({MX}, True)
    found = {body["metadata"]["name"]: body["data"] for body in store.children(MX, CONFIG_MAP)}
    assert found == {"same": "later", "changed": "earlier", "gone": "back"}
    assert store.newest(CONFIG_MAP) == 101, "what the watches wait for"
    store.forget_the_newest()
    assert store.newest(CONFIG_MAP) == 60
    assert store.put(CONFIG_MAP, thing("changed", 61, data="after that")) == {MX}, "and it goes on from there"


def test_another_state_of_the_same_version_is_one():
    """A number that was given twice, before and after a restore."""
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 100, data="one world"))

    assert take(store, CONFIG_MAP, thing("mx-c1", 100, data="another")) == ({MX}, False)
    assert store.get(CONFIG_MAP, "mail", "mx-c1")["data"] == "another"


def test_what_ends_while_a_list_is_made_does_not_come_back_by_it():
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 5))
    listed = take(store, CONFIG_MAP, thing("mx-c1", 5), meanwhile=lambda: store.drop(CONFIG_MAP, thing("mx-c1", 6)))

    assert listed == (set(), False)
    assert store.get(CONFIG_MAP, "mail", "mx-c1") is None


def test_the_newest_version_is_known_by_kind():
    """By which it is seen that the API server has gone back."""
    store = Store()
    store.put(CONFIG_MAP, thing("mx-c1", 5))
    store.drop(CONFIG_MAP, thing("mx-c1", 8))
    store.put(POD, thing("mx-1", 3))

    assert (store.newest(CONFIG_MAP), store.newest(POD), store.newest(SERVICE)) == (8, 3, 0)


def test_gateways_come_and_go():
    store = Store()
    store.put(INBOUND_SMTP, gateway(1))

    assert store.keys() == [MX]
    store.drop(INBOUND_SMTP, gateway(2))
    assert store.keys() == []
    assert len(store) == 0


# --- what others label as ours

THEIRS = OWNER | {"apiVersion": "v1", "kind": "Secret", "uid": "2"}
UNKNOWN = OWNER | {"apiVersion": "mailport.dev/v9"}
APPLIED = {"manager": "mailport-operator", "operation": "Apply", "fieldsV1": {"f:data": {"f:key": {}}}}
MEGABYTE = "x" * 2**20


@pytest.mark.parametrize("kind", [CONFIG_MAP, DEPLOYMENT, SERVICE, AUTOSCALER, DISRUPTION_BUDGET])
@pytest.mark.parametrize(
    "metadata",
    table(
        {
            "what nobody controls": {"ownerReferences": []},
            "what something else controls": {"ownerReferences": [THEIRS]},
            "what is said to be of an API version that there is not, and is never collected": {
                "ownerReferences": [UNKNOWN]
            },
            "what is applied under our name": {"ownerReferences": [], "managedFields": [APPLIED]},
        }
    ),
)
def test_of_what_is_not_an_inboundsmtps_little_is_kept(kind, metadata):
    """Whoever may make a ConfigMap may label it as ours: what it holds must not fill the operator's memory."""
    store = Store()
    body = thing("mx-c1", 5, kind=kind.name, data={"key": MEGABYTE}, spec={"key": MEGABYTE})
    body["metadata"] |= {"annotations": {"key": MEGABYTE}, **metadata}

    assert store.put(kind, body) == {MX}
    (kept,) = store.children(MX, kind)
    assert len(json.dumps(kept)) < 500
    assert is_ours(kept, "1") == (kind == CONFIG_MAP and is_ours(body, "1"))


def test_whose_it_is_can_still_be_said():
    """ChildConflict names it."""
    store = Store()
    body = thing("mx", 5, kind="Service", spec={})
    body["metadata"]["ownerReferences"] = [THEIRS]
    store.put(SERVICE, body)

    assert controller(store.children(MX, SERVICE)[0]) == THEIRS


def test_what_an_inboundsmtp_controls_is_kept_whole():
    """Also of one that was deleted: Kubernetes collects that, and until then it is taken over or waited for."""
    store = Store()
    body = thing("mx-c1", 5, data={"key": MEGABYTE})
    store.put(CONFIG_MAP, body)

    assert store.children(MX, CONFIG_MAP) == [body]


def test_what_lost_its_owner_and_is_as_large_as_ours_are_is_kept_whole():
    """It is compared before it is taken over: its Service has an address, and a class that does not change."""
    store = Store()
    body = thing("mx", 5, kind="Service", spec={"type": "LoadBalancer", "loadBalancerClass": "example.org/lb"})
    body["metadata"] |= {"ownerReferences": [], "managedFields": [APPLIED]}
    store.put(SERVICE, body)

    assert store.children(MX, SERVICE) == [body]
