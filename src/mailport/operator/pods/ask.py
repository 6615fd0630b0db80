"""Asks listeners in their pods what they run: `/status` on the admin port."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from mailport.operator.pods.observed import Report

_SECONDS = 2.0  # an answer takes a millisecond; a pod that has gone does not answer at all
_CONNECT_SECONDS = 1.0  # a packet that is lost is sent again after one: we ask again
_MAX_BYTES = 512 * 1024


class Pods:
    """An HTTP client for the admin ports of pods."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No proxy of the environment's, no cookies, and no connection kept: pods come and go
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),  # poller.py bounds them
            timeout=aiohttp.ClientTimeout(total=_SECONDS, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, ip: str, port: int) -> Report | None:
        """Return what a listener says of itself; None where it does not answer, or not in our words."""
        assert self._session is not None, "not entered"  # noqa: S101
        host = f"[{ip}]" if ":" in ip else ip
        try:
            async with self._session.get(f"http://{host}:{port}/status", allow_redirects=False) as response:
                if response.status != 200:
                    return None
                content = bytearray()
                async for piece in response.content.iter_any():
                    content += piece
                    if len(content) > _MAX_BYTES:
                        return None
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        return read(bytes(content))


def read(content: bytes) -> Report | None:
    """Read `/status`; None where it is none of ours."""
    try:
        answer = json.loads(content)
        return Report(
            hash=_text(answer["hash"]),
            generation=int(answer.get("generation") or 0),
            restart_required=bool(answer.get("restartRequired")),
            draining=bool(answer.get("draining")),
            certificates=_objects(answer.get("certificates"), ("secretName", "serialNumber", "notAfter")),
            missing=_objects(answer.get("missing"), ("kind", "name", "key", "field")),
            reload_error=_text(answer["reloadError"]) if answer.get("reloadError") else None,
            destinations=_objects(answer.get("destinations"), ("route", "state", "error")),
            not_durable=_objects(answer.get("notDurable"), ("route", "reason", "message")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _objects(values: Any, fields: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    return tuple({field: _text(value[field]) for field in fields if value.get(field)} for value in values or ())
