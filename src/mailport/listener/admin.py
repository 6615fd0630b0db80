"""Health, metrics and status over HTTP, on a port of their own: no probe shows up as a mail client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from mailport.listener import metrics

Status = Callable[[], dict[str, Any]]
Ready = Callable[[], str]
Running = web.AppRunner


def application(ready: Ready, status: Status) -> web.Application:
    """Make the application. `ready` says why not, or nothing; `status` is what /status shows."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")  # to be answered at all, the loop must turn

    async def readyz(_: web.Request) -> web.Response:
        why_not = ready()
        return web.Response(text=f"{why_not or 'ok'}\n", status=503 if why_not else 200)

    async def metrics_page(_: web.Request) -> web.Response:
        body, content_type = await asyncio.to_thread(metrics.exposition)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def status_page(_: web.Request) -> web.Response:
        return web.json_response(status())

    pages: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
        "/livez": livez,
        "/readyz": readyz,
        "/metrics": metrics_page,
        "/status": status_page,
    }
    app = web.Application(client_max_size=1024)
    for path, page in pages.items():
        app.router.add_get(path, page)
    return app


async def start(app: web.Application, host: str, port: int) -> Running:
    """Serve it; the caller calls `cleanup` on what is returned. Raises OSError where the address is not to be had."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
