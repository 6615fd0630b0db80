"""Signed messages as nobody writes them, by chance: what implementations of DKIM and ARC are compared on.

Each case has the oddities that it is made of, so that a difference can be told by its cause. Signatures are computed by
our own canonicalization: where that is wrong, the other implementation does not verify them.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from mailport.authentication.body_hash import BodyHash
from mailport.authentication.fields import Fields, relaxed_field, without_signature
from tests.authentication import signing
from tests.authentication.zones import Zone

DOMAIN, SELECTOR = "example.org", "s"
PAST, FUTURE = 1_700_000_000, 4_000_000_000
FORMS = ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "relaxed", "simple", "")


@dataclass
class Case:
    """A message, its key's zone, and what is odd about the two."""

    message: bytes
    zone: Zone
    oddities: set[str]


@cache
def key(kind: str) -> RSAPrivateKey | Ed25519PrivateKey:
    return signing.ed25519_key() if kind == "ed25519" else signing.rsa_key(int(kind))


def signature(kind: str, digest: bytes) -> str:
    private = key(kind)
    if isinstance(private, RSAPrivateKey):
        return b64encode(private.sign(digest, PKCS1v15(), Prehashed(SHA256()))).decode()
    return b64encode(private.sign(digest)).decode()


def body_hash(body: bytes, form: str) -> str:
    hashed = BodyHash(relaxed=form.endswith("/relaxed"))
    hashed.update(body)
    return b64encode(hashed.digest()).decode()


def folded(by: Random, text: str) -> str:
    """A text with white space at a few places: base64, which nothing else may be done to."""
    places = sorted(by.sample(range(1, len(text)), by.choice([0, 0, 1, 3])))
    pieces = [text[at:until] for at, until in zip([0, *places], [*places, len(text)], strict=True)]
    return by.choice([" ", "\r\n\t", "\r\n  "]).join(pieces)


def tag_list(by: Random, tags: dict[str, str]) -> str:
    """The tags in any order, with white space where RFC 6376 §3.2 allows it."""
    names = by.sample(list(tags), len(tags))
    blank = by.choice([("", ""), ("", ""), (" ", " "), ("\r\n\t", " "), ("", "\r\n ")])
    written = [f"{name}{blank[0]}={blank[1]}{tags[name]}" for name in names]
    return by.choice([";", "; ", " ; ", ";\r\n\t"]).join(written) + by.choice(["", ";", " ;"])


def header(by: Random) -> list[str]:
    """Fields that are odd, and legal."""
    words = ["a  b", "x\r\n\ty", " lead", "tail \t", "(c)", "ü", "1;2=3", "long " * 20, "a:b", "\tx"]
    lines = [
        f"{by.choice(['From', 'FROM', 'from'])}:{by.choice(['', ' ', '  '])}anna@{DOMAIN}",
        f"To: {by.choice(words)}",
        f"Subject:{by.choice(words)}",
        f"Date{by.choice(['', '', '', '', ' '])}: Sat, 28 Nov 2026 12:00:00 +0000",
    ]
    lines += [f"{by.choice(['X-A', 'Received', 'Subject', 'To'])}: {by.choice(words)}" for _ in range(by.randrange(4))]
    by.shuffle(lines)
    return lines


def content(by: Random) -> bytes:
    pieces = [b"word", b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b"--", b".", b"\xff", b"=20"]
    text = b"".join(by.choices(pieces, k=by.randrange(14)))
    return text + b"\r\n" if text else by.choice([b"", b"\r\n", b"\r\n\r\n"])


def signed_names(by: Random, lines: list[str]) -> list[str]:
    """Names for h=: fields that are there, some twice, some that are not there."""
    there = [line.partition(":")[0].strip() for line in lines]
    names = [name for name in there if by.random() < 0.8] + by.choices(["From", "Subject", "X-None", "to"], k=1)
    by.shuffle(names)
    return [*names, "From"] if "from" not in [name.lower() for name in names] else names


def odd_tags(by: Random, tags: dict[str, str]) -> set[str]:
    """Change a signature's tags before it is made; return what has been done."""
    done = set()
    choices: dict[str, Callable[[], object]] = {
        "t=": lambda: tags.update(t=str(PAST)),
        "x= to come": lambda: tags.update(x=str(FUTURE)),
        "x= past": lambda: tags.update(x=str(PAST)),
        "x= no number": lambda: tags.update(x="soon"),
        "x= before t=": lambda: tags.update(t=str(PAST), x=str(PAST - 1)),
        "i= of the domain": lambda: tags.update(i=f"anna@{DOMAIN}"),
        "i= below": lambda: tags.update(i=f"@sub.{DOMAIN.upper()}"),
        "i= elsewhere": lambda: tags.update(i="anna@example.net"),
        "i= ends alike": lambda: tags.update(i=f"anna@not{DOMAIN}"),
        "q=": lambda: tags.update(q="dns/txt"),
        "q= of several": lambda: tags.update(q="dns/other : dns/txt"),
        "q= unknown": lambda: tags.update(q="http"),
        "l= of all": lambda: tags.update(l="100000"),
        "l= of a part": lambda: tags.update(l="1"),
        "z=": lambda: tags.update(z="From:anna=40example.org|Subject:x"),
        "unknown tag": lambda: tags.update(foo="bar baz"),
        "v=2": lambda: tags.update(v="2"),
        "no v=": lambda: tags.pop("v"),
        "rsa-sha1": lambda: tags.update(a="rsa-sha1"),
        "A=": lambda: tags.update(a=tags["a"].upper()),
        "C=": lambda: tags.update(c=tags["c"].upper()) if "c" in tags else None,
        "c= unknown": lambda: tags.update(c="nofws/simple"),
        "D=": lambda: tags.update(d=DOMAIN.upper()),
        "From not signed": lambda: tags.update(h="Subject:Date"),
        "no s=": lambda: tags.pop("s"),
        "no d=": lambda: tags.pop("d"),
        "no h=": lambda: tags.pop("h"),
        "no bh=": lambda: tags.pop("bh"),
    }
    for name in by.sample(list(choices), by.choice([0, 0, 0, 1, 1, 2])):
        if not (name.startswith("no ") and name[3:-1] not in tags):
            choices[name]()
            done.add(name)
    return done


def record(by: Random, kind: str) -> tuple[list[str | list[str]], set[str]]:
    """The key's TXT records, and what is odd about them."""
    private = key(kind)
    text = signing.rsa_record(private) if isinstance(private, RSAPrivateKey) else signing.ed25519_record(private)
    public = text.partition("p=")[2]
    algorithm = "rsa" if isinstance(private, RSAPrivateKey) else "ed25519"
    odd = by.choice(list(_RECORDS))
    if by.random() < 0.7:
        return [text], set()
    if odd == "in strings":
        return [[text[at : at + 50] for at in range(0, len(text), 50)]], {odd}
    if odd == "two records":
        return ["hello", text], {odd}
    return [_RECORDS[odd].format(p=public, k=algorithm, blank=f"{public[:20]} {public[20:]}")], {odd}


_RECORDS = {
    "key with blanks": "v=DKIM1; k={k}; p={blank}",
    "key in another order": "v=DKIM1;p={p};n=note;k={k}",
    "key without v=": "k={k}; p={p}",
    "key with v= last": "k={k}; p={p}; v=DKIM1",
    "key of another version": "v=DKIM2; k={k}; p={p}",
    "key for sha256": "v=DKIM1; h=sha1:sha256; k={k}; p={p}",
    "key for sha1": "v=DKIM1; h=sha1; k={k}; p={p}",
    "key for email": "v=DKIM1; s=email; k={k}; p={p}",
    "key for other services": "v=DKIM1; s=other; k={k}; p={p}",
    "key for several services": "v=DKIM1; s=other:email; k={k}; p={p}",
    "strict key": "v=DKIM1; t=s; k={k}; p={p}",
    "testing key": "v=DKIM1; t=y; k={k}; p={p}",
    "unknown tags in the key": "v=DKIM1; k={k}; g=*; foo=bar; p={p}",
    "revoked key": "v=DKIM1; k={k}; p=",
    "no p= in the key": "v=DKIM1; k={k}",
    "key of another kind": "v=DKIM1; k=dsa; p={p}",
    "key that is none": "v=DKIM1; k={k}; p=AAAA",
    "a tag of the key twice": "v=DKIM1; k={k}; p={p}; p={p}",
    "in strings": "",
    "two records": "",
}


def dkim_case(by: Random, kinds: tuple[str, ...] = ("2048", "1024")) -> Case:
    """A message signed once, and then perhaps changed."""
    kind = by.choice(kinds)
    lines, body, form = header(by), content(by), by.choice(FORMS)
    oddities = {"a blank in front of a colon"} if any(" :" in line for line in lines) else set()
    tags = {"v": "1", "a": "ed25519-sha256" if kind == "ed25519" else "rsa-sha256", "d": DOMAIN, "s": SELECTOR}
    tags |= {"c": form} if form else {}
    tags["h"] = by.choice([":", " : ", ":\r\n\t"]).join(signed_names(by, lines))
    tags["bh"] = folded(by, body_hash(body, form))
    oddities |= odd_tags(by, tags)
    tags["b"] = ""
    section = "".join(f"{line}\r\n" for line in lines).encode()
    field = ("DKIM-Signature:" + by.choice([" ", "", "\r\n\t"]) + tag_list(by, tags)).encode()
    oddities |= {"b= right behind the colon"} if field.startswith(b"DKIM-Signature:b") else set()
    read = Fields(field).all[0]
    relaxed = form.startswith("relaxed")
    names = [name.strip().lower().encode() for name in tags.get("h", "").split(":")]
    covered = Fields(section).signed(names, relaxed=relaxed) + without_signature(read, relaxed=relaxed)
    value = folded(by, signature(kind, hashlib.sha256(covered).digest())).encode()
    field = re.sub(rb"((?:^DKIM-Signature:|;)[ \t\r\n]*b[ \t\r\n]*=[ \t\r\n]*)", lambda m: m[1] + value, field, count=1)
    place = by.choice([0, 0, len(lines)])  # on top, or at the bottom
    parts = [f"{line}\r\n".encode() for line in lines]
    parts.insert(place, field + b"\r\n")
    message = b"".join(parts) + b"\r\n" + body
    texts, odd = record(by, kind)
    message, changed = mutated(by, message)
    zone: Zone = {f"{SELECTOR}._domainkey.{DOMAIN}": [("TXT", text) for text in texts]}
    return Case(message, zone, oddities | odd | changed)


def mutated(by: Random, message: bytes) -> tuple[bytes, set[str]]:
    """Change a signed message, or do not; return what has been done."""
    section, _, body = message.partition(b"\r\n\r\n")
    changes: dict[str, Callable[[], bytes]] = {
        "a word of the body": lambda: section + b"\r\n\r\n" + body.replace(b"word", b"sword", 1),
        "blanks in the body": lambda: section + b"\r\n\r\n" + body.replace(b" ", b" \t", 1),
        "blanks at the ends of lines": lambda: section + b"\r\n\r\n" + body.replace(b"\r\n", b" \r\n", 1),
        "empty lines at the end": lambda: message + b"\r\n\r\n",
        "a line at the end": lambda: message + b"x\r\n",
        "no CRLF at the end": lambda: _without_crlf(message),
        "a word of a field": lambda: message.replace(b"Nov", b"Dec", 1),
        "blanks in a field": lambda: message.replace(b"28 Nov", b"28  \tNov", 1),
        "a field folded": lambda: message.replace(b"28 Nov", b"28\r\n Nov", 1),
        "a field's name in capitals": lambda: message.replace(b"Date", b"DATE", 1),
        "a field on top": lambda: b"X-Added: x\r\n" + message,
        "another Subject on top": lambda: b"Subject: other\r\n" + message,
        "another Subject at the bottom": lambda: section + b"\r\nSubject: other\r\n\r\n" + body,
        "another From on top": lambda: b"From: eve@example.net\r\n" + message,
        "a field gone": lambda: re.sub(rb"(?m)^Subject:.*\r\n(?:[ \t].*\r\n)*", b"", message, count=1),
        "a character of b=": lambda: re.sub(rb"(b[ \t\r\n]*=[ \t\r\n]*)(.)", _other, message, count=1),
        "b= that is not base64": lambda: re.sub(rb"(;[ \t\r\n]*b[ \t\r\n]*=)", rb"\1#", message, count=1),
        "b= without its end": lambda: re.sub(rb"(;[ \t\r\n]*b[ \t\r\n]*=[ \t\r\n]*)..", rb"\1", message, count=1),
        "a tag twice": lambda: message.replace(b"DKIM-Signature:", b"DKIM-Signature: a=rsa-sha256;", 1),
        "a tag without a value": lambda: message.replace(b"DKIM-Signature:", b"DKIM-Signature: foo;", 1),
    }
    if by.random() < 0.5:
        return message, set()
    name = by.choice(list(changes))
    return changes[name](), {name}


def _without_crlf(message: bytes) -> bytes:
    """A message without its last CRLF; SMTP has none such, and whether blanks at its end count is anybody's guess."""
    without = message.removesuffix(b"\r\n")
    return message if without.endswith((b" ", b"\t")) else without


def _other(match: re.Match[bytes]) -> bytes:
    return match[1] + (b"A" if match[2] != b"A" else b"B")


def arc_case(by: Random) -> Case:
    """A message that one to three hops have sealed, and that has been changed on the way, or not."""
    lines, body, kind = header(by), content(by), by.choice(["2048", "1024"])
    message = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body
    sets: list[bytes] = []  # each set's three fields, as they are sealed
    oddities = {"a blank in front of a colon"} if any(" :" in line for line in lines) else set()
    count = by.choice([1, 1, 2, 3])
    for instance in range(1, count + 1):
        message, done = _sealed(by, message, sets, instance, kind)
        oddities |= done
        if by.random() < 0.15:
            message, done = mutated(by, message)
            oddities |= done
    if by.random() < 0.15:
        name = by.choice(["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"])
        message = re.sub(rf"(?m)^{name}:.*\r\n(?:[ \t].*\r\n)*".encode(), b"", message, count=1)
        oddities.add(f"{name} gone")
    return Case(message, {f"{SELECTOR}._domainkey.{DOMAIN}": [("TXT", record(Random(0), kind)[0][0])]}, oddities)


def _sealed(by: Random, message: bytes, sets: list[bytes], instance: int, kind: str) -> tuple[bytes, set[str]]:
    section, _, body = message.partition(b"\r\n\r\n")
    section += b"\r\n"
    oddities = set()
    results = f"ARC-Authentication-Results: i={instance}; mx.example.net; spf=pass".encode()
    form = by.choice(["relaxed/relaxed", "relaxed/relaxed", "relaxed/simple", "simple/simple"])
    first = f"i={instance}; "
    if by.random() < 0.1:
        first = by.choice([f"a=rsa-sha256; i={instance}; ", f"i = {instance} ; ", f"i={instance};"])
        oddities.add("i= written otherwise")
    tags = {"c": form, "d": DOMAIN, "s": SELECTOR, "h": "from:subject:date"}
    tags |= {"bh": body_hash(body, form), "b": ""} | ({} if "a=" in first else {"a": "rsa-sha256"})
    if by.random() < 0.1:
        tags["t"] = str(PAST)
    field = f"ARC-Message-Signature: {first}{tag_list(by, tags)}".encode()
    relaxed = form.startswith("relaxed")
    covered = Fields(section).signed([b"from", b"subject", b"date"], relaxed=relaxed)
    covered += without_signature(Fields(field).all[0], relaxed=relaxed)
    signed = _with_value(field, folded(by, signature(kind, hashlib.sha256(covered).digest())))
    chain = "none" if instance == 1 else "pass"
    if by.random() < 0.05:
        chain = by.choice(["none", "pass", "fail"])
        oddities.add("cv= by chance")
    seal_tags = {"i": str(instance), "a": "rsa-sha256", "cv": chain, "d": DOMAIN, "s": SELECTOR, "b": ""}
    if by.random() < 0.05:
        seal_tags["h"] = "from"
        oddities.add("h= in a seal")
    seal = f"ARC-Seal: {tag_list(by, seal_tags)}".encode()
    before = b"".join(sets) + _line(results) + _line(signed)
    covered = before + without_signature(Fields(seal).all[0], relaxed=True)
    sealed = _with_value(seal, folded(by, signature(kind, hashlib.sha256(covered).digest())))
    sets.append(_line(results) + _line(signed) + _line(sealed))
    added = [sealed + b"\r\n", signed + b"\r\n", results + b"\r\n"]
    if by.random() < 0.2:
        by.shuffle(added)
    return b"".join(added) + section + b"\r\n" + body, oddities


def _with_value(field: bytes, value: str) -> bytes:
    """A field with the value of its b=."""
    return re.sub(
        rb"((?::|;)[ \t\r\n]*b[ \t\r\n]*=[ \t\r\n]*)", lambda match: match[1] + value.encode(), field, count=1
    )


def _line(field: bytes) -> bytes:
    name, _, body = field.partition(b":")
    return relaxed_field(name.lower(), body) + b"\r\n"
