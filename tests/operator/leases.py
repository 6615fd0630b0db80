"""A fake of the API server's Leases, for faults and clocks that the real one cannot be made to show at will.

How the real one answers is in tests/kube/test_lease.py; this one does the same with resourceVersion and uid.
"""

import asyncio
import copy
import itertools
from collections.abc import Awaitable, Callable

from mailport.operator.api_error import ApiError
from mailport.operator.lease import Election

LATENCY = 0.005  # seconds, there and back alike


class Leases:
    """What the server has: one Lease, or none."""

    def __init__(self):
        self.lease = None
        self.puts = []  # who held the Lease by each write that was accepted, the newest last
        self._numbers = itertools.count(1)

    def get(self):
        return copy.deepcopy(self.lease)

    def put(self, body):
        seen = body["metadata"]
        if "resourceVersion" in seen:
            known = ("uid", "resourceVersion")
            if self.lease is None or any(self.lease["metadata"][name] != seen[name] for name in known):
                raise ApiError(409, "the object has been modified", reason="Conflict")
        elif self.lease is not None:
            raise ApiError(409, "it is there already", reason="AlreadyExists")
        self.write(body)
        self.puts.append(self.holder)
        return self.get()

    def write(self, body):
        """Write as a person may: over whatever is there."""
        number = str(next(self._numbers))
        metadata = {"uid": f"uid-{number}", **body["metadata"], "resourceVersion": number}
        self.lease = {**copy.deepcopy(body), "metadata": metadata}

    def change(self, *, metadata=None, **spec):
        """Change something in the Lease, as a person may."""
        lease = self.get()
        lease["metadata"] |= metadata or {}
        lease["spec"] |= spec
        self.write(lease)

    def hold(self, holder, **spec):
        """Let somebody hold the Lease who is none of the Elections."""
        self.write({"metadata": {"name": "mailport"}, "spec": {"holderIdentity": holder, **spec}})

    @property
    def spec(self):
        return self.lease["spec"]

    @property
    def holder(self):
        return self.spec.get("holderIdentity")


class Door:
    """One replica's way to the server, as the two methods of Cluster that an Election uses."""

    def __init__(self, leases):
        self._leases = leases
        self.there = passes  # what happens to a request on its way
        self.back = passes  # and to the answer
        self.asked = 0
        self._on_their_way = set()

    async def get(self, kind, namespace, name):
        return await self._ask(self._leases.get)

    async def put_lease(self, kind, namespace, name, body, *, seconds):
        return await self._ask(lambda: self._leases.put(copy.deepcopy(body)))

    async def _ask(self, request):
        self.asked += 1

        async def travel():
            await self.there()
            answer = request()
            await self.back()
            return answer

        # who gives up waiting does not call back what is on its way
        travelling = asyncio.create_task(travel())
        self._on_their_way.add(travelling)
        travelling.add_done_callback(self._arrive)
        return await asyncio.shield(travelling)

    def _arrive(self, travelling):
        self._on_their_way.discard(travelling)
        if not travelling.cancelled():
            travelling.exception()  # seen, whether or not anybody waits for it still


Passage = Callable[[], Awaitable[None]]


async def passes():
    await asyncio.sleep(LATENCY)


async def is_lost():
    await asyncio.sleep(1e6)


async def is_refused():
    raise ApiError(0, "connection refused")


async def meets_a_broken_server():
    raise ApiError(500, "etcdserver: leader changed")


async def meets_no_permission():
    raise ApiError(403, "leases is forbidden")


class Replica:
    """A candidate, what it works at, and what has happened to it."""

    def __init__(self, leases, name, clock=None):
        self.name = name
        self.door = Door(leases)
        self.turns = 0
        self.working = asyncio.Event()
        self.ending = asyncio.Event()  # set: work ends
        self.failing = None  # what work ends with
        self.stopping = passes  # what work does when it is cancelled
        self.stopped = []  # when work had stopped
        loop = asyncio.get_running_loop()
        self.election = Election(self.door, "mailport-system", "mailport", name, clock=clock or loop.time)
        self.task = loop.create_task(self.election.run(self.work))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # it may have lost the Lease

    async def work(self):
        self.turns += 1
        self.working.set()
        try:
            await self.ending.wait()
        except asyncio.CancelledError:
            await self.stopping()
            raise
        finally:
            self.working.clear()
            self.stopped.append(asyncio.get_running_loop().time())
        if self.failing:
            raise self.failing

    async def leads(self, within):
        async with asyncio.timeout(within):
            await self.working.wait()

    async def leave(self):
        """End it, as SIGTERM does."""
        self.task.cancel()
        await asyncio.wait({self.task})
