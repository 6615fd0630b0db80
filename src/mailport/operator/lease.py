"""Which replica of the operator may write: whoever holds a Lease, for 15 s from each renewal.

     0 s   a renewal begins that succeeds; the next begins 2 s after its answer
    10 s   none has succeeded since: no write begins any more, those under way are cut, and the process ends
    14 s   work has stopped, or the process was ended without waiting for it
    15 s   the others may take the Lease, each counting from when it saw that renewal, which is later than 0 s

Each counts by its own clock. The times in the Lease are for people: nobody compares them, so clocks may be wrong.
Why neither the client's election nor kopf's peering: docs/decisions/2026-11-23-lease.md.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from mailport.operator.api_error import ApiError
from mailport.operator.cluster import Cluster
from mailport.operator.kinds import LEASE
from mailport.operator.metadata import Manifest
from mailport.process import log

LEASE_SECONDS = 15
WRITES_STOP_SECONDS = 10.0  # with STOP_SECONDS, less than a Lease lasts
STOP_SECONDS = 4.0  # that work has to stop in
RENEW_SECONDS = 2.0  # between renewals
REQUEST_SECONDS = 4.0  # a renewal that hangs leaves time for one more within the 10 s
RETRY_SECONDS = 0.5  # after a renewal that failed
POLL_SECONDS = 1.0  # between two looks of a candidate: what is released is taken within 3 s

_RELEASED_SECONDS = 1  # the API server takes no Lease of 0 s
# A monotonic clock that goes on while the machine sleeps, where there is one: others may have taken the Lease meanwhile
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_log = log.get()

Work = Callable[[], Coroutine[Any, Any, None]]


class LeaseLostError(Exception):
    """The Lease is not ours any more: the process has to end. The message says how we know."""


class NotStoppedError(Exception):
    """Work went on though it was cancelled: the process has to end without waiting for it."""


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class Election:
    """One candidate for a Lease.

    `identity` is this process's alone, so not just the pod's name: a container that starts again in the same pod is
    another holder. `cluster` should have no other user, so that a renewal never waits for a connection.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, identity: str, *, clock: Callable[[], float] = _now
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._log = _log.bind(lease=f"{namespace}/{name}")
        # As a candidate: which Lease we saw last, and when it can be taken unless it changes
        self._version = ""
        self._free_from = -math.inf
        self._last_line = ""
        # As the holder: the Lease as we wrote it, None where a look is due; and when the last renewal began
        self._lease: Manifest | None = None
        self._renewed: float | None = None

    @property
    def leading(self) -> bool:
        """Whether the Lease is ours, as far as we know: from "became leader" in the log to "lost" or "released"."""
        return self._renewed is not None

    def may_write(self) -> bool:
        """Whether a write may begin now."""
        return self._seconds_left() > 0

    async def run(self, work: Work) -> None:
        """Wait for the Lease, and run `work` while it is ours. Once: who has lost a Lease begins as a new process.

        Returns or raises as `work` does, then or while it is being stopped; raises LeaseLostError. `work` is cancelled
        when the Lease is lost and when this is; it has STOP_SECONDS to stop in, else NotStoppedError. It may meet
        NotOurTurnError a moment before that. The Lease is released when work has stopped, and not before.
        """
        await self._wait_for_the_lease()
        working = asyncio.create_task(work())
        renewing = asyncio.create_task(self._renew_until_lost())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._end(working, renewing)

    # --- the candidate

    async def _wait_for_the_lease(self) -> None:
        while True:
            if await self._take():
                self._log.info("became leader", holder=self._identity)
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _take(self) -> bool:
        """Look at the Lease, take it if that may be done, and return whether it is ours."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                lease = await self._look()
                self._see(lease)
                if self._clock() < self._free_from:
                    return False
                await self._write(lease)
                return True
        except (ApiError, TimeoutError) as error:
            if not (isinstance(error, ApiError) and error.is_conflict):  # another was quicker
                self._say(self._log.warning, "cannot get the Lease", error=_text(error))
            return False

    def _see(self, lease: Manifest | None) -> None:
        """Note until when a Lease is another's.

        A Lease that was deleted counts as held until it would have expired: its holder may not know yet.
        """
        if lease is None or lease["metadata"]["resourceVersion"] == self._version:
            return
        self._version = lease["metadata"]["resourceVersion"]
        holder = _holder(lease)
        if holder in ("", self._identity):  # ours: a request of which we saw no answer
            self._free_from = -math.inf
            return
        self._free_from = self._clock() + lease["spec"].get("leaseDurationSeconds", LEASE_SECONDS)
        self._say(self._log.info, "another leads", holder=holder)

    def _say(self, write: Callable[..., None], event: str, **fields: str) -> None:
        """Log what a candidate sees, when it is another thing than before."""
        line = f"{event} {fields}"
        if line != self._last_line:
            self._last_line = line
            write(event, **fields)

    # --- the holder

    async def _end(self, working: asyncio.Task[None], renewing: asyncio.Task[None]) -> None:
        """Stop work, then renewing, then release the Lease: in this order nobody else can begin before we ended."""
        try:
            working.cancel()
            await asyncio.wait({working}, timeout=STOP_SECONDS)
        finally:
            renewing.cancel()
        await asyncio.wait({renewing})
        if not working.done():
            self._renewed = None  # not released either: the others wait until it has run out
            raise NotStoppedError(f"work has not stopped within {STOP_SECONDS:g} s")
        if self.leading:
            # In a task of its own: asyncio.timeout does not end as it should in one that is being cancelled, before
            # Python 3.11.3 (gh-102780)
            await asyncio.create_task(self._release())
        for task in (working, renewing):
            if not task.cancelled():
                task.result()

    async def _renew_until_lost(self) -> None:
        """Renew the Lease every now and then. Raises LeaseLostError when it is another's, or can be soon."""
        pause = RENEW_SECONDS
        error = ""
        while (left := self._seconds_left()) > pause:
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(min(REQUEST_SECONDS, left - pause)):
                    await self._renew()
            except (ApiError, TimeoutError) as failed:
                error = _text(failed)
                # a conflict may be another holder: that is to be known at once
                pause = 0 if isinstance(failed, ApiError) and failed.is_conflict else RETRY_SECONDS
            else:
                pause = RENEW_SECONDS
        await asyncio.sleep(left)
        raise self._lost(f"not renewed for {WRITES_STOP_SECONDS:g} s: {error}")

    async def _renew(self) -> None:
        """Renew the Lease. Raises LeaseLostError where it is another's; ApiError, TimeoutError where nobody knows."""
        lease, self._lease = self._lease, None  # without an answer nobody knows which it is: look again
        if lease is None:
            lease = await self._look()
            if lease is not None and _holder(lease) != self._identity:
                raise self._lost(f"{_holder(lease) or 'nobody'} holds it")
        await self._write(lease)

    def _lost(self, why: str) -> LeaseLostError:
        """Shut the gate, and say why."""
        self._renewed = None
        self._log.warning("lost the Lease: ending", holder=self._identity, error=why)
        return LeaseLostError(why)

    async def _release(self) -> None:
        """Let go of the Lease, so that the others need not wait until it runs out."""
        self._renewed = None
        error = "no answer in time"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                while True:
                    try:
                        return await self._let_go()
                    except ApiError as failed:
                        error = str(failed)
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            self._log.warning("the Lease was not released", holder=self._identity, error=error)

    async def _let_go(self) -> None:
        lease = await self._look()
        if lease is not None and _holder(lease) == self._identity:
            await self._put(_released(lease))
            self._log.info("released the Lease", holder=self._identity)

    def _seconds_left(self) -> float:
        """Return for how long writes may begin: none where the Lease is not ours."""
        return 0.0 if self._renewed is None else self._renewed + WRITES_STOP_SECONDS - self._clock()

    # --- the Lease

    async def _look(self) -> Manifest | None:
        return await self._cluster.get(LEASE, self._namespace, self._name)

    async def _write(self, lease: Manifest | None) -> None:
        """Take or renew the Lease, as it was seen."""
        began = self._clock()  # the others count from when they see it, so never from earlier
        self._lease = await self._put(self._held(lease))
        self._renewed = began

    async def _put(self, lease: Manifest) -> Manifest:
        return await self._cluster.put_lease(LEASE, self._namespace, self._name, lease, seconds=REQUEST_SECONDS)

    def _held(self, lease: Manifest | None) -> Manifest:
        """Return a Lease as ours from now on, with what others wrote on it."""
        if lease is None:
            lease = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.name,
                "metadata": {"name": self._name, "namespace": self._namespace},
            }
        before = lease.get("spec") or {}
        now = _wall_clock()
        spec = {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now,
        }
        if before.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": before.get("leaseTransitions", -1) + 1}
        # metadata.uid stays too: the API server creates a Lease that is gone in spite of its resourceVersion, but not
        # in spite of its uid
        return {**lease, "spec": spec}


def _released(lease: Manifest) -> Manifest:
    spec = {"holderIdentity": "", "leaseDurationSeconds": _RELEASED_SECONDS, "renewTime": _wall_clock()}
    return {**lease, "spec": {**lease["spec"], **spec}}


def _holder(lease: Manifest) -> str:
    """Return who holds a Lease; nobody is the empty text."""
    holder: str = (lease.get("spec") or {}).get("holderIdentity", "")
    return holder


def _wall_clock() -> str:
    """Return the time as a MicroTime of Kubernetes."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(error: ApiError | TimeoutError) -> str:
    return str(error) or "no answer in time"
