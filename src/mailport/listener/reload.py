"""What changes in the files while the server runs: seen, loaded, taken up, reported."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from mailport.contract.model import Spec
from mailport.deliver.destination import Destination
from mailport.deliver.maildir.destination import Maildir
from mailport.listener import metrics, watch
from mailport.listener.config import Config
from mailport.listener.load import Loader, Prepare
from mailport.listener.server import Server
from mailport.process import log
from mailport.process.threads import Threads

RETRY_SECONDS = 15.0  # after which what did not load is loaded again: it may have been for want of descriptors


class Reloader:
    """Keeps a server at what the files say."""

    def __init__(self, loader: Loader, prepare: Prepare, scratch_limit: int = 0) -> None:
        """Load with `loader`, and with what `prepare` adds to the Secrets. `scratch_limit`: 0 is the document's."""
        self._loader = loader
        self._scratch_limit = scratch_limit
        self._prepare = prepare
        self._log = log.get()
        self._threads = Threads(1, 1, "configuration")  # its own: a reload waits for no other work
        self._seen: watch.Look = {}
        self._closing: dict[asyncio.Task[None], Destination] = {}  # destinations that a reload has left behind
        self._other_sockets = False  # whether the document asks for other sockets than are open
        self.restart_required = False
        self.error = ""  # why the last reload came to nothing, for a fault of ours

    async def first_load(self) -> Config:
        """Load what is to be served at the start. Raises Invalid, OSError, and NoThread, which is one."""
        self._seen = await self._threads.run(lambda: watch.look(self._loader.watched()))
        config = await self._threads.run(lambda: self._loader.load(self._prepare))
        self.restart_required = bool(config.not_mounted)
        return config

    async def follow(self, server: Server) -> None:
        """Have the server serve what changes, until cancelled."""
        loop = asyncio.get_running_loop()

        def is_due() -> bool:
            """Whether what did not load is to be loaded again, though no file has changed."""
            fails = self.error or server.config.faults
            return bool(fails) and loop.time() >= loaded + RETRY_SECONDS

        loaded = loop.time()
        async for _ in watch.changes(self._loader.watched, self._seen, self._threads, is_due=is_due):
            loaded = loop.time()
            try:
                await self._reload(server)
            except Exception:  # noqa: BLE001 - a fault of ours must not end all further reloads, unseen
                self._log.exception("internal error")
                self.error = "internal error"
                self._count_failure(self.error)

    async def close(self) -> None:
        """Let the thread go, and the destinations that were still in use."""
        left = dict(self._closing)
        for closing in left:
            closing.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for destination in left.values():
            await destination.close()
        self._threads.close()

    async def _reload(self, server: Server) -> None:
        before, config = server.config, await self._threads.run(lambda: self._loader.load(self._prepare))
        if config == before and not self.error:  # a file was touched, or is watched for the first time
            return
        self.error = ""
        self._other_sockets = needs_other_sockets(server.started_with, config.spec)
        self.restart_required = self._other_sockets or bool(config.not_mounted)
        server.use(config)
        server.space.scratch.limit = self._scratch_limit or config.spec.pod.scratch_limit
        if config.document_faults and config.document_faults != before.document_faults:
            self._count_failure("; ".join(config.document_faults))
        if not config.document_faults:
            metrics.config_reloads("ok").inc()
        self.report(config, at="reload", before=before)
        self._close_unused(server, before)

    def _close_unused(self, server: Server, before: Config) -> None:
        """Close the destinations that have left the configuration, once nobody uses them."""
        in_use = {id(route.destination) for route in server.config.routes}
        for route in before.routes:
            if id(route.destination) not in in_use:
                closing = asyncio.create_task(server.close_when_unused(route.destination))
                self._closing[closing] = route.destination
                closing.add_done_callback(self._closing.pop)

    def _count_failure(self, error: str) -> None:
        metrics.config_reloads("failed").inc()
        metrics.config_last_reload_successful.set(0)
        self._log.error("configuration does not load, the last good one serves on", detail=error)

    def report(self, config: Config, *, at: str, before: Config | None = None) -> None:
        """Say in the log and the metrics what is served from now on, and what is wrong with it."""
        metrics.config_last_reload_successful.set(0 if config.document_faults else 1)
        metrics.serving(config.hash, {info.secret_name: info.not_after.timestamp() for info in config.certificates})
        self._log.info("configuration in use", at=at, hash=config.hash, restart_required=self.restart_required)
        known = {id(route.destination) for route in before.routes} if before is not None else set()
        for route in config.routes:
            if isinstance(route.destination, Maildir) and id(route.destination) not in known:
                how, why = route.destination.commit, route.destination.why_commit
                self._log.info("commit of mailboxes", route=route.name, commit=how, reason=why or None)
        for warning in config.warnings:
            self._log.warning(warning)
        for fault in config.secret_faults:
            self._log.error("a Secret or ConfigMap cannot be loaded", detail=fault)
        for missing in config.missing:
            self._log.warning("a Secret or ConfigMap is missing", **asdict(missing))
        if config.not_mounted:
            self._log.warning("Secrets that this pod does not mount: new pods have them", names=config.not_mounted)
        if self._other_sockets:
            self._log.warning("ports, addresses or families changed: restart to open and close sockets")


def needs_other_sockets(before: Spec, after: Spec) -> bool:
    """Whether a spec asks for other sockets than were opened for the one before."""
    return (
        {(listener.name, listener.port) for listener in before.listeners}
        != {(listener.name, listener.port) for listener in after.listeners}
        or before.network != after.network
        or before.pod.admin_port != after.pod.admin_port
    )
