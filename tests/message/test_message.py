"""A whole message, as destinations get it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from mailport.address.mail_address import Address
from mailport.message.content import MEMORY_OF_ONE, Space
from tests.messages import ENVELOPE, RECEIVED, TRACE, hold, message
from tests.tables import table

BODY = b"\r\nReturn-Path: <in the body>\r\n.\r\n"
LARGE = b"\r\n" + b"0123456789abcde\r\n" * (2 * MEMORY_OF_ONE // 17)


@pytest_asyncio.fixture
async def space() -> AsyncGenerator[Space]:
    space = Space()
    yield space
    space.close()


@pytest.mark.parametrize("body", table({"in memory": BODY, "in scratch": LARGE}))
@pytest.mark.parametrize(
    "section, final, relayed",
    table(
        {
            "fields that stay": (b"Subject: x\r\n", b"Subject: x\r\n", b"Subject: x\r\n"),
            "no field": (b"", b"", b""),
            "an earlier Return-Path": (b"Return-Path: <x>\r\nA: b\r\n", b"A: b\r\n", b"Return-Path: <x>\r\nA: b\r\n"),
            "results that claim to be ours": (b"Authentication-Results: mx.example.org; none\r\n", b"", b""),
            "text, and no field": (b"Hello\r\n", b"\r\nHello\r\n", b"\r\nHello\r\n"),
        }
    ),
)
async def test_the_message_behind_our_trace_fields(
    space: Space, section: bytes, final: bytes, relayed: bytes, body: bytes
):
    """Where delivery ends, Return-Path is on top; each is as long as it says, and can be had again and again."""
    content = await hold(space, section + body)
    whole = await message(content)

    for _ in range(2):
        for expected, ends in ((TRACE + final + body, True), (RECEIVED + relayed + body, False)):
            assert b"".join([piece async for piece in whole.pieces(final=ends)]) == expected
            assert b"".join(whole.chunks(final=ends)) == expected
            assert await whole.whole(final=ends) == expected
            assert whole.length(final=ends) == len(expected)
            assert expected.startswith(whole.head(final=ends))
    assert whole.size == len(section + body)
    assert await whole.digest() == await content.digest()
    assert content.in_scratch == (body is LARGE)
    content.close()


@pytest.mark.parametrize(
    "only, named",
    table(
        {
            "the only one is named": (Address.parse("anna@example.org"), b"id 4bXyZ1 for <anna@example.org>;"),
            "of several none learns of another": (None, b"id 4bXyZ1;"),
        }
    ),
)
async def test_received_names_the_only_recipient(space: Space, only: Address | None, named: bytes):
    """RFC 5321 §7.6: a `for` with several would tell of blind copies."""
    whole = await message(await hold(space, BODY), only)

    assert named in whole.head(final=True)
    assert named in whole.head(final=False)


async def test_a_message_without_sender(space: Space):
    """A bounce has the null reverse-path (RFC 5321 §4.5.5)."""
    whole = await message(await hold(space, BODY), envelope=ENVELOPE._replace(sender=None))

    assert whole.head(final=True).startswith(b"Return-Path: <>\r\nReceived: ")


async def test_the_digest_is_of_what_was_received(space: Space):
    """What is sent again has the same, whatever its trace fields say; what differs in one octet has another."""
    first = await message(await hold(space, b"Subject: x\r\n\r\nbody\r\n"))
    again = await message(
        await hold(space, b"Subject: x\r\n\r\nbody\r\n", piece=3), envelope=ENVELOPE._replace(id="5cYzA2")
    )
    other = await message(await hold(space, b"Subject: y\r\n\r\nbody\r\n"))

    assert first.head(final=True) != again.head(final=True)
    assert await first.digest() == await again.digest() != await other.digest()


async def test_a_message_is_read_by_the_places_of_its_octets(tmp_path):
    """From memory, from scratch, from both, and across the header section's end."""
    octets = b"Subject: x\r\nReturn-Path: <old@example.net>\r\n\r\n" + bytes(range(256)) * 12_000
    for memory in (0, 400_000, 1 << 30):
        space = Space(tmp_path, memory=memory)
        content = await hold(space, octets)
        whole = await message(content)
        read = whole.reader(final=True)
        everything = b"".join(whole.chunks(final=True))

        assert read.size == len(everything) == whole.length(final=True)
        assert read.head == len(whole.head(final=True))
        for start, stop in (
            (0, read.size),
            (5, 6),
            (read.head - 3, read.head + 3),
            (read.head, read.head),
            (700_000, 999_999),
        ):
            assert read.read(start, stop) == everything[start:stop]
        content.close()
        with pytest.raises(OSError, match="the message is over"):
            read.read(read.head, read.size)
        await space.threads.run(lambda: None)
        space.close()
