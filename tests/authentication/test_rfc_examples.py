"""The examples that the RFCs have in their text and appendices, written out.

RFC 7208's are in test_spf_examples.py, RFC 8463's message is in test_dkim.py, RFC 6376 §3.4.5's body in
test_body_hash.py, RFC 8601 B.1 in test_results_field.py, and the walk of RFC 9989 §4.10 in test_dmarc.py.
"""

from __future__ import annotations

from base64 import b64encode
from ipaddress import ip_address

import pytest

from mailport.authentication import dkim, dmarc, results_field
from mailport.authentication.body_hash import BodyHash
from mailport.authentication.dkim import DkimResult, Signature
from mailport.authentication.dmarc_record import Policy
from mailport.authentication.fields import Fields
from mailport.authentication.iprev import IprevResult
from mailport.authentication.result import Result
from mailport.authentication.results_field import Authentication
from mailport.authentication.spf import Identity, SpfResult
from mailport.message import header
from tests.authentication.signing import verify
from tests.authentication.zones import Zone, answering, run
from tests.tables import table

# RFC 6376

RFC6376 = b"""\
DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
RFC6376_KEY: Zone = {
    "brisbane._domainkey.example.com": [
        (
            "TXT",
            (
                "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
                "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
                "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
            ),
        )
    ]
}


def test_rfc_6376_appendix_a():
    """The signed message verifies by the key of A.3, and does not once it is changed."""
    assert [(one.result, one.identity) for one in verify(RFC6376, RFC6376_KEY)] == [
        (Result.PASS, "joe@football.example.com")
    ]
    assert verify(RFC6376.replace(b"hungry", b"thirsty"), RFC6376_KEY)[0].result is Result.FAIL
    assert verify(RFC6376.replace(b"dinner", b"supper"), RFC6376_KEY)[0].result is Result.FAIL


def test_rfc_6376_section_3_4():
    """§3.4.5: the header section in both forms; §3.4.3 and §3.4.4: the hashes of an empty body."""
    fields = Fields(b"A: X\r\nB : Y\t\r\n\tZ  \r\n")

    assert fields.signed([b"a", b"b"], relaxed=True) == b"a:X\r\nb:Y Z\r\n"
    assert fields.signed([b"a", b"b"], relaxed=False) == b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
    assert b64encode(BodyHash(relaxed=False).digest()) == b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="
    assert b64encode(BodyHash(relaxed=True).digest()) == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def test_rfc_6376_section_3_5():
    """The signature field is read: d=, s=, c=, i=, h=, x= and the copied fields of z=, which say nothing."""
    field = (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=brisbane;\r\n"
        b"   c=simple; q=dns/txt; i=@eng.example.net;\r\n"
        b"   t=1117574938; x=1118006938;\r\n"
        b"   h=from:to:subject:date;\r\n"
        b"   z=From:foo@eng.example.net|To:joe@example.com|\r\n"
        b"    Subject:demo=20run|Date:July=205,=202005=203:44:08=20PM=20-0700;\r\n"
        b"   bh=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=;\r\n"
        b"   b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZ\r\n"
        b"            VoG4ZHRNiYzR\r\n"
    )
    read = dkim.read(Fields(field).all[0])

    assert isinstance(read, Signature)
    assert (read.domain, read.selector, read.identity_domain) == ("example.net", "brisbane", "eng.example.net")
    assert (read.relaxed_header, read.relaxed_body, read.expires) == (False, False, 1118006938)
    assert read.names == (b"from", b"to", b"subject", b"date")
    assert read.body_hash == b"12345678901234567890123456789012"
    assert [one.why for one in verify(field + b"\r\n", {})] == ["the signature has expired"]


# RFC 8601

CLIENT = ip_address("192.0.2.200")


def signed(result: Result, domain: str) -> DkimResult:
    return DkimResult(result, domain, "", "", "", "", testing=False, why="")


@pytest.mark.parametrize(
    ("host", "found", "lines"),
    table(
        {
            "B.2: nothing was done": ("example.org", Authentication(CLIENT), ["none"]),
            "B.3: one method": (
                "example.com",
                Authentication(
                    CLIENT, spf=SpfResult(Result.PASS, Identity.MAIL_FROM, "example.net", "a@example.net", "")
                ),
                ["spf=pass smtp.mailfrom=a@example.net"],
            ),
            "B.4: several methods": (
                "example.com",
                Authentication(
                    CLIENT,
                    iprev=IprevResult(Result.FAIL, "", ""),
                    spf=SpfResult(Result.FAIL, Identity.MAIL_FROM, "example.com", "a@example.com", ""),
                ),
                ["iprev=fail policy.iprev=192.0.2.200", "spf=fail smtp.mailfrom=a@example.com"],
            ),
            "B.6: two signatures": (
                "example.com",
                Authentication(
                    CLIENT,
                    dkim=(signed(Result.PASS, "mail-router.example.net"), signed(Result.FAIL, "newyork.example.com")),
                ),
                ["dkim=pass header.d=mail-router.example.net", "dkim=fail header.d=newyork.example.com"],
            ),
        }
    ),
)
def test_rfc_8601_appendix_b(host, found, lines):
    """What we write is what the RFC writes: a method, a result and its properties, and no comment."""
    written = results_field.field(host, found).decode()

    assert written == f"Authentication-Results: {host};\r\n\t" + ";\r\n\t".join(lines) + "\r\n"


@pytest.mark.parametrize(
    ("hostname", "left"), table({"by this host": ("foo.example.net", b""), "by another": ("mx.example.org", None)})
)
def test_rfc_8601_b_7(hostname, left):
    """A comment-heavy field: it is told whose it is. Ours goes, since somebody else wrote it (§5)."""
    field = (
        b"Authentication-Results: (c) foo.example.net (foobar) 1 (baz);\r\n"
        b"    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
        b"      policy (A dot can go here) . (like that) expired\r\n"
        b"      (this surprised me) = (as I wasn't expecting it) 1362471462\r\n"
    )
    section = header.parse(field + b"\r\n", hostname, whole=True)

    assert section is not None
    assert section.final == (field if left is None else left)


# RFC 9989

REJECT = ("TXT", "v=DMARC1; p=reject")


def by_dmarc(zone: Zone, author: str, *found: SpfResult | DkimResult) -> object:
    of_spf = next((one for one in found if isinstance(one, SpfResult)), None)
    of_dkim = [one for one in found if isinstance(one, DkimResult)]
    fields = Fields(f"From: sender@{author}\r\n".encode())
    result = run(dmarc.check(fields, of_spf, of_dkim), answering(zone))
    return result.result, result.policy_domain, result.policy


def sent(domain: str) -> SpfResult:
    return SpfResult(Result.PASS, Identity.MAIL_FROM, domain, f"sender@{domain}", "")


@pytest.mark.parametrize(
    ("author", "found", "relaxed", "strict"),
    table(
        {
            "B.1.1, 1: the same domain": ("example.com", sent("example.com"), "pass", "pass"),
            "B.1.1, 2: a child sends": ("example.com", sent("child.example.com"), "pass", "fail"),
            "B.1.1, 3: another sends": ("child.example.com", sent("example.net"), "fail", "fail"),
            "B.1.2, 1: the same domain signs": ("example.com", signed(Result.PASS, "example.com"), "pass", "pass"),
            "B.1.2, 2: the parent signs": ("child.example.com", signed(Result.PASS, "example.com"), "pass", "fail"),
            "B.1.2, 3: another signs": ("child.example.com", signed(Result.PASS, "sample.net"), "fail", "fail"),
        }
    ),
)
def test_rfc_9989_b_1(author, found, relaxed, strict):
    """Identifier alignment, relaxed and strict."""
    for more, expected in (("", relaxed), ("; aspf=s; adkim=s", strict)):
        zone: Zone = {"_dmarc.example.com": [("TXT", f"v=DMARC1; p=reject{more}")]}
        assert by_dmarc(zone, author, found) == (expected, "example.com", Policy.REJECT)


@pytest.mark.parametrize(
    ("record", "policy"),
    table(
        {
            "B.2.1: monitored": ("v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", Policy.NONE),
            "B.2.2: with reports of failures": (
                "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com",
                Policy.NONE,
            ),
            "B.2.4: tried out": (
                (
                    "v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,"
                    "mailto:tld-test@thirdparty.example.net; t=y"
                ),
                Policy.NONE,
            ),
        }
    ),
)
def test_rfc_9989_b_2(record, policy):
    """What domains publish, and what follows for what does not pass."""
    assert by_dmarc({"_dmarc.example.com": [("TXT", record)]}, "example.com") == ("fail", "example.com", policy)


@pytest.mark.parametrize(
    ("zone", "author", "found", "expected"),
    table(
        {
            "B.3.2.1: a simple one, by SPF": (
                {"_dmarc.example.com": [REJECT], "_dmarc.signing.example.com": [("TXT", "v=DMARC1; p=none")]},
                "example.com",
                sent("example.com"),
                ("pass", "example.com"),
            ),
            "B.3.2.1: … by DKIM": (
                {"_dmarc.example.com": [REJECT], "_dmarc.signing.example.com": [("TXT", "v=DMARC1; p=none")]},
                "example.com",
                signed(Result.PASS, "signing.example.com"),
                ("pass", "example.com"),
            ),
            "B.3.2.2: a deep walk": (
                {"_dmarc.example.com": [REJECT], "_dmarc.signing.example.com": [("TXT", "v=DMARC1; p=none")]},
                "a.b.c.d.e.f.g.h.i.j.k.example.com",
                signed(Result.PASS, "signing.example.com"),
                ("pass", "example.com"),
            ),
            "B.3.2.3: below a public suffix's record, by SPF": (
                {"_dmarc.bank.example": [("TXT", "v=DMARC1; p=reject; psd=y")]},
                "giant.bank.example",
                sent("mail.giant.bank.example"),
                ("pass", "bank.example"),
            ),
            "B.3.2.3: … and another organization's signature": (
                {"_dmarc.bank.example": [("TXT", "v=DMARC1; p=reject; psd=y")]},
                "giant.bank.example",
                signed(Result.PASS, "mail.mega.bank.example"),
                ("fail", "bank.example"),
            ),
        }
    ),
)
def test_rfc_9989_b_3_2(zone, author, found, expected):
    """Organizational Domains and whose policy it is."""
    assert by_dmarc(zone, author, found)[:2] == expected  # type: ignore[index]
