"""Watches the cluster. The one door to kopf, of which the watch streams are used, and nothing that writes.

kopf runs in a thread and a loop of its own: it takes the signals and cancels every task of the loop that it runs in.
An event becomes a call in the operator's loop, and no more than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any, cast

import kopf
from kopf._cogs.clients.errors import APIForbiddenError  # like the next, exported nowhere
from kopf._cogs.structs.references import Insights  # kopf.operator takes one

from mailport.operator.cluster import PAGE
from mailport.operator.kinds import WATCHED, Kind
from mailport.operator.metadata import OPERATOR, Manifest
from mailport.operator.proxy import proxy_for
from mailport.process import log

Observe = Callable[[Kind, str | None, Manifest], None]
"""Takes a kind, the type of the event (ADDED, MODIFIED, DELETED; None while kopf lists) and the object."""

_STREAM_SECONDS = 300  # the server ends a stream, and we go on from where it was: a dead one is not waited for longer
_CONNECT_SECONDS = 10
_REQUEST_SECONDS = 30
_RETRIES = (0.5, 1, 2, 4)  # seconds between; then all watches begin anew
_PAUSES = (1, 2, 5, 10)  # seconds before they do
_STEADY_SECONDS = 60  # watches that held for so long are not the cause of the next failure
_HEARD_SECONDS = 30  # watches that held for so long, and told something, are well
# So are those that held for so long, where nothing happens: kopf has given up by then what is not answered
_PROVEN_SECONDS = (len(_RETRIES) + 1) * _REQUEST_SECONDS + sum(_RETRIES)
_IDLE_SECONDS = 0.1  # that kopf keeps a task for an object of which nothing is heard; by default 5
_ENDING_SECONDS = 2  # for what kopf clears up
_UNSERVED_SECONDS = 5  # between two looks at what kopf found served
_SILENCE_SECONDS = 600  # what was said is not said again

_log = log.get()


class Watches:
    """All watch streams. A namespace that is gone, or that may not be looked at, does not make us blind to others."""

    def __init__(self, namespaces: Collection[str], observe: Observe, restarted: Callable[[], None]) -> None:
        scopes: list[tuple[str, ...]] = [(namespace,) for namespace in namespaces] or [()]
        self._watches = [_Watch(scope, observe, restarted) for scope in scopes]

    def start(self) -> None:
        """Begin to watch."""
        _keep_quiet()
        for watch in self._watches:
            watch.start()

    def begin_anew(self) -> None:
        """Begin all anew, from what there is now."""
        for watch in self._watches:
            watch.begin_anew()

    async def stop(self) -> None:
        """Stop watching."""
        await asyncio.gather(*(watch.stop() for watch in self._watches))

    @property
    def running(self) -> bool:
        """Whether all streams run, and none waits to be begun anew, but for namespaces that we may not look at."""
        allowed = [watch for watch in self._watches if not watch.forbidden]
        return bool(allowed) and all(watch.running for watch in allowed)

    def failing_for(self) -> float:
        """Return the seconds since the first failure after which no stream of that namespace has worked; 0 if all do.

        Where we may not look no new process would see more: that is no failure here.
        """
        return max((watch.failing_for() for watch in self._watches if not watch.forbidden), default=0.0)


class _Watch:
    """The watch streams of one namespace, or of all; begun anew as a whole when kopf gives up."""

    def __init__(self, namespaces: Collection[str], observe: Observe, restarted: Callable[[], None]) -> None:
        self._namespaces = namespaces
        self._observe = observe
        self._restarted = restarted
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
        self._stop_kopf: Callable[[], None] = lambda: None
        self._begun_at: float | None = None  # monotonic seconds; None while it waits to be begun anew
        self._heard = False  # anything, since it was begun
        self._failing_since: float | None = None  # monotonic seconds
        self.forbidden = False
        """Whether we may not look there: lists.py asks again what may not be listed."""

    @property
    def running(self) -> bool:
        return self._begun_at is not None and self._thread.is_alive()

    def failing_for(self) -> float:
        """Return the seconds since the first failure after which they have not held."""
        failing_since, now = self._failing_since, time.monotonic()
        return 0.0 if failing_since is None or self._holds(now) else now - failing_since

    def start(self) -> None:
        self._thread.start()

    def begin_anew(self) -> None:
        self._stop_kopf()

    async def stop(self) -> None:
        self._stopping.set()
        self._stop_kopf()
        await asyncio.to_thread(self._thread.join, _CONNECT_SECONDS)

    def _holds(self, now: float) -> bool:
        begun_at = self._begun_at
        return begun_at is not None and now - begun_at > (_HEARD_SECONDS if self._heard else _PROVEN_SECONDS)

    def _run(self) -> None:
        failures, last_detail = 0, ""
        while not self._stopping.is_set():
            started = self._begun_at = time.monotonic()
            self._heard, forbidden = False, False
            try:
                with asyncio.Runner() as runner:
                    detail = runner.run(self._watch())
            except Exception as error:  # noqa: BLE001 - whatever it is: without watches we are blind
                detail = f"{type(error).__name__}: {error}"
                forbidden = isinstance(error, APIForbiddenError)
            if self._stopping.is_set():
                return
            now = time.monotonic()
            if self._failing_since is None or self._holds(now):
                self._failing_since = now
            self._begun_at, self.forbidden = None, forbidden
            failures = 0 if now - started > _STEADY_SECONDS else failures + 1
            pause = _PAUSES[min(failures, len(_PAUSES)) - 1] if failures else _PAUSES[0]
            if failures <= 1 or detail != last_detail:
                last_detail = detail
                _log.warning("watches begin anew", seconds=pause, namespaces=self._namespaces, detail=detail[:500])
            self._stopping.wait(pause)
            if not forbidden:
                self._tell(self._restarted)

    async def _watch(self) -> str:
        """Watch until told to stop, or until it is of no use; return why."""
        # Of this loop: for one of a thread kopf would keep a thread waiting, and its loop could not end by itself
        stop, running = asyncio.Event(), asyncio.get_running_loop()
        self._stop_kopf = partial(_call_if_open, running, stop.set)
        if self._stopping.is_set():
            return ""
        running.set_exception_handler(_log_quietly)
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_log_in)
        settings = _settings()
        for kind in WATCHED:
            kopf.on.event(kind.group, kind.api_version.rpartition("/")[2], kind.plural, registry=registry)(
                self._handler(kind)
            )
            if kind.selector:
                settings.watching.label_selectors[kind.group, kind.plural] = kind.selector
        settings.scanning.disabled = bool(self._namespaces)  # then there is no verb on namespaces and definitions
        insights = Insights()
        try:
            # not kopf.operator, which waits without end for those of its tasks that hang
            watching = await kopf.spawn_tasks(
                registry=registry,
                settings=settings,
                insights=insights,
                identity=cast("Any", OPERATOR),  # else kopf asks for the user's name, and a container's may have none
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
            )
            others = (asyncio.create_task(stop.wait()), asyncio.create_task(_until_blind(insights)))
            ended, _ = await asyncio.wait((*watching, *others), return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                return "told to"
            return ", ".join(str(task.result() or "ended") for task in ended if not task.cancelled())
        finally:
            await _end_all_tasks()

    def _handler(self, kind: Kind) -> Any:
        async def observed(event: Any, **_: object) -> None:
            self._heard, self.forbidden = True, False
            self._tell(self._observe, kind, event["type"], event["object"])

        observed.__name__ = kind.plural  # kopf tells handlers apart by it
        return observed

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        _call_if_open(self._loop, call, *arguments)


async def _until_blind(insights: Insights) -> str:
    """Wait until a kind is not watched, and say which.

    kopf looks for what is served when it starts and, where it may, when it hears of a definition. That can be a moment
    too early, and it does not look again.
    """
    unserved: set[str] = set()
    await insights.ready_resources.wait()
    while True:
        before, found = unserved, {(resource.group, resource.plural) for resource in insights.watched_resources}
        unserved = {kind.plural for kind in WATCHED if (kind.group, kind.plural) not in found}
        if lasting := before & unserved:
            return f"not served: {', '.join(sorted(lasting))}"
        await asyncio.sleep(_UNSERVED_SECONDS)


async def _end_all_tasks() -> None:
    """Cancel all other tasks of this loop until they have ended.

    More than once: one of kopf's watchers takes it for a pause, when what tells it of pauses is cancelled as well.
    """
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=_ENDING_SECONDS)


def _log_quietly(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors of kopf's tasks that nobody awaits at debug level: that the watches have ended is logged elsewhere."""
    _log.debug("watching", detail=str(context.get("exception", context["message"]))[:500])


def _call_if_open(running: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Call something in another thread's loop, unless that has ended."""
    with contextlib.suppress(RuntimeError):
        running.call_soon_threadsafe(call, *arguments)


def _log_in(**arguments: Any) -> kopf.ConnectionInfo | None:
    """Use the pod's ServiceAccount, else the current kubeconfig; asked again where a token is refused."""
    account = kopf.login_with_service_account(**arguments)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if account is not None and host:
        # By its address, as cluster.py does: kopf's own way takes a DNS, which may be what has failed
        account = replace(account, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
    account = account or kopf.login_with_kubeconfig(**arguments)
    if account is None:
        return None
    return replace(account, proxy_url=account.proxy_url or proxy_for(account.server, os.environ), trust_env=False)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = None  # a thread's end is no reason to kill the process
    settings.watching.server_timeout = _STREAM_SECONDS
    settings.watching.client_timeout = _STREAM_SECONDS + _CONNECT_SECONDS
    settings.watching.connect_timeout = _CONNECT_SECONDS
    settings.watching.chunk_size = PAGE  # kopf has one setting for all kinds
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.networking.error_backoffs = _RETRIES
    settings.persistence.diffbase_storage = _NoDifferences()
    settings.persistence.progress_storage = _NoProgress()
    settings.queueing.idle_timeout = _IDLE_SECONDS
    return settings


class _NoDifferences(kopf.DiffBaseStorage):
    """Keeps no earlier state of objects: kopf would copy each object several times, and nothing here reads it."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        pass

    def store(self, **_: Any) -> None:
        pass


class _NoProgress(kopf.ProgressStorage):
    """Keeps no progress of handlers: each is done at once."""

    def fetch(self, **_: Any) -> None:
        pass

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: Any) -> Any:
        return essence


class _ToOurLog(logging.Handler):
    """kopf's warnings and errors in our form; what every stream says during an outage is logged once."""

    _LEFT_OUT = (
        "OS signals are ignored",  # by intent: see above
        "; will retry: ",
        " has failed: ",  # what follows from it is ours to say
    )

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        what = message.rpartition(" -> ")[2]  # of a request its error alone
        if any(words in message for words in self._LEFT_OUT) or not self._is_news(what):
            return
        _log.warning("watching", detail=message[:500])

    def _is_news(self, what: str) -> bool:
        now = time.monotonic()
        self._logged_at = {text: at for text, at in self._logged_at.items() if now - at < _SILENCE_SECONDS}
        if what in self._logged_at:
            return False
        self._logged_at[what] = now
        return True


def _keep_quiet() -> None:
    """Take kopf's log over, from warnings on: what is below tells of single objects."""
    logger = logging.getLogger("kopf")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [_ToOurLog()]
