"""What others do to a cluster, and that the status says what is so: quotas, policies, webhooks, second writers.

Deployments, ReplicaSets and pods are the real controllers'; what a kubelet does is operating.Node's.
"""

import itertools
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from mailport.operator.metadata import INSTANCE
from tests.kube.gateways import NAMES, WRITING, Gateways
from tests.kube.operating import OPERATOR, Node, Operator, grant, stopped_at_the_end
from tests.tables import table

OPERATOR_OPTIONS = ("--allow=loadBalancer,nodePort,priorityClass",)
OTHER = "system:serviceaccount:other-system:other-mailport-operator"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
ANOTHER_PORT = [{"name": "smtp", "port": 2525}]

pytestmark = pytest.mark.usefixtures("controllers")


@pytest.fixture
def node(gateways):
    with Node(gateways.cluster, gateways.namespace) as node:
        yield node


def until_live(gateways):
    gateways.until("ConfigLive", "Live")
    gateways.until("Ready", "Ready")


def writes(gateways, seconds):
    """What the operators write about this namespace's gateways within the next seconds, as the audit log has it."""
    before = len(asked(gateways))
    time.sleep(seconds)
    return asked(gateways)[before:]


def asked(gateways):
    return [
        event["requestURI"]
        for event in gateways.cluster.audit(OPERATOR, OTHER)
        if event["verb"] in WRITING
        and f"/namespaces/{gateways.namespace}/" in event["requestURI"]
        and event["responseStatus"]["code"] < 300
    ]


# --- a rollout that does not come through, while the old pods serve


def quota(gateways):
    body = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "1"}}}
    gateways.cluster.ask("POST", f"/api/v1/namespaces/{gateways.namespace}/resourcequotas", body).expect_accepted()
    path = f"/api/v1/namespaces/{gateways.namespace}/resourcequotas/none"
    gateways.cluster.wait_for("it counts", lambda: "used" in gateways.cluster.ask("GET", path).body.get("status", {}))


def limits(gateways):
    item = {"type": "Container", "min": {"memory": "4Gi"}}
    body = {"metadata": {"name": "large"}, "spec": {"limits": [item]}}
    gateways.cluster.ask("POST", f"/api/v1/namespaces/{gateways.namespace}/limitranges", body).expect_accepted()


@pytest.mark.parametrize(
    "prepare, spec, words",
    table(
        {
            "a quota": (quota, {}, "exceeded quota: none"),
            "a range of limits": (limits, {}, "minimum memory usage per Container is 4Gi"),
            "a priority class that is not there": (
                lambda _: None,
                {"pod": {"priorityClassName": "nonsense"}},
                "no PriorityClass with name nonsense was found",
            ),
        }
    ),
)
def test_what_keeps_new_pods_from_being_made_is_said(gateways, node, prepare, spec, words):
    """Today's pods serve on, with the port of before: mail is taken, and it is not Ready."""
    gateways.apply()
    until_live(gateways)
    prepare(gateways)
    gateways.apply(listeners=ANOTHER_PORT, **spec)
    gateways.cluster.wait_for("it says so", lambda: words in gateways.condition("ConfigLive")["message"])
    live, ready = gateways.condition("ConfigLive"), gateways.condition("Ready")

    assert (live["status"], live["reason"]) == ("False", "RollingOut")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "RollingOut", live["message"])
    assert gateways.condition("Available")["status"] == "True"
    assert gateways.get()["status"]["listeners"] == [{"name": "smtp", "port": 2525, "ready": False}]


def test_a_rollout_is_not_ready_until_it_is_through(gateways, node):
    """A new pod does not start: with its own reason, as the kubelet has it; and then it does."""
    gateways.apply()
    until_live(gateways)
    node.starts = False
    gateways.apply(listeners=ANOTHER_PORT)
    gateways.until("ConfigLive", "RollingOut")
    gateways.cluster.wait_for("there is a new pod", lambda: len(gateways.pods()) == 2)
    new = next(pod["metadata"]["name"] for pod in gateways.pods() if pod["metadata"]["name"] not in node.listeners)
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    container = {"name": "listener", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    gateways.patch("Pod", new, {"status": {"containerStatuses": [container]}}, subresource="status")
    words = f"pod {new}: ImagePullBackOff: no such image"
    gateways.cluster.wait_for("it says so", lambda: words in gateways.condition("Ready")["message"])
    reconciling = gateways.condition("Reconciling")
    node.starts = True
    until_live(gateways)

    assert reconciling["reason"] == "RollingOut"
    assert gateways.get()["status"]["listeners"] == [{"name": "smtp", "port": 2525, "ready": True}]
    assert [reason for reason, _ in gateways.events()] == ["Ready"]


def test_a_rollout_that_has_taken_too_long_is_stuck(gateways, node):
    """By the Deployment's own word, which takes ten minutes: here it is the test's."""
    gateways.apply()
    until_live(gateways)
    gateways.cluster.kill("kube-controller-manager")
    try:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        stuck = {
            "type": "Progressing",
            "status": "False",
            "reason": "ProgressDeadlineExceeded",
            "message": 'ReplicaSet "mx-1" has timed out progressing.',
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        gateways.patch("Deployment", "mx", {"status": {"conditions": [stuck]}}, subresource="status")
        ready = gateways.until("Ready", "RolloutStuck")
        reconciling = gateways.condition("Reconciling")
    finally:
        gateways.cluster.run_again("kube-controller-manager")
    until_live(gateways)

    assert ready["message"] == 'ReplicaSet "mx-1" has timed out progressing.'
    assert reconciling["reason"] == "Absent"
    assert [reason for reason, _ in gateways.events()] == ["Ready", "RolloutStuck", "Ready"]


def test_a_rollout_that_somebody_paused_goes_on(gateways, node):
    """It is drift. While nothing may be touched it is named."""
    gateways.apply()
    until_live(gateways)
    gateways.kubectl("rollout", "pause", "deployment/mx")
    gateways.apply(listeners=ANOTHER_PORT)
    until_live(gateways)
    assert "paused" not in gateways.child("Deployment").body["spec"]

    gateways.apply(listeners=ANOTHER_PORT, management="Suspended")
    gateways.kubectl("rollout", "pause", "deployment/mx")
    found = gateways.until("Programmed", "Suspended")
    assert "Deployment mx (.spec.paused)" in found["message"]


def test_a_volume_that_does_not_mount_is_said(gateways, node, monkeypatch):
    """ContainerCreating for half a minute: the kubelet says why in an Event, which here is the test's."""
    node.starts = False
    gateways.apply()
    gateways.cluster.wait_for("there is a pod", lambda: len(gateways.pods()) == 1)
    (pod,) = gateways.pods()
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    container = {"name": "listener", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    container["state"] = {"waiting": {"reason": "ContainerCreating"}}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    gateways.patch(
        "Pod", name, {"status": {"conditions": [scheduled], "containerStatuses": [container]}}, subresource="status"
    )
    event = {
        "metadata": {"generateName": f"{name}."},
        "involvedObject": {"kind": "Pod", "name": name, "namespace": gateways.namespace, "uid": uid},
        "type": "Warning",
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "mail"',
        "lastTimestamp": now,
    }
    gateways.cluster.ask("POST", f"/api/v1/namespaces/{gateways.namespace}/events", event).expect_accepted()
    words = f'pod {name}: ContainerCreating: FailedMount: MountVolume.SetUp failed for volume "mail"'

    gateways.cluster.wait_for("it says so", lambda: words in gateways.condition("Available")["message"], 60)


# --- who else writes


def test_what_gives_rights_is_put_back(gateways):
    """Fields that nobody owns beside us, and that would make more of a pod or a Service than it may be."""
    gateways.apply()
    gateways.until_rendered()
    gateways.patch("Deployment", "mx", {"spec": {"template": {"spec": {"hostPID": True, "hostIPC": True}}}})
    gateways.patch("Service", "mx", {"spec": {"externalIPs": ["192.0.2.1"]}})
    container = "/spec/template/spec/containers/0/securityContext"
    gateways.patch(
        "Deployment",
        "mx",
        [
            {"op": "add", "path": f"{container}/runAsUser", "value": 0},
            {"op": "add", "path": f"{container}/capabilities/add", "value": ["SYS_ADMIN"]},
        ],
    )

    gateways.until_rendered()
    pod = gateways.child("Deployment").body["spec"]["template"]["spec"]
    assert {"hostPID", "hostIPC"}.isdisjoint(pod)
    assert "runAsUser" not in pod["containers"][0]["securityContext"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "externalIPs" not in gateways.child("Service").body["spec"]


@contextmanager
def rewriting(gateways, body):
    """A controller that sets a field of the Service whenever it is another."""
    done = threading.Event()

    def rewrite():
        while not done.wait(0.05):
            found = gateways.child("Service")
            if found.accepted and found.body["spec"]["ports"][0]["port"] != 2626:
                gateways.patch("Service", "mx", body)

    writing = threading.Thread(target=rewrite)
    writing.start()
    try:
        yield
    finally:
        done.set()
        writing.join()


def test_a_field_that_another_controller_wants_otherwise_is_left_to_a_person(gateways):
    """Neither writes several times a second for ever; the status says who it is, and one Event."""
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    with rewriting(gateways, [{"op": "replace", "path": "/spec/ports/0/port", "value": 2626}]):
        contested = gateways.until("Programmed", "ChildContested")
        written = writes(gateways, 5)

    assert contested["status"] == "False"
    assert "Service mx: these fields are set back repeatedly by the field manager somebody" in contested["message"]
    assert ".spec.ports" in contested["message"]
    assert written == []
    assert gateways.condition("Stalled")["reason"] == "Absent"
    assert [reason for reason, _ in gateways.events()] == ["ChildContested"]


def test_who_scales_again_and_again_is_named(gateways):
    """As KEDA does, by the subresource. What the spec asks for anew is written all the same."""
    gateways.apply(replicas=1)
    gateways.until("Programmed", "Programmed")

    def replicas():
        return gateways.child("Deployment").body["spec"]["replicas"]

    def is_contested():
        if replicas() == 1:
            gateways.patch("Deployment", "mx", {"spec": {"replicas": 3}}, subresource="scale")
        return gateways.condition("Programmed")["reason"] == "ChildContested"

    gateways.cluster.wait_for("it is left alone", is_contested, 60)
    contested = gateways.condition("Programmed")
    gateways.apply(replicas=2)
    gateways.cluster.wait_for("it is as the spec has it", lambda: replicas() == 2)

    assert contested["message"] == (
        "Deployment mx: these fields are set back repeatedly by the field manager somebody: .spec.replicas. "
        "Remove them from one of the two"
    )


def test_two_operators_see_each_other(rights, gateways, node, tmp_path):
    """By the mark that each sets on Deployments. One leaves what the other takes, and says so: no pod rolls twice."""
    gateways.apply()
    until_live(gateways)
    grant(rights, release="other", namespace="other-system")
    kubeconfig = rights.certified_kubeconfig("other", OTHER, "system:serviceaccounts")
    options = ("--listener-image=mailport:other", "--lease-namespace=other-system", *OPERATOR_OPTIONS)
    other = Operator(rights, OTHER, *options, folder=tmp_path, kubeconfig=kubeconfig)
    with stopped_at_the_end(other):
        other.start()
        rights.wait_for("it is said", lambda: "OtherOperator" in dict(gateways.events()))
        until_live(gateways)
        gateways.until_rolled_out()
        rights.wait_for("what is said of it is written", lambda: writes(gateways, 2) == [])
        written = writes(gateways, 5)
        other.stop()

    assert gateways.child("Deployment").body["metadata"]["annotations"][INSTANCE] == "other-system/mailport-operator"
    assert gateways.child("Deployment").body["metadata"]["generation"] == 2
    assert written == []
    assert "the operator other-system/mailport-operator has taken over" in dict(gateways.events())["OtherOperator"]
    gateways.kubectl("annotate", "deployment/mx", f"{INSTANCE}-")
    rights.wait_for("it is given back", lambda: gateways.applied_by() == "default/mailport-operator")
    until_live(gateways)


# --- a webhook that does not answer


@pytest.fixture
def hangs(gateways):
    """Make webhooks for this namespace's Deployments that take connections and never answer."""
    names = itertools.count(1)
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def make(policy, seconds):
            name = f"{gateways.namespace}-{next(names)}.example.org"
            rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
            webhook = {
                "name": name,
                "clientConfig": {"url": f"https://127.0.0.1:{silent.getsockname()[1]}/"},
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": gateways.namespace}},
                "failurePolicy": policy,
                "timeoutSeconds": seconds,
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
            gateways.cluster.ask(
                "POST", WEBHOOKS, {"metadata": {"name": name}, "webhooks": [webhook]}
            ).expect_accepted()
            made.append(name)
            time.sleep(1)  # until the API server calls it

        made = []
        yield make
        for name in made:
            gateways.cluster.ask("DELETE", f"{WEBHOOKS}/{name}").expect_accepted()


def test_a_webhook_that_takes_its_time_is_waited_for(gateways, hangs):
    """It may fail, and takes five seconds for that: longer than we once waited for an answer, and so for ever."""
    hangs("Ignore", 5)
    gateways.apply()
    began = time.monotonic()
    gateways.until("Programmed", "Programmed", seconds=30)

    assert gateways.child("Deployment").accepted
    assert time.monotonic() - began > 5


def test_a_webhook_of_one_namespace_does_not_hold_up_another(gateways, hangs):
    """More gateways than there are workers wait for it, one write after the other."""
    hangs("Ignore", 5)
    for number in range(40):
        gateways.apply(f"slow-{number}")
    neighbours = Gateways(gateways.cluster, gateways.cluster.new_namespace())
    gateways.cluster.wait_for("writes wait", lambda: gateways.get("slow-0").get("status"))
    time.sleep(1)
    began = time.monotonic()
    neighbours.apply()
    try:
        neighbours.until("Programmed", "Programmed")
        took = time.monotonic() - began
    finally:
        neighbours.delete_all()

    assert took < 3
    waiting = sum(not gateways.child("Deployment", f"slow-{number}").accepted for number in range(40))
    assert waiting > 16, "more than have a worker"


def test_a_webhook_that_must_answer_and_does_not_is_in_the_status(gateways, hangs):
    """Whoever has a gateway that does not come looks there, and not into the operator's log."""
    hangs("Fail", 1)
    gateways.apply()
    found = gateways.until("Programmed", "ApplyFailed")

    assert "Deployment mx: " in found["message"]
    assert "failed calling webhook" in found["message"]
    assert gateways.condition("Ready")["reason"] == "ApplyFailed"
    assert gateways.condition("Stalled")["reason"] == "Absent"


# --- backups


def test_what_was_restored_without_managed_fields_is_taken_over(gateways):
    """As older Velero does: the InboundSmtp is another, its children still name the one of before."""
    gateways.apply()
    gateways.until_rendered()
    uids = gateways.child("Service").body["metadata"]["uid"]
    gateways.cluster.kill("kube-controller-manager")  # which would collect them
    try:
        gateways.delete()
        for kind in ("Service", "Deployment", "ConfigMap", "ServiceAccount"):
            name = NAMES[kind]
            gateways.patch(kind, name, {"metadata": {"managedFields": [{}]}})
        gateways.apply(replicas=2)
        gateways.until_rendered(seconds=60)
    finally:
        gateways.cluster.run_again("kube-controller-manager")

    assert gateways.child("Service").body["metadata"]["uid"] == uids
    assert "ownerReferences" in gateways.child("Deployment").body["metadata"]
