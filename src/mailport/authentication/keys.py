"""PURE. The public keys that domains publish for their signatures (RFC 6376 §3.6, RFC 8463 §3)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailport.authentication import tags
from mailport.authentication.dns import Answer, Asking, Question, RecordType, is_name
from mailport.authentication.kept import kept
from mailport.authentication.result import Result

_PADDING, _HASHED = PKCS1v15(), Prehashed(SHA256())  # of rsa-sha256

MIN_RSA_BITS, MAX_RSA_BITS = 1024, 8192  # RFC 8301 §3.2; a longer one serves to cost time
MAX_EXPONENT_BITS = 64  # of an RSA key: 17 is usual, and one as long as the key makes a check cost ten times as much


class Algorithm(StrEnum):
    """The signature algorithms that are verified (RFC 8301 §3.1, RFC 8463 §3)."""

    RSA = "rsa"
    ED25519 = "ed25519"


class Key(NamedTuple):
    """A key that may be used."""

    public: RSAPublicKey | Ed25519PublicKey
    strict: bool  # t=s: the identity's domain is the signing domain itself
    testing: bool  # t=y: the domain tries signatures out


class NoKey(NamedTuple):
    """Why there is none."""

    result: Result
    why: str


def ask(selector: str, domain: str, algorithm: Algorithm) -> Asking[Key | NoKey]:
    """Ask for a signature's key (RFC 6376 §6.1.2). That it cannot be fetched is not that there is none."""
    name = f"{selector}._domainkey.{domain}"
    if not is_name(name):
        return NoKey(Result.PERMERROR, f"{name} is no name")
    answer = yield Question(name, RecordType.TXT)
    return _chosen(answer, name, algorithm)


def _chosen(answer: Answer, name: str, algorithm: Algorithm) -> Key | NoKey:
    if answer.failed:
        return NoKey(Result.TEMPERROR, f"{name} TXT: {answer.status}")
    if not answer.texts:
        return NoKey(Result.PERMERROR, f"no key at {name}")
    found = [_read(text, algorithm) for text in answer.texts[:_MAX_RECORDS]]
    usable = (key for key in found if isinstance(key, Key))
    key = next(usable, found[0])  # of several records, which there should not be (§3.6.2.2), the first that is a key
    return key._replace(why=f"{name}: {key.why}") if isinstance(key, NoKey) else key


_MAX_RECORDS = 4


@kept(1024)  # reading a key costs as much as using it, and the same senders come again
def _read(record: bytes, algorithm: Algorithm) -> Key | NoKey:
    """Read a key record (§3.6.1)."""
    try:
        values = tags.parse(record)
        if "v" in values and (values["v"] != "DKIM1" or next(iter(values)) != "v"):
            return NoKey(Result.PERMERROR, "the record's version is not DKIM1")
        if "p" not in values:
            return NoKey(Result.PERMERROR, "the record has no p=")
        if not values["p"]:
            return NoKey(Result.PERMERROR, "the key has been revoked")
        if values.get("k", Algorithm.RSA).lower() != algorithm:
            return NoKey(Result.PERMERROR, f"the key is not for {algorithm}")
        if "h" in values and "sha256" not in tags.words(values["h"]):
            return NoKey(Result.PERMERROR, "the key is not for sha256")
        if not {"*", "email"} & set(tags.words(values.get("s", "*"))):
            return NoKey(Result.PERMERROR, "the key is not for email")
        public = _public(tags.base64(values["p"], "p"), algorithm)
    except tags.TagFault as fault:
        return NoKey(Result.PERMERROR, f"the record: {fault}")
    if isinstance(public, NoKey):
        return public
    flags = tags.words(values.get("t", ""))
    return Key(public, strict="s" in flags, testing="y" in flags)


def _public(data: bytes, algorithm: Algorithm) -> RSAPublicKey | Ed25519PublicKey | NoKey:
    try:
        if algorithm is Algorithm.ED25519:
            return Ed25519PublicKey.from_public_bytes(data)
        public = load_der_public_key(data)  # SubjectPublicKeyInfo, or RSAPublicKey
    except (ValueError, UnsupportedAlgorithm):
        return NoKey(Result.PERMERROR, "the key cannot be read")
    if not isinstance(public, RSAPublicKey):
        return NoKey(Result.PERMERROR, "the key is not for rsa")
    if public.key_size < MIN_RSA_BITS:
        return NoKey(Result.POLICY, f"a key of {public.key_size} bits, under {MIN_RSA_BITS}")
    if public.key_size > MAX_RSA_BITS:
        return NoKey(Result.POLICY, f"a key of {public.key_size} bits, over {MAX_RSA_BITS}")
    if public.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        return NoKey(Result.POLICY, f"a key with an exponent of more than {MAX_EXPONENT_BITS} bits")
    return public


def verifies(key: Key, signature: bytes, digest: bytes) -> bool:
    """Whether a signature is this key's over a SHA-256 digest."""
    public = key.public
    try:
        if isinstance(public, RSAPublicKey):
            public.verify(signature, digest, _PADDING, _HASHED)
        else:
            public.verify(signature, digest)  # the digest is what is signed (RFC 8463 §3)
    except InvalidSignature:
        return False
    return True
