"""PURE. Signatures of Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks): HMAC-SHA256."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator

_PREFIX = b"whsec_"
_FEWEST, _MOST = 24, 64  # octets of a key, as the specification wants them
_MOST_KEYS = 8


class BadKeys(ValueError):  # noqa: N818 - what they are
    """Keys that cannot be used, and why; the text holds nothing of them."""


class Keys:
    """The keys that requests are signed with: several while one takes the other's place."""

    __slots__ = ("_keys",)

    def __init__(self, secret: bytes) -> None:
        """Read a Secret's value: a key a line, in base64, with or without `whsec_` in front. Raises BadKeys."""
        lines = secret.split()
        if not 1 <= len(lines) <= _MOST_KEYS:
            raise BadKeys(f"{len(lines)} keys; there must be 1 to {_MOST_KEYS}, one a line")
        self._keys = [_key(line, number) for number, line in enumerate(lines, start=1)]

    def __repr__(self) -> str:
        return f"Keys({len(self._keys)})"

    def signing(self, message_id: str, timestamp: int) -> Signing:
        """Begin the signature of a request; `timestamp` is seconds since 1970."""
        return Signing(self._keys, f"{message_id}.{timestamp}.".encode())


class Signing:
    """A signature that is being computed, over a body that comes in pieces."""

    __slots__ = ("_hashes",)

    def __init__(self, keys: Iterable[bytes], begin: bytes) -> None:
        self._hashes = [hmac.new(key, begin, "sha256") for key in keys]

    def update(self, piece: bytes | bytearray) -> None:
        """Take the next piece of the body."""
        for one in self._hashes:
            one.update(piece)

    def value(self) -> str:
        """Return the value of webhook-signature: one signature a key."""
        return " ".join(f"v1,{b64encode(one.digest()).decode()}" for one in self._hashes)


def fields(message_id: str, timestamp: int, signing: Signing | None) -> Iterator[tuple[str, str]]:
    """Return the header fields of a request, whose whole body `signing` has taken; None where there are no keys."""
    yield "webhook-id", message_id
    yield "webhook-timestamp", str(timestamp)
    if signing is not None:
        yield "webhook-signature", signing.value()


def _key(line: bytes, number: int) -> bytes:
    try:
        key = b64decode(line.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKeys(f"key {number} is not base64") from error
    if not _FEWEST <= len(key) <= _MOST:
        raise BadKeys(f"key {number} has {len(key)} octets; it must have {_FEWEST} to {_MOST}")
    return key
