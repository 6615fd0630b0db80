"""The election on a fake of the API server, in virtual time: what holds of its seconds whatever goes wrong."""

import asyncio
import random
import re
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from mailport.operator.api_error import ApiError
from mailport.operator.cluster import WRITE_SECONDS
from mailport.operator.lease import (
    LEASE_SECONDS,
    POLL_SECONDS,
    RENEW_SECONDS,
    REQUEST_SECONDS,
    STOP_SECONDS,
    WRITES_STOP_SECONDS,
    LeaseLostError,
    NotStoppedError,
)
from tests.operator.leases import (
    LATENCY,
    Leases,
    Replica,
    is_lost,
    is_refused,
    meets_a_broken_server,
    meets_no_permission,
    passes,
)
from tests.operator.virtual_time import in_virtual_time
from tests.tables import table

MOMENT = 10 * LATENCY  # seconds: a few requests


def now():
    return asyncio.get_running_loop().time()


@pytest.fixture
def leases():
    return Leases()


@pytest.fixture(autouse=True)
def logged():
    with capture_logs() as lines:
        yield lines


def events(logged):
    return [line["event"] for line in logged]


async def leader(leases, name="a"):
    replica = Replica(leases, name)
    await replica.leads(within=MOMENT)
    return replica


def test_the_seconds_add_up():
    """What was under way when the turn ended is over before the others may begin, however long a write may take."""
    assert WRITES_STOP_SECONDS + STOP_SECONDS < LEASE_SECONDS
    assert RENEW_SECONDS + REQUEST_SECONDS < WRITES_STOP_SECONDS, "one renewal that hangs costs nothing"


# --- who begins


@in_virtual_time
async def test_the_first_candidate_makes_the_lease(leases):
    """With the five fields that a Lease has for this, times as Kubernetes writes them."""
    await leader(leases)

    times = {leases.spec.pop("acquireTime"), leases.spec.pop("renewTime")}
    assert len(times) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", times.pop())
    assert leases.spec == {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0}


@in_virtual_time
async def test_one_of_many_leads(leases, logged):
    """However close together they come; that the others were late is no fault to be logged."""
    replicas = [Replica(leases, name) for name in "abc"]
    await asyncio.sleep(60)

    assert [replica.turns for replica in replicas] == [1, 0, 0]
    assert set(leases.puts) == {"a"}
    assert leases.spec["leaseTransitions"] == 0
    assert events(logged) == ["became leader", "another leads", "another leads"]


@pytest.mark.parametrize(
    "spec",
    table(
        {
            "one that was released": {"holderIdentity": "", "leaseDurationSeconds": 1},
            "one that a person has made": {},
        }
    ),
)
@in_virtual_time
async def test_a_lease_that_nobody_holds_is_taken_at_once(leases, spec):
    leases.write({"metadata": {"name": "mailport"}, "spec": spec})
    await leader(leases)

    assert leases.holder == "a"


@pytest.mark.parametrize(
    "spec, seconds",
    table(
        {
            "whatever it says of when it was renewed": (
                {"leaseDurationSeconds": 15, "renewTime": "2001-01-01T00:00:00.000000Z"},
                15,
            ),
            "also when its holder's clock is ahead": (
                {"leaseDurationSeconds": 15, "renewTime": "2101-01-01T00:00:00.000000Z"},
                15,
            ),
            "for as long as its holder asked for": ({"leaseDurationSeconds": 40}, 40),
            "for our own 15 s if it does not say": ({}, 15),
        }
    ),
)
@in_virtual_time
async def test_anothers_lease_is_left_alone_since_we_saw_it(leases, spec, seconds):
    """By our own clock, from the moment when we first saw it as it is."""
    leases.hold("other", **spec)
    replica = Replica(leases, "a")
    await asyncio.sleep(seconds - MOMENT)
    assert leases.puts == []

    await replica.leads(within=POLL_SECONDS + 2 * MOMENT)

    assert leases.holder == "a"


@in_virtual_time
async def test_every_change_of_the_lease_begins_the_count_anew(leases):
    """Whoever made it: it is nothing that a dead holder does."""
    leases.hold("other", leaseDurationSeconds=15)
    replica = Replica(leases, "a")
    await asyncio.sleep(10)
    leases.change(metadata={"labels": {"seen": "yes"}})
    await asyncio.sleep(14)
    assert replica.turns == 0

    await replica.leads(within=3)

    assert leases.lease["metadata"]["labels"] == {"seen": "yes"}, "and it stays as others made it"


@in_virtual_time
async def test_a_takeover_is_counted(leases):
    """leaseTransitions, for those who watch the Lease; acquireTime is the new holder's."""
    leases.hold("other", leaseDurationSeconds=1, leaseTransitions=6, acquireTime="2001-01-01T00:00:00.000000Z")
    await Replica(leases, "a").leads(within=3)

    assert leases.spec["leaseTransitions"] == 7
    assert leases.spec["acquireTime"] == leases.spec["renewTime"]


# --- how a turn ends


@in_virtual_time
async def test_work_that_ends_ends_the_run(leases, logged):
    """The Lease is released, with a holder of nobody for 1 s."""
    a = await leader(leases)
    leases.change(metadata={"labels": {"app": "mailport"}})
    a.ending.set()
    await a.task

    assert a.turns == 1
    assert leases.puts[-1] == ""
    assert leases.spec["leaseDurationSeconds"] == 1
    assert leases.lease["metadata"]["labels"] == {"app": "mailport"}
    assert events(logged) == ["became leader", "released the Lease"]


@in_virtual_time
async def test_work_that_fails_fails_the_run(leases):
    """The Lease is released all the same."""
    a = await leader(leases)
    a.failing = ValueError("a bug")
    a.ending.set()
    with pytest.raises(ValueError, match="a bug"):
        await a.task

    assert leases.puts[-1] == ""


@in_virtual_time
async def test_what_is_released_is_taken_soon(leases):
    """Within 3 s of the end of the other's work."""
    a = await leader(leases)
    b = Replica(leases, "b")
    await asyncio.sleep(30.3)
    await a.leave()
    await b.leads(within=3)

    assert now() - a.stopped[0] < 3


@in_virtual_time
async def test_work_stops_before_the_lease_is_released(leases):
    """SIGTERM while work takes its time: renewals go on until it has stopped, then the Lease goes, then we do."""
    a = await leader(leases)
    a.stopping = lambda: asyncio.sleep(3)
    a.task.cancel()
    await asyncio.sleep(2.9)
    assert leases.puts == ["a", "a"]
    assert a.election.may_write()

    await asyncio.wait({a.task})

    assert leases.puts == ["a", "a", ""]
    assert a.task.cancelled()
    assert not a.election.may_write()


@in_virtual_time
async def test_work_that_does_not_stop_keeps_the_lease(leases):
    """It may do what it likes with what it has seen: the others have to wait, and the process has to end."""
    a = await leader(leases)
    a.stopping = is_lost
    a.task.cancel()
    with pytest.raises(NotStoppedError, match="work has not stopped within 4 s"):
        await a.task

    assert leases.holder == "a"
    assert not a.election.may_write()
    assert not a.election.leading


@in_virtual_time
async def test_what_goes_wrong_in_stopping_is_not_hidden(leases):
    """It comes out of the run in the place of the cancellation, after the Lease is released."""
    a = await leader(leases)
    a.stopping = meets_a_broken_server
    a.task.cancel()
    with pytest.raises(ApiError, match="etcdserver"):
        await a.task

    assert leases.puts[-1] == ""


@in_virtual_time
async def test_cancelled_again_it_lets_the_lease_run_out(leases):
    """Whoever cannot wait for work to stop gets no renewals from us for ever after."""
    a = await leader(leases)
    a.stopping = is_lost
    a.task.cancel()
    await asyncio.sleep(1)
    await a.leave()
    puts = len(leases.puts)
    await asyncio.sleep(30)

    assert len(leases.puts) == puts
    assert leases.holder == "a"


@in_virtual_time
async def test_a_cancelled_renewal_does_not_spoil_the_release(leases):
    """The renewal was on its way: it may have been done or not, so the release looks first."""
    a = await leader(leases)
    a.door.back = lambda: asyncio.sleep(0.5)
    await asyncio.sleep(RENEW_SECONDS)
    await a.leave()

    assert leases.puts == ["a", "a", ""]


@in_virtual_time
async def test_what_is_anothers_by_then_is_not_released(leases):
    """The holder looks before it lets go."""
    a = await leader(leases)
    leases.change(holderIdentity="other")
    await a.leave()

    assert leases.holder == "other"


@in_virtual_time
async def test_a_release_that_meets_a_change_is_tried_again(leases):
    """On the Lease as it is then."""
    a = await leader(leases)
    a.stopping = lambda: asyncio.sleep(LATENCY)
    leaving = asyncio.create_task(a.leave())
    await asyncio.sleep(LATENCY * 3.5)  # it has stopped and looked, and the release is on its way
    leases.change(metadata={"labels": {"app": "mailport"}})
    await leaving

    assert leases.puts[-1] == ""
    assert leases.lease["metadata"]["labels"] == {"app": "mailport"}


@pytest.mark.parametrize(
    "fault, said",
    table(
        {
            "nobody answers": (is_lost, "no answer in time"),
            "nobody listens": (is_refused, "connection refused"),
            "it may not": (meets_no_permission, "leases is forbidden"),
        }
    ),
)
@in_virtual_time
async def test_a_release_that_fails_holds_up_nobody_for_long(leases, logged, fault, said):
    a = await leader(leases)
    a.door.there = fault
    began = now()
    await a.leave()

    assert now() - began < REQUEST_SECONDS + MOMENT
    assert (logged[-1]["event"], logged[-1]["error"]) == ("the Lease was not released", said)


# --- what goes wrong


UNREACHABLE = {
    "nobody answers": (is_lost, passes),
    "nobody listens": (is_refused, passes),
    "the server is broken": (meets_a_broken_server, passes),
    "it may no longer": (meets_no_permission, passes),
    "no answer comes back": (passes, is_lost),
}


@pytest.mark.parametrize("there, back", table(UNREACHABLE))
@in_virtual_time
async def test_a_holder_who_cannot_renew_stops_in_time(leases, logged, there, back):
    """No write after 10 s; the other begins 15 s after the last renewal at the earliest, and soon after."""
    a = await leader(leases)
    b = Replica(leases, "b")
    renewed = now()
    a.door.there, a.door.back = there, back
    await asyncio.sleep(WRITES_STOP_SECONDS - MOMENT)
    assert a.election.may_write()

    await asyncio.sleep(2 * MOMENT)
    assert not a.election.may_write()
    assert not a.election.leading
    assert a.stopped

    await b.leads(within=12)  # a renewal without an answer counts as one
    assert now() - renewed > LEASE_SECONDS - MOMENT
    assert "lost the Lease: ending" in events(logged)


@in_virtual_time
async def test_a_turn_is_counted_from_when_the_renewal_was_asked_for(leases):
    """Its answer may be late: the others saw it long before that."""
    a = await leader(leases)
    a.door.back = lambda: asyncio.sleep(3)
    await asyncio.sleep(RENEW_SECONDS + 3 + MOMENT)
    assert leases.puts == ["a", "a"]

    a.door.there = is_refused
    await asyncio.sleep(WRITES_STOP_SECONDS - 3)

    assert not a.election.may_write()


@in_virtual_time
async def test_who_lost_the_lease_ends(leases, logged):
    """As whoever started it starts it again: with nothing that it knew. What is lost is not released."""
    a = await leader(leases)
    b = Replica(leases, "b")
    await asyncio.sleep(3)
    a.door.there = is_refused
    with pytest.raises(LeaseLostError, match="not renewed for 10 s: connection refused"):
        await a.task
    await b.leads(within=20)
    again = Replica(leases, "a-again")
    await asyncio.sleep(60)
    assert (a.turns, b.turns, again.turns) == (1, 1, 0)

    await b.leave()
    await again.leads(within=3)

    assert leases.spec["leaseTransitions"] == 2
    assert events(logged).count("lost the Lease: ending") == 1
    assert "the Lease was not released" not in events(logged)


@pytest.mark.parametrize("there, back", table(UNREACHABLE))
@in_virtual_time
async def test_a_moment_without_the_server_is_nothing(leases, logged, there, back):
    """Work goes on through 4.4 s of it, begin when they may: one renewal that hangs, and the next is in time."""
    a = await leader(leases)
    b = Replica(leases, "b")
    for _ in range(8):
        a.door.there, a.door.back = there, back
        await asyncio.sleep(4.4)
        a.door.there = a.door.back = passes
        await asyncio.sleep(7.1)

    assert (a.turns, b.turns) == (1, 0)
    assert a.election.may_write()
    assert "lost the Lease: ending" not in events(logged)


@in_virtual_time
async def test_an_answer_that_was_lost_on_taking_is_no_second_takeover(leases):
    """The next look shows that the Lease is ours."""
    leases.hold("", leaseTransitions=3)
    a = Replica(leases, "a")
    await asyncio.sleep(LATENCY * 2.5)  # its look has been answered, and its write is on its way
    a.door.back = is_lost
    await asyncio.sleep(MOMENT)
    assert leases.puts == ["a"]
    assert not a.election.leading

    a.door.back = passes
    await a.leads(within=REQUEST_SECONDS + POLL_SECONDS)

    assert leases.spec["leaseTransitions"] == 4


@in_virtual_time
async def test_a_holder_sees_at_its_next_renewal_that_another_holds_the_lease(leases, logged):
    """Somebody wrote it by hand, or made it anew: no write from then on, and nothing of theirs is touched."""
    a = await leader(leases)
    a.stopping = lambda: asyncio.sleep(3)
    leases.change(holderIdentity="other")
    await asyncio.sleep(RENEW_SECONDS + MOMENT)
    assert not a.election.may_write()
    assert not a.stopped, "work has yet to learn of it"

    await asyncio.sleep(3 + POLL_SECONDS)

    assert leases.holder == "other"
    assert (logged[-1]["event"], logged[-1]["error"]) == ("lost the Lease: ending", "other holds it")
    with pytest.raises(LeaseLostError, match="other holds it"):
        await a.task


@in_virtual_time
async def test_a_lease_that_was_deleted_is_its_holders_first(leases):
    """The candidates who knew of it wait as long as if it were there; the holder makes it anew."""
    a = await leader(leases)
    b = Replica(leases, "b")
    await asyncio.sleep(60)
    leases.lease = None
    await asyncio.sleep(60)

    assert (a.turns, b.turns) == (1, 0)
    assert leases.holder == "a"


@in_virtual_time
async def test_a_lease_that_was_deleted_and_made_by_another_is_lost(leases):
    """A candidate that comes just then has seen nothing of it."""
    a = await leader(leases)
    await asyncio.sleep(RENEW_SECONDS / 2)
    leases.lease = None
    b = await leader(leases, "b")
    await asyncio.sleep(RENEW_SECONDS)

    assert not a.election.may_write()
    assert b.election.may_write()
    assert leases.holder == "b"


@in_virtual_time
async def test_a_lease_whose_holder_is_gone_too_is_made_anew_in_the_end(leases):
    """After 15 s, as if it were there."""
    leases.hold("other", leaseDurationSeconds=15)
    b = Replica(leases, "b")
    await asyncio.sleep(MOMENT)
    leases.lease = None
    await asyncio.sleep(LEASE_SECONDS - 2 * MOMENT)
    assert leases.lease is None

    await b.leads(within=POLL_SECONDS + 2 * MOMENT)


@in_virtual_time
async def test_a_stop_of_the_whole_process_ends_the_turn_before_any_code_has_run(leases):
    """The clock has gone on when we come back: the gate is shut, whatever runs first."""
    skipped = 0.0
    a = Replica(leases, "a", clock=lambda: asyncio.get_running_loop().time() + skipped)
    await a.leads(within=MOMENT)
    assert a.election.may_write()

    skipped = WRITES_STOP_SECONDS

    assert not a.election.may_write()


# --- what is logged


@in_virtual_time
async def test_a_candidate_says_once_who_leads_and_what_hinders_it(leases, logged):
    """And again when that changes; with the Lease's name, to find it."""
    leases.hold("x", leaseDurationSeconds=15)
    b = Replica(leases, "b")
    await asyncio.sleep(5)
    leases.change(renewTime="2001-01-01T00:00:00.000000Z")
    await asyncio.sleep(5)
    b.door.there = meets_no_permission
    await asyncio.sleep(5)
    b.door.there = is_lost
    await asyncio.sleep(15)
    leases.change(holderIdentity="y")
    b.door.there = passes
    await asyncio.sleep(REQUEST_SECONDS + POLL_SECONDS)

    assert [(line["log_level"], line["event"], line.get("holder", line.get("error"))) for line in logged] == [
        ("info", "another leads", "x"),
        ("warning", "cannot get the Lease", "leases is forbidden"),
        ("warning", "cannot get the Lease", "no answer in time"),
        ("info", "another leads", "y"),
    ]
    assert {line["lease"] for line in logged} == {"mailport-system/mailport"}


# --- all of it together


class Writes:
    """Who wrote when. A write that has begun may last for as long as the client allows."""

    def __init__(self, dice):
        self._dice = dice
        self.spans = []  # of (began, ended, who)

    async def keep_on(self, replica):
        while True:
            began = now()
            if replica.election.may_write():
                try:
                    await asyncio.sleep(self._dice.uniform(0, WRITE_SECONDS))
                finally:
                    self.spans.append((began, now(), replica.name))
            await asyncio.sleep(0.1)

    def overlaps(self):
        """Return where one wrote before the one in front of it had ended."""
        spans = sorted(self.spans)
        return [(one, other) for one, other in pairwise(spans) if one[2] != other[2] and other[0] < one[1]]


class Worker(Replica):
    """A replica that writes all the time, by a clock of its own that is up to 1 % fast or slow."""

    def __init__(self, leases, name, writes, dice):
        loop = asyncio.get_running_loop()
        offset, rate = dice.uniform(-1000, 1000), dice.uniform(0.99, 1.01)
        self._writes = writes
        super().__init__(leases, name, clock=lambda: offset + rate * loop.time())

    async def work(self):
        await self._writes.keep_on(self)


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_no_two_ever_write_at_the_same_time(leases, seed):
    """Twenty minutes of requests and answers that get lost or come late, crashes, restarts and people who edit.

    A write that is cut is over: what the API server makes of it then is not in this, but in what it names.
    """
    dice = random.Random(seed)
    writes = Writes(dice)
    names = (f"replica-{number}" for number in range(1000))
    replicas = [Worker(leases, next(names), writes, dice) for _ in range(3)]

    async def is_late():
        await asyncio.sleep(dice.expovariate(1 / 3))

    while now() < 1200:
        await asyncio.sleep(dice.expovariate(1 / 5))
        number = dice.randrange(3)
        door = replicas[number].door
        match dice.choice(["way", "way", "way", "crash", "leave", "edit"]):
            case "way":
                ways = [passes, passes, passes, is_late, is_lost, is_refused, meets_a_broken_server]
                door.there, door.back = dice.choice(ways), dice.choice(ways)
            case "crash":
                door.there = is_lost
                await replicas[number].leave()
                replicas[number] = Worker(leases, next(names), writes, dice)
            case "leave":
                await replicas[number].leave()
                replicas[number] = Worker(leases, next(names), writes, dice)
            case "edit" if leases.lease:
                leases.change(metadata={"labels": {"at": str(now())}})
        for number, replica in enumerate(replicas):
            if replica.task.done():  # it has lost the Lease, and is started again
                replicas[number] = Worker(leases, next(names), writes, dice)

    replicas = [Worker(leases, next(names), writes, dice) if one.task.done() else one for one in replicas]
    for replica in replicas:
        replica.door.there = replica.door.back = passes
    await asyncio.sleep(REQUEST_SECONDS + LEASE_SECONDS + POLL_SECONDS + 1)

    assert writes.overlaps() == []
    assert len({who for _, _, who in writes.spans}) > 10, "there were many turns"
    assert [replica.election.may_write() for replica in replicas].count(True) == 1
