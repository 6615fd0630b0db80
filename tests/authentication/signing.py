"""Messages signed by dkimpy, and the zone with the keys; and what our verification says of a message."""

from __future__ import annotations

from base64 import b64encode
from functools import cache

import dkim as dkimpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mailport.authentication import dkim, keys
from mailport.authentication.body_hash import BodyHash, BodyHashes
from mailport.authentication.dkim import DkimResult, Signature
from mailport.authentication.fields import Fields
from tests.authentication.zones import Zone, answering, run

NOW = 1_780_000_000


@cache
def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


@cache
def ed25519_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def seed(key: Ed25519PrivateKey) -> bytes:
    """An Ed25519 key as dkimpy takes it."""
    return b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def rsa_record(key: RSAPrivateKey, *, pkcs1: bool = False, more: str = "") -> str:
    form = PublicFormat.PKCS1 if pkcs1 else PublicFormat.SubjectPublicKeyInfo
    data = key.public_key().public_bytes(Encoding.DER, form)
    return f"v=DKIM1; k=rsa; {more}p={b64encode(data).decode()}"


def ed25519_record(key: Ed25519PrivateKey, more: str = "") -> str:
    data = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; {more}p={b64encode(data).decode()}"


def zone(**records: str) -> Zone:
    """Keys of example.org by their selectors."""
    return {f"{selector}._domainkey.example.org": [("TXT", record)] for selector, record in records.items()}


def sign(message: bytes, *, form: bytes = b"relaxed/relaxed", **options: object) -> bytes:
    """Sign by dkimpy with the RSA key, selector s, domain example.org; returns the signed message."""
    settings = {"include_headers": [b"from", b"to", b"subject"], **options}
    header, _, body = form.partition(b"/")
    key = settings.pop("key", None) or pem(rsa_key())
    return (
        dkimpy.sign(
            message,
            settings.pop("selector", b"s"),
            settings.pop("domain", b"example.org"),
            key,
            canonicalize=(header, body),
            **settings,
        )
        + message
    )


def sign_ed25519(
    message: bytes,
    key: Ed25519PrivateKey,
    selector: str = "s",
    domain: str = "example.org",
    names: str = "from:subject",
) -> bytes:
    """Sign fields, relaxed/relaxed (RFC 8463 §3). dkimpy would need NaCl for it, which nothing else does."""
    section, body = split(message)
    hashed = BodyHash(relaxed=True)
    hashed.update(body)
    tags = f"v=1; a=ed25519-sha256; c=relaxed/relaxed; d={domain}; s={selector}; h={names}"
    field = f"DKIM-Signature: {tags}; bh={b64encode(hashed.digest()).decode()}; b=".encode()
    unsigned = dkim.read(Fields(field + b"AAAA\r\n").all[0])
    assert isinstance(unsigned, Signature)
    value = key.sign(dkim.header_digest(unsigned, Fields(section)))
    return field + b64encode(value) + b"\r\n" + message


def split(message: bytes) -> tuple[bytes, bytes]:
    """A message's header section and body."""
    if message.startswith(b"\r\n"):
        return b"", message[2:]
    section, _, body = message.partition(b"\r\n\r\n")
    return section + b"\r\n", body


def verify(message: bytes, keys_of: Zone, now: int = NOW, cut: int = 1 << 20) -> list[DkimResult]:
    """What our verification says of each signature."""
    section, body = split(message)
    fields = Fields(section)
    found = dkim.signatures(fields)
    hashes = BodyHashes(one.relaxed_body for one in found if isinstance(one, Signature))
    for at in range(0, len(body), cut):
        hashes.update(body[at : at + cut])
    answer = answering(keys_of)
    return [
        one
        if isinstance(one, DkimResult)
        else dkim.judge(
            one,
            run(keys.ask(one.selector, one.domain, one.algorithm), answer),
            fields,
            hashes.digest(relaxed=one.relaxed_body),
            now,
        )
        for one in found
    ]
