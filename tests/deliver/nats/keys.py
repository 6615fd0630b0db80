"""Keys of NATS' and what is signed with them: an operator, an account, a user (github.com/nats-io/jwt, version 2)."""

from __future__ import annotations

import json
import time
from base64 import b32encode, urlsafe_b64encode
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_SEED = 18 << 3
_KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
_NO_LIMITS = dict.fromkeys(
    (
        "subs",
        "data",
        "payload",
        "imports",
        "exports",
        "conn",
        "leaf",
        "mem_storage",
        "disk_storage",
        "streams",
        "consumer",
    ),
    -1,
)


@dataclass(frozen=True)
class Key:
    kind: str
    private: Ed25519PrivateKey

    @classmethod
    def make(cls, kind: str) -> Key:
        return cls(kind, Ed25519PrivateKey.generate())

    @property
    def public(self) -> str:
        raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _encode(bytes((_KINDS[self.kind],)) + raw)

    @property
    def seed(self) -> bytes:
        kind = _KINDS[self.kind]
        raw = self.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return _encode(bytes((_SEED | kind >> 5, (kind & 31) << 3)) + raw).encode()

    def signed(self, subject: Key, name: str, claims: dict[str, Any]) -> str:
        """Return a JWT about another key, or this one."""
        body = {
            "jti": name,
            "iat": int(time.time()),
            "iss": self.public,
            "name": name,
            "sub": subject.public,
            "nats": {**claims, "type": subject.kind, "version": 2},
        }
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
        text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_base64(self.private.sign(text.encode()))}"


@dataclass(frozen=True)
class Account:
    """A server that believes an operator, and what a user of its one account logs in with."""

    options: dict[str, Any]
    creds: bytes


def account() -> Account:
    operator, system, mail, user = (Key.make(kind) for kind in ("operator", "account", "account", "user"))
    limits = {"limits": {**_NO_LIMITS, "wildcards": True}}
    options = {
        "operator": operator.signed(operator, "operator", {}),
        "system_account": system.public,
        "resolver": "MEMORY",
        "resolver_preload": {
            system.public: operator.signed(system, "SYS", {"limits": {"subs": -1, "conn": -1, "wildcards": True}}),
            mail.public: operator.signed(mail, "MAIL", limits),
        },
    }
    jwt = mail.signed(user, "mailport", {"subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}})
    creds = (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return Account(options, creds.encode())


def _encode(raw: bytes) -> str:
    return b32encode(raw + crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _base64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")
