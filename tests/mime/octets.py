"""A message in memory, to be read by its place."""

from __future__ import annotations


class Octets:
    """A source in memory."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._octets)

    def read(self, start: int, stop: int) -> bytes:
        """Return those from `start` up to `stop`."""
        return self._octets[start:stop]
