"""Reading a message at the client's pace, and how slow that may be."""

from __future__ import annotations

from collections.abc import Callable

from mailport.listener.wire import Wire
from mailport.model import Limits
from mailport.policy import limits


class TooSlow(Exception):  # noqa: N818 - what the client is
    """Message data comes slower than minDataRate."""


class Reader:
    """Reads one message, in however many chunks, and times it: what a destination takes does not count."""

    __slots__ = ("_clock", "_limits", "_octets", "_seconds", "_wire")

    def __init__(self, wire: Wire, bounds: Limits, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._limits = bounds
        self._clock = clock
        self._octets = 0
        self._seconds = 0.0

    async def read(self, most: int = 0) -> bytes:
        """Return the next piece: an octet at least, `most` at most where given. Raises Closed, TimedOut, TooSlow."""
        wire = self._wire
        if wire.pending:
            data = await wire.read(most)
        else:
            wire.set_deadline(self._limits.data_timeout_seconds)
            began = self._clock()
            data = await wire.read(most)
            self._seconds += self._clock() - began
        self._octets += len(data)
        self._judge()
        return data

    def waited(self, seconds: float) -> None:
        """Count the time that the client took for its next BDAT. Raises TooSlow."""
        self._seconds += seconds
        self._judge()

    def _judge(self) -> None:
        if limits.too_slow(self._octets, self._seconds, self._limits.min_data_rate):
            raise TooSlow
