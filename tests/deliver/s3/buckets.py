"""Destinations to a store on loopback, for tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mailport.contract import model
from mailport.deliver.registry import Surroundings, build
from mailport.deliver.s3.destination import S3
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from tests.deliver.s3.servers import BUCKET, KEYS


@asynccontextmanager
async def bucket(
    url: str,
    *,
    keys: Mapping[str, bytes] | None = KEYS,
    allowed: Allowed | None = None,
    ca: bytes | None = None,
    **settings: Any,
) -> AsyncGenerator[S3]:
    """Return the destination of a route, built as the listener builds it; it is closed when the `with` ends."""
    given = {"bucket": BUCKET, "endpoint": url, "timeoutSeconds": 10, **settings}
    deliver = model.Deliver(s3=model.S3.model_validate(given, strict=False))
    dialer = Dialer(allowed or Allowed(local=True))
    values = {"credentialsSecretRef": keys} if keys is not None else {}
    if ca is not None:
        values["caRef"] = {"ca.crt": ca}
    destination = build(deliver, Surroundings("mx.example.org", Path(), dialer), values)
    assert isinstance(destination, S3)
    try:
        yield destination
    finally:
        await destination.close()
        await dialer.close()
