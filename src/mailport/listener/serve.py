"""`mailport serve`: load, bind, serve, reload on change, drain."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

from mailport import log, loop, web
from mailport.deliver.message_file import sweep
from mailport.faults import Invalid
from mailport.listener import admin, dev, metrics, tls, watch
from mailport.listener.bindings import Bound, CannotBind, bind_all
from mailport.listener.config import Config
from mailport.listener.credentials import Checker
from mailport.listener.load import Loader, Places
from mailport.listener.secrets import Secrets
from mailport.listener.server import Server
from mailport.listener.welcome import told, welcome
from mailport.model import InboundSmtp, Spec

EXIT_OK, EXIT_FAILED, EXIT_INVALID = 0, 1, 2
_SPARE_DESCRIPTORS = 256  # files, logs, threads' work, admin connections


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says."""

    files: tuple[Path, ...]
    secrets: tuple[Path, ...] = ()
    config_maps: tuple[Path, ...] = ()
    data: Path = Path("var")
    admin: tuple[str, int] | None = None
    dev: bool = False
    shutdown_delay: float = 0.0  # seconds
    in_pod: bool = False  # then a family that the host lacks is a warning
    said: Callable[[str], None] = print  # what a person at the terminal is told


class Failed(Exception):  # noqa: N818 - what it did
    """The listener cannot start: a reason in CamelCase for the operator, and one line for a person."""

    def __init__(self, reason: str, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.reason, self.code = reason, code


def serve(options: ServeOptions) -> int:
    """Serve until told to stop; return the exit status."""
    log.configure()
    tls.keep_bad_server_names_quiet()
    try:
        with asyncio.Runner(loop_factory=loop.factory()) as runner:
            return runner.run(_Serving(options).run())
    except Failed as failure:
        log.flush()
        for line in str(failure).splitlines():
            # The last line of JSON is what the operator reads (terminationMessagePolicy: FallbackToLogsOnError).
            said = line if sys.stderr.isatty() else json.dumps({"reason": failure.reason, "message": line})
            sys.stderr.write(f"{said}\n")
        return failure.code


class _Serving:
    """One run of the server."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._log = log.get()
        self._loader = Loader(
            Places(
                files=options.files,
                secrets=options.secrets,
                config_maps=options.config_maps,
                mail=options.data / "mail",
            )
        )
        self._stop, self._at_once = asyncio.Event(), asyncio.Event()
        self._delay = options.shutdown_delay
        self._made: dev.Made | None = None
        self._reload_error = ""
        self._restart_required = False
        self._closing: set[asyncio.Task[None]] = set()  # destinations that a reload has left behind
        self._server: Server | None = None

    async def run(self) -> int:
        """Load, bind, serve, drain."""
        self._listen_to_signals()
        seen = await asyncio.to_thread(watch.look, self._loader.watched())
        config = await self._first_load()
        checker = Checker()
        server = self._server = Server(config, checker)
        bound, warnings = self._bind(config.spec)
        raise_descriptor_limit(config.spec, self._log)
        runner = await self._start_admin(bound)
        server.start(bound)
        self._use(config, at="start")
        for warning in warnings:
            self._log.warning(warning)
        self._say_where(server)
        Thread(target=self._sweep, name="sweep", daemon=True).start()  # no end has to wait for it
        reloading = asyncio.create_task(self._reload_on_change(server, seen))
        try:
            return await self._until_stopped(server)
        finally:
            reloading.cancel()
            await asyncio.gather(reloading, return_exceptions=True)
            if runner is not None:
                await runner.cleanup()
            checker.close()
            for closing in self._closing:
                closing.cancel()
            for route in server.config.routes:
                await route.destination.close()
            if server.stuck:
                self._leave_at_once(len(server.stuck))

    def _leave_at_once(self, sessions: int) -> NoReturn:
        """End without those that hang in a destination, which no asking ends. What they left is swept one day."""
        self._log.error("ended with deliveries that hang", sessions=sessions)
        log.flush()
        os._exit(EXIT_FAILED)

    # Starting.

    def _sweep(self) -> None:
        """Remove what deliveries of an earlier process left behind. Runs in a thread."""
        try:
            swept = sweep(self._options.data / "mail", time.time())
        except OSError as error:
            self._log.warning("unfinished mail could not be swept", detail=str(error))
            return
        if swept:
            self._log.info("unfinished mail of an earlier process swept", files=swept)

    def _listen_to_signals(self) -> None:
        """Take signals from the first moment: as process 1 of a pod we would not even get those we do not ask for."""
        running = asyncio.get_running_loop()
        running.add_signal_handler(signal.SIGTERM, self._told_to_stop, self._options.shutdown_delay)
        running.add_signal_handler(signal.SIGINT, self._told_to_stop, 0.0)

    def _told_to_stop(self, delay: float) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._delay = delay
        self._stop.set()

    async def _first_load(self) -> Config:
        try:
            return await asyncio.to_thread(self._loader.load, self._prepare)
        except Invalid as error:
            raise Failed("InvalidConfiguration", str(error), EXIT_INVALID) from error
        except OSError as error:
            raise Failed("Unreadable", f"{error.filename}: {error.strerror}", EXIT_INVALID) from error

    def _prepare(self, gateway: InboundSmtp, secrets: Secrets) -> Secrets:
        if not self._options.dev:
            return secrets
        secrets, made = dev.make_missing(gateway.spec, secrets, self._options.data / "dev", datetime.now(UTC))
        if made is not None and self._server is not None:  # a reload; the first time it is part of the welcome
            for line in told(made):
                self._options.said(line)
        self._made = made or self._made
        return secrets

    def _bind(self, spec: Spec) -> tuple[list[Bound], list[str]]:
        try:
            return bind_all(spec, lacking_family_is_fatal=not self._options.in_pod)
        except CannotBind as error:
            raise Failed("CannotBind", str(error)) from error

    async def _start_admin(self, bound: list[Bound]) -> web.Running | None:
        if self._options.admin is None:
            return None
        host, port = self._options.admin
        try:
            return await web.start(admin.pages(self._why_not_ready, self._status), host, port)
        except OSError as error:
            for one in bound:
                one.socket.close()
            why = os.strerror(error.errno) if error.errno else error  # asyncio's own text says the address once more
            raise Failed("CannotBind", f"--admin {host}:{port}: {why}") from error

    def _say_where(self, server: Server) -> None:
        for one in server.bound:
            options = server.options(one.listener)
            self._log.info("listening", listener=one.listener, address=one.address, tls=options.tls, auth=options.auth)
        if self._options.dev:
            for line in welcome(server.bound, server.config, self._options.data, self._made):
                self._options.said(line)

    # Serving.

    async def _until_stopped(self, server: Server) -> int:
        await self._stop.wait()
        hurried = asyncio.create_task(self._at_once.wait())
        draining = asyncio.create_task(self._drain(server, self._delay))
        await asyncio.wait((hurried, draining), return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            await server.end_at_once()
            self._log.warning("stopped at once")
            return EXIT_FAILED
        hurried.cancel()
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

    async def _reload_on_change(self, server: Server, seen: watch.Look) -> None:
        async for _ in watch.changes(self._loader.watched, seen):
            try:
                await self._reload(server)
            except (Invalid, OSError) as error:
                self._serve_on(str(error))
            except Exception:  # noqa: BLE001 - a fault of ours must not end all further reloads, unseen
                self._log.exception("internal error")
                self._serve_on("internal error")

    async def _reload(self, server: Server) -> None:
        config = await asyncio.to_thread(self._loader.load, self._prepare)
        healed, self._reload_error = bool(self._reload_error), ""
        if config.same_as(server.config) and not healed:  # a file was touched, or is watched for the first time
            return
        metrics.config_reloads("ok").inc()
        self._restart_required = needs_restart(server, config)
        before = server.config
        server.use(config)
        self._use(config, at="reload")
        in_use = {id(route.destination) for route in config.routes}
        for route in before.routes:
            if id(route.destination) not in in_use:
                closing = asyncio.create_task(server.close_when_unused(route.destination))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _serve_on(self, error: str) -> None:
        self._reload_error = error
        metrics.config_reloads("failed").inc()
        metrics.config_last_reload_successful.set(0)
        self._log.error("configuration does not load, the last good one serves on", detail=error)

    def _use(self, config: Config, *, at: str) -> None:
        metrics.config_last_reload_successful.set(1)
        metrics.serving(config.hash, {info.secret_name: info.not_after.timestamp() for info in config.certificates})
        self._log.info("configuration in use", at=at, hash=config.hash, restart_required=self._restart_required)
        for warning in config.warnings:
            self._log.warning(warning)
        for fault in config.secret_faults:
            self._log.error("does not load", detail=fault)
        for missing in config.missing:
            self._log.warning("missing", **asdict(missing))
        if self._restart_required:
            self._log.warning("ports, addresses or families changed: restart to open and close sockets")

    # What /readyz and /status say.

    def _why_not_ready(self) -> str:
        if self._stop.is_set():
            return "draining"
        return self._server.config.lacking if self._server is not None else "starting"

    def _status(self) -> dict[str, Any]:
        server = self._server
        assert server is not None  # noqa: S101 - the admin port opens after it is made
        config, connections = server.config, server.connections
        return {
            "hash": config.hash,
            "generation": config.generation,
            "restartRequired": self._restart_required,
            "draining": self._stop.is_set(),
            "listeners": [
                {"name": name, "port": port, "connections": connections[name]}
                for name, port in dict.fromkeys((one.listener, one.port) for one in server.bound)
            ],
            "certificates": [
                {
                    "secretName": info.secret_name,
                    "serialNumber": info.serial_number,
                    "notAfter": info.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
                for info in config.certificates
            ],
            "missing": [asdict(missing) for missing in config.missing],
            "reloadError": self._reload_error or "; ".join(config.secret_faults) or None,
        }


def needs_restart(server: Server, config: Config) -> bool:
    """Whether a configuration asks for other sockets than are open."""
    before, after = server.started_with, config.spec
    return (
        {(listener.name, listener.port) for listener in before.listeners}
        != {(listener.name, listener.port) for listener in after.listeners}
        or before.network != after.network
        or before.pod.admin_port != after.pod.admin_port
    )


def raise_descriptor_limit(spec: Spec, logger: log.Log) -> None:
    """Use as many descriptors as the host allows; say so where they do not cover maxConnections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = spec.limits.max_connections + _SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and wanted > hard:
        logger.warning("the limit of open files is lower than limits.maxConnections needs", limit=hard, wanted=wanted)
