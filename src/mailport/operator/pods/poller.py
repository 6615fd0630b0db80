"""Asks pods what they run, apart from the work: a reconcile reads what was said last, and waits for nobody.

Gateways take turns, so that one with many pods holds up no other. Pods that answer have a lane of their own: beside
hundreds that do not, of which each question takes its whole time, they are asked as if these were not there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mailport.operator.pods.observed import Report
from mailport.operator.pods.schedule import Look, Target, after, ask_in, look_up_in
from mailport.operator.watch.queue import Queue
from mailport.operator.watch.store import Key

Ask = Callable[[str, int], Awaitable[Report | None]]
"""Asks the listener at an address and port; None where it does not answer."""

LookUp = Callable[[Key, Target], Awaitable[str]]
"""Looks up what Kubernetes says of a pod that does not start; empty where it says nothing."""


@dataclass(slots=True)
class _Pod:
    target: Target
    since: float  # monotonic seconds: when we saw it first
    look: Look = field(default_factory=Look)
    hindrance: str = ""
    looked_up_at: float = float("-inf")

    @property
    def said(self) -> tuple[bool, Report | None, str]:
        """What is known of it: where that changes, it is news. That one which is ready was asked at all is, too."""
        return self.target.ready and self.look.was_asked, self.look.report, self.hindrance


@dataclass(slots=True)
class _Lane:
    gateways: int  # that have their turn at the same time
    pods: int  # of one gateway, asked in one turn
    queue: Queue = field(default_factory=Queue)


class Poller:
    """Asks. What it was told is news for a gateway only where it is another thing than before, or the first."""

    def __init__(self, ask: Ask, look_up: LookUp, news: Callable[[set[Key]], None]) -> None:
        self._ask = ask
        self._look_up = look_up
        self._news = news
        self._pods: dict[Key, dict[str, _Pod]] = {}
        self._answering = _Lane(gateways=16, pods=8)
        self._silent = _Lane(gateways=64, pods=2)

    def follow(self, key: Key, targets: Iterable[Target]) -> None:
        """Ask these pods of a gateway from now on, and no others."""
        now = time.monotonic()
        before, pods = self._pods.get(key, {}), dict[str, _Pod]()
        for target in targets:
            pod = pods[target.uid] = before.get(target.uid) or _Pod(target, now)
            if target.ready and not pod.target.ready and not pod.look.answers:
                pod.look = Look(pod.look.report)  # the kubelet gets an answer: so may we
            pod.target = target
        self._pods[key] = pods
        self._plan(key)

    def forget(self, key: Key) -> None:
        """Ask the pods of a gateway that is gone no more."""
        self._pods.pop(key, None)

    def looks(self, key: Key) -> Mapping[str, Look]:
        """Return what the pods of a gateway said last, by uid."""
        return {uid: pod.look for uid, pod in self._pods.get(key, {}).items()}

    def hindrances(self, key: Key) -> Mapping[str, str]:
        """Return what Kubernetes says of those that do not start, by uid."""
        return {uid: pod.hindrance for uid, pod in self._pods.get(key, {}).items()}

    async def run(self) -> None:
        """Ask, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for lane in (self._answering, self._silent):
                for _ in range(lane.gateways):
                    tasks.create_task(self._take_turns(lane))

    async def _take_turns(self, lane: _Lane) -> None:
        while True:
            key = await lane.queue.get()
            try:
                due = [pod for pod in self._of(lane, key) if self._due_in(pod, time.monotonic()) <= 0]
                await asyncio.gather(*(self._attend(key, pod) for pod in due[: lane.pods]))
            finally:
                lane.queue.done(key)
            self._plan(key)

    async def _attend(self, key: Key, pod: _Pod) -> None:
        """Ask a pod, or look up why there is nothing to ask."""
        before = pod.said
        target = pod.target
        if target.starting and self._look_up_in(pod, time.monotonic()) <= 0:
            pod.hindrance = await self._look_up(key, target)
            pod.looked_up_at = time.monotonic()
        if target.ip and ask_in(pod.look, target, time.monotonic()) <= 0:
            report = await self._ask(target.ip, target.port)
            pod.look = after(pod.look, report, time.monotonic(), ready=pod.target.ready)
        if not pod.target.starting:
            pod.hindrance = ""
        if pod.said != before and self._pods.get(key, {}).get(target.uid) is pod:
            self._news({key})

    # --- turns

    def _plan(self, key: Key) -> None:
        """Have a gateway take its turn in each lane when the first of its pods there is due."""
        now = time.monotonic()
        for lane in (self._answering, self._silent):
            due_in = min((self._due_in(pod, now) for pod in self._of(lane, key)), default=float("inf"))
            if due_in < float("inf"):
                lane.queue.add(key, after=due_in)

    def _of(self, lane: _Lane, key: Key) -> list[_Pod]:
        """Return a gateway's pods in a lane, the one that waits longest first.

        A pod that was not asked yet is taken for one that answers where another of its gateway does.
        """
        pods = list(self._pods.get(key, {}).values())
        others_answer = any(pod.look.answers for pod in pods)
        found = [
            pod
            for pod in pods
            if (pod.look.answers or (others_answer and not pod.look.silences)) == (lane is self._answering)
        ]
        return sorted(found, key=lambda pod: pod.look.at)

    def _due_in(self, pod: _Pod, now: float) -> float:
        asked = ask_in(pod.look, pod.target, now) if pod.target.ip else float("inf")
        return min(asked, self._look_up_in(pod, now)) if pod.target.starting else asked

    @staticmethod
    def _look_up_in(pod: _Pod, now: float) -> float:
        return look_up_in(pod.since, pod.looked_up_at, now)
