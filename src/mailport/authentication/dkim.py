"""PURE. Did this domain sign this message? DKIM's verification (RFC 6376 §6).

A signature is read, its key is asked for, and it is judged once the body's hash is known: three steps, since the body
may still be coming in while the key is asked for.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

from mailport.address.mail_address import domain_key
from mailport.authentication import keys, tags
from mailport.authentication.fields import TOO_MANY, Field, Fields, without_signature
from mailport.authentication.keys import Algorithm, Key, NoKey
from mailport.authentication.result import Result

FIELD = b"dkim-signature"
MAX_SIGNATURES = 10  # of a message that are looked at, from its top
MAX_SIGNED = 1000  # fields that one signature names
_MAX_DOMAIN = 254  # characters of a domain name, its last dot included; U-labels have fewer than A-labels
_MAX_SHOWN = 320  # characters of a=, and of i=, which is an address, that a result tells

ALGORITHMS = {"rsa-sha256": Algorithm.RSA, "ed25519-sha256": Algorithm.ED25519}
_FORMS = {  # c=: whether header and body are relaxed (§3.5)
    "simple": (False, False),
    "relaxed": (True, False),
    "simple/simple": (False, False),
    "simple/relaxed": (False, True),
    "relaxed/simple": (True, False),
    "relaxed/relaxed": (True, True),
}


class DkimResult(NamedTuple):
    """What one signature says."""

    result: Result
    domain: str  # d=, in A-labels; what can be read of it where the signature is faulty, like the next three
    selector: str  # s=
    algorithm: str  # a=
    signature: str  # b=, its first characters: they tell signatures apart (RFC 6008)
    identity: str  # i=, as written; empty where it is not
    testing: bool  # the key says t=y
    why: str  # for people


class Signature(NamedTuple):
    """A signature that can be verified once its key and the body's hash are known."""

    field: Field
    about: DkimResult  # what its result will say of it
    algorithm: Algorithm
    domain: str
    selector: str
    value: bytes
    body_hash: bytes
    names: tuple[bytes, ...]  # of the signed fields, in lower case
    relaxed_header: bool
    relaxed_body: bool
    identity_domain: str  # of i=, in A-labels
    expires: int | None  # seconds since 1970


def signatures(fields: Fields) -> list[Signature | DkimResult]:
    """Read the message's signatures, at most MAX_SIGNATURES; a result in the place of one that cannot be verified."""
    found = [read(field) for field in fields.named(FIELD)[:MAX_SIGNATURES]]
    if fields.too_many:  # there may be more of them
        found = found or [_NOTHING_KNOWN]
        return [(one.about if isinstance(one, Signature) else one)._replace(why=TOO_MANY) for one in found]
    return found


def read(field: Field) -> Signature | DkimResult:
    """Read a signature (§6.1.1)."""
    try:
        values = tags.parse(field.body)
    except tags.TagFault as fault:
        return _NOTHING_KNOWN._replace(why=f"the signature: {fault}")
    about = described(values)
    try:
        return _signature(field, values, about)
    except tags.TagFault as fault:
        return about._replace(why=f"the signature: {fault}")


_NOTHING_KNOWN = DkimResult(Result.PERMERROR, "", "", "", "", "", testing=False, why="")


def described(values: dict[str, str]) -> DkimResult:
    """Return what can be read of a signature, for its result."""
    return DkimResult(
        result=Result.PERMERROR,
        domain=as_domain(values.get("d", "")),
        selector=as_domain(values.get("s", "")),
        algorithm=values.get("a", "")[:_MAX_SHOWN].lower(),
        signature=tags.without_folding(values.get("b", ""))[:8],
        identity=values.get("i", "")[:_MAX_SHOWN],
        testing=False,
        why="",
    )


def _signature(field: Field, values: dict[str, str], about: DkimResult) -> Signature | DkimResult:
    if values.get("v", "") != "1":
        return about._replace(why="the signature's version is not 1" if "v" in values else "the signature has no v=")
    if "@" not in values.get("i", "@"):
        return about._replace(why="i= is no address")
    identity_domain = as_domain(values["i"].rpartition("@")[2]) if "i" in values else about.domain
    if identity_domain != about.domain and not identity_domain.endswith(f".{about.domain}"):
        return about._replace(why="i= is not of the domain d=")
    if "dns/txt" not in tags.words(values.get("q", "dns/txt")):
        return about._replace(why="q= names no supported query method")
    signature = over_message(field, {"c": "simple/simple", **values}, about, identity_domain)
    if isinstance(signature, Signature) and b"from" not in signature.names:
        return about._replace(why="From is not signed")
    if isinstance(signature, Signature) and "l" in values:
        return about._replace(result=Result.POLICY, why="l=: a part of the body is not signed")
    return signature


def over_message(
    field: Field, values: dict[str, str], about: DkimResult, identity_domain: str
) -> Signature | DkimResult:
    """Read what a signature of DKIM and one of ARC have in common. Raises TagFault.

    Without c= it is relaxed/relaxed, as ARC's published suite has it.
    """
    for name in ("a", "b", "bh", "d", "s"):
        if not values.get(name):
            return about._replace(why=f"the signature has no {name}=")
    if "h" not in values:
        return about._replace(why="the signature has no h=")
    if not about.domain or not about.selector:
        return about._replace(why="d= or s= is no domain name")
    algorithm = ALGORITHMS.get(about.algorithm)
    if algorithm is None:  # rsa-sha1 too, which has permanently failed (RFC 8301 §3.1)
        return about._replace(why=f"the algorithm {about.algorithm} is not accepted")
    forms = _FORMS.get(tags.without_folding(values.get("c", "relaxed/relaxed")).lower())
    if forms is None:
        return about._replace(why="c= is no canonicalization")
    if values["h"].count(":") >= MAX_SIGNED:
        return about._replace(why=f"more than {MAX_SIGNED} fields are signed")
    names = tuple(word.encode() for word in tags.words(values["h"]))
    signed_at = tags.number(values["t"], "t") if "t" in values else None
    expires = tags.number(values["x"], "x") if "x" in values else None
    if signed_at is not None and expires is not None and expires <= signed_at:
        return about._replace(why="x= is not after t=")
    return Signature(
        field=field,
        about=about,
        algorithm=algorithm,
        domain=about.domain,
        selector=about.selector,
        value=tags.base64(values["b"], "b"),
        body_hash=tags.base64(values["bh"], "bh"),
        names=names,
        relaxed_header=forms[0],
        relaxed_body=forms[1],
        identity_domain=identity_domain,
        expires=expires,
    )


def judge(signature: Signature, key: Key | NoKey, fields: Fields, body_hash: bytes, now: int) -> DkimResult:
    """Verify a signature (§6.1.3). `body_hash` is the whole body's, in the form that the signature asks for.

    `now` is in seconds since 1970.
    """
    about = signature.about
    if signature.expires is not None and signature.expires < now:
        return about._replace(why="the signature has expired")
    if isinstance(key, NoKey):
        return about._replace(result=key.result, why=key.why)
    if key.testing:
        about = about._replace(testing=True)
    if key.strict and signature.identity_domain != signature.domain:
        return about._replace(why="i= is below the domain d=, which the key does not allow")
    if signature.body_hash != body_hash:
        return about._replace(result=Result.FAIL, why="the body has been changed")
    if not keys.verifies(key, signature.value, header_digest(signature, fields)):
        return about._replace(result=Result.FAIL, why="the signature does not match the header section, or the key")
    return about._replace(result=Result.PASS, why="verified")


def header_digest(signature: Signature, fields: Fields) -> bytes:
    """Return the hash that is signed: of the named fields and of the signature without its value (§3.7)."""
    relaxed = signature.relaxed_header
    hashed = hashlib.sha256(fields.signed(signature.names, relaxed=relaxed, own=signature.field))
    hashed.update(without_signature(signature.field, relaxed=relaxed))
    return hashed.digest()


def as_domain(text: str) -> str:
    """Return a domain in A-labels and lower case; empty where it is none. U-labels may stand there (RFC 8616 §4)."""
    return _as_domain(text) if len(text) <= _MAX_DOMAIN else ""


@lru_cache(maxsize=1024)  # the same signers come again
def _as_domain(text: str) -> str:
    try:
        return "" if text.startswith("[") else domain_key(text.removesuffix("."))
    except ValueError:
        return ""
