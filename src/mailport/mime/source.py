"""PURE. Octets that are read by their place, a few at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

WINDOW = 256 * 1024  # octets that are read at a time


class Source(Protocol):
    """A message's octets. Lines end in CRLF."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read(self, start: int, stop: int) -> bytes:
        """Return those from `start` up to `stop`, which is not behind the last. May block, and raise OSError."""


class Span(NamedTuple):
    """A piece of a source."""

    start: int
    stop: int

    def pieces(self, source: Source) -> Iterator[bytes]:
        """Yield its octets."""
        for start in range(self.start, self.stop, WINDOW):
            yield source.read(start, min(start + WINDOW, self.stop))

    def matches(
        self, source: Source, pattern: re.Pattern[bytes], longest: int
    ) -> Iterator[tuple[int, re.Match[bytes]]]:
        r"""Yield each match of a pattern, none longer than `longest`, and the place that its start is counted from.

        `\Z` in the pattern is the end of the span.
        """
        for start in range(self.start, self.stop, WINDOW):
            stop = min(start + WINDOW + longest, self.stop)
            for match in pattern.finditer(source.read(start, stop)):
                if match.start() >= WINDOW:
                    break  # the next window's
                yield start, match
