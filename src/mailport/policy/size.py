"""PURE. How large may a message be? In octets as RFC 1870 §5 counts them: with CRLFs, without stuffed dots."""

from __future__ import annotations

_MIN_DROP = 64 * 1024 * 1024


def enforced(advertised: int, enforce: bool) -> int:
    """Return the limit that messages are held to; 0 is none."""
    return advertised if enforce else 0


def drop_limit(limit: int) -> int:
    """Return how much of a message that is too large is read and dropped before the connection ends.

    A client whose message is read to its end gets its 552, and the session goes on. That is worth four times the limit;
    a client that sends more is cut off.
    """
    return max(4 * limit, _MIN_DROP)
