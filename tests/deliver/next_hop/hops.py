"""Destinations to a port of loopback, for tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mailport.contract import model
from mailport.deliver.next_hop.client import Login
from mailport.deliver.next_hop.destination import NextHop
from mailport.deliver.next_hop.lmtp import Lmtp
from mailport.deliver.next_hop.smtp import Smtp
from mailport.outward import trust
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from mailport.outward.trust import Tls
from tests.deliver.next_hop.servers import AUTHORITY, NAME, PASSWORD, USER

LOGIN = Login(USER.encode(), PASSWORD.encode())


@asynccontextmanager
async def next_hop(
    kind: str,
    port: int,
    *,
    host: str = "127.0.0.1",
    mode: str = "Disabled",
    ca: bytes | None = AUTHORITY.pem,
    server_name: str = NAME,
    login: Login | None = None,
    seconds: int = 10,
    allowed: Allowed | None = None,
) -> AsyncGenerator[NextHop]:
    """Return the destination of a route; it is closed when the `with` ends. `ca` None is the public ones."""
    settings: dict[str, Any] = {"host": host, "port": port, "timeoutSeconds": seconds, "tls": {"mode": mode}}
    dialer = Dialer(allowed or Allowed(local=True))
    tls = Tls(trust.context(ca), server_name)
    hop: NextHop
    if kind == "lmtp":
        hop = Lmtp(model.Lmtp.model_validate(settings, strict=False), hostname="mx.example.org", dialer=dialer, tls=tls)
    else:
        smtp = model.Smtp.model_validate(settings, strict=False)
        hop = Smtp(smtp, hostname="mx.example.org", dialer=dialer, tls=tls, login=login)
    try:
        yield hop
    finally:
        await hop.close()
        await dialer.close()
