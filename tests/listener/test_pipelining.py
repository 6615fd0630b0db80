"""Replies to pipelined commands that do not wait for what a later command has to ask (RFC 2920 §3.2)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailport.address.mail_address import Address
from tests.listener import dialogs
from tests.listener.playing import SECONDS, Served

SPEC = "# A dialog's head.\nspec: {}\n"


class Asked:
    """A destination that answers RCPT when it is told to."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.answers = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def verify(self, recipient: Address, envelope: object) -> None:
        await self.answers.wait()


@pytest.mark.both_loops
async def test_what_is_known_is_said_while_a_destination_is_asked(tmp_path: Path):
    """EHLO and MAIL in front of RCPT in one packet have their replies before the destination has given its own."""
    served = Served(dialogs.parse("pipelining", SPEC), tmp_path)
    served.start()
    config = served.server.config
    asked = [Asked(route.destination) for route in config.routes]
    served.server.use(
        replace(
            config,
            routes=tuple(replace(route, destination=one) for route, one in zip(config.routes, asked, strict=True)),
        )
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", served.ports["smtp"])
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(b"EHLO client\r\nMAIL FROM:<bert@example.net>\r\nRCPT TO:<anna@example.org>\r\nQUIT\r\n")
            before = await reader.readuntil(b"250 2.1.0 sender ok\r\n")
            for one in asked:
                one.answers.set()
            after = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
        await served.end()

    assert before.startswith(b"220 ")
    assert after == b"250 2.1.5 recipient ok\r\n221 2.0.0 Bye\r\n"
