"""Which certificates of other sides are trusted."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache


class BadCa(ValueError):  # noqa: N818 - what it is
    """A CA bundle that cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How the other side of a connection proves who it is."""

    context: ssl.SSLContext
    server_name: str  # as written: what its certificate must be for, and SNI


def context(ca: bytes | None, *, public: bool = False) -> ssl.SSLContext:
    """Return what verifies other sides by these CA certificates, PEM; by the system's public ones where None.

    With `public` by both. Blocks: it may read files. Raises BadCa.
    """
    if ca is None:
        return _public()
    made = _empty()
    if public:
        made.load_default_certs()
    try:
        made.load_verify_locations(cadata=pem(ca).decode())
    except (ssl.SSLError, ValueError) as error:
        raise BadCa("holds no PEM certificates that can be read") from error
    return made


def pem(ca: bytes) -> bytes:
    """Return a CA bundle without what is not ASCII: comments may be in any encoding, certificates are in PEM."""
    return ca.decode("ascii", "ignore").encode()


@cache  # one for all destinations: each would take 30 ms to load, and hold 800 KiB
def _public() -> ssl.SSLContext:
    made = _empty()
    made.load_default_certs()
    return made


def _empty() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it verifies, the name too
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made
