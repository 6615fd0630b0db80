"""`mailport operator`: watch, wait for our turn, bring every InboundSmtp to what its spec says."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mailport.operator import admin, kinds
from mailport.operator.admit.options import Options
from mailport.operator.api_error import ApiError, NotOurTurnError
from mailport.operator.cluster import Cluster
from mailport.operator.health import Health, Pulse
from mailport.operator.lease import Election, LeaseLostError, NotStoppedError
from mailport.operator.metadata import OPERATOR, Manifest
from mailport.operator.pods.ask import Pods
from mailport.operator.pods.look_up import in_events
from mailport.operator.pods.poller import Poller
from mailport.operator.reconcile import Reconciler
from mailport.operator.report import metrics
from mailport.operator.watch.lists import Lists
from mailport.operator.watch.queue import Queue
from mailport.operator.watch.store import Key, Store
from mailport.operator.watch.streams import Watches
from mailport.process import log, memory, web

EXIT_OK, EXIT_FAILED = 0, 1

_WORKERS = 32  # gateways looked at side by side; each waits for the API server most of its time
_WORKERS_OF_A_NAMESPACE = 16  # what holds these up, a webhook for instance, is not to hold up other namespaces
_SETTLE_SECONDS = 0.2  # a child's news wait so long for those that come with them
_BACKOFF = (0.5, 300.0)  # seconds, first and longest, of a gateway that failed; doubled each time
_CONFLICT_BACKOFF = (0.1, 5.0)  # likewise, of one that was another than we had seen
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

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
        memory.leave_to_stay()
        with asyncio.Runner() as runner:  # asyncio's own loop: docs/decisions/2026-11-28-operator.md
            return runner.run(_run(options))
    except (ApiError, OSError) as error:
        log.flush()
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED


async def _run(options: OperateOptions) -> int:
    operating = asyncio.create_task(_Operator(options).run())
    running = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(signal_number, operating.cancel)
    try:
        await operating
    except asyncio.CancelledError:
        _log.info("stopped")
        return EXIT_OK
    except LeaseLostError:
        pass  # it is in the log. Whoever started us starts us again
    except NotStoppedError as error:
        _log.error("ended", detail=str(error))
        log.flush()
        os._exit(EXIT_FAILED)  # what did not stop would be waited for
    except (ApiError, OSError):
        raise
    except Exception:  # noqa: BLE001 - whatever it is: it ends only when told to
        _log.exception("ended")
    return EXIT_FAILED


class _Operator:
    """One replica."""

    def __init__(self, options: OperateOptions) -> None:
        self._options = options
        self._store = Store(self._instance())
        self._queue = Queue(_WORKERS_OF_A_NAMESPACE)
        self._election: Election | None = None
        self._election_cluster = Cluster()  # with no other user: a renewal waits for no connection
        self._cluster = Cluster(self._may_write)
        self._working = False
        self._failures: dict[Key, int] = {}
        self._watches = Watches(options.namespaces, self._observe, self._watch_anew)
        self._lists = Lists(
            self._cluster,
            self._store,
            options.namespaces,
            found=self._enqueue,
            went_back=self._watches.begin_anew,
        )
        self._pulse = Pulse()

    async def run(self) -> None:
        """Operate until cancelled. Raises ApiError, or OSError for the admin port, where it cannot begin."""
        await self._cluster.connect()
        if self._options.leader_elect:
            await self._election_cluster.connect()
            self._election = Election(self._election_cluster, self._lease_namespace(), OPERATOR, _identity())
        metrics.watch(lambda: self._queue.depth, lambda: self._working)
        pages = await self._start_admin()
        self._watches.start()
        try:
            await self._operate()
        finally:
            if pages is not None:
                await pages.cleanup()
            await self._watches.stop()
            await self._cluster.close()
            await self._election_cluster.close()

    async def _operate(self) -> None:
        """Fill the store, and keep it right; work when it is our turn."""
        beside = [asyncio.create_task(self._pulse.run())]
        try:
            await self._lists.fill()
            _log.info("ready", gateways=len(self._store.keys()), objects=len(self._store))
            beside.append(asyncio.create_task(self._lists.run()))
            beside.append(asyncio.create_task(self._work_when_it_is_our_turn()))
            ended, _ = await asyncio.wait(beside, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _work_when_it_is_our_turn(self) -> None:
        await (self._work() if self._election is None else self._election.run(self._work))

    # --- what there is

    def _observe(self, kind: kinds.Kind, event: str | None, body: Manifest) -> None:
        """Take news of a watch."""
        if event is None:
            self._lists.ask_soon()  # a stream began anew: what ended meanwhile, it does not tell
        concerned = self._store.drop(kind, body) if event == "DELETED" else self._store.put(kind, body)
        self._enqueue(concerned, after=0 if kind == kinds.INBOUND_SMTP else _SETTLE_SECONDS)

    def _watch_anew(self) -> None:
        metrics.watch_restarts.inc()
        self._lists.ask_soon()

    def _enqueue(self, keys: set[Key], after: float = 0) -> None:
        if self._working:  # else all are looked at when our turn begins
            self._queue.add_all(keys, after=after)

    # --- our turn

    def _may_write(self) -> bool:
        return self._election is None or self._election.may_write()

    async def _work(self) -> None:
        """Look at every gateway, and then at those that something happened to, until cancelled."""
        async with Pods() as pods, asyncio.TaskGroup() as workers:
            poller = Poller(pods.ask, in_events(self._cluster), self._enqueue)
            reconciler = Reconciler(self._cluster, self._store, poller, self._gateway_options(), self._enqueue)
            self._working = True
            self._queue.add_all(self._store.keys())
            workers.create_task(poller.run())
            for _ in range(_WORKERS):
                workers.create_task(self._worker(reconciler))

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
        _log.warning(
            "the look failed, the next one follows", gateway=str(key), seconds=round(pause, 1), detail=str(error)
        )
        return pause

    def _backoff(self, key: Key, between: tuple[float, float]) -> float:
        first, longest = between
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(longest, first * 2.0 ** min(failures - 1, 16))
        return pause * random.uniform(0.8, 1.2)  # noqa: S311 - so that those that failed together come apart

    # --- around it

    async def _start_admin(self) -> web.Running | None:
        if self._options.admin is None:
            return None
        clusters = (self._cluster, self._election_cluster)
        health = Health(self._pulse, self._queue, self._lists, self._watches, *clusters)
        return await web.start(admin.pages(health.why_not_alive, health.why_not_ready), *self._options.admin)

    def _gateway_options(self) -> Options:
        return replace(self._options.gateways, instance=self._instance())

    def _instance(self) -> str:
        return f"{self._lease_namespace()}/{OPERATOR}"

    def _lease_namespace(self) -> str:
        if self._options.lease_namespace is not None:
            return self._options.lease_namespace
        return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "default"


def _identity() -> str:
    """Return a name that no other process has, and that tells a person which pod it is."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"
