"""PURE. How large may a message be? In octets as RFC 1870 §5 counts them: with CRLFs, without stuffed dots."""

from __future__ import annotations

_MIN_DROP = 64 * 1024 * 1024


def enforced(advertised: int, enforce: bool) -> int:
    """Return the limit that messages are held to; 0 is none."""
    return advertised if enforce else 0


def drop_limit(limit: int) -> int:
    """Return how much of a message that is too large is read and dropped before the connection ends.

    Dropping lets the client hear its 552 and go on. Four times the limit is a sender that misjudged; more is one that
    does not listen.
    """
    return max(4 * limit, _MIN_DROP)
