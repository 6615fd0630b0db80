"""PURE. What did those who passed this message on see? ARC's verification (RFC 8617 §5.2). It is reported, no more.

Each hop adds a set of three fields: what it saw, a signature over the message as it passed it on, and a seal over all
the sets so far. The chain passes where the last message signature and all seals verify.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from mailport.authentication import dkim, keys, tags
from mailport.authentication.dkim import Signature
from mailport.authentication.dns import Asking
from mailport.authentication.fields import TOO_MANY, Field, Fields, relaxed_field, without_signature
from mailport.authentication.keys import Algorithm, Key, NoKey
from mailport.authentication.result import Result

MAX_SETS = 50  # RFC 8617 §4.2.1
_RESULTS, _SIGNATURE, _SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_COMMENT = rb"\((?:[^()\\]|\\.)*+\)"  # a comment in a comment has no place in front of a number
_CFWS = rb"(?:[ \t\r\n]|%s)*+" % _COMMENT
_INSTANCE = re.compile(_CFWS + _CFWS.join((rb"i", rb"=", rb"(0?[1-9]|[1-9][0-9])", rb";")), re.DOTALL)  # §4.2.1


class ArcResult(NamedTuple):
    """What the chain says."""

    result: Result  # none, pass, fail, temperror
    domain: str  # of the last seal; empty where there is none, or it cannot be read
    sets: int
    why: str  # for people


class _Seal(NamedTuple):
    field: Field
    domain: str
    selector: str
    algorithm: Algorithm
    value: bytes
    cv: str


class _Set(NamedTuple):
    results: Field
    signature: Field
    seal: _Seal


class Chain(NamedTuple):
    """A chain that can be verified once its keys and the body's hash are known."""

    sets: tuple[_Set, ...]  # from the first hop on
    last: Signature


class _Fault(ValueError):  # noqa: N818 - it is the result
    """The chain fails."""


def read(fields: Fields) -> Chain | ArcResult:
    """Read the message's chain (§5.2, steps 1 to 3)."""
    by_kind = [fields.named(kind) for kind in (_RESULTS, _SIGNATURE, _SEAL)]
    count = max(map(len, by_kind))
    if fields.too_many:  # there may be more of it
        return ArcResult(Result.FAIL, "", count, TOO_MANY)
    if not count:
        return ArcResult(Result.NONE, "", 0, "no chain")
    sets: tuple[_Set, ...] = ()
    try:
        sets = _sets(by_kind, count)
        _check_validation(sets)
        return Chain(sets, _message_signature(sets[-1].signature))
    except (_Fault, tags.TagFault) as fault:
        return ArcResult(Result.FAIL, sets[-1].seal.domain if sets else "", count, str(fault))


def _sets(by_kind: list[list[Field]], count: int) -> tuple[_Set, ...]:
    """Return the sets, from the first hop on (§5.2, step 2)."""
    if count > MAX_SETS or {len(some) for some in by_kind} != {count}:
        raise _Fault(f"ARC sets are incomplete, or more than {MAX_SETS}")
    results = _by_instance([(_instance_of_results(field), field) for field in by_kind[0]])
    signatures = _by_instance([(_instance(tags.parse(field.body)), field) for field in by_kind[1]])
    seals = _by_instance([(_instance(tags.parse(field.body)), field) for field in by_kind[2]])
    return tuple(
        _Set(results[instance], signatures[instance], _seal(seals[instance])) for instance in range(1, count + 1)
    )


def _check_validation(sets: tuple[_Set, ...]) -> None:
    """Look whether each hop says that the chain was good when it came there (§5.2, step 3)."""
    for instance, one in enumerate(sets, 1):
        if one.seal.cv != ("none" if instance == 1 else "pass"):
            raise _Fault(f"set {instance} says cv={one.seal.cv[:20]}")


def _by_instance(numbered: list[tuple[int, Field]]) -> dict[int, Field]:
    fields = dict(numbered)
    if sorted(fields) != list(range(1, len(numbered) + 1)):
        raise _Fault("the sets are not numbered one by one")
    return fields


def _instance_of_results(field: Field) -> int:
    match = _INSTANCE.match(field.body)
    if match is None:
        raise _Fault("ARC-Authentication-Results without a number")
    return int(match[1])


def _instance(values: dict[str, str]) -> int:
    return tags.number(values.get("i", ""), "i")


def _seal(field: Field) -> _Seal:
    """Read a seal (§4.1.3)."""
    values = tags.parse(field.body)
    about = dkim.described(values)
    algorithm = dkim.ALGORITHMS.get(about.algorithm)
    if missing := [name for name in ("a", "b", "cv", "d", "s") if not values.get(name)]:
        raise _Fault(f"a seal has no {missing[0]}=")
    if "h" in values or algorithm is None or not about.domain or not about.selector:
        raise _Fault("the seal has h=, an unsupported algorithm, or an invalid domain or selector")
    if "t" in values:
        tags.number(values["t"], "t")
    value = tags.base64(values["b"], "b")
    return _Seal(field, about.domain, about.selector, algorithm, value, values["cv"].lower())


def _message_signature(field: Field) -> Signature:
    values = tags.parse(field.body)
    about = dkim.described(values)
    signature = dkim.over_message(field, values, about, about.domain)
    if not isinstance(signature, Signature):
        raise _Fault(signature.why)
    if _SEAL in signature.names:
        raise _Fault("the message signature covers a seal")
    return signature


def ask(chain: Chain) -> Asking[tuple[Key | NoKey, ...]]:
    """Ask for the keys: the message signature's, and each seal's from the first hop on."""
    last = chain.last
    found = [(yield from keys.ask(last.selector, last.domain, last.algorithm))]
    for one in chain.sets:
        found.append((yield from keys.ask(one.seal.selector, one.seal.domain, one.seal.algorithm)))  # noqa: PERF401
    return tuple(found)


def judge(chain: Chain, found: tuple[Key | NoKey, ...], fields: Fields, body_hash: bytes, now: int) -> ArcResult:
    """Verify a chain (§5.2, steps 4 to 6). `body_hash` is of the form that `chain.last` asks for."""
    domain, count = chain.sets[-1].seal.domain, len(chain.sets)
    for key in found:
        if isinstance(key, NoKey):
            result = Result.TEMPERROR if key.result is Result.TEMPERROR else Result.FAIL
            return ArcResult(result, domain, count, key.why)
    signed = dkim.judge(chain.last, found[0], fields, body_hash, now)
    if signed.result is not Result.PASS:
        return ArcResult(Result.FAIL, domain, count, f"the last message signature: {signed.why}")
    hashed = hashlib.sha256()
    for instance, (one, key) in enumerate(zip(chain.sets, found[1:], strict=True), 1):
        hashed.update(_line(one.results) + _line(one.signature))
        sealed = hashed.copy()
        sealed.update(without_signature(one.seal.field, relaxed=True))
        if isinstance(key, NoKey) or not keys.verifies(key, one.seal.value, sealed.digest()):
            return ArcResult(Result.FAIL, domain, count, f"seal {instance} does not match")
        hashed.update(_line(one.seal.field))
    return ArcResult(Result.PASS, domain, count, f"{count} sets verified")


def _line(field: Field) -> bytes:
    return relaxed_field(field.name, field.body) + b"\r\n"
