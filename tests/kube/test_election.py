"""Two replicas of the operator: one writes, and the other goes on soon after it ends, however that is.

Each has a user of its own, with the same rights, so that the API server's audit log tells them apart.
"""

import itertools
import signal
import threading
import time
from contextlib import contextmanager
from datetime import datetime

import pytest

from mailport.operator.lease import LEASE_SECONDS
from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, Operator, grant, stopped_at_the_end, tell

SECOND = "system:serviceaccount:mailport-system:second-mailport-operator"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/mailport-system/leases/mailport-operator"
SIGTERM_SECONDS, KILL_SECONDS = 3, 20  # within which the other acts


@pytest.fixture(scope="module")
def users(rights):
    """The users, and how each reaches the API server."""
    grant(rights, release="second")
    by_certificate = rights.certified_kubeconfig("second", SECOND, "system:serviceaccounts")
    return {OPERATOR: rights.kubeconfig_of(OPERATOR), SECOND: by_certificate}


class Replica(Operator):
    """An operator with others beside it."""

    def __init__(self, cluster, user, folder, kubeconfig):
        election = ("--leader-elect", "--lease-namespace=mailport-system")
        super().__init__(cluster, user, *election, folder=folder, kubeconfig=kubeconfig)
        self.cluster = cluster
        self._user = user
        self._before = len(self._ever_wrote())

    def wrote(self):
        """Return when it wrote, other than the Lease, as the API server's log has it."""
        return self._ever_wrote()[self._before :]

    def _ever_wrote(self):
        return [
            datetime.fromisoformat(event["stageTimestamp"])
            for event in self.cluster.audit(self._user)
            if event["verb"] not in ("get", "list", "watch")
            and event["objectRef"]["resource"] != "leases"
            and event["responseStatus"]["code"] < 300
        ]


@pytest.fixture
def replicas(rights, users, tmp_path):
    """A leader, and another one."""
    both = [Replica(rights, user, tmp_path, kubeconfig) for user, kubeconfig in users.items()]
    with stopped_at_the_end(*both):
        for replica in both:
            replica.launch()
        for replica in both:
            rights.wait_for("it is ready", lambda replica=replica: replica.page("readyz")[0] == 200)
        rights.wait_for("one leads", lambda: any(replica.leads for replica in both), LEASE_SECONDS + 5)
        yield sorted(both, key=lambda replica: not replica.leads)
        for replica in both:
            replica.stop()  # and lets go of the Lease
            assert "internal error" not in replica.log.read_text()


@pytest.fixture
def gateways(rights, namespace, replicas):
    gateways = Gateways(rights, namespace)
    gateways.apply(replicas=1)
    gateways.until_rendered()
    yield gateways
    gateways.delete_all()


def test_one_writes(gateways, replicas):
    """And says so; the other is as ready."""
    leader, other = replicas
    for count in (2, 3, 1):
        gateways.apply(replicas=count)
        gateways.until_rendered()

    assert (leader.leads, other.leads) == (True, False)
    assert other.page("readyz")[0] == other.page("livez")[0] == 200
    assert leader.wrote()
    assert not other.wrote()


def test_the_lease_says_who_leads(replicas):
    """As every election of Kubernetes does."""
    leader, _ = replicas
    became = leader.until_logged("became leader")
    lease = leader.cluster.ask("GET", LEASE).expect_accepted().body["spec"]

    assert lease["holderIdentity"] == became["holder"]
    assert lease["leaseDurationSeconds"] == LEASE_SECONDS
    assert lease["acquireTime"] <= lease["renewTime"]
    assert lease["leaseTransitions"] >= 0


def test_a_leader_that_is_told_to_end_hands_over(gateways, replicas):
    """A rolling upgrade: what changes at that moment is done by the other, within three seconds."""
    leader, other = replicas
    leader.signal(signal.SIGTERM)
    gateways.apply(replicas=3)
    took = until_acts(other, gateways, SIGTERM_SECONDS)

    tell(f"SIGTERM: the other has acted after {took:.1f} s")
    assert leader.process.wait(10) == 0


def test_a_leader_that_crashes(gateways, replicas):
    """`kill -9`: the Lease has to run out."""
    leader, other = replicas
    leader.kill()
    gateways.apply(replicas=3)

    tell(f"kill -9: the other has acted after {until_acts(other, gateways, KILL_SECONDS):.1f} s")


def until_acts(other, gateways, within):
    """Wait until a replica leads and has brought what was applied; return how long that took."""
    began = time.monotonic()
    gateways.until_rendered(seconds=within)
    took = time.monotonic() - began
    assert other.leads
    assert other.wrote()
    return took


@contextmanager
def changes(gateways):
    """Change the spec several times a second."""
    done = threading.Event()

    def change():
        for count in itertools.cycle((1, 2, 3)):
            gateways.apply(replicas=count)
            if done.wait(0.2):
                return

    changing = threading.Thread(target=change)
    changing.start()
    try:
        yield
    finally:
        done.set()
        changing.join()


def test_a_leader_that_stands_still_writes_nothing_when_it_goes_on(gateways, replicas):
    """SIGSTOP for 20 s, in the midst of changes, and SIGCONT: it was replaced, and ends by itself."""
    leader, other = replicas
    with changes(gateways):
        time.sleep(1)  # some of them are its
        leader.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        gateways.cluster.wait_for("the other acts", other.wrote, KILL_SECONDS)
        tell(f"SIGSTOP: the other has acted after {time.monotonic() - stopped:.1f} s")
        time.sleep(max(0, stopped + 20 - time.monotonic()))
        leader.signal(signal.SIGCONT)
        time.sleep(3)  # to write in, if it would
    last, first = max(leader.wrote()), min(other.wrote())

    tell(f"between the last write of the one and the first of the other: {(first - last).total_seconds():.1f} s")
    assert last < first
    assert leader.process.wait(10) == 1
    assert leader.until_logged("lost the Lease: ending")
    gateways.until_rendered()
