"""HTTP: whose fault it is when the time is over, and what is asked of whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mailport.outward import trust
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from mailport.outward.http import Body, BodyLate, NotHttp, Poster
from mailport.outward.trust import Tls

SECONDS = 0.3
pytestmark = pytest.mark.both_loops


@asynccontextmanager
async def poster(answer: bytes = b"") -> AsyncGenerator[tuple[Poster, str]]:
    """Return who posts to a server that reads, and answers each head so; and the server's URL."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while data := await reader.read(65536):
            if b"\r\n\r\n" in data:
                writer.write(answer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    dialer = Dialer(Allowed(local=True))
    made = Poster(f"{url}/in", dialer, Tls(trust.context(None), "127.0.0.1"))
    try:
        yield made, url
    finally:
        await made.close()
        await asyncio.sleep(0)
        await dialer.close()
        listening.close()
        for writer in writers:
            writer.transport.abort()


def body(*, stalls: bool) -> Body:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a" * 100
        if stalls:
            await asyncio.sleep(60)
        yield b"b" * 100

    return Body(200, pieces)


def until() -> float:
    return asyncio.get_running_loop().time() + SECONDS


async def test_a_body_that_is_not_read_in_time_is_our_fault():
    async with poster() as (made, _):
        with pytest.raises(BodyLate):
            await made.post([], body(stalls=True), until())


async def test_a_server_that_says_nothing_is_at_fault_itself():
    async with poster() as (made, _):
        with pytest.raises(TimeoutError):
            await made.post([], body(stalls=False), until())


async def test_a_redirect_is_an_answer():
    async with poster(b'HTTP/1.1 303 See Other\r\nLocation: /\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n') as (
        made,
        url,
    ):
        answer = await made.ask("HEAD", f"{url}/other?signed=yes", until())

    assert (answer.status, answer.etag, answer.octets) == (303, '"x"', 0)


async def test_another_host_is_not_asked():
    """The connections are one host's."""
    async with poster() as (made, _):
        with pytest.raises(ValueError, match="another host"):
            await made.ask("GET", "http://127.0.0.1:1/", until())


async def test_what_cannot_be_read_is_told_without_the_url():
    """It may be signed."""
    async with poster(b"nonsense\r\n\r\n") as (made, url):
        with pytest.raises(NotHttp) as caught:
            await made.ask("GET", f"{url}/other?X-Amz-Security-Token=secret", until())

    assert "secret" not in str(caught.value)
