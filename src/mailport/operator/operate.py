"""`mailport operator`: watch, wait for our turn, bring every InboundSmtp to what its spec says."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import signal
import socket
import sys
import time
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from mailport import log, loop, web
from mailport.operator import admin, kinds, metrics
from mailport.operator.cluster import ApiError, Cluster, NotOurTurnError
from mailport.operator.handlers import Watches
from mailport.operator.lease import Election
from mailport.operator.live import Live
from mailport.operator.metadata import OPERATOR, Manifest
from mailport.operator.pods import Pods
from mailport.operator.queue import Queue
from mailport.operator.reconcile import Options, Reconciler
from mailport.operator.store import Key, Store
from mailport.operator.watchdog import Watchdog

EXIT_OK, EXIT_FAILED = 0, 1

_WORKERS = 16  # gateways looked at side by side; each waits for the API server most of its time
_RESYNC_SECONDS = 600.0  # everything is listed and looked at again: the net below all watches
_RELIST_SECONDS = 15.0  # at least between two lists, where watches begin anew and may have missed an end
_LIST_RETRIES = (1.0, 2.0, 5.0, 10.0)  # seconds
_SETTLE_SECONDS = 0.2  # a child's news wait so long for those that come with them
_BACKOFF = (0.5, 300.0)  # seconds, first and longest, of a gateway that failed; doubled each time
_CONFLICT_BACKOFF = (0.1, 5.0)  # likewise, of one that was another than we had seen
_LONGEST_WORK = 180.0  # seconds: then a worker hangs
_LONGEST_BLINDNESS = 120.0  # seconds without watches
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_Scope = tuple[kinds.Kind, str | None]  # all of a kind, in one namespace or in all

_log = log.get()


@dataclass(frozen=True, slots=True)
class OperateOptions:
    """What the command line says."""

    gateways: Options
    namespaces: tuple[str, ...] = ()  # none: all
    leader_elect: bool = False
    lease_namespace: str | None = None  # None: the pod's own
    admin: tuple[str, int] | None = None


def operate(options: OperateOptions) -> int:
    """Operate until told to stop; return the exit status."""
    log.configure()
    try:
        with asyncio.Runner(loop_factory=loop.factory()) as runner:
            return runner.run(_run(options))
    except (ApiError, OSError) as error:
        log.flush()
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED


async def _run(options: OperateOptions) -> int:
    operating = asyncio.create_task(_Operator(options).run())
    running = asyncio.get_running_loop()
    for told in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(told, operating.cancel)
    try:
        await operating
    except asyncio.CancelledError:
        _log.info("stopped")
        return EXIT_OK
    except ExceptionGroup:
        _log.exception("ended")
    return EXIT_FAILED  # it ends only when told to


class _Operator:
    """One replica."""

    def __init__(self, options: OperateOptions) -> None:
        self._options = options
        self._namespaces: tuple[str | None, ...] = options.namespaces or (None,)
        self._store = Store()
        self._queue = Queue()
        self._election: Election | None = None
        self._election_cluster = Cluster()  # with no other user: a renewal waits for no connection
        self._cluster = Cluster(self._may_write)
        self._working = False
        self._failures: dict[Key, int] = {}
        self._list_again = asyncio.Event()
        self._filled_at: float | None = None  # monotonic seconds
        self._refused: dict[_Scope, str] = {}  # what may not be listed (403), or is none (404), and why
        self._watches = Watches(options.namespaces, self._observe, self._watch_anew)
        self._blind_since: float | None = None

    async def run(self) -> None:
        """Operate until cancelled. Raises ApiError, or OSError for the admin port, where it cannot begin."""
        await self._cluster.connect()
        if self._options.leader_elect:
            await self._election_cluster.connect()
            self._election = Election(self._election_cluster, self._lease_namespace(), OPERATOR, _identity())
        metrics.watch(lambda: self._queue.depth, lambda: self._working)
        with Watchdog() as self._watchdog:
            pages = await self._start_admin()
            try:
                await self._operate()
            finally:
                if pages is not None:
                    await pages.cleanup()
                await self._cluster.close()
                await self._election_cluster.close()

    async def _operate(self) -> None:
        self._watches.start()
        try:
            async with Pods() as pods, asyncio.TaskGroup() as tasks:
                live = Live(self._cluster, self._store, pods)
                reconciler = Reconciler(self._cluster, self._store, live, self._options.gateways)
                await self._fill()
                tasks.create_task(self._look_again_and_again())
                tasks.create_task(self._ask_again_for_what_was_refused())

                async def work() -> None:
                    await self._work(reconciler, live)

                await (work() if self._election is None else self._election.run(work))
        finally:
            await self._watches.stop()

    # --- what there is

    def _observe(self, kind: kinds.Kind, event: str | None, body: Manifest) -> None:
        """Take news of a watch."""
        if event is None:
            self._list_again.set()  # a stream began anew: what ended meanwhile, it does not tell
        concerned = self._store.drop(kind, body) if event == "DELETED" else self._store.put(kind, body)
        self._enqueue(concerned, after=0 if kind == kinds.INBOUND_SMTP else _SETTLE_SECONDS)

    def _watch_anew(self) -> None:
        metrics.watch_restarts.inc()
        self._list_again.set()

    def _enqueue(self, keys: set[Key], after: float = 0) -> None:
        if self._working:  # else all are looked at when our turn begins
            self._queue.add_all(keys, after=after)

    async def _fill(self) -> None:
        """List everything, for as long as it takes until the API server answers.

        What it refuses is tried again too, though not for ever: while it starts it refuses what is granted.
        """
        for attempt, pause in enumerate(chain(_LIST_RETRIES, repeat(_LIST_RETRIES[-1]))):
            try:
                await self._list_everything()
            except ApiError as error:
                _log.warning("nothing can be listed yet", seconds=pause, detail=str(error))
            else:
                if not self._refused or attempt >= len(_LIST_RETRIES):
                    break
            await asyncio.sleep(pause)
        for scope, why in self._refused.items():
            _say_refused(scope, why)
        self._filled_at = time.monotonic()
        _log.info("ready", gateways=len(self._store.keys()), objects=len(self._store))

    async def _look_again_and_again(self) -> None:
        """List everything every ten minutes, and soon after a watch began anew; look at all gateways then."""
        while True:
            await asyncio.sleep(_RELIST_SECONDS)
            rest = random.uniform(0.9, 1.1) * _RESYNC_SECONDS - _RELIST_SECONDS  # noqa: S311 - so that replicas differ
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._list_again.wait()
            self._list_again.clear()
            try:
                await self._list_everything()
            except ApiError as error:
                _log.warning("a list failed", detail=str(error))
                self._list_again.set()
            else:
                self._filled_at = time.monotonic()
                self._enqueue(set(self._store.keys()))

    async def _ask_again_for_what_was_refused(self) -> None:
        """List what could not be listed: nobody tells when a Role is there, or the definition of InboundSmtps."""
        while True:
            await asyncio.sleep(_RELIST_SECONDS)
            for kind, namespace in tuple(self._refused):
                with contextlib.suppress(ApiError):
                    self._enqueue(await self._list(kind, namespace))

    async def _list_everything(self) -> None:
        for kind in kinds.WATCHED:
            for namespace in self._namespaces:
                self._enqueue(await self._list(kind, namespace))
        self._store.forget_the_gone()

    async def _list(self, kind: kinds.Kind, namespace: str | None) -> set[Key]:
        before = self._store.snapshot(kind, namespace)
        listed: set[str] = set()
        concerned: set[Key] = set()
        try:
            async for body in self._cluster.every(kind, namespace):
                listed.add(f"{body['metadata']['namespace']}/{body['metadata']['name']}")
                concerned |= self._store.put(kind, body)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            if self._filled_at is not None and (kind, namespace) not in self._refused:
                _say_refused((kind, namespace), str(error))
            self._refused[kind, namespace] = str(error)
            if error.status == 403:  # which says nothing of what there is
                return concerned
        else:
            self._refused.pop((kind, namespace), None)
        return concerned | self._store.only(kind, listed, before)

    # --- our turn

    def _may_write(self) -> bool:
        return self._election is None or self._election.may_write()

    async def _work(self, reconciler: Reconciler, live: Live) -> None:
        """Look at every gateway, and then at those that something happened to, until cancelled."""
        self._working = True
        try:
            self._queue.add_all(self._store.keys())
            async with asyncio.TaskGroup() as workers:
                for _ in range(_WORKERS):
                    workers.create_task(self._worker(reconciler))
        finally:
            self._working = False
            self._queue.clear()
            self._failures.clear()
            live.clear()
            metrics.forget_all()

    async def _worker(self, reconciler: Reconciler) -> None:
        while True:
            key = await self._queue.get()
            again_in: float | None = None
            started = time.monotonic()
            try:
                again_in = await self._look_at(reconciler, key)
            finally:
                self._queue.done(key)
                metrics.reconcile_seconds.observe(time.monotonic() - started)
            if again_in is not None:
                self._queue.add(key, after=again_in)

    async def _look_at(self, reconciler: Reconciler, key: Key) -> float | None:
        """Look at one gateway, whatever happens; return the seconds until it is to be looked at again."""
        try:
            again_in = await reconciler.reconcile(key)
        except NotOurTurnError:
            metrics.reconciles.labels("conflict").inc()
            return _BACKOFF[0]
        except ApiError as error:
            return self._failed(key, error)
        except Exception:  # noqa: BLE001 - a fault of ours in one gateway must not stop the others
            _log.exception("internal error", gateway=str(key))
            metrics.reconciles.labels("error").inc()
            return self._backoff(key, _BACKOFF)
        metrics.reconciles.labels("ok").inc()
        self._failures.pop(key, None)
        return again_in

    def _failed(self, key: Key, error: ApiError) -> float:
        if error.is_conflict or error.status == 404:  # gone meanwhile
            metrics.reconciles.labels("conflict").inc()
            return self._backoff(key, _CONFLICT_BACKOFF)
        metrics.reconciles.labels("error").inc()
        pause = max(self._backoff(key, _BACKOFF), error.retry_after or 0)
        _log.warning("tried again later", gateway=str(key), seconds=round(pause, 1), detail=str(error))
        return pause

    def _backoff(self, key: Key, between: tuple[float, float]) -> float:
        first, longest = between
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(longest, first * 2.0 ** min(failures - 1, 16))
        return pause * random.uniform(0.8, 1.2)  # noqa: S311 - so that those that failed together come apart

    # --- health

    async def _start_admin(self) -> web.Running | None:
        if self._options.admin is None:
            return None
        return await web.start(admin.pages(self._why_not_alive, self._why_not_ready), *self._options.admin)

    def _why_not_alive(self) -> str:
        """Say what hangs: each of these ends only by a new process."""
        now = time.monotonic()
        if self._queue.longest_work() > _LONGEST_WORK:
            return "a worker hangs"
        if self._filled_at is not None and now - self._filled_at > 2 * _RESYNC_SECONDS + _LONGEST_WORK:
            return "nothing was listed for too long"
        self._blind_since = None if self._watches.running else self._blind_since or now
        if self._blind_since is not None and now - self._blind_since > _LONGEST_BLINDNESS:
            return "no watches"
        return ""

    def _why_not_ready(self) -> str:
        if self._filled_at is None:
            return "starting"
        if not (self._cluster.answers and self._election_cluster.answers):
            return "the API server does not answer"
        return "" if self._watches.running else "watches begin anew"

    def _lease_namespace(self) -> str:
        if self._options.lease_namespace is not None:
            return self._options.lease_namespace
        return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "default"


def _say_refused(scope: _Scope, why: str) -> None:
    kind, namespace = scope
    _log.error("cannot be listed", kind=kind.plural, namespace=namespace or "", detail=why)


def _identity() -> str:
    """Return a name that no other process has, and that tells a person which pod it is."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"
