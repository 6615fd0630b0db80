"""`mailport check --output json` as others' suites run it: zones on a DNS server, and one result of each check."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mailport.__main__ import main
from tests.authentication import signing
from tests.authentication.zones import Zone
from tests.checks.dns_server import dns_server, seconds_to_wait
from tests.commands.test_check import faults
from tests.tables import table

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/check.schema.json").read_text())
ALL, NOBODY = ("TXT", "v=spf1 +all"), ("TXT", "v=spf1 -all")
REJECT = ("TXT", "v=DMARC1; p=reject")
REVERSE, REVERSE6 = "1.2.0.192.in-addr.arpa", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"
MESSAGE = (
    b"From: Anna <anna@example.org>\r\nTo: b@example.net\r\nSubject: a  subject\r\n"
    b"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n\r\nhello \t there\r\n\r\n\r\n"
)
RSA = signing.rsa_record(signing.rsa_key())
LONG = signing.rsa_record(signing.rsa_key(4096))
SIGNED = signing.sign(MESSAGE)
TWICE = signing.sign(SIGNED, selector=b"t", domain=b"example.net")


@dataclass(frozen=True)
class Case:
    """A transaction, the zone it finds, and what the output has at a path."""

    zone: Zone
    expected: dict[str, Any]
    client: str = "192.0.2.1"
    sender: str = "anna@example.org"
    helo: str = "mail.example.org"
    message: bytes = MESSAGE
    checks: dict[str, Any] = field(default_factory=dict)
    servers: int = 1  # of which the last one answers


def spf(result: str, *records: tuple[str, Any], also: Zone | None = None, **more: Any) -> Case:
    """example.org has these records."""
    return Case({"example.org": list(records), **(also or {})}, {"results.spf.result": result}, **more)


def key(*records: Any, also: Zone | None = None, results: str = "pass", message: bytes = SIGNED) -> Case:
    """The signature's key is in these records."""
    zone = {"s._domainkey.example.org": [one if isinstance(one, tuple) else ("TXT", one) for one in records]}
    return Case({**zone, **(also or {})}, {"results.dkim": results.split()}, message=message)


def dmarc(result: str, policy: str, author: str, zone: Zone, **more: Any) -> Case:
    expected = {"results.dmarc.result": result, "results.dmarc.policy": policy}
    return Case(zone, expected, message=f"From: {author}\n\nhello\n".encode(), **more)


def iprev(result: str, *records: tuple[str, Any], also: Zone | None = None, **more: Any) -> Case:
    checks = {"iprev": {"mode": "Report"}}
    return Case({REVERSE: list(records), **(also or {})}, {"results.iprev.result": result}, checks=checks, **more)


SPF = {
    "an IPv6 network": spf("pass", ("TXT", "v=spf1 ip6:2001:db8::/32 -all"), client="2001:db8::77"),
    "an IPv4-mapped client": spf("pass", ("TXT", "v=spf1 ip4:192.0.2.1 -all"), client="::ffff:192.0.2.1"),
    "ip4 is of IPv4": spf("fail", ("TXT", "v=spf1 ip4:0.0.0.0/0 -all"), client="2001:db8::77"),
    "a//64": spf("pass", ("TXT", "v=spf1 a//64 -all"), ("AAAA", "2001:db8::1"), client="2001:db8::77"),
    "a/24//64 of IPv4": spf("pass", ("TXT", "v=spf1 a/24//64 -all"), ("A", "192.0.2.200")),
    "an MX that is an alias": spf(
        "pass",
        ("TXT", "v=spf1 mx -all"),
        ("MX", (10, "mx.example.org")),
        also={"mx.example.org": [("CNAME", "h.example.net")], "h.example.net": [("A", "192.0.2.1")]},
    ),
    "ptr, delegated by RFC 2317": spf(
        "pass",
        ("TXT", "v=spf1 ptr -all"),
        also={
            REVERSE: [("CNAME", "1.0-25.2.0.192.in-addr.arpa")],
            "1.0-25.2.0.192.in-addr.arpa": [("PTR", "a.example.org")],
            "a.example.org": [("A", "192.0.2.1")],
        },
    ),
    "macros of an IPv6 client": spf(
        "pass",
        ("TXT", "v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all"),
        also={REVERSE6.replace(".ip6.arpa", ".ip6._spf.example.org"): [("A", "127.0.0.2")]},
        client="2001:db8::1",
    ),
    "a macro with a delimiter, reversed": spf(
        "pass",
        ("TXT", "v=spf1 exists:%{l1r-}.lp._spf.%{d} -all"),
        also={"strong.lp._spf.example.org": [("A", "127.0.0.2")]},
        sender="strong-bad@example.org",
    ),
    "no name holds a local part that is not ASCII (RFC 8616 §4)": spf(
        "fail",
        ("TXT", "v=spf1 exists:%{L}.x.example include:%{l}.x.example -all"),
        also={"%c3%a4.x.example": [("A", "127.0.0.1")]},
        sender="ä@example.org",
    ),
    "an escaped percent is no macro": spf(
        "pass", ("TXT", "v=spf1 exists:%%{l}.%{d} ip4:192.0.2.1 -all"), sender="ä@example.org"
    ),
    "a chain of aliases": spf(
        "pass",
        ("CNAME", "b.example"),
        also={"b.example": [("CNAME", "c.example")], "c.example": [("CNAME", "d.example")], "d.example": [ALL]},
    ),
    "a loop of aliases": spf("temperror", ("CNAME", "b.example"), also={"b.example": [("CNAME", "example.org")]}),
    "a record of two strings": spf("pass", ("TXT", ["v=spf1 ip4:192.", "0.2.1 -all"])),
    "one record among others": spf("pass", ("TXT", "v=spf10 -all"), ("TXT", "hello"), ALL),
    "two records": spf("permerror", ALL, NOBODY),
    "a record too long for UDP": spf(
        "pass", ("TXT", "v=spf1 " + "ip4:203.0.113.1 " * 120 + "+all"), ("TXT", "x" * 2000)
    ),
    "an answer that is cut off": spf("pass", ALL, ("TRUNCATED", None)),
    "a server from before EDNS": spf("pass", ALL, ("OLD", None)),
    "SERVFAIL": spf("temperror", ("SERVFAIL", None)),
    "a server that refuses": spf("temperror", ("REFUSED", None)),
    "silence": spf("temperror", ("TIMEOUT", None)),
    "silence behind include": spf(
        "temperror", ("TXT", "v=spf1 include:a.example +all"), also={"a.example": [("TIMEOUT", None)]}
    ),
    "redirect to nothing": spf("permerror", ("TXT", "v=spf1 redirect=a.example")),
    "the third name that is not there": spf("permerror", ("TXT", "v=spf1 a:x.example a:y.example a:z.example +all")),
    "<> is checked by the HELO name": spf("pass", also={"mail.example.org": [ALL]}, sender="<>"),
    "an address in HELO": spf("none", sender="", helo="[192.0.2.1]"),
    "one label in HELO": spf("none", also={"localhost": [ALL]}, sender="", helo="localhost"),
    "U-labels in the sender": spf("pass", also={"xn--exmple-cua.org": [ALL]}, sender="anna@exämple.org"),
    "U-labels in HELO": spf(
        "pass",
        ("TXT", "v=spf1 exists:%{h} -all"),
        also={"xn--exmple-cua.org": [("A", "127.0.0.1")]},
        helo="exämple.org",
    ),
    "upper case and a dot at the end": spf("pass", ALL, sender="anna@EXAMPLE.org."),
    "a quoted local part": spf(
        "pass",
        ("TXT", "v=spf1 exists:%{l}.x.example -all"),
        also={"a b.x.example": [("A", "127.0.0.1")]},
        sender='"a b"@example.org',
    ),
    "a sender without a domain": spf("none", also={"anna": [ALL]}, sender="anna"),
    "a private client": spf("none", ALL, client="10.0.0.1"),
    "the second server": spf("pass", ALL, servers=2),
}
DKIM = {
    "a key in several strings": key(
        ("TXT", [LONG[at : at + 100] for at in range(0, len(LONG), 100)]),
        message=signing.sign(MESSAGE, key=signing.pem(signing.rsa_key(4096))),
    ),
    "a key with blanks in it": key(f"{RSA[:60]}  {RSA[60:200]}\t{RSA[200:]} ; "),
    "a key behind two aliases": key(
        ("CNAME", "k.example.net"), also={"k.example.net": [("CNAME", "j.example")], "j.example": [("TXT", RSA)]}
    ),
    "a key by TCP": key(RSA, ("TRUNCATED", None)),
    "a key that cannot be asked for": key(("SERVFAIL", None), results="temperror"),
    "… nor in time": key(("TIMEOUT", None), results="temperror"),
    "no key": key(results="permerror"),
    "another record where the key should be": key("v=spf1 -all", results="permerror"),
    "a message with LF alone": key(RSA, message=SIGNED.replace(b"\r\n", b"\n")),
    "a message without an end of its last line": key(RSA, message=SIGNED.removesuffix(b"\r\n\r\n\r\n")),
    "a message out of an mbox": key(RSA, message=b"From anna Sat Nov 28 12:00:00 2026\r\n" + SIGNED),
    "a message without a body": key(RSA, message=signing.sign(MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")[:-2]),
    "octets that are no UTF-8": key(RSA, message=signing.sign(MESSAGE.replace(b"subject", b"gr\xfc\xdfe"))),
    "i= of a subdomain": key(RSA, message=signing.sign(MESSAGE, identity=b"anna@sub.example.org")),
    "two signatures": key(RSA, also={"t._domainkey.example.net": [("TXT", RSA)]}, results="pass pass", message=TWICE),
    "two signatures, one without a key": key(RSA, results="permerror pass", message=TWICE),
    "Ed25519": key(
        signing.ed25519_record(signing.ed25519_key()), message=signing.sign_ed25519(MESSAGE, signing.ed25519_key())
    ),
}
DMARC = {
    "a record above": dmarc(
        "pass", "reject", "a@b.c.example.org", {"example.org": [ALL], "_dmarc.example.org": [REJECT]}
    ),
    "nine labels": dmarc(
        "pass",
        "reject",
        "a@a.b.c.d.e.f.g.h.example.org",
        {"example.org": [ALL], "_dmarc.example.org": [REJECT]},
    ),
    "a wildcard's other record below": dmarc(
        "pass",
        "reject",
        "a@news.example.org",
        {"example.org": [ALL], "_dmarc.news.example.org": [NOBODY], "_dmarc.example.org": [REJECT]},
    ),
    "a record of its own": dmarc(
        "fail", "quarantine", "a@x.example", {"_dmarc.x.example": [("TXT", "v=DMARC1; p=quarantine")]}
    ),
    "a record behind an alias": dmarc(
        "pass",
        "reject",
        "a@example.org",
        {"example.org": [ALL], "_dmarc.example.org": [("CNAME", "d.example")], "d.example": [REJECT]},
    ),
    "a name that is not there": dmarc(
        "fail",
        "reject",
        "a@gone.example.org",
        {"example.org": [NOBODY], "_dmarc.example.org": [("TXT", "v=DMARC1; p=none; np=reject")]},
    ),
    "the policy is tried out": dmarc(
        "fail", "quarantine", "a@example.org", {"_dmarc.example.org": [("TXT", "v=DMARC1; p=reject; t=y")]}
    ),
    "U-labels in From": dmarc(
        "pass",
        "reject",
        "a@exämple.org",
        {"xn--exmple-cua.org": [ALL], "_dmarc.xn--exmple-cua.org": [REJECT]},
        sender="anna@xn--exmple-cua.org",
    ),
    "an address in the display name": dmarc(
        "fail", "reject", '"eve@example.net" <anna@example.org>', {"_dmarc.example.org": [REJECT]}
    ),
    "two addresses": dmarc("permerror", "quarantine", "a@example.org, b@example.org", {"_dmarc.example.org": [REJECT]}),
    "no address": dmarc("permerror", "none", "undisclosed:;", {}),
    "two From fields": dmarc(
        "permerror", "quarantine", "a@example.org\nFrom: b@example.org", {"_dmarc.example.org": [REJECT]}
    ),
    "SERVFAIL": dmarc("temperror", "none", "a@example.org", {"_dmarc.example.org": [("SERVFAIL", None)]}),
    "SPF that cannot be asked": dmarc(
        "temperror",
        "reject",
        "a@example.org",
        {
            "example.org": [("TXT", "v=spf1 include:a.example")],
            "a.example": [("SERVFAIL", None)],
            "_dmarc.example.org": [REJECT],
        },
    ),
    "by the HELO name of <>": dmarc(
        "pass", "reject", "a@example.org", {"mail.example.org": [ALL], "_dmarc.example.org": [REJECT]}, sender="<>"
    ),
    "no message at all": Case({}, {"results.dmarc.result": "permerror", "results.dkim": []}, message=b""),
}
IPREV = {
    "a name that leads back": iprev("pass", ("PTR", "a.example"), also={"a.example": [("A", "192.0.2.1")]}),
    "the second name does": iprev(
        "pass", ("PTR", "x.example"), ("PTR", "a.example"), also={"a.example": [("A", "192.0.2.1")]}
    ),
    "a name that leads elsewhere": iprev("fail", ("PTR", "a.example"), also={"a.example": [("A", "192.0.2.2")]}),
    "no name": iprev("permerror"),
    "a name that cannot be asked": iprev("temperror", ("PTR", "a.example"), also={"a.example": [("SERVFAIL", None)]}),
    "IPv6": iprev(
        "pass", also={REVERSE6: [("PTR", "a.example")], "a.example": [("AAAA", "2001:db8::1")]}, client="2001:db8::1"
    ),
}
REPLIES = {
    "refused by DMARC": Case(
        {"_dmarc.example.org": [REJECT]},
        {"replyToMessage.enhanced": "5.7.26", "replyToRcpt": None},
        checks={"dmarc": {"mode": "Reject"}},
    ),
    "put aside": Case(
        {"_dmarc.example.org": [REJECT]},
        {"disposition": "quarantine", "replyToMessage": None},
        checks={"dmarc": {"mode": "Quarantine"}},
    ),
    "a sender that takes no mail": Case(
        {"example.org": [("MX", (0, "."))]}, {"replyToRcpt.enhanced": "5.7.27"}, checks={"spf": {"mode": "Reject"}}
    ),
    "put off": Case(
        {"example.org": [("SERVFAIL", None)]}, {"replyToMessage.enhanced": "4.7.24"}, checks={"spf": {"mode": "Reject"}}
    ),
}


def at(found: Any, path: str) -> Any:
    """What the output has at a path; of several signatures the results."""
    for name in path.split("."):
        found = found[name]
    return [one["result"] for one in found] if path == "results.dkim" else found


def checked(case: Case, folder: Path) -> int:
    """Run the command; its exit status."""
    with dns_server(case.zone) as server:
        silent = [{"address": "127.0.0.1", "port": 1}] * (case.servers - 1)
        servers = [*silent, {"address": "127.0.0.1", "port": server.port}]
        dns = {"servers": servers, "timeoutSeconds": seconds_to_wait(case.zone)}
        modes = {"iprev": {"mode": "Disabled"}, "arc": {"mode": "Report"}}
        spec = {
            "hostname": "mx.example.org",
            "listeners": [{"name": "smtp", "port": 25}],
            "routes": [{"name": "all", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
            "checks": {**modes, **case.checks, "dns": dns},
        }
        document = {
            "apiVersion": "mailport.dev/v1alpha1",
            "kind": "InboundSmtp",
            "metadata": {"name": "mx"},
            "spec": spec,
        }
        (folder / "mx.yaml").write_text(json.dumps(document))
        (folder / "message.eml").write_bytes(case.message)
        options = ["--client", case.client, "--sender", case.sender, "--helo", case.helo, "--output", "json"]
        return main(["check", "-f", str(folder / "mx.yaml"), str(folder / "message.eml"), *options])


@pytest.mark.parametrize(
    "case",
    table(
        {
            f"{name}: {sentence}": case
            for name, cases in {"SPF": SPF, "DKIM": DKIM, "DMARC": DMARC, "iprev": IPREV, "replies": REPLIES}.items()
            for sentence, case in cases.items()
        }
    ),
)
def test_case(tmp_path, capsys, case):
    """The result is what the RFC says, and the output what its schema says."""
    status = checked(case, tmp_path)
    found = json.loads(capsys.readouterr().out)

    assert status == 0
    assert {path: at(found, path) for path in case.expected} == case.expected, found
    assert not faults(SCHEMA, found)
