"""Watches the cluster. The one door to kopf, of which the watch streams are used, and nothing that writes.

kopf runs in a thread and a loop of its own: it takes the signals and cancels every task of the loop that it runs in.
An event becomes a call in the operator's loop, and no more than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import kopf

from mailport import log
from mailport.operator.kinds import WATCHED, Kind
from mailport.operator.metadata import Manifest

Observe = Callable[[Kind, str | None, Manifest], None]
"""Takes a kind, the type of the event (ADDED, MODIFIED, DELETED; None while kopf lists) and the object."""

_STREAM_SECONDS = 300  # the server ends a stream, and we go on from where it was: a dead one is not waited for longer
_CONNECT_SECONDS = 10
_REQUEST_SECONDS = 30
_RETRIES = (0.5, 1, 2, 4)  # seconds between; then all watches begin anew
_PAUSES = (1, 2, 5, 10)  # seconds before they do
_STEADY_SECONDS = 60  # watches that held for so long are not the cause of the next failure
_PAGE = 250

_log = log.get()


class Watches:
    """All watch streams; begun anew as a whole when kopf gives up."""

    def __init__(self, namespaces: Collection[str], observe: Observe, restarted: Callable[[], None]) -> None:
        self._namespaces = tuple(namespaces)
        self._observe = observe
        self._restarted = restarted
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
        self._running_since: float | None = None
        self._stop_kopf: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to watch."""
        _keep_quiet()
        self._thread.start()

    async def stop(self) -> None:
        """Stop watching."""
        self._stopping.set()
        self._stop_kopf()
        await asyncio.to_thread(self._thread.join, _CONNECT_SECONDS)

    @property
    def running(self) -> bool:
        """Whether the streams run, and not wait to be begun anew."""
        return self._thread.is_alive() and self._running_since is not None

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._running_since = started = time.monotonic()
            try:
                asyncio.run(self._watch())
                detail = "ended"
            except Exception as error:  # noqa: BLE001 - whatever it is: without watches we are blind
                detail = f"{type(error).__name__}: {error}"
            self._running_since = None
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - started > _STEADY_SECONDS else failures + 1
            pause = _PAUSES[min(failures, len(_PAUSES)) - 1] if failures else _PAUSES[0]
            _log.warning("watches begin anew", seconds=pause, detail=detail[:500])
            self._stopping.wait(pause)
            self._tell(self._restarted)

    async def _watch(self) -> None:
        # Of this loop: for one of a thread kopf would keep a thread waiting, and its loop could not end by itself
        stop, running = asyncio.Event(), asyncio.get_running_loop()
        self._stop_kopf = partial(_call_if_open, running, stop.set)
        if self._stopping.is_set():
            return
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
        await kopf.operator(
            registry=registry,
            settings=settings,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
        )

    def _handler(self, kind: Kind) -> Any:
        async def observed(event: Any, **_: object) -> None:
            self._tell(self._observe, kind, event["type"], event["object"])

        observed.__name__ = kind.plural  # kopf tells handlers apart by it
        return observed

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        _call_if_open(self._loop, call, *arguments)


def _call_if_open(running: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Call something in another thread's loop, unless that has ended."""
    with contextlib.suppress(RuntimeError):
        running.call_soon_threadsafe(call, *arguments)


def _log_in(**arguments: Any) -> kopf.ConnectionInfo | None:
    """Use the pod's ServiceAccount, else the current kubeconfig; asked again where a token is refused."""
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = None  # a thread's end is no reason to kill the process
    settings.watching.server_timeout = _STREAM_SECONDS
    settings.watching.client_timeout = _STREAM_SECONDS + _CONNECT_SECONDS
    settings.watching.connect_timeout = _CONNECT_SECONDS
    settings.watching.chunk_size = _PAGE
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.networking.error_backoffs = _RETRIES
    return settings


class _ToOurLog(logging.Handler):
    """kopf's warnings and errors, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "OS signals are ignored" not in message:  # by intent: see above
            _log.warning("watching", detail=message[:500])


def _keep_quiet() -> None:
    """Take kopf's log over. What it says below a warning tells of objects, and is not for operators."""
    logger = logging.getLogger("kopf")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [_ToOurLog()]
