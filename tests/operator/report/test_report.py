"""The status is written where it is another one; and what is told beside it. The API server here is a fake."""

import pytest

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.cluster import Cluster
from mailport.operator.pods.observed import ObservedPod
from mailport.operator.reason import Reason
from mailport.operator.report.report import Reporter
from mailport.operator.watch.observe import observe
from mailport.operator.watch.store import Key, Store
from tests.operator.making import MINIMAL, gateway, maildir

MX = Key("mail", "mx")
ACCEPTED = Reason("Accepted", "Accepted", "the spec can be served")
PROGRAMMED = Reason("Programmed", "Programmed", "all objects are as they should be")


class ApiServer(Cluster):
    """Takes statuses and Events, and tells the store of none but its own."""

    def __init__(self):
        super().__init__()
        self.statuses = []
        self.events = []
        self.refuses_events = False

    async def apply(self, manifest, *, subresource="", force=True, dry_run=False):
        assert subresource == "status"
        self.statuses.append(manifest["status"])
        metadata = {**manifest["metadata"], "generation": 1, "resourceVersion": str(100 + len(self.statuses))}
        return {**manifest, "metadata": metadata, "spec": MINIMAL}

    async def create(self, kind, namespace, body):
        if self.refuses_events:
            raise ApiError(429, "too many requests")
        self.events.append((body["type"], body["reason"], body["message"]))


@pytest.fixture
def server():
    return ApiServer()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def reporter(server, store):
    return Reporter(server, store)


def put(store, kind, name="mx", version=2, **fields):
    metadata = {"name": name, "namespace": "mail", "uid": name, "resourceVersion": str(version), "generation": 1}
    if kind in kinds.CHILDREN:
        owner = {
            "apiVersion": "mailport.dev/v1alpha1",
            "kind": "InboundSmtp",
            "name": "mx",
            "uid": "mx",
            "controller": True,
        }
        metadata |= {"labels": {"mailport.dev/inboundsmtp": "mx"}, "ownerReferences": [owner]}
    store.put(kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields})


def see(store, **spec):
    put(store, kinds.INBOUND_SMTP, spec=MINIMAL | spec)
    return observe(store, MX)


async def test_a_status_is_written_once(server, store, reporter):
    """What was found again is no news: nothing is written every ten minutes, nor at each look."""
    await reporter.report(see(store), gateway(), ACCEPTED, PROGRAMMED)
    await reporter.report(observe(store, MX), gateway(), ACCEPTED, PROGRAMMED)

    assert len(server.statuses) == 1
    assert server.statuses[0]["conditions"][0]["type"] == "Ready"


async def test_an_event_is_as_long_as_the_api_server_takes_it(server, store, reporter):
    """It counts octets; the condition has the whole message."""
    message = "spec.routes[0].recipients: " + "ä" * 1500
    await reporter.report(see(store), None, Reason("Accepted", "Invalid", message), PROGRAMMED)

    (told,) = [text for _, reason, text in server.events if reason == "Invalid"]
    assert (len(told.encode()), told[-1]) == (1024, "…")
    assert server.statuses[0]["conditions"][1]["message"] == message


async def test_a_service_that_is_no_longer_asked_for_is_mentioned_once(server, store, reporter):
    """With the command: its address is nobody's to give up but a person's."""
    put(store, kinds.SERVICE, spec={"type": "ClusterIP", "clusterIPs": ["10.96.0.1"]})
    seen = see(store, service={"type": "None"})
    for _ in range(2):
        await reporter.report(seen, gateway(service={"type": "None"}), ACCEPTED, PROGRAMMED)

    told = [message for _, reason, message in server.events if reason == "ServiceLeft"]
    command = "kubectl delete service mx --namespace mail"
    assert told == [f"Service mx is no longer managed, and keeps its address. To give that up: {command}"]
    assert server.statuses[0]["addresses"] == []


async def test_what_comes_once_and_could_not_be_posted_comes_later(server, store, reporter):
    put(store, kinds.SERVICE, spec={"type": "ClusterIP", "clusterIPs": ["10.96.0.1"]})
    seen = see(store, service={"type": "None"})
    for refuses in (True, False, False):
        server.refuses_events = refuses
        await reporter.report(seen, gateway(service={"type": "None"}), ACCEPTED, PROGRAMMED)

    assert [reason for _, reason, _ in server.events].count("ServiceLeft") == 1


async def test_a_service_that_could_not_be_left_yet_is_not_mentioned(server, store, reporter):
    """It is still managed: the spec that asks for none is held back."""
    put(store, kinds.SERVICE, spec={"type": "ClusterIP", "clusterIPs": ["10.96.0.1"]})
    held_back = Reason("Programmed", "Suspended", "Service mx would change")
    await reporter.report(see(store, service={"type": "None"}), gateway(service={"type": "None"}), ACCEPTED, held_back)

    assert [reason for _, reason, _ in server.events if reason == "ServiceLeft"] == []
    assert server.statuses[0]["addresses"] == [{"type": "IPAddress", "value": "10.96.0.1"}]


async def test_a_claim_that_is_anothers_too_is_named_where_a_pod_waits(server, store, reporter):
    """One node alone can mount it: nobody says so who sees one of the two alone."""
    routes = [maildir("people", "mail")]
    put(store, kinds.CLAIM, "mail", spec={"accessModes": ["ReadWriteOnce"]})
    put(store, kinds.INBOUND_SMTP, "other", spec=MINIMAL | {"routes": routes})
    waiting = ObservedPod(
        "mx-1", ready=False, host_ips=(), expected_hash=None, report=None, trouble="ContainerCreating"
    )
    await reporter.report(see(store, routes=routes), gateway(routes=routes), ACCEPTED, PROGRAMMED, (waiting,))

    (available,) = [one["message"] for one in server.statuses[0]["conditions"] if one["type"] == "Available"]
    assert available.endswith("claim mail, which one node alone can mount, is also of InboundSmtp other")


async def test_another_operators_gateway_is_left_alone_but_for_one_event(server, store, reporter):
    """Its status too: two that write it would never end."""
    for _ in range(3):
        await reporter.report_other_operator(see(store), "other-system/mailport-operator")

    ((kind, reason, message),) = server.events
    assert (kind, reason) == ("Warning", "OtherOperator")
    assert message.startswith("the operator other-system/mailport-operator has taken over")
    assert server.statuses == []
