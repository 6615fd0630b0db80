"""Claim checks: what is too large for the stream is put into an object store, and the message, empty, names the object.

An object that no message names is taken back: at once, else when there is a connection again. Which these are is known
only of deliveries of this process: a message may have been moved to any stream, so nobody can see of an object that is
found in the store whether something names it. What a process that died left there, the store's own TTL takes away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mailport.deliver.destination import MISCONFIGURED, NotDurable, Unavailable
from mailport.deliver.nats import stream
from mailport.deliver.nats.stream import Stream

if TYPE_CHECKING:  # imports nats-py, an optional extra
    from mailport.deliver.nats.session import Session

MOST_LEFT = 1000  # names that are kept for later; of more than that the oldest are the TTL's


class Claims:
    """The object store of a route, and what of ours is there that no message names."""

    def __init__(self, store: str, seconds: float) -> None:
        """`seconds` are what one request may take."""
        self._store = store
        self._seconds = seconds
        self._settings: Stream | None = None  # of the stream that keeps the objects, once that was looked at
        self._fault: Unavailable | None = None  # why it could not be looked at
        self._left: deque[str] = deque(maxlen=MOST_LEFT)

    @property
    def left(self) -> int:
        """How many objects are still to be taken back."""
        return len(self._left)

    @property
    def not_durable(self) -> tuple[NotDurable, ...]:
        """What of the store's settings speaks against it, once they have been looked at."""
        found = self._settings.not_durable if self._settings is not None else ()
        return tuple(NotDurable(one.reason, f"object store {self._store}: {one.message}") for one in found)

    async def look(self, session: Session) -> None:
        """Look at the store's settings. A fault is kept: it holds up large messages alone. Raises ConnectionLost."""
        try:
            self._settings, self._fault = stream.read(await session.stream_info(f"OBJ_{self._store}")), None
        except Unavailable as error:
            self._settings, self._fault = None, self._in_store(error)

    def must_be_fit(self) -> None:
        """Raise Unavailable where no 250 can rest on an object of this store."""
        if self._fault is not None:
            raise self._fault.again()
        if self._settings is not None and self._settings.why_not:
            why = f"object store {self._store}: {self._settings.why_not}"
            raise Unavailable(why, reason=MISCONFIGURED)

    async def put(self, session: Session, name: str, content: Iterator[bytes | bytearray]) -> dict[str, str]:
        """Put an object, by a name that no other delivery has; return the headers that name it. Raises Unavailable."""
        self.must_be_fit()
        try:
            largest = self._settings.largest if self._settings is not None else 0
            digest = await session.put(self._store, name, content, self._seconds, largest)
        except BaseException:  # cancelled, too: it may be there, and nothing will name it
            self._left.append(name)
            raise
        return {"Mailport-Object-Store": self._store, "Mailport-Object": name, "Mailport-Object-Digest": digest}

    async def take_back(self, session: Session, name: str) -> None:
        """Delete an object that no message names, later where that cannot be done now."""
        await self._delete(session, name)

    async def sweep(self, session: Session) -> None:
        """Delete what is left there, until one cannot be deleted."""
        while self._left and await self._delete(session, self._left.popleft()):
            pass

    def _in_store(self, error: Unavailable) -> Unavailable:
        return Unavailable(f"object store {self._store}: {error}", reason=error.reply.reason)

    async def _delete(self, session: Session, name: str) -> bool:
        deleted = False
        try:
            deleted = await session.delete(self._store, name, self._seconds)
        finally:  # cancelled, too
            if not deleted:
                self._left.append(name)
        return deleted
