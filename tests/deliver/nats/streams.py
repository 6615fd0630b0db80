"""Destinations to a nats-server on loopback, for tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mailport.contract import model
from mailport.deliver.nats.destination import Nats
from mailport.deliver.registry import Surroundings, build
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from tests.deliver.nats.servers import STREAM


@asynccontextmanager
async def stream(
    url: str,
    *,
    credentials: Mapping[str, bytes] | None = None,
    allowed: Allowed | None = None,
    ca: bytes | None = None,
    **settings: Any,
) -> AsyncGenerator[Nats]:
    """Return the destination of a route, built as the listener builds it; it is closed when the `with` ends."""
    given = {"url": url, "stream": STREAM, "subject": "mail.{domain}.{local}", "timeoutSeconds": 10, **settings}
    if ca is not None:
        given.setdefault("tls", {"caRef": {"name": "ca"}})
    deliver = model.Deliver(nats=model.Nats.model_validate(given, strict=False))
    dialer = Dialer(allowed or Allowed(local=True))
    values: dict[str, Mapping[str, bytes]] = {}
    if credentials is not None:
        values["credentialsSecretRef"] = credentials
    if ca is not None:
        values["caRef"] = {"ca.crt": ca}
    destination = build(deliver, Surroundings("mx.example.org", Path(), dialer), values)
    assert isinstance(destination, Nats)
    try:
        yield destination
    finally:
        await destination.close()
        await dialer.close()
