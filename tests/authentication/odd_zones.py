"""Records of SPF and DMARC as nobody writes them, by chance: what implementations of the two are compared on."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from tests.authentication import signing
from tests.authentication.zones import Zone

ADDRESSES = ["192.0.2.1", "192.0.2.77", "198.51.100.9"]
HOSTS = ["a.example", "b.example", "c.example", "d.example", "gone.example"]


@dataclass
class Case:
    """A message and who brings it, and the zone that is found."""

    zone: Zone
    client: str
    sender: str
    helo: str
    message: bytes


def _term(by: Random) -> str:
    host = by.choice(
        [*HOSTS, "%{d}", "%{l}.example", "%{ir}.example", "%{o}", "x", "%{h}", "%{d1r}.%{v}.example", "a..b"]
    )
    length = by.choice(["", "", "/24", "/0", "/32", "/33", "//64", "/24//64", "/024"])
    odd = [
        "all",
        "a",
        "mx",
        "ptr",
        "exp=a.example",
        "unknown=x",
        "nonsense",
        "all:x",
        "ip4",
        "a:",
        "redirect=",
        "A:a.example",
    ]
    terms = [
        by.choice(odd),
        f"{by.choice(['include', 'exists', 'ptr', 'Include'])}:{host}",
        f"{by.choice(['a', 'mx', 'A'])}:{host}{length}",
        f"{by.choice(['a', 'mx'])}{length}",
        f"ip4:{by.choice([*ADDRESSES, '192.0.2', '::1'])}{by.choice(['', '/24', '/33', '/024', '/0'])}",
        f"ip6:{by.choice(['2001:db8::1', '::', '192.0.2.1', '2001:db8::/32'])}{by.choice(['', '/32', '/129'])}",
        f"redirect={host}",
        f"exists:%{{i}}.{host}",
    ]
    return by.choice(["", "", "", "-", "~", "?", "+"]) + by.choice(terms)


def spf_record(by: Random) -> str:
    terms = [_term(by) for _ in range(by.choice([1, 1, 2, 3, 4, 12]))]
    return by.choice([" ", " ", " ", "  "]).join([by.choice(["v=spf1"] * 8 + ["V=SPF1", "v=spf10"]), *terms])


def spf_case(by: Random) -> Case:
    """Records that refer to one another, and a client for which they mean something."""
    zone: dict[str, list[tuple[str, Any]]] = {}
    for host in HOSTS[:4]:
        records: list[tuple[str, Any]] = [("TXT", spf_record(by)) for _ in range(by.choice([0, 1, 1, 1, 1, 2]))]
        records += [("A", address) for address in by.sample(ADDRESSES, by.choice([0, 1, 2]))]
        records += [("MX", (place, name)) for place, name in enumerate(by.sample(HOSTS, by.choice([0, 0, 1, 2])))]
        records += [("AAAA", "2001:db8::1")] if by.random() < 0.3 else []
        if by.random() < 0.05:
            records = [("SERVFAIL", None)]
        elif by.random() < 0.05:
            records = [("CNAME", by.choice(HOSTS))]
        zone[host] = records or [("HINFO", "")]
    for address in ADDRESSES:
        if by.random() < 0.6:
            name = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
            zone[name] = [("PTR", host) for host in by.sample(HOSTS, by.choice([1, 2]))]
    local = by.choice(["a", "x-y", "x.y.z"])
    sender = f"{local}@{by.choice(HOSTS[:4])}"
    return Case(zone, by.choice([*ADDRESSES, "2001:db8::1"]), sender, by.choice(HOSTS), b"From: a@a.example\r\n\r\n")


AUTHORS = [
    *("example.org", "a.example.org", "b.a.example.org", "c.b.a.example.org", "other.org", "a.other.org"),
    *("l1.l2.l3.l4.l5.l6.l7.a.example.org", "co.example", "x.co.example", "y.x.co.example", "org"),
]


def dmarc_record(by: Random) -> str:
    policies = ["none", "quarantine", "reject", "reject", "REJECT", "none", "foo"]
    tags = [f"p={by.choice(policies)}"] if by.random() < 0.95 else []
    for name, values in {
        "sp": policies,
        "np": policies,
        "adkim": ["r", "s", "S", "x"],
        "aspf": ["r", "s", "x"],
        "psd": ["y", "n", "u", "y", "n", "x"],
        "t": ["y", "n", "x"],
        "rua": ["mailto:a@example.org", "nothing", "mailto:a@example.org!10m,mailto:b@example.org"],
        "pct": ["0", "50"],
        "unknown": ["x"],
    }.items():
        if by.random() < 0.2:
            tags.append(f"{name}{by.choice(['', '', ' '])}={by.choice(['', '', ' '])}{by.choice(values)}")
    by.shuffle(tags)
    version = by.choice(["v=DMARC1"] * 12 + ["v = DMARC1", "v=dmarc1", "v=DMARC2"])
    return by.choice(["; ", ";", " ; "]).join([version, *tags]) + by.choice(["", ";"])


def dmarc_case(by: Random) -> Case:
    """Records up a tree, an author in it, and what passes for whom."""
    author, sender, signer = by.choice(AUTHORS), by.choice(AUTHORS), by.choice(AUTHORS)
    if by.random() < 0.5:
        sender = signer = author
    zone: dict[str, list[tuple[str, Any]]] = {}
    for domain in ["example.org", "org", "other.org", "co.example", "x.co.example", author, sender]:
        if by.random() < 0.5:
            zone[f"_dmarc.{domain}"] = [("TXT", dmarc_record(by)) for _ in range(by.choice([1, 1, 1, 1, 1, 2]))]
        elif by.random() < 0.05:
            zone[f"_dmarc.{domain}"] = [by.choice([("SERVFAIL", None), ("TXT", "v=spf1 -all")])]
    zone[sender] = [("TXT", f"v=spf1 {by.choice(['+', '-', '-', '?'])}all")]
    if by.random() < 0.05:
        zone[sender] = [("SERVFAIL", None)]
    if by.random() < 0.5:
        zone.setdefault(author, [("A", "192.0.2.1")])
    message = f"From: Anna <anna@{author}>\r\nSubject: s\r\n\r\nhello\r\n".encode()
    if by.random() < 0.5:
        message = signing.sign_ed25519(message, signing.ed25519_key(), domain=signer)
        zone[f"s._domainkey.{signer}"] = [("TXT", signing.ed25519_record(signing.ed25519_key()))]
        if by.random() < 0.1:
            zone[f"s._domainkey.{signer}"] = [("SERVFAIL", None)]
    return Case(zone, "192.0.2.1", f"x@{sender}", "h.example", message)
