"""Receivers on loopback, and the destination that posts to them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

from mailport.contract import model
from mailport.deliver.webhook.destination import Proof, Webhook
from mailport.outward import trust
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from mailport.outward.trust import Tls

NAME = "tickets.example.org"


@dataclass
class Request:
    """What came."""

    path: str
    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass
class Receiver:
    """A real HTTP server: aiohttp's. It keeps what it was sent, and answers as it is told."""

    port: int = 0
    status: int = 200
    text: str = "thanks"
    fields: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    async def take(self, request: web.Request) -> web.Response:
        self.connections.add(request.transport)
        self.requests.append(Request(request.raw_path, request.headers, await request.read()))
        return web.Response(status=self.status, text=self.text, headers=self.fields)


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{any:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def webhook(
    port: int,
    *,
    scheme: str = "http",
    path: str = "/inbound",
    ca: bytes | None = None,
    name: str = NAME,
    proof: Proof | None = None,
    allowed: Allowed | None = None,
    **settings: Any,
) -> AsyncGenerator[Webhook]:
    """Return the destination of a route; it is closed when the `with` ends."""
    document = {"url": f"{scheme}://127.0.0.1:{port}{path}", "timeoutSeconds": 5, **settings}
    dialer = Dialer(allowed or Allowed(local=True))
    hook = Webhook(
        model.Webhook.model_validate(document, strict=False),
        dialer=dialer,
        tls=Tls(trust.context(ca), name),
        proof=proof,
    )
    try:
        yield hook
    finally:
        await hook.close()
        await asyncio.sleep(0)  # what was closed says so in the loop's next turn
        await dialer.close()
