"""How a client proves to NATS who it is: a password, a token, or a signature by an nkey, with a JWT or without.

nkeys (Ed25519) are read here: a library for them would bring a second implementation of that.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode, b64encode
from binascii import Error, crc_hqx
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailport.deliver.secret_values import BadCredentials, without_line_end

_PARTS = re.compile(
    rb"-----BEGIN ([A-Z ]+)-----\s*([A-Za-z0-9_.=-]+)\s*------?END \1------?"  # NATS writes six hyphens at the end
)
_SEED, _USER = 18 << 3, 20 << 3  # the first letters S and U (github.com/nats-io/nkeys)


class Nkey:
    """A user's key: it signs what the server hands out."""

    def __init__(self, seed: bytes) -> None:
        """Read a seed, `SU…`. Raises BadCredentials."""
        try:
            raw = b32decode(seed.strip() + b"=" * (-len(seed.strip()) % 8))
        except (Error, ValueError) as error:
            raise BadCredentials("the nkey's seed is not base32") from error
        if len(raw) != 36 or crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
            raise BadCredentials("the nkey's seed is truncated, or its checksum is wrong")
        kind = (raw[0] & 0b111) << 5 | raw[1] >> 3
        if raw[0] & 0b11111000 != _SEED or kind != _USER:
            raise BadCredentials("the nkey is not a user's seed, which begins with SU")
        self._key = Ed25519PrivateKey.from_private_bytes(raw[2:-2])

    def __repr__(self) -> str:
        return f"Nkey({self.public})"

    @property
    def public(self) -> str:
        """The public key, `U…`."""
        raw = bytes((_USER,)) + self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return b32encode(raw + crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")

    def sign(self, nonce: str) -> bytes:
        """Sign, in base64."""
        return b64encode(self._key.sign(nonce.encode()))


@dataclass(frozen=True, slots=True)
class Login:
    """One of: nothing, user and password, a token, an nkey, an nkey with a JWT."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey: Nkey | None = None
    jwt: bytes | None = field(default=None, repr=False)


def read(values: Mapping[str, bytes]) -> Login:
    """Read a Secret: `creds`, else `nkey`, else `token`, else `username` and `password`. Raises BadCredentials."""
    if "creds" in values:
        parts = dict(_PARTS.findall(values["creds"]))
        if b"NATS USER JWT" not in parts or b"USER NKEY SEED" not in parts:
            raise BadCredentials("creds has no NATS USER JWT, or no USER NKEY SEED")
        return Login(nkey=Nkey(parts[b"USER NKEY SEED"]), jwt=parts[b"NATS USER JWT"])
    if "nkey" in values:
        return Login(nkey=Nkey(values["nkey"]))
    texts = {key: _text(key, value) for key, value in values.items()}
    if "token" in texts:
        return Login(token=texts["token"])
    return Login(user=texts["username"], password=texts["password"])


def _text(key: str, value: bytes) -> str:
    try:
        text = without_line_end(value).decode()
    except UnicodeDecodeError as error:
        raise BadCredentials(f"{key} is not UTF-8") from error
    if not text or not text.isprintable():
        raise BadCredentials(f"{key} is empty, or has a control character in it")
    return text
