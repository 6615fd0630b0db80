"""How often an amount was seen, by its size. Only the event loop counts, so that a message takes no lock for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Amounts, counted by the least bound that each of them does not exceed."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are in ascending order; what exceeds the last is counted too."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, amount: float) -> None:
        """Count an amount."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self.total += amount

    def cumulative(self) -> list[tuple[float, int]]:
        """Return, for each bound and for infinity, how many amounts did not exceed it. For any thread."""
        return list(zip((*self._bounds, float("inf")), accumulate(self._counts.copy()), strict=True))
