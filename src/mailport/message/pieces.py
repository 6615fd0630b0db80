"""Octets piece by piece, for who awaits them: from memory, or read by a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from mailport.process.threads import Threads

Piece = bytes | bytearray


async def in_threads(pieces: Iterator[Piece], threads: Threads) -> AsyncIterator[Piece]:
    """Yield each piece as soon as a thread has it. Raises what reading raises."""
    while piece := await threads.run(lambda: next(pieces, b"")):
        yield piece


async def at_once(pieces: Iterator[Piece]) -> AsyncIterator[Piece]:
    """Yield pieces that nothing has to be waited for."""
    for piece in pieces:
        yield piece


async def behind(head: bytes, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """Yield a head, and the pieces behind it."""
    yield head
    async for piece in pieces:
        yield piece
