"""What is taken of one gateway for a look: whose claims are shared, and what pods still need."""

import pytest

from mailport.operator import kinds
from mailport.operator.watch.observe import is_exclusive, observe
from mailport.operator.watch.store import Key, Store
from tests.tables import table

MX = Key("mail", "mx")
LABELS = {"mailport.dev/inboundsmtp": "mx"}
OWNER = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "name": "mx", "uid": "mx", "controller": True}
ROUTES = [{"deliver": {"maildir": {"claimName": "mail"}}}]


def put(store, kind, name, **fields):
    metadata = {"name": name, "namespace": "mail", "uid": name, "resourceVersion": "5", "labels": LABELS}
    store.put(kind, {"metadata": metadata | fields.pop("metadata", {}), **fields})


@pytest.fixture
def store():
    store = Store()
    put(store, kinds.INBOUND_SMTP, "mx", spec={"routes": ROUTES})
    return store


def test_one_that_is_on_its_way_out_is_not_looked_at(store):
    """Kubernetes collects what it has; whoever wrote it anew would be too late."""
    put(store, kinds.INBOUND_SMTP, "mx", metadata={"resourceVersion": "6", "deletionTimestamp": "2026-11-28T10:00:00Z"})

    assert observe(store, MX) is None
    assert observe(store, Key("mail", "of nobody")) is None


def test_a_claim_is_shared_with_others_and_not_with_oneself(store):
    put(store, kinds.CLAIM, "mail", spec={"accessModes": ["ReadWriteOnce"]})
    alone = observe(store, MX)
    put(store, kinds.INBOUND_SMTP, "other", spec={"routes": ROUTES})
    put(store, kinds.INBOUND_SMTP, "third", spec={"routes": []})

    assert alone.sharing == {"mail": ()}
    assert observe(store, MX).sharing == {"mail": ("other",)}
    assert observe(store, MX).claims.keys() == {"mail"}


def test_a_claim_that_is_not_there_is_named_by_its_users_alone(store):
    seen = observe(store, MX)

    assert (seen.claims, seen.sharing) == ({}, {"mail": ()})


MOUNTS = {"volumes": [{"name": "config", "configMap": {"name": "mx-c1"}}], "serviceAccountName": "mx-listener"}
TEMPLATE = {"template": {"spec": MOUNTS}}


@pytest.mark.parametrize(
    "kind, fields, needed",
    table(
        {
            "a pod that runs": (kinds.POD, {"spec": MOUNTS, "status": {}}, True),
            "a ReplicaSet that may start one": (kinds.REPLICA_SET, {"spec": {"replicas": 1, **TEMPLATE}}, True),
            "one that will not": (kinds.REPLICA_SET, {"spec": {"replicas": 0, **TEMPLATE}}, False),
            "the Deployment itself": (kinds.DEPLOYMENT, {"spec": TEMPLATE}, True),
        }
    ),
)
def test_what_pods_need_to_start_is_needed(store, kind, fields, needed):
    """Also where the spec asks for it no more: a pod that is killed comes up again as it was."""
    put(store, kind, "mx-1", metadata={"ownerReferences": [OWNER]}, **fields)
    put(store, kinds.DEPLOYMENT, "of-others", spec=TEMPLATE)
    seen = observe(store, MX)

    assert seen.is_needed(kinds.CONFIG_MAP, "mx-c1") is needed
    assert seen.is_needed(kinds.SERVICE_ACCOUNT, "mx-listener") is needed
    assert not seen.is_needed(kinds.CONFIG_MAP, "mx-c2")
    assert not seen.is_needed(kinds.DISRUPTION_BUDGET, "mx-c1")


@pytest.mark.parametrize(
    "modes, exclusive",
    table(
        {
            "one node": (["ReadWriteOnce"], True),
            "one pod": (["ReadWriteOncePod"], True),
            "one node to write, and many to read": (["ReadWriteOnce", "ReadOnlyMany"], False),
            "many": (["ReadWriteMany"], False),
            "nobody says": ([], False),
        }
    ),
)
def test_a_claim_is_for_one_node_alone(modes, exclusive):
    assert is_exclusive({"spec": {"accessModes": modes}}) is exclusive
    assert not is_exclusive(None)
