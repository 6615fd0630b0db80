"""What happens to an API server, to the network and to a cluster, and that an operator lives on.

On a control plane of its own, as it is killed. Between it and the operator is a relay that the tests cut and freeze.
"""

import contextlib
import http.client
import shutil
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from mailport.operator.lease import LEASE_SECONDS, RENEW_SECONDS, WRITES_STOP_SECONDS
from tests.kube.apart import control_plane, wait_for_controllers
from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, Operator, grant, instead, stopped_at_the_end, tell
from tests.kube.relay import Relay

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/inboundsmtps.mailport.dev"
FLOW_CONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"
EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
THE_OPERATOR = {"kind": "User", "user": {"name": OPERATOR}}

ALLOW = "--allow=loadBalancer,nodePort,annotations=example.org/*"
ELECTION = ("--leader-elect", "--lease-namespace=mailport-system")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("recovery")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def relay(cluster):
    with Relay(cluster.kubeconfig_of(OPERATOR)) as relay:
        yield relay


@pytest.fixture(scope="module")
def operator(cluster, relay, tmp_path_factory):
    folder = tmp_path_factory.mktemp("operator")
    operator = Operator(cluster, OPERATOR, *ELECTION, ALLOW, folder=folder, kubeconfig=relay.kubeconfig)
    with stopped_at_the_end(operator):
        yield operator.start()
        assert operator.stop() == 0


@pytest.fixture
def made(cluster, operator):
    """A gateway `mx`, all there; and in the end an operator that is well."""
    gateways = Gateways(cluster, cluster.new_namespace())
    gateways.apply(replicas=2, networkPolicy="Managed")
    gateways.until_rendered(seconds=40)
    yield gateways
    cluster.wait_for("it is ready", lambda: operator.running and operator.page("readyz")[0] == 200, 60)
    assert "internal error" not in operator.log.read_text()


@pytest.fixture
def gateways(made, operator):
    """The same, of an operator that lives through the test."""
    with alive(operator):
        yield made


@contextmanager
def alive(operator):
    """Look at /livez all the time: whatever is the matter here, a new process would not help.

    But for one thing: where an outage outlasts the Lease, as a short one may on a slow machine, the operator ends and
    says so. Then it is started again, as its Deployment does. A backup of etcd has the Lease of whoever led before.
    """
    said, done, began = Counter(), threading.Event(), time.monotonic()
    failed, ended_before = [], set()

    def look():
        try:
            while not done.wait(0.2):
                answer = operator.page("livez")
                if ended(operator, within=10 if answer[0] == 0 else 0):
                    start_again(operator, began, ended_before)
                else:
                    said[answer] += 1
        except AssertionError as error:
            failed.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()
    assert not failed
    if ended(operator):
        start_again(operator, began, ended_before)
    assert list(said) == [(200, "ok\n")]
    assert operator.running


def ended(operator, within=0):
    """Whether it has ended, or does so within so many seconds: it closes its port first."""
    try:
        operator.process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def start_again(operator, began, ended_before):
    """Start an operator that ended, and wait until it answers; fail where it ended for anything but the Lease.

    `ended_before` are the holders that ended so far in this test: one more is added.
    """
    log = operator.log.read_text()
    lost = [line for line in operator.lines() if line["event"] == "lost the Lease: ending"]
    assert operator.process.returncode == 1, log
    assert "internal error" not in log
    assert lost, log
    given_back = {f"{holder} holds it" for holder in ended_before}
    assert lost[-1]["error"].startswith("not renewed for 10 s: ") or lost[-1]["error"] in given_back, log
    assert time.monotonic() - began > WRITES_STOP_SECONDS - RENEW_SECONDS, log
    ended_before.add(lost[-1]["holder"])
    operator.log.rename(operator.log.with_suffix(f".{time.monotonic_ns()}"))
    operator.launch()
    operator.until_live()
    tell("an outage that outlasted the Lease: started again")


def delete(gateways, *kinds):
    gateways.kubectl("delete", ",".join(kinds), "mx", "--wait=false")


def seconds_until_rendered(gateways, name="mx"):
    began = time.monotonic()
    gateways.until_rendered(name, seconds=90)
    took = time.monotonic() - began
    tell(f"as rendered after {took:.1f} s")
    return took


# --- the API server


def test_an_api_server_that_dies_and_comes_back(gateways, operator):
    """Children that somebody deletes and changes before the operator is back are put right."""
    gateways.cluster.kill("kube-apiserver")
    gateways.cluster.wait_for(
        "it says so", lambda: operator.page("readyz") == (503, "the API server does not answer\n")
    )
    gateways.cluster.run_again("kube-apiserver")
    delete(gateways, "service", "poddisruptionbudget")
    gateways.kubectl("set", "image", "deployment/mx", "listener=elsewhere")

    seconds_until_rendered(gateways)


def test_a_deletion_that_no_watch_tells_of(gateways, relay):
    """410: an API server that begins anew does not know what was before, and what it lists instead has no ends."""
    service = gateways.child("Service").body["metadata"]
    with relay.closed():
        delete(gateways, "service", "poddisruptionbudget", "networkpolicy")
        gateways.cluster.kill("kube-apiserver")
        gateways.cluster.run_again("kube-apiserver")
        said = gateways.cluster.ask("GET", "/api/v1/services", watch="true", resourceVersion=service["resourceVersion"])
    assert (said.body["type"], said.body["object"]["code"]) == ("ERROR", 410)

    seconds_until_rendered(gateways)

    assert gateways.child("Service").body["metadata"]["uid"] != service["uid"]


def test_an_api_server_that_is_not_there_when_the_operator_starts(made, operator):
    """It waits, and says that it does; while the API server starts it refuses what it will allow."""
    cluster = made.cluster
    assert operator.stop() == 0
    operator.log.unlink()
    cluster.kill("kube-apiserver")
    operator.launch()
    cluster.wait_for("it waits", lambda: "nothing can be listed yet" in operator.log.read_text())

    assert (operator.page("livez")[0], operator.page("readyz")) == (200, (503, "starting\n"))
    cluster.run_again("kube-apiserver")
    made.apply("late", replicas=2)
    seconds_until_rendered(made, "late")
    assert operator.until_logged("ready")["gateways"] > 0, "it took a refusal for an answer"


def test_an_outage_that_outlasts_the_lease(made, operator):
    """20 s: the operator says why, and ends with status 1; the one that its Deployment starts waits, and goes on."""
    cluster, began = made.cluster, time.monotonic()
    cluster.kill("kube-apiserver")
    status = operator.process.wait(LEASE_SECONDS)
    ended = time.monotonic() - began
    last = [line for line in operator.lines() if line["event"] != "stopped"][-1]
    operator.log.unlink()
    operator.launch()
    cluster.wait_for("it waits", lambda: "nothing can be listed yet" in operator.log.read_text())
    time.sleep(max(0, began + 20 - time.monotonic()))

    assert (status, last["level"], last["event"]) == (1, "warning", "lost the Lease: ending")
    assert last["error"].startswith("not renewed for 10 s: ")
    assert ended > WRITES_STOP_SECONDS - RENEW_SECONDS
    assert operator.running
    assert (operator.page("livez")[0], operator.page("readyz")) == (200, (503, "starting\n"))
    cluster.run_again("kube-apiserver")
    delete(made, "service", "poddisruptionbudget")
    made.kubectl("set", "image", "deployment/mx", "listener=elsewhere")
    made.apply("late", replicas=2)
    for name in ("mx", "late"):
        seconds_until_rendered(made, name)
    assert operator.leads
    tell(f"it ended after {ended:.1f} s")


# --- the network


def test_streams_that_end(gateways, relay):
    """What happens before they are there again is seen all the same."""
    for attempt in range(5):
        relay.cut()
        delete(gateways, "service")
        gateways.patch("Deployment", "mx", {"spec": {"replicas": attempt}})
        assert seconds_until_rendered(gateways) < 10


def test_connections_that_freeze(gateways, operator, relay):
    """Nothing comes any more and nobody says so: the Lease is kept, and what happened is seen within 70 s.

    The API server sends a sign of life (a bookmark) once a minute.
    """
    transitions = lease(gateways.cluster)["leaseTransitions"]
    relay.freeze()
    delete(gateways, "service")

    assert seconds_until_rendered(gateways) < 80
    assert operator.leads
    assert lease(gateways.cluster)["leaseTransitions"] == transitions
    relay.cut()  # the other streams would wait for their own 70 s


def lease(cluster):
    path = "/apis/coordination.k8s.io/v1/namespaces/mailport-system/leases/mailport-operator"
    return cluster.ask("GET", path).expect_accepted().body["spec"]


# --- what the API server refuses for a while


def test_an_api_server_that_has_no_time_for_us(gateways, operator, relay):
    """429 (API Priority and Fairness): to all that the operator asks, its watches too."""
    with no_time_for_operators(gateways.cluster):
        gateways.apply(replicas=3)
        gateways.cluster.wait_for("writes are refused", lambda: "patch" in refused(gateways.cluster, 429))
        relay.cut()
        gateways.cluster.wait_for("watches are refused", lambda: "watch" in refused(gateways.cluster, 429))
        assert gateways.unlike()

    seconds_until_rendered(gateways)


@contextmanager
def no_time_for_operators(cluster):
    """Let the operator's user have one request at a time; and have one that does not end.

    None at a time is one at a time too.
    """
    name = "operators-have-to-wait"
    limits = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
    level = {"kind": "PriorityLevelConfiguration", "spec": {"type": "Limited", "limited": limits}}
    rules = [{"resourceRules": [EVERYTHING], "subjects": [THE_OPERATOR]}]
    spec = {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": name}, "rules": rules}
    schema = {"kind": "FlowSchema", "spec": spec}
    paths = []
    try:
        for body, plural in ((level, "prioritylevelconfigurations"), (schema, "flowschemas")):
            body |= {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "metadata": {"name": name}}
            cluster.ask("POST", f"{FLOW_CONTROL}/{plural}", body).expect_accepted()
            paths.insert(0, f"{FLOW_CONTROL}/{plural}/{name}")
        with a_request_that_does_not_end(cluster):
            yield
    finally:
        for path in paths:
            cluster.ask("DELETE", path).expect_accepted()


@contextmanager
def a_request_that_does_not_end(cluster):
    """Announce a body, and do not send it."""
    connection = http.client.HTTPSConnection(cluster.url.removeprefix("https://"), context=cluster._context)
    headers = {**cluster._authorization(OPERATOR), "Content-Type": "application/json", "Content-Length": "2"}
    path = "/api/v1/namespaces/default/configmaps"

    def others_are_refused():
        return cluster.ask("GET", path, user=OPERATOR).status == 429

    with contextlib.closing(connection):
        connection.request("POST", path, headers=headers)
        cluster.wait_for("others are refused", others_are_refused)
        yield


def refused(cluster, status):
    """Count, by verb, what the operator was answered this to."""
    return Counter(event["verb"] for event in cluster.audit(OPERATOR) if event["responseStatus"]["code"] == status)


def test_somebody_who_writes_at_the_same_time(gateways, relay):
    """409: what the operator saw is no more; it looks again, until it wins."""
    before = refused(gateways.cluster, 409)["patch"]
    relay.delay = 0.1  # what it sees is as old when it writes
    try:
        for attempt in range(60):
            gateways.patch("Deployment", "mx", {"spec": {"replicas": attempt % 5}})
            gateways.patch("Service", "mx", {"metadata": {"annotations": {"example.org/attempt": str(attempt)}}})
            gateways.apply(replicas=1 + attempt % 3, service={"annotations": {"example.org/a": str(attempt)}})
        seconds_until_rendered(gateways)
    finally:
        relay.delay = 0.0

    assert refused(gateways.cluster, 409)["patch"] > before
    assert gateways.child("Service").body["metadata"]["annotations"]["example.org/attempt"] == "59"


def test_what_a_deleted_gateway_left_and_nobody_collects(made, operator):
    """The garbage collector misses what is made again while it cannot watch: here it is away. The Service is kept."""
    cluster = made.cluster
    cluster.kill("kube-controller-manager")
    service = made.child("Service").body
    made.delete()
    made.apply(replicas=2, networkPolicy="Managed")
    left = "belongs to a deleted InboundSmtp of the same name"
    cluster.wait_for("it waits for the collector", lambda: left in made.condition("Programmed")["message"])
    made.until_rendered(seconds=60)
    cluster.run_again("kube-controller-manager")
    wait_for_controllers(cluster)

    assert made.child("Service").body["metadata"]["uid"] == service["metadata"]["uid"]
    assert made.unlike() == []


def test_rights_that_are_taken_away_for_a_while(gateways, operator, relay):
    """403: as by somebody who uninstalls the chart, and installs it again."""
    gateways.cluster.kubectl("delete", "clusterrolebinding", "mailport-operator.mailport-system")
    relay.cut()
    gateways.cluster.wait_for("it says so", lambda: operator.page("readyz") == (503, "watches begin anew\n"))
    gateways.apply(replicas=1)
    grant(gateways.cluster)

    seconds_until_rendered(gateways)


# --- the cluster


def test_a_namespace_that_goes(gateways, operator):
    """With gateways in it: nothing is written into it any more, nothing is said of it, and others are served."""
    cluster = gateways.cluster
    cluster.create_namespace("going")
    going = Gateways(cluster, "going")
    for name in ("a", "b", "c"):
        going.apply(name, replicas=2)
    for name in ("a", "b", "c"):
        going.until("Available", "NoReplicaReady", name)
        going.until_rendered(name)
    before = len(writes_into("going", cluster))
    cluster.ask("DELETE", "/api/v1/namespaces/going").expect_accepted()
    gateways.apply(replicas=3)
    assert seconds_until_rendered(gateways) < 10
    cluster.wait_for("it is gone", lambda: cluster.ask("GET", "/api/v1/namespaces/going").status == 404, 60)

    told = Counter(writes_into("going", cluster)[before:])
    assert told[201] == 0
    assert told[403] < 40, "it tries again and again"
    assert [line for line in operator.lines() if "going" in str(line)] == []


def writes_into(namespace, cluster):
    """Return what each write of the operator's was answered."""
    return [
        event["responseStatus"]["code"]
        for event in cluster.audit(OPERATOR)
        if event["verb"] not in ("get", "list", "watch") and event["objectRef"].get("namespace") == namespace
    ]


def test_a_definition_that_goes_and_comes_back(gateways, operator):
    """With all InboundSmtps, and all of their children."""
    with without_definition(gateways):
        pass
    check_it_is_served(gateways, operator)


def test_a_definition_that_goes_and_comes_back_in_one_namespace(made, operator, relay, tmp_path):
    """There nobody tells of definitions: it has to look."""
    arguments = ("--namespace", made.namespace, *ELECTION)
    other = Operator(made.cluster, OPERATOR, *arguments, folder=tmp_path, kubeconfig=relay.kubeconfig)
    with instead(operator, other), alive(other):
        with without_definition(made):
            made.cluster.wait_for("it has looked", lambda: "not served: inboundsmtps" in other.log.read_text())
        check_it_is_served(made, other)


@contextmanager
def without_definition(gateways):
    cluster = gateways.cluster
    cluster.ask("DELETE", DEFINITION).expect_accepted()
    cluster.wait_for("it is gone", lambda: cluster.ask("GET", DEFINITION).status == 404)
    cluster.wait_for("what was made of it is gone", lambda: gateways.child("Deployment").status == 404)
    yield
    cluster.install_crd()


def check_it_is_served(gateways, operator):
    for replicas in (2, 1, 3):  # the first may be found by a list, before it is watched again
        gateways.apply(replicas=replicas)
        took = seconds_until_rendered(gateways)
    assert took < 5, "by its watch"
    gateways.cluster.wait_for("it is ready", lambda: operator.page("readyz")[0] == 200)


# --- etcd: the last, since the operator lists all again, kind by kind, for a while after it


@contextmanager
def stopped(cluster):
    """Stop the API server and its etcd for as long as this lasts."""
    cluster.kill("kube-apiserver")
    cluster.kill("etcd")
    try:
        yield cluster.folder / "etcd"
    finally:
        cluster.run_again("etcd", until_ready=False)
        cluster.run_again("kube-apiserver")


def test_an_etcd_that_is_restored_from_a_backup(gateways, tmp_path):
    """All versions that the operator has seen are of a future that is gone. What there is now counts, and goes on."""
    cluster = gateways.cluster
    with stopped(cluster) as data:
        shutil.copytree(data, tmp_path / "backup")
    gateways.apply("later")
    gateways.apply(replicas=3)
    for name in ("later", "mx"):
        gateways.until_rendered(name, seconds=40)
    for count in range(200):  # so that it takes a while until these versions come again
        gateways.patch("InboundSmtp", "later", {"metadata": {"annotations": {"example.org/count": str(count)}}})
    with stopped(cluster) as data:
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "backup", data)
    assert cluster.ask("GET", gateways.path("InboundSmtp", "later")).status == 404
    assert gateways.get()["spec"]["replicas"] == 2

    gateways.apply(replicas=4)
    seconds_until_rendered(gateways)
    gateways.apply("later", replicas=5)
    seconds_until_rendered(gateways, "later")
    gateways.apply(replicas=1)
    assert seconds_until_rendered(gateways) < 10, "by its watch"
