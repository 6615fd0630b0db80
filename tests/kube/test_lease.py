"""The Lease on a real API server, with real seconds; the audit log is the judge of who wrote when."""

import asyncio
import json
import signal
import sys
import time
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import groupby

import pytest

from mailport.operator.api_error import ApiError
from mailport.operator.cluster import Cluster
from mailport.operator.kinds import LEASE
from mailport.operator.lease import LEASE_SECONDS
from tests.kube.candidate import Candidate
from tests.kube.cluster import ADMIN, ROOT
from tests.kube.fixtures import running
from tests.operator.leases import Door, Leases

PATIENCE = 30  # seconds: a bound to fail at


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One without controllers, which other tests may have started on theirs: they write too."""
    with running(tmp_path_factory.mktemp("lease")) as cluster:
        cluster.install_crd()
        yield cluster


@pytest.fixture(autouse=True)
def as_admin(cluster, monkeypatch):
    path = str(cluster.kubeconfig_of(ADMIN))
    monkeypatch.setenv("KUBECONFIG", path)  # for processes of their own: the client looks when it is imported
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)


# --- the fake of tests/operator answers as the server does


async def answers(door, delete):
    """Go through what can become of a write, and return the answers: holder, transitions and labels, or the status."""

    async def put(body, **spec):
        try:
            lease = await door.put_lease(LEASE, namespace, "x", {**body, "spec": body["spec"] | spec}, seconds=4)
        except ApiError as error:
            said.append(error.status)
            return None
        said.append((lease["spec"], lease["metadata"].get("labels")))
        return lease

    namespace = door.namespace
    said = []
    new = {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.name,
        "metadata": {"name": "x", "namespace": namespace, "labels": {"kept": "yes"}},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-11-23T10:00:00.123456Z"},
    }
    said.append(await door.get(LEASE, namespace, "x"))
    first = await put(new)
    await put(new)  # it is there
    second = await put(first, holderIdentity="b", leaseTransitions=1)
    await put(first, holderIdentity="c")  # not as it was seen
    await put(second, holderIdentity="", leaseDurationSeconds=1)
    third = await door.get(LEASE, namespace, "x")
    await delete()
    await put(third, holderIdentity="d")  # gone: neither changed nor made anew
    await put(new)
    await put(third, holderIdentity="e")  # another of the same name
    return said


async def test_the_fake_of_the_unit_tests_answers_as_the_server_does(cluster, namespace):
    """To each kind of write that an Election makes; on a Lease that was deleted in particular."""
    leases = Leases()
    fake = Door(leases)
    fake.namespace = namespace
    real = Cluster()
    await real.connect()
    real.namespace = namespace

    async def forget():
        leases.lease = None

    async def delete():
        cluster.ask("DELETE", f"{LEASE.path(namespace, 'x')}").expect_accepted()

    try:
        said = await answers(real, delete)
        assert said == await answers(fake, forget)
    finally:
        await real.close()
    assert [answer for answer in said if isinstance(answer, int)] == [409, 409, 409, 409]


# --- real seconds


def writes(cluster, namespace, resource, verbs):
    """Return (who, when asked) of each write that was done, in the order of the answers."""
    return [
        (event["userAgent"], datetime.fromisoformat(event["requestReceivedTimestamp"]))
        for event in cluster.audit()
        if event["verb"] in verbs
        and event["responseStatus"]["code"] < 300
        and (event.get("objectRef", {}).get("namespace"), event["objectRef"]["resource"]) == (namespace, resource)
    ]


def turns(written):
    """Return who wrote, one turn after another."""
    return [who for who, _ in groupby(written, key=lambda write: write[0])]


@asynccontextmanager
async def here(namespace, lease, identity):
    """Let a candidate run in this process."""
    candidate = Candidate(namespace, lease, identity)
    running = asyncio.create_task(candidate.run())
    candidate.leave = running.cancel
    try:
        yield candidate
    finally:
        running.cancel()
        await asyncio.wait({running})


@asynccontextmanager
async def elsewhere(namespace, lease, identity):
    """Let a candidate run in a process of its own, from its first write on."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.kube.candidate", namespace, lease, identity),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"writes\n", await process.stderr.read()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_release_is_taken_within_3_seconds(cluster, namespace):
    """From the moment when the leader is told to stop until the other has written; and never both."""
    async with here(namespace, "mailport", "a") as a:
        await asyncio.wait_for(a.writes.wait(), PATIENCE)
        async with here(namespace, "mailport", "b") as b:
            await asyncio.sleep(2.5)  # a renewal, and looks of the other
            began = time.monotonic()
            a.leave()
            await asyncio.wait_for(b.writes.wait(), PATIENCE)
            took = time.monotonic() - began

    assert took < 3
    lease = cluster.ask("GET", LEASE.path(namespace, "mailport")).expect_accepted().body["spec"]
    assert (lease["holderIdentity"], lease["leaseDurationSeconds"], lease["leaseTransitions"]) == ("", 1, 1)
    written = writes(cluster, namespace, "configmaps", {"create", "patch"})
    assert turns(written) == ["a", "b"]
    took_lease = next(when for who, when in writes(cluster, namespace, "leases", {"update"}) if who == "b")
    assert max(when for who, when in written if who == "a") < took_lease


def kill(process):
    process.send_signal(signal.SIGKILL)


def stop(process):
    process.send_signal(signal.SIGSTOP)


async def follow(namespace, lease, depart):
    """Let a candidate wait behind another, which departs; return how long it takes, and the other's end."""
    async with (
        elsewhere(namespace, lease, f"{lease}-a") as a,
        here(namespace, lease, f"{lease}-b") as b,
    ):
        await asyncio.sleep(2.5)
        began = time.monotonic()
        depart(a)
        await asyncio.wait_for(b.writes.wait(), PATIENCE)
        took = time.monotonic() - began
        if depart is stop:
            a.send_signal(signal.SIGCONT)
        async with asyncio.timeout(PATIENCE):
            said, errors = await a.communicate()
        return took, said, a.returncode, errors.splitlines()


async def test_a_leader_that_is_gone_is_followed_after_15_seconds(cluster, namespace):
    """Killed; and stopped for longer than its turn. Both at the same time.

    What was stopped comes back into another's turn, while that writes, changes nothing, and ends.
    """
    killed, stopped = await asyncio.gather(follow(namespace, "killed", kill), follow(namespace, "stopped", stop))

    assert max(took for took, *_ in (killed, stopped)) < 20
    renewals = writes(cluster, namespace, "leases", {"create", "update"})
    written = writes(cluster, namespace, "configmaps", {"create", "patch"})
    for lease in ("killed", "stopped"):
        a, b = f"{lease}-a", f"{lease}-b"
        waited = min(when for who, when in renewals if who == b) - max(when for who, when in renewals if who == a)
        assert waited.total_seconds() >= LEASE_SECONDS
        assert turns(write for write in written if write[0] in (a, b)) == [a, b]

    _, said, status, errors = stopped
    assert (said, status) == (b"stopped\n", 1)
    assert "lost the Lease: ending" in [json.loads(line)["event"] for line in errors]
