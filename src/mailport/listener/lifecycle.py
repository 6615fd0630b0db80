"""The life of the listener's process: load, bind, serve, drain, end. What changes while it serves is in reload.py."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mailport.contract.faults import Invalid
from mailport.contract.model import InboundSmtp, Spec
from mailport.deliver.maildir.message_file import sweep
from mailport.listener import admin, dev, tls
from mailport.listener.bindings import Bound, CannotBind, bind_all
from mailport.listener.config import Config
from mailport.listener.credentials import PasswordChecks
from mailport.listener.health import DestinationChecks
from mailport.listener.load import Loader, Places
from mailport.listener.reload import Reloader
from mailport.listener.secrets import Secrets
from mailport.listener.server import Server
from mailport.listener.welcome import new_login, welcome
from mailport.message.content import Space
from mailport.process import log, loop, memory, threads, web
from mailport.process.threads import NoThread, Threads

EXIT_OK, EXIT_FAILED, EXIT_INVALID = 0, 1, 2
_SPARE_DESCRIPTORS = 256  # files, logs, threads' work, admin connections


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - flushed at once, for a reader behind a pipe


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `mailport serve`."""

    places: Places
    data: Path = Path("var")  # what --dev makes is in its folder dev
    admin: tuple[str, int] | None = None
    dev: bool = False
    shutdown_delay: float = 0.0  # seconds
    scratch_limit: int = 0  # octets that all of places.scratch may take; 0: what a pod of this document would have
    in_pod: bool = False  # then a family that the host lacks is a warning
    show: Callable[[str], None] = _print  # writes a line for the person at the terminal


class CannotStart(Exception):  # noqa: N818 - what is so
    """The listener cannot start: a reason in CamelCase for the operator, and one line for a person."""

    def __init__(self, reason: str, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.reason, self.code = reason, code


def serve(options: ServeOptions) -> int:
    """Serve until a signal ends it; return the exit status."""
    log.configure()
    memory.keep_freed()
    tls.keep_bad_server_names_quiet()
    process = _Process(options)
    try:
        with asyncio.Runner(loop_factory=loop.factory()) as runner:
            return runner.run(process.run())
    except CannotStart as failure:
        process.show_new_login()
        log.flush()
        for message in str(failure).splitlines():
            # The last line of JSON is what the operator reads (terminationMessagePolicy: FallbackToLogsOnError).
            line = message if sys.stderr.isatty() else json.dumps({"reason": failure.reason, "message": message})
            sys.stderr.write(f"{line}\n")
        return failure.code


class _Process:
    """One run of the server."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._log = log.get()
        self._reloader = Reloader(Loader(options.places), self._prepare, options.scratch_limit)
        self._stop, self._stop_at_once = asyncio.Event(), asyncio.Event()
        self._delay = options.shutdown_delay
        self._dev_secrets: dev.DevSecrets | None = None
        self._server: Server | None = None

    async def run(self) -> int:
        """Load, bind, serve, drain."""
        self._listen_to_signals()
        config = await self._first_load()
        if config is None:
            return EXIT_OK
        passwords = PasswordChecks()
        space = Space(self._options.places.scratch, self._options.scratch_limit or config.spec.pod.scratch_limit)
        server = self._server = Server(config, passwords, space)
        checks = DestinationChecks(lambda: server.config.routes)
        bound, warnings = self._bind(config.spec)
        raise_descriptor_limit(config.spec, self._log)
        runner = await self._start_admin(server, bound, checks)
        memory.leave_to_stay()
        server.start(bound)
        self._reloader.report(config, at="start")
        for warning in warnings:
            self._log.warning(warning)
        self._show_where(server)
        self._begin_sweeping()
        following = [asyncio.create_task(task) for task in (self._reloader.follow(server), checks.follow())]
        try:
            return await self._until_stopped(server)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            if runner is not None:
                await runner.cleanup()
            passwords.close()
            server.handshakes.close()
            space.close()
            await self._reloader.close()
            for route in server.config.routes:
                await route.destination.close()

    # Starting.

    def _try_scratch(self) -> None:
        """Look whether messages can be held in the scratch folder: what is large would be 451 for ever. Blocks."""
        folder = self._options.places.scratch
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            option = f"--scratch {folder}" if folder is not None else "without --scratch"
            raise CannotStart("ScratchUnusable", f"{option}: {error.strerror}") from error

    def _begin_sweeping(self) -> None:
        sweeper = Threads(1, 1, "sweep")  # a thread that no end has to wait for
        try:
            sweeper.run(self._sweep)
        except NoThread as error:
            self._log.warning("unfinished mail could not be swept", detail=error.strerror)
        sweeper.close()

    def _sweep(self) -> None:
        """Remove what deliveries of an earlier process left behind. Runs in a thread."""
        try:
            swept = sweep(self._options.places.mail, time.time())
        except OSError as error:
            self._log.warning("unfinished mail could not be swept", detail=str(error))
            return
        if swept:
            self._log.info("unfinished mail of an earlier process swept", files=swept)

    def _listen_to_signals(self) -> None:
        """Install the handlers first: the kernel ignores SIGTERM for process 1 while it has no handler for it."""
        running = asyncio.get_running_loop()
        running.add_signal_handler(signal.SIGTERM, self._on_signal, self._options.shutdown_delay)
        running.add_signal_handler(signal.SIGINT, self._on_signal, 0.0)

    def _on_signal(self, delay: float) -> None:
        if self._stop.is_set():
            self._stop_at_once.set()
        self._delay = delay
        self._stop.set()

    async def _first_load(self) -> Config | None:
        """Return what is to be served; None where a signal comes first, as a file may hang: a pipe, a dead mount."""
        loading, stopped = asyncio.create_task(self._loaded()), asyncio.create_task(self._stop.wait())
        await asyncio.wait((loading, stopped), return_when=asyncio.FIRST_COMPLETED)
        for task in (loading, stopped):
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return None if loading.cancelled() else loading.result()

    async def _loaded(self) -> Config:
        scratch = Threads(1, 1, "scratch")
        try:
            config = await self._reloader.first_load()
            await scratch.run(self._try_scratch)
        except Invalid as error:
            raise CannotStart("InvalidConfiguration", str(error), EXIT_INVALID) from error
        except NoThread as error:
            raise CannotStart("NoThread", str(error.strerror)) from error
        except OSError as error:
            raise CannotStart("Unreadable", f"{error.filename}: {error.strerror}", EXIT_INVALID) from error
        else:
            return config
        finally:
            scratch.close()

    def _prepare(self, gateway: InboundSmtp, secrets: Secrets) -> Secrets:
        """Add the Secrets that --dev makes. Runs in a thread; raises OSError."""
        if not self._options.dev:
            return secrets
        secrets, new = dev.make_missing(gateway.spec, secrets, self._options.data / "dev", datetime.now(UTC))
        if new is not None:
            self._dev_secrets = new
            if self._server is not None:  # a reload; the first time it is part of the welcome
                self.show_new_login()
        return secrets

    def show_new_login(self) -> None:
        """Show the password that --dev has made: it is shown once, so also where nothing can be served now."""
        if self._dev_secrets is not None:
            for line in new_login(self._dev_secrets):
                self._options.show(line)

    def _bind(self, spec: Spec) -> tuple[list[Bound], list[str]]:
        try:
            return bind_all(spec, lacking_family_is_fatal=not self._options.in_pod)
        except CannotBind as error:
            raise CannotStart("CannotBind", str(error)) from error

    async def _start_admin(self, server: Server, bound: list[Bound], checks: DestinationChecks) -> web.Running | None:
        if self._options.admin is None:
            return None
        host, port = self._options.admin
        why_not_ready, status = partial(self._why_not_ready, server), partial(self._status, server, checks)
        try:
            return await web.start(admin.pages(why_not_ready, status, checks.expose), host, port)
        except OSError as error:
            for listening in bound:
                listening.socket.close()
            why = os.strerror(error.errno) if error.errno else error  # asyncio's own text says the address once more
            raise CannotStart("CannotBind", f"--admin {host}:{port}: {why}") from error

    def _show_where(self, server: Server) -> None:
        for bound in server.bound:
            options = server.options(bound.listener)
            self._log.info(
                "listening", listener=bound.listener, address=bound.address, tls=options.tls, auth=options.auth
            )
        if self._options.dev:
            for line in welcome(server.bound, server.config, self._options.data, self._dev_secrets):
                self._options.show(line)

    # Stopping.

    async def _until_stopped(self, server: Server) -> int:
        await self._stop.wait()
        second_signal = asyncio.create_task(self._stop_at_once.wait())
        draining = asyncio.create_task(self._drain(server, self._delay))
        await asyncio.wait((second_signal, draining), return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            await server.end_at_once()
            self._log.warning("stopped at once")
            return EXIT_FAILED
        second_signal.cancel()
        draining.result()
        return EXIT_OK

    async def _drain(self, server: Server, delay: float) -> None:
        if delay:
            self._log.info("stopping: not ready, serving on", seconds=delay)
            await asyncio.sleep(delay)
        seconds = server.config.spec.drain_seconds
        self._log.info("draining", sessions=len(server.sessions), seconds=seconds)
        left = await server.drain(seconds)
        self._log.info("drained", aborted=left)

    # What the admin port answers.

    def _why_not_ready(self, server: Server) -> str:
        if self._stop.is_set():
            return "draining"
        if threads.none_can_be_started():
            return "no thread can be started"
        return server.config.lacking

    def _status(self, server: Server, checks: DestinationChecks) -> dict[str, Any]:
        return admin.status(
            server,
            checks,
            draining=self._stop.is_set(),
            restart_required=self._reloader.restart_required,
            reload_error=self._reloader.error,
        )


def raise_descriptor_limit(spec: Spec, logger: log.Log) -> None:
    """Use as many descriptors as the host allows; say so where they do not cover maxConnections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = 2 * spec.limits.max_connections + _SPARE_DESCRIPTORS  # each message may have a file in scratch
    if hard != resource.RLIM_INFINITY and wanted > hard:
        logger.warning("the limit of open files is lower than limits.maxConnections needs", limit=hard, wanted=wanted)
