"""Pods that lag are poked, others are not; and what is asked of the poller. The API server and the poller are fakes."""

import pytest

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.children import configuration
from mailport.operator.children.manifests import children
from mailport.operator.cluster import Cluster
from mailport.operator.metadata import POKE
from mailport.operator.pods.observed import Report
from mailport.operator.pods.refresh import Refresher
from mailport.operator.pods.schedule import Look
from mailport.operator.watch.observe import observe
from mailport.operator.watch.store import Key, Store
from tests.operator.making import GIVEN, MINIMAL, gateway
from tests.tables import table

MX = Key("mail", "mx")
CHILDREN = {child["kind"]: child for child in children(gateway(), GIVEN)}
HASH = configuration.digest(CHILDREN["ConfigMap"]["data"]["inboundsmtp.json"].encode())
LABELS = {"mailport.dev/inboundsmtp": "mx"}
OLD, LIVE = Report("of before", 2), Report(HASH, 3)
READY = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"}


class ApiServer(Cluster):
    """Takes pokes, or refuses them."""

    def __init__(self):
        super().__init__()
        self.poked = []  # the pod, and the annotation
        self.refusal = None

    async def patch(self, kind, namespace, name, body, *, content_type):
        assert (kind, namespace, content_type) == (kinds.POD, "mail", "application/merge-patch+json")
        assert body["metadata"].keys() == {"uid", "resourceVersion", "annotations"}
        if self.refusal is not None:
            raise self.refusal
        self.poked.append((name, body["metadata"]["annotations"][POKE]))
        return body


class Poller:
    """Knows what it is told here."""

    def __init__(self, **said):
        self.said = said  # by the pod's name, which is its uid
        self.targets = {}

    def looks(self, key):
        return {uid: Look(report, 0.0) for uid, report in self.said.items()}

    def hindrances(self, key):
        return {}

    def follow(self, key, targets):
        self.targets = {target.name: target for target in targets}


class Pods:
    """A gateway's Deployment, its ReplicaSet and its pods, as they were seen."""

    def __init__(self):
        self.store = Store()
        self._put(kinds.INBOUND_SMTP, "mx", uid="mx", spec=MINIMAL)
        self._put(kinds.CONFIG_MAP, "mx-c2", owner=("InboundSmtp", "mx"), data=CHILDREN["ConfigMap"]["data"])
        self._put(kinds.DEPLOYMENT, "mx", owner=("InboundSmtp", "mx"), uid="d", spec=CHILDREN["Deployment"]["spec"])
        self._put(kinds.REPLICA_SET, "mx-1", owner=("Deployment", "d"), uid="set", spec={"replicas": 1})

    def add(self, name, owner=("ReplicaSet", "set"), status=READY, volume="mx-c2", more=(), **metadata):
        spec = {
            "containers": [{"name": "listener", "ports": [{"name": "admin", "containerPort": 8080}]}],
            "volumes": [{"name": "config", "configMap": {"name": volume}}, *more],
        }
        self._put(kinds.POD, name, owner=owner, uid=name, spec=spec, status=status, **metadata)

    def seen(self):
        return observe(self.store, MX)

    def _put(self, kind, name, *, uid="uid", owner=None, annotations=None, deleted=False, **fields):
        metadata = {"name": name, "namespace": "mail", "uid": uid, "resourceVersion": "5", "labels": LABELS}
        if owner is not None:
            api = kinds.INBOUND_SMTP.api_version if owner[0] == "InboundSmtp" else "apps/v1"
            reference = {"apiVersion": api, "kind": owner[0], "uid": owner[1], "controller": True}
            metadata["ownerReferences"] = [reference]
        if annotations:
            metadata["annotations"] = annotations
        if deleted:
            metadata["deletionTimestamp"] = "2026-11-28T10:00:00Z"
        self.store.put(kind, {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata, **fields})


@pytest.fixture
def pods():
    return Pods()


@pytest.fixture
def server():
    return ApiServer()


async def test_a_pod_that_lags_is_poked_and_one_that_does_not_is_left_alone(server, pods):
    """And looked at again when the kubelet should have heard of it."""
    pods.add("lags")
    pods.add("live")
    pods.add("silent")
    refreshed = await Refresher(server, Poller(lags=OLD, live=LIVE)).refresh(pods.seen(), may_poke=True)

    assert server.poked == [("lags", f"{HASH}.1")]
    assert refreshed.again_in == pytest.approx(1, abs=0.2)
    assert {pod.name: pod.is_live for pod in refreshed.pods} == {"lags": False, "live": True, "silent": False}


async def test_it_is_said_whether_all_that_are_ready_were_asked(server, pods):
    """One that is not ready need not be: it says nothing before that."""
    pods.add("mx-1-a")
    pods.add("mx-1-b")
    pods.add("mx-1-c", status={})
    found = [
        (await Refresher(server, Poller(**said)).refresh(pods.seen(), may_poke=False)).all_asked
        for said in ({}, {"mx-1-a": LIVE}, {"mx-1-a": LIVE, "mx-1-b": None})
    ]

    assert found == [False, False, True]


async def test_counting_goes_on_where_another_replica_left_it(server, pods):
    """The kubelet looks again only where the annotation changes."""
    pods.add("lags", annotations={POKE: f"{HASH}.4"})
    await Refresher(server, Poller(lags=OLD)).refresh(pods.seen(), may_poke=True)

    assert server.poked == [("lags", f"{HASH}.5")]


async def test_nobody_is_poked_twice_in_a_row(server, pods):
    """Of two looks that follow one another the second waits for what the first did."""
    pods.add("lags")
    refresher = Refresher(server, Poller(lags=OLD))
    for _ in range(3):
        refreshed = await refresher.refresh(pods.seen(), may_poke=True)

    assert len(server.poked) == 1
    assert 0 < refreshed.again_in <= 1


@pytest.mark.parametrize(
    "which",
    table(
        {
            "a pod on its way out": {"deleted": True},
            "one that has ended": {"status": {"phase": "Failed"}},
            "one that only carries the label": {"owner": ("ReplicaSet", "of somebody else")},
            "one without an owner": {"owner": None},
        }
    ),
)
async def test_what_is_none_of_ours_is_neither_poked_nor_asked(server, pods, which):
    pods.add("other", **which)
    poller = Poller(other=OLD)
    refreshed = await Refresher(server, poller).refresh(pods.seen(), may_poke=True)

    assert (server.poked, poller.targets, refreshed.pods) == ([], {}, ())


async def test_while_suspended_pods_are_asked_and_not_poked(server, pods):
    """Nothing is touched; but what they run is in the status."""
    pods.add("lags")
    poller = Poller(lags=OLD)
    refreshed = await Refresher(server, poller).refresh(pods.seen(), may_poke=False)

    assert server.poked == []
    assert poller.targets["lags"].may_poke is False
    assert refreshed.pods[0].report == OLD


async def test_a_pod_of_a_format_that_nobody_writes_any_more_is_not_poked(server, pods):
    """Nobody knows what it should run. It is asked as one that takes its time."""
    pods.add("old", volume="mx-c0")
    poller = Poller(old=OLD)
    refreshed = await Refresher(server, poller).refresh(pods.seen(), may_poke=True)

    assert server.poked == []
    assert poller.targets["old"].may_poke is False
    assert refreshed.pods[0].expected_hash is None


@pytest.mark.parametrize(
    "status, poked_again_in",
    table({"changed meanwhile": (409, 0.2), "gone": (404, 0.2), "not to be had, for whatever reason": (500, 1)}),
)
async def test_a_poke_that_does_not_come_through_is_tried_again(server, pods, status, poked_again_in):
    """With what the news says then; what fails otherwise is not tried more often than what works."""
    pods.add("lags")
    server.refusal = ApiError(status, "no")
    refresher = Refresher(server, Poller(lags=OLD))
    refreshed = await refresher.refresh(pods.seen(), may_poke=True)
    server.refusal = None
    again = await refresher.refresh(pods.seen(), may_poke=True)

    assert refreshed.again_in == pytest.approx(poked_again_in, abs=0.1)
    assert server.poked == ([("lags", f"{HASH}.1")] if status in (404, 409) else [])
    assert again.again_in <= 1


async def test_the_pods_of_a_gateway_that_is_gone_are_forgotten(server, pods):
    """One of the same name has other pods; and the count of pokes begins anew."""
    pods.add("lags")
    poller = Poller(lags=OLD)
    poller.forget = lambda key: poller.targets.clear()
    refresher = Refresher(server, poller)
    await refresher.refresh(pods.seen(), may_poke=True)
    refresher.forget(MX)
    assert poller.targets == {}
    await refresher.refresh(pods.seen(), may_poke=True)

    assert [count for _, count in server.poked] == [f"{HASH}.1", f"{HASH}.1"]


async def test_a_pod_that_loses_mail_is_known_by_its_volumes(server, pods):
    """Whatever the document says by now. What messages lie in while they come in is no mail."""
    scratch = {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}
    pods.add("passing", more=[{"name": "mail", "emptyDir": {"sizeLimit": "1Gi"}}, scratch])
    pods.add("keeping", more=[{"name": "claim-a", "persistentVolumeClaim": {"claimName": "a"}}, scratch])
    refreshed = await Refresher(server, Poller()).refresh(pods.seen(), may_poke=True)

    assert {pod.name: pod.loses_mail for pod in refreshed.pods} == {"passing": True, "keeping": False}
