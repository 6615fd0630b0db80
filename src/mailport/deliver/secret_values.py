"""PURE. What holds for the values of every destination's Secrets."""

from __future__ import annotations


class BadCredentials(ValueError):  # noqa: N818 - what they are
    """Credentials that cannot be used, and why; the text holds nothing of them."""


def without_line_end(value: bytes) -> bytes:
    """Return a value without the line end that an editor puts behind it, which is no part of it."""
    return value.rstrip(b"\r\n")
