"""The admin port's pages: /livez, /readyz, /metrics and /status.

Probes ask here, so that none appears in the log as a mail client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mailport.deliver.maildir.destination import Maildir
from mailport.listener import metrics
from mailport.listener.health import DestinationChecks
from mailport.listener.server import Server
from mailport.process.web import Answer, Page, health, plain

Status = Callable[[], dict[str, Any]]
Ready = Callable[[], str]


def pages(ready: Ready, status: Status, expose: Callable[[], None]) -> dict[str, Page]:
    """Make the pages. `ready` says why not, or nothing; `status` is what /status shows; `expose` sets metrics."""

    async def livez() -> Answer:
        return plain("ok")  # the answer itself shows that the event loop runs

    async def readyz() -> Answer:
        return health(ready())

    async def metrics_page() -> Answer:
        expose()
        body, content_type = await asyncio.to_thread(metrics.exposition)
        return Answer(body, content_type=content_type)

    async def status_page() -> Answer:
        return Answer(json.dumps(status()).encode(), content_type="application/json; charset=utf-8")

    return {"/livez": livez, "/readyz": readyz, "/metrics": metrics_page, "/status": status_page}


def status(
    server: Server, checks: DestinationChecks, *, draining: bool, restart_required: bool, reload_error: str
) -> dict[str, Any]:
    """Return what /status shows; `reload_error` is that of a reload which came to nothing."""
    config, connections = server.config, server.connections
    return {
        "hash": config.hash,
        "generation": config.generation,
        "restartRequired": restart_required,
        "draining": draining,
        "listeners": [
            {"name": name, "port": port, "connections": connections[name]}
            for name, port in dict.fromkeys((bound.listener, bound.port) for bound in server.bound)
        ],
        "certificates": [
            {
                "secretName": info.secret_name,
                "serialNumber": info.serial_number,
                "notAfter": info.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for info in config.certificates
        ],
        "maildirs": [
            {"route": route.name, "commit": route.destination.commit}
            for route in config.routes
            if isinstance(route.destination, Maildir)
        ],
        "destinations": checks.report(),
        "notDurable": checks.not_durable(),
        "missing": [asdict(missing) for missing in config.missing],
        "reloadError": reload_error or config.faults or None,
    }
