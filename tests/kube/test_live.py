"""Configuration live in pods: asked, poked, and asked again. The pods are a stand-in's: see operating.Node.

Deployments, ReplicaSets and pods are the real controllers'; what a kubelet and a listener would do is not.
"""

import time
from datetime import datetime
from itertools import pairwise

import pytest

from mailport.operator.metadata import POKE, SELECTOR_LABEL
from tests.kube.operating import OPERATOR, Listener, Node, without

LAGGING_SECONDS = 4.5  # longer than any of the first three pauses between pokes
TLS = {"certificateRefs": [{"name": "mx-tls"}]}

pytestmark = pytest.mark.usefixtures("controllers")


@pytest.fixture
def node(gateways):
    with Node(gateways.cluster, gateways.namespace) as node:
        yield node


def until_live(gateways, replicas=1):
    """Wait until all pods are ready, and serve the spec as it is now."""
    gateways.until("ConfigLive", "Live")
    gateways.cluster.wait_for(
        f"{replicas} replicas are ready", lambda: gateways.get()["status"]["readyReplicas"] == replicas
    )


def pokes(gateways):
    """When the operator patched pods of this namespace, in seconds."""
    return [
        datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        for event in gateways.cluster.audit(OPERATOR)
        if (event["verb"], event["responseStatus"]["code"]) == ("patch", 200)
        and event["requestURI"].startswith(f"{gateways.path('Pod')}/")
    ]


def annotations(gateways):
    """The last poke of each pod."""
    return [pod["metadata"].get("annotations", {}).get(POKE) for pod in gateways.pods()]


def test_a_change_is_live_by_a_poke(gateways, node):
    """Each pod's has the hash that it is to run. No pod is started anew."""
    gateways.apply(replicas=2)
    until_live(gateways, replicas=2)
    before = {pod["metadata"]["uid"] for pod in gateways.pods()}
    assert annotations(gateways) == [None, None]
    gateways.apply(replicas=2, limits={"maxConnections": 7})
    until_live(gateways, replicas=2)

    expected = gateways.get()["status"]["configHash"]
    assert [listener.said["hash"] for listener in node.listeners.values()] == [expected] * 2
    assert [poke.rpartition(".")[0] for poke in annotations(gateways)] == [expected] * 2
    assert {pod["metadata"]["uid"] for pod in gateways.pods()} == before


def test_a_kubelet_that_lags_is_poked_again_and_again(gateways, node):
    """Its watch of ConfigMaps may be behind the one of pods, and then a poke mounts the old content."""
    gateways.apply()
    until_live(gateways)
    node.mounts = False
    gateways.apply(limits={"maxConnections": 7})
    gateways.cluster.wait_for("there were four pokes", lambda: len(pokes(gateways)) == 4)
    propagating = gateways.condition("ConfigLive")
    (last,) = annotations(gateways)
    node.mounts = True
    until_live(gateways)

    assert (propagating["status"], propagating["reason"]) == ("False", "Propagating")
    assert propagating["message"] == "0 of 1 ready pods run this configuration"
    assert last == f"{gateways.get()['status']['configHash']}.4"
    for (before, after), pause in zip(pairwise(pokes(gateways)), (1, 2, 4), strict=True):
        assert pause <= after - before + 0.01 < pause + 1
    assert "Propagating" not in [reason for reason, _ in gateways.events()]


def test_while_suspended_nobody_is_poked(gateways, node):
    """Pods are touched no more than anything else; what they say is still asked, and said."""
    gateways.apply()
    until_live(gateways)
    node.mounts = False
    gateways.apply(limits={"maxConnections": 7})
    gateways.cluster.wait_for("there were two pokes", lambda: len(pokes(gateways)) == 2)  # the next after 2 seconds
    gateways.apply(limits={"maxConnections": 7}, management="Suspended")
    gateways.until("Programmed", "Programmed")
    before = len(pokes(gateways))
    time.sleep(LAGGING_SECONDS)

    assert gateways.condition("ConfigLive")["reason"] == "Propagating"
    assert len(pokes(gateways)) == before


def test_what_a_listener_cannot_load_is_said_in_its_words(gateways, node):
    """It serves on with the last good configuration, and one Event tells."""
    gateways.apply()
    until_live(gateways)
    node.mounts = False
    node.override = {"reloadError": "spec.access.addresses[3]: not what I know"}
    gateways.apply(limits={"maxConnections": 7})
    failed = gateways.until("ConfigLive", "ReloadFailed")
    ready, available = gateways.condition("Ready"), gateways.condition("Available")
    node.override = {"reloadError": None}
    node.mounts = True
    until_live(gateways)

    assert failed["status"] == "False"
    assert failed["message"].endswith(": spec.access.addresses[3]: not what I know")
    assert (ready["status"], ready["reason"]) == ("False", "ReloadFailed")
    assert available["status"] == "True"
    assert [reason for reason, _ in gateways.events()] == ["Ready", "ReloadFailed", "Ready"]


def test_a_destination_that_cannot_be_reached_is_told_of_and_mail_is_taken(gateways, node):
    """Within seconds, in `kubectl describe` and by an Event."""

    def destination(state, error):
        return {"destinations": [{"route": "nothing", "state": state, "error": error}]}

    node.override = destination("Unknown", None)
    gateways.apply()
    until_live(gateways)
    node.override = destination("Misconfigured", "AUTH: 535 5.7.8 authentication failed")
    found = gateways.until("DestinationsReachable", "Misconfigured")
    described = gateways.kubectl("describe", "inboundsmtp", "mx")
    ready = gateways.condition("Ready")

    assert (found["status"], found["message"]) == ("False", "route nothing: AUTH: 535 5.7.8 authentication failed")
    assert "route nothing: AUTH: 535 5.7.8 authentication failed" in described
    assert ready["status"] == "True"
    assert [reason for reason, _ in gateways.events()] == ["Ready", "Misconfigured"]


def test_a_missing_secret_is_named_while_the_rest_serves_and_heals_when_it_comes(gateways, node):
    """The operator may read no Secret: pods say what they miss, and a poke every ten seconds has them look again."""
    gateways.apply(tls=TLS)
    found = gateways.until("ResolvedRefs", "SecretNotFound")
    until_live(gateways)

    assert found["message"].startswith("Secret mx-tls (spec.tls.certificateRefs[0])")
    assert {(each["kind"], each["name"]) for each in gateways.get()["status"]["missing"]} == {("Secret", "mx-tls")}
    assert gateways.condition("Available")["status"] == gateways.condition("Programmed")["status"] == "True"
    assert gateways.condition("Ready")["reason"] == "SecretNotFound"
    assert gateways.condition("Stalled")["reason"] == "Absent"
    gateways.kubectl("create", "secret", "generic", "mx-tls", "--from-literal=tls.crt=1", "--from-literal=tls.key=2")
    healed = gateways.until("ResolvedRefs", "ResolvedRefs")

    assert healed["status"] == "True"
    assert gateways.get()["status"]["missing"] == []
    first, second = pokes(gateways)
    assert 9.9 < second - first < 12


@pytest.mark.parametrize(
    "fall_silent", [Listener.stop, Listener.drop_packets], ids=["nobody listens", "packets are dropped"]
)
def test_pods_that_do_not_say_what_they_run_are_no_reason_to_be_not_ready(gateways, node, fall_silent):
    """A NetworkPolicy may keep the operator out. The kubelet says that they are ready, and that counts."""
    gateways.apply()
    until_live(gateways)
    for listener in node.listeners.values():
        fall_silent(listener)
    gateways.apply(limits={"maxConnections": 7})
    silent = gateways.until("ConfigLive", "PodsUnreachable")
    ready = gateways.until("Ready", "Ready")

    assert silent["status"] == "Unknown"
    assert gateways.pods()[0]["metadata"]["name"] in silent["message"]
    assert ready["status"] == "True"
    assert "not all of them say" in ready["message"]


def test_an_operator_that_starts_asks_before_it_says_anything_of_pods(gateways, node, operator):
    """Nothing has changed, so the status has not: no `Unknown` for a moment, and no Event."""
    gateways.apply(replicas=2)
    until_live(gateways, replicas=2)
    gateways.until_rolled_out()
    before = gateways.get()
    with without(operator):
        asked = {name: listener.asked for name, listener in node.listeners.items()}
    gateways.cluster.wait_for(
        "all were asked", lambda: all(node.listeners[name].asked > count for name, count in asked.items())
    )
    looks = operator.looks()
    gateways.patch("InboundSmtp", "mx", {"metadata": {"annotations": {"example.org/look": "again"}}})
    gateways.cluster.wait_for("it has looked again", lambda: operator.looks() > looks)

    states = gateways.states("InboundSmtp", "mx", before["metadata"]["resourceVersion"])
    assert states
    assert [state["status"] for state in states] == [before["status"]] * len(states)


def test_a_renewed_certificate_is_in_the_status_within_a_minute(gateways, node):
    """The operator sees no Secret: nothing tells it but the listener, which it asks now and then."""
    gateways.kubectl("create", "secret", "generic", "mx-tls", "--from-literal=tls.crt=1", "--from-literal=tls.key=2")
    certificate = {"secretName": "mx-tls", "serialNumber": "01", "notAfter": "2030-01-01T00:00:00Z"}
    node.override = {"certificates": [certificate]}
    gateways.apply(tls=TLS)
    until_live(gateways)
    assert gateways.get()["status"]["certificates"] == [certificate]
    renewed = certificate | {"serialNumber": "02", "notAfter": "2030-03-01T00:00:00Z"}
    node.override = {"certificates": [renewed]}
    gateways.cluster.wait_for(
        "the status has it", lambda: gateways.get()["status"]["certificates"] == [renewed], seconds=62
    )

    assert pokes(gateways) == []


def test_a_pod_that_only_carries_the_label_is_neither_asked_nor_poked(gateways, node):
    """Whoever may create pods could have the operator believe what it says, or call wherever it says it is."""
    gateways.apply()
    until_live(gateways)
    (ours,) = gateways.pods()
    metadata = {"name": "theirs", "namespace": gateways.namespace, "labels": {SELECTOR_LABEL: "mx"}}
    stranger = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": ours["spec"]}
    gateways.cluster.ask("POST", gateways.path("Pod"), stranger).expect_accepted()
    gateways.cluster.wait_for("it runs", lambda: "theirs" in node.listeners)
    gateways.apply(limits={"maxConnections": 7})
    until_live(gateways)

    assert node.listeners["theirs"].asked == 0
    assert node.listeners[ours["metadata"]["name"]].asked > 0
    assert gateways.child("Pod", "theirs").body["metadata"].get("annotations", {}).get(POKE) is None
    assert gateways.get()["status"]["readyReplicas"] == 1


# --- for an alert


def test_a_metric_says_which_gateways_are_ready(operator, gateways, node):
    """As the condition has it, and why not; nothing is said any more of one that is gone."""

    def samples():
        about = f'mailport_operator_inboundsmtp_ready{{name="mx",namespace="{gateways.namespace}",reason='
        lines = operator.page("metrics")[1].splitlines()
        return [line.removeprefix(about) for line in lines if line.startswith(about)]

    gateways.apply()
    until_live(gateways)
    ready = samples()
    node.ready = False
    gateways.until("Ready", "NoReplicaReady")
    broken = samples()
    gateways.delete()
    gateways.cluster.wait_for("it is forgotten", lambda: samples() == [])

    assert (ready, broken) == (['"Ready"} 1.0'], ['"NoReplicaReady"} 0.0'])


# --- while pods roll


def leads_to(service):
    return [port["targetPort"] for port in service["spec"]["ports"]]


def test_old_pods_are_reached_until_new_ones_are_there(gateways, node):
    """Whatever of a port changes, and for as long as it takes: the Service and the NetworkPolicy follow the pods."""
    gateways.apply(networkPolicy="Managed")
    until_live(gateways)
    begin = gateways.child("Service").body["metadata"]["resourceVersion"]
    node.starts = False
    renamed = [{"name": "mx", "port": 25}]
    gateways.apply(networkPolicy="Managed", listeners=renamed, pod={"adminPort": 9090})
    gateways.until("ConfigLive", "RollingOut")
    gateways.cluster.wait_for("there is a new pod", lambda: len(gateways.pods()) == 2)
    service, policy = (gateways.child(kind).body for kind in ("Service", "NetworkPolicy"))
    available = gateways.condition("Available")["status"]
    (listener,) = gateways.get()["status"]["listeners"]
    node.starts = True
    until_live(gateways)
    gateways.until_rolled_out()
    gateways.until_rendered()

    assert (available, listener["ready"], leads_to(service)) == ("True", True, [25])
    assert [port["port"] for port in policy["spec"]["ingress"][0]["ports"]] == [25, 9090, 8080]
    assert [leads_to(state) for state in gateways.states("Service", "mx", begin)] == [[25], ["mx"]]
