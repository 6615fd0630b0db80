"""Connections that are kept for the next message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

IDLE_SECONDS = 20.0  # less than servers wait, and less than NAT forgets
LIFE_SECONDS = 300.0  # so that a name which leads elsewhere now is followed
MOST_IDLE = 20


class Session(Protocol):
    """What a pool keeps."""

    @property
    def usable(self) -> bool:
        """Whether it can be used once more: nobody hung up, nothing came unasked, nothing is half done."""

    def close(self) -> None:
        """End it, without waiting for anything."""

    async def ended(self) -> None:
        """Wait until it has ended, behind `close`; not for long."""


S = TypeVar("S", bound=Session)


class Pool(Generic[S]):
    """Sessions with one destination. Who takes one has it alone, and gives it back or closes it."""

    def __init__(self, connect: Callable[[], Awaitable[S]], clock: Callable[[], float] | None = None) -> None:
        """`connect` opens a session and raises what it likes; `clock` gives seconds, the event loop's where None."""
        self._connect = connect
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._idle: list[tuple[S, float]] = []  # with the time since when, the oldest first
        self._born: dict[S, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """How many sessions are open, idle or not."""
        return len(self._born)

    @property
    def idle(self) -> int:
        """How many wait to be used."""
        return len(self._idle)

    def take_idle(self) -> S | None:
        """Return the session that was used last, if one can be used: it may break at its first command all the same."""
        while self._idle:
            session, since = self._idle.pop()
            if session.usable and not self._is_old(session, since):
                return session
            self.discard(session)
        return None

    async def open(self) -> S:
        """Return a new session. Raises what `connect` does."""
        session = await self._connect()
        self._born[session] = self._clock()
        return session

    def give_back(self, session: S) -> None:
        """Keep a session for the next message, where it can be used once more."""
        now = self._clock()
        if self._closed or not session.usable or self._is_old(session, now) or len(self._idle) >= MOST_IDLE:
            self.discard(session)
            return
        self._idle.append((session, now))
        self._expire_later()

    def discard(self, session: S) -> None:
        """End a session."""
        self._born.pop(session, None)
        session.close()

    async def close(self) -> None:
        """End those that are idle, and wait for that; those in use end when they are given back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        idle, self._idle = [session for session, _ in self._idle], []
        for session in idle:
            self.discard(session)
        await asyncio.gather(*[session.ended() for session in idle])

    def _is_old(self, session: S, idle_since: float) -> bool:
        now = self._clock()
        return now - idle_since >= IDLE_SECONDS or now - self._born.get(session, now) >= LIFE_SECONDS

    def _expire_later(self) -> None:
        if self._timer is None and self._idle:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire)

    def _expire(self) -> None:
        self._timer = None
        kept = []
        for session, since in self._idle:
            if session.usable and not self._is_old(session, since):
                kept.append((session, since))
            else:
                self.discard(session)
        self._idle = kept
        self._expire_later()
