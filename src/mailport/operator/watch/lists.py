"""Lists of all that is watched: at the start, every ten minutes, and soon after watches may have missed something.

A list finds what watches have missed, and outranks them: what it says counts, whatever was seen before.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection
from itertools import chain, cycle, repeat

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.cluster import Cluster
from mailport.operator.watch.store import Key, Store
from mailport.process import log

RESYNC_SECONDS = 600.0  # everything is listed and looked at again

_RELIST_SECONDS = 15.0  # at least between two lists, where something may have been missed
_RETRIES = (1.0, 2.0, 5.0, 10.0)  # seconds between attempts at the start

_Scope = tuple[kinds.Kind, str | None]  # all of a kind, in one namespace or in all

_log = log.get()


class Lists:
    """Fills the store, and keeps it right."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        namespaces: Collection[str],
        *,
        found: Callable[[set[Key]], None],
        went_back: Callable[[], None],
    ) -> None:
        """Call `found` with gateways that there is news for, and `went_back` where all watches have to begin anew."""
        self._cluster = cluster
        self._store = store
        self._namespaces: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._found = found
        self._went_back = went_back
        self._due = asyncio.Event()
        self._is_behind = False  # the API server is, of what was seen: there are versions that it does not know
        self._refused: dict[_Scope, str] = {}  # what may not be listed (403), or is none (404), and why
        self.filled_at: float | None = None
        """Monotonic seconds of the last time that everything had been listed; None before the first."""

    def ask_soon(self) -> None:
        """Have everything listed soon: something may have happened that no watch tells."""
        self._due.set()

    async def fill(self) -> None:
        """List everything, for as long as it takes until the API server answers.

        What it refuses is tried again too, though not for ever: while it starts it refuses what is granted.
        """
        for attempt, pause in enumerate(chain(_RETRIES, repeat(_RETRIES[-1]))):
            try:
                await self._list_everything()
            except ApiError as error:
                _log.warning("nothing can be listed yet", seconds=pause, detail=str(error))
            else:
                if not self._refused or attempt >= len(_RETRIES):
                    break
            await asyncio.sleep(pause)
        for scope, why in self._refused.items():
            _say_refused(scope, why)
        self.filled_at = time.monotonic()

    async def run(self) -> None:
        """List again and again, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._list_again_and_again())
            tasks.create_task(self._compare_again_and_again())
            tasks.create_task(self._ask_again_for_what_was_refused())

    async def _list_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(_RELIST_SECONDS)
            rest = random.uniform(0.9, 1.1) * RESYNC_SECONDS - _RELIST_SECONDS  # noqa: S311 - so that replicas differ
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._due.wait()
            self._due.clear()
            try:
                await self._list_everything()
            except ApiError as error:
                _log.warning("a list failed", detail=str(error))
                self._due.set()
            else:
                self.filled_at = time.monotonic()
                self._found(set(self._store.keys()))

    async def _compare_again_and_again(self) -> None:
        """Compare the API server's resourceVersions with the highest seen: lower ones are of a restored etcd.

        Watches would then wait for versions that are still to come, and tell nothing. InboundSmtps are compared each
        time, as most writes are to their status; the other kinds take turns. After an outage all are compared, and
        everything is listed.
        """
        outages = self._cluster.outages
        for kind in cycle(kind for kind in kinds.WATCHED if kind != kinds.INBOUND_SMTP):
            await asyncio.sleep(_RELIST_SECONDS)
            was_away, outages = self._cluster.outages != outages, self._cluster.outages
            if was_away:
                self._due.set()
            for compared in kinds.WATCHED if was_away else (kinds.INBOUND_SMTP, kind):
                await self._compare(compared)

    async def _compare(self, kind: kinds.Kind) -> None:
        seen = self._store.newest(kind)
        with contextlib.suppress(ApiError):
            if await self._cluster.version(kind, self._namespaces[0]) < seen:
                self._is_behind = True
                self._due.set()

    async def _ask_again_for_what_was_refused(self) -> None:
        """List what could not be listed: nobody tells when a Role is there, or the definition of InboundSmtps."""
        while True:
            await asyncio.sleep(_RELIST_SECONDS)
            for kind, namespace in tuple(self._refused):
                with contextlib.suppress(ApiError):
                    await self._list(kind, namespace)
                if self._is_behind:
                    self._due.set()

    async def _list_everything(self) -> None:
        for kind in kinds.WATCHED:
            for namespace in self._namespaces:
                await self._list(kind, namespace)
        self._store.forget_the_gone()
        if self._is_behind:
            self._is_behind = False
            self._store.forget_the_newest()
            _log.warning("the API server has an earlier state than before: etcd was restored?")
            self._went_back()

    async def _list(self, kind: kinds.Kind, namespace: str | None) -> None:
        listing, concerned = self._store.begin_list(kind, namespace), set[Key]()
        try:
            async for body in self._cluster.every(kind, namespace):
                concerned |= self._store.put_listed(listing, body)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            if self.filled_at is not None and (kind, namespace) not in self._refused:
                _say_refused((kind, namespace), str(error))
            self._refused[kind, namespace] = str(error)
            if error.status == 403:  # which says nothing of what there is
                self._found(concerned)
                return
        else:
            self._refused.pop((kind, namespace), None)
        self._found(concerned | self._store.end_list(listing))
        self._is_behind |= listing.went_back


def _say_refused(scope: _Scope, why: str) -> None:
    kind, namespace = scope
    _log.error("list failed", kind=kind.plural, namespace=namespace or "", detail=why)
