"""The examples of RFC 7208, of its text and of appendix A, written out."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mailport.authentication import spf, spf_macro
from mailport.authentication.dns import Question
from mailport.authentication.result import Result
from tests.authentication.zones import Zone, answering, run
from tests.tables import table

APPENDIX_A: Zone = {
    "example.com": [
        ("MX", (10, "mail-a.example.com")),
        ("MX", (20, "mail-b.example.com")),
        ("A", "192.0.2.10"),
        ("A", "192.0.2.11"),
    ],
    "amy.example.com": [("A", "192.0.2.65")],
    "bob.example.com": [("A", "192.0.2.66")],
    "mail-a.example.com": [("A", "192.0.2.129")],
    "mail-b.example.com": [("A", "192.0.2.130")],
    "www.example.com": [("CNAME", "example.com")],
    "example.org": [("MX", (10, "mail-c.example.org"))],
    "mail-c.example.org": [("A", "192.0.2.140")],
    **{
        f"{host}.2.0.192.in-addr.arpa": [("PTR", name)]
        for host, name in {
            10: "example.com",
            11: "example.com",
            65: "amy.example.com",
            66: "bob.example.com",
            129: "mail-a.example.com",
            130: "mail-b.example.com",
            140: "mail-c.example.org",
        }.items()
    },
    "4.0.0.10.in-addr.arpa": [("PTR", "bob.example.com")],
}


def by_spf(client: str, records: dict[str, str], sender: str = "bob@example.com") -> Result:
    zone = {**APPENDIX_A}
    for name, text in records.items():
        zone[name] = [*zone.get(name, []), ("TXT", text)]
    local, _, domain = sender.partition("@")
    return run(spf.check(ip_address(client), sender=(local, domain), helo="h.example"), answering(zone)).result


@pytest.mark.parametrize(
    ("record", "passing", "failing"),
    table(
        {
            "any host": ("v=spf1 +all", ["192.0.2.1", "203.0.113.7", "2001:db8::1"], []),
            "a": ("v=spf1 a -all", ["192.0.2.10", "192.0.2.11"], ["192.0.2.65"]),
            "a of a domain without addresses": ("v=spf1 a:example.org -all", [], ["192.0.2.10", "192.0.2.140"]),
            "mx": ("v=spf1 mx -all", ["192.0.2.129", "192.0.2.130"], ["192.0.2.140"]),
            "mx of another": ("v=spf1 mx:example.org -all", ["192.0.2.140"], ["192.0.2.129"]),
            "both": ("v=spf1 mx mx:example.org -all", ["192.0.2.129", "192.0.2.130", "192.0.2.140"], ["192.0.2.10"]),
            "both with /30": (
                "v=spf1 mx/30 mx:example.org/30 -all",
                ["192.0.2.128", "192.0.2.131", "192.0.2.143"],
                ["192.0.2.132", "192.0.2.144"],
            ),
            "ptr": ("v=spf1 ptr -all", ["192.0.2.65"], ["192.0.2.140", "10.0.0.4"]),
            "ip4": ("v=spf1 ip4:192.0.2.128/28 -all", ["192.0.2.129"], ["192.0.2.65"]),
        }
    ),
)
def test_rfc_7208_a_1(record, passing, failing):
    """Appendix A.1: simple examples."""
    assert {client: by_spf(client, {"example.com": record}) for client in passing + failing} == {
        **dict.fromkeys(passing, Result.PASS),
        **dict.fromkeys(failing, Result.FAIL),
    }


def test_rfc_7208_a_2():
    """Appendix A.2: several domains, by include and by redirect."""
    records = {
        "example.org": "v=spf1 include:example.com include:example.net -all",
        "la.example.org": "v=spf1 redirect=example.org",
        "example.com": "v=spf1 mx -all",
        "example.net": "v=spf1 ip4:198.51.100.0/24 -all",
    }

    for sender in ("a@example.org", "a@la.example.org"):
        assert by_spf("192.0.2.129", records, sender) is Result.PASS
        assert by_spf("198.51.100.7", records, sender) is Result.PASS
        assert by_spf("192.0.2.140", records, sender) is Result.FAIL


@pytest.mark.parametrize(
    ("sender", "client", "result"),
    table(
        {
            "a mobile user": ("mary@example.com", "203.0.113.5", Result.PASS),
            "a remote user at home": ("joel@example.com", "192.168.15.15", Result.PASS),
            "a remote user elsewhere": ("joel@example.com", "192.168.15.17", Result.FAIL),
            "a user with an extension": ("mary+lists@example.com", "203.0.113.5", Result.PASS),
            "anybody by the MX": ("bob@example.com", "192.0.2.129", Result.PASS),
            "anybody from elsewhere": ("bob@example.com", "203.0.113.5", Result.FAIL),
        }
    ),
)
def test_rfc_7208_a_3(sender, client, result):
    """Appendix A.3: in the manner of DNS block lists."""
    records = {
        "example.com": "v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all",
        "mobile-users._spf.example.com": "v=spf1 exists:%{l1r+}.%{d}",
        "remote-users._spf.example.com": "v=spf1 exists:%{ir}.%{l1r+}.%{d}",
    }
    listed = ["mary.mobile-users", "fred.mobile-users", "15.15.168.192.joel.remote-users"]
    zone: Zone = {f"{name}._spf.example.com": [("A", "127.0.0.2")] for name in listed}
    zone = {**APPENDIX_A, **zone}
    for name, text in records.items():
        zone[name] = [*zone.get(name, []), ("TXT", text)]
    local, _, domain = sender.partition("@")

    found = run(spf.check(ip_address(client), sender=(local, domain), helo="h.example"), answering(zone))

    assert found.result is result, found.why


@pytest.mark.parametrize(
    ("client", "result"),
    table(
        {
            "in the network, and with a name": ("192.0.2.65", Result.PASS),
            "in the network, and with another's name": ("192.0.2.140", Result.FAIL),
            "neither": ("203.0.113.5", Result.FAIL),
        }
    ),
)
def test_rfc_7208_a_4(client, result):
    """Appendix A.4: several requirements at once."""
    records = {
        "example.com": "v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all",
        "ip4._spf.example.com": "v=spf1 -ip4:192.0.2.0/24 +all",
        "ptr._spf.example.com": "v=spf1 -ptr:example.com +all",
    }

    assert by_spf(client, records) is result


@pytest.mark.parametrize(
    ("included", "result"),
    table(
        {
            "pass": ("v=spf1 +all", Result.PASS),
            "fail": ("v=spf1 -all", Result.NEUTRAL),
            "softfail": ("v=spf1 ~all", Result.NEUTRAL),
            "neutral": ("v=spf1 ?all", Result.NEUTRAL),
            "permerror": ("v=spf1 all:x", Result.PERMERROR),
            "none": ("hello", Result.PERMERROR),
        }
    ),
)
def test_rfc_7208_section_5_2(included, result):
    """What an include makes of each result."""
    assert by_spf("192.0.2.1", {"example.com": "v=spf1 include:a.example", "a.example": included}) is result


def test_rfc_7208_section_6_1():
    """One record for several domains, by redirect."""
    records = {f"{name}.example.com": "v=spf1 redirect=_spf.example.com" for name in ("la", "ny", "sf")}
    records["_spf.example.com"] = "v=spf1 mx:example.com -all"

    for name in ("la", "ny", "sf"):
        assert by_spf("192.0.2.129", records, f"x@{name}.example.com") is Result.PASS
        assert by_spf("192.0.2.10", records, f"x@{name}.example.com") is Result.FAIL


@pytest.mark.parametrize(
    ("macro", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ],
)
def test_rfc_7208_section_7_4(macro, expanded):
    """The expansions of <strong-bad@email.example.com> at 192.0.2.3."""
    values = {"s": "strong-bad@email.example.com", "l": "strong-bad", "i": "192.0.2.3", "v": "in-addr"}
    values |= dict.fromkeys("od", "email.example.com")

    assert spf_macro.is_macro_string(macro)
    assert spf_macro.expand(macro, values) == expanded


@pytest.mark.parametrize(
    ("digits", "expanded"), [("1", "d.e"), ("0002", "c.d.e"), ("10001", "a.b.c.d.e"), ("9" * 400, "a.b.c.d.e")]
)
def test_more_digits_than_labels(digits, expanded):
    """Section 7.3: all labels are used where there are fewer than the digits say."""
    assert spf_macro.expand(f"%{{d{digits}}}.e", {"d": "a.b.c.d"}) == expanded


@pytest.mark.parametrize(
    ("text", "whether"),
    [("%{i}", True), ("a%{i}", True), ("%%", True), ("%%{i}", False), ("%{i}x", False), ("%{i}.x", True), ("a", False)],
)
def test_a_domain_spec_ends_in_a_macro_or_a_label(text, whether):
    """Section 7.1; `%%{i}` is a percent sign, and then text."""
    assert spf_macro.is_domain_spec(text) is whether


def test_rfc_7208_section_7_4_of_ipv6():
    """… and at 2001:db8::cb01."""
    client = ip_address("2001:db8::cb01")
    asked: list[Question] = []
    zone: Zone = {"email.example.com": [("TXT", "v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all")]}
    sender = ("strong-bad", "email.example.com")
    run(spf.check(client, sender=sender, helo="h.example"), answering(zone, asked))

    nibbles = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    assert asked[-1].name == f"{nibbles}.ip6._spf.example.com"


@pytest.mark.parametrize(
    ("client", "record", "result"),
    table(
        {
            "two terms to which there is nothing, and then one that passes": (
                "192.0.2.65",
                "v=spf1 a:gone1.example a:gone2.example ptr -all",
                Result.PASS,
            ),
            "three": (
                "192.0.2.65",
                "v=spf1 a:gone1.example a:gone2.example exists:gone3.example ptr -all",
                Result.PERMERROR,
            ),
            "the client's missing PTR record is one": (
                "203.0.113.7",
                "v=spf1 ptr a:gone1.example a:gone2.example -all",
                Result.PERMERROR,
            ),
            "however often it is asked": (
                "203.0.113.7",
                "v=spf1 ptr ptr:example.org a:gone1.example -all",
                Result.FAIL,
            ),
            "a term is one, however many of its hosts have no address of the client's family": (
                "2001:db8::25",
                "v=spf1 a mx ip6:2001:db8::/32 -all",
                Result.PASS,
            ),
            "a name that the client's PTR record makes up is none": (
                "203.0.113.8",
                "v=spf1 ptr a:gone1.example a:gone2.example -all",
                Result.FAIL,
            ),
        }
    ),
)
def test_void_lookups(client, record, result, monkeypatch):
    """Section 4.6.4: terms to which the DNS has nothing, two of them at most."""
    made_up = [("PTR", "gone4.example"), ("PTR", "gone5.example")]
    monkeypatch.setitem(APPENDIX_A, "8.113.0.203.in-addr.arpa", made_up)
    assert by_spf(client, {"example.com": record}) == result
