"""DKIM: messages that dkimpy signs, the RFCs' examples, and what never passes."""

from __future__ import annotations

import re
from base64 import b64encode

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from mailport.authentication import fields
from mailport.authentication.dkim import MAX_SIGNATURES
from mailport.authentication.result import Result
from tests.authentication import signing
from tests.authentication.signing import NOW, sign, verify
from tests.tables import table

MESSAGE = (
    b"From: Anna <anna@example.org>\r\nTo: b@example.net\r\nSubject: a  subject\r\n\twith a fold\r\n\r\n"
    b"A  body \r\nwith\tblanks \t\r\n\r\n\r\n"
)
RSA = signing.zone(s=signing.rsa_record(signing.rsa_key()))
RECORDS = RSA["s._domainkey.example.org"]
FORMS = ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed")

# RFC 8463 appendix A
RFC8463 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
RFC8463_KEYS = {
    "brisbane._domainkey.football.example.com": [
        ("TXT", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    ],
    "test._domainkey.football.example.com": [
        (
            "TXT",
            (
                "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
                "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
                "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
                "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
            ),
        )
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_signed_by_dkimpy(form):
    """Each pair of canonicalizations verifies, and a changed word in header or body does not."""
    signed = sign(MESSAGE, form=form.encode())

    assert [one.result for one in verify(signed, RSA)] == [Result.PASS]
    assert [one.why for one in verify(signed.replace(b"A  body", b"A  lie"), RSA)] == ["the body has been changed"]
    assert verify(signed.replace(b"anna@", b"eve@"), RSA)[0].result is Result.FAIL


def test_rfc_8463():
    """The example of RFC 8463: one message, signed by Ed25519 and by RSA."""
    assert [one.result for one in verify(RFC8463, RFC8463_KEYS)] == [Result.PASS, Result.PASS]


@pytest.mark.parametrize(
    ("record", "result", "why"),
    table(
        {
            "SubjectPublicKeyInfo": (signing.rsa_record(signing.rsa_key()), Result.PASS, "verified"),
            "RSAPublicKey": (signing.rsa_record(signing.rsa_key(), pkcs1=True), Result.PASS, "verified"),
            "for email among others": (
                signing.rsa_record(signing.rsa_key(), more="s=foo:email; "),
                Result.PASS,
                "verified",
            ),
            "for another service": (
                signing.rsa_record(signing.rsa_key(), more="s=tlsrpt; "),
                Result.PERMERROR,
                "not for email",
            ),
            "for sha1 alone": (
                signing.rsa_record(signing.rsa_key(), more="h=sha1; "),
                Result.PERMERROR,
                "not for sha256",
            ),
            "of another kind": (signing.ed25519_record(signing.ed25519_key()), Result.PERMERROR, "not for rsa"),
            "revoked": ("v=DKIM1; p=", Result.PERMERROR, "revoked"),
            "without p=": ("v=DKIM1; k=rsa", Result.PERMERROR, "no p="),
            "of another version": ("v=DKIM2; p=AAAA", Result.PERMERROR, "version"),
            "its version not first": (
                f"p={signing.rsa_record(signing.rsa_key()).rpartition('p=')[2]}; v=DKIM1",
                Result.PERMERROR,
                "version",
            ),
            "its kind in capitals": (
                signing.rsa_record(signing.rsa_key()).replace("k=rsa", "k=RSA"),
                Result.PASS,
                "verified",
            ),
            "without a version": (
                signing.rsa_record(signing.rsa_key()).removeprefix("v=DKIM1; "),
                Result.PASS,
                "verified",
            ),
            "no base64": ("v=DKIM1; p=!", Result.PERMERROR, "base64"),
            "no key": ("v=DKIM1; p=AAAA", Result.PERMERROR, "cannot be read"),
            "another's": (signing.rsa_record(signing.rsa_key(1024)), Result.FAIL, "does not match"),
        }
    ),
)
def test_keys(record, result, why):
    """What a key record may say."""
    found = verify(sign(MESSAGE), signing.zone(s=record))[0]

    assert (found.result, why in found.why) == (result, True), found.why


@pytest.mark.parametrize(
    ("zone", "result"),
    table(
        {
            "a time-out is not 'no key'": ({"s._domainkey.example.org": [("TIMEOUT", None)]}, Result.TEMPERROR),
            "nor is SERVFAIL": ({"s._domainkey.example.org": [("SERVFAIL", None)]}, Result.TEMPERROR),
            "no such name": ({}, Result.PERMERROR),
            "no TXT record": ({"s._domainkey.example.org": [("A", "192.0.2.1")]}, Result.PERMERROR),
            "behind a CNAME": (
                {
                    "s._domainkey.example.org": [("CNAME", "k.example.net")],
                    "k.example.net": RSA["s._domainkey.example.org"],
                },
                Result.PASS,
            ),
            "beside a record that is none": (
                {"s._domainkey.example.org": [("TXT", "hello"), *RECORDS]},
                Result.PASS,
            ),
        }
    ),
)
def test_key_look_up(zone, result):
    """What the DNS says of a key."""
    assert verify(sign(MESSAGE), zone)[0].result is result


def resigned(change: bytes, by: bytes) -> bytes:
    """A message whose signature field has been edited; most faults are found before the signature is looked at."""
    signed = sign(MESSAGE, identity=b"anna@example.org")
    edited = re.sub(change, by, signed, count=1)
    assert edited != signed
    return edited


@pytest.mark.parametrize(
    ("message", "result", "why"),
    table(
        {
            "rsa-sha1": (resigned(rb"rsa-sha256", b"rsa-sha1"), Result.PERMERROR, "rsa-sha1 is not accepted"),
            "l=": (resigned(rb" s=s;", b" s=s; l=10;"), Result.POLICY, "a part of the body"),
            "x= that has passed": (
                resigned(rb" s=s;", b" s=s; x=1700000000;").replace(b" t=", b" z="),
                Result.PERMERROR,
                "expired",
            ),
            "x= before t=": (resigned(rb" s=s;", b" s=s; x=1;"), Result.PERMERROR, "x= is not after t="),
            "x= as t=": (resigned(rb" t=(\d+);", rb" t=\1; x=\1;"), Result.PERMERROR, "x= is not after t="),
            "x= that is no number": (resigned(rb" s=s;", b" s=s; x=soon;"), Result.PERMERROR, "not a number"),
            "another version": (resigned(rb"v=1", b"v=2"), Result.PERMERROR, "version"),
            "i= of another domain": (
                resigned(rb"i=anna@example.org", b"i=@example.net"),
                Result.PERMERROR,
                "i= is not",
            ),
            "i= without an @": (
                resigned(rb"i=anna@example.org", b"i=example.org"),
                Result.PERMERROR,
                "i= is no address",
            ),
            "i= of a domain that ends alike": (
                resigned(rb"i=anna@example.org", b"i=@notexample.org"),
                Result.PERMERROR,
                "i= is not",
            ),
            "From not signed": (resigned(rb"h=from", b"h=date"), Result.PERMERROR, "From is not signed"),
            "a tag twice": (resigned(rb" s=s;", b" s=s; s=s;"), Result.PERMERROR, "s= twice"),
            "no d=": (resigned(rb" d=example.org;", b""), Result.PERMERROR, "is not of the domain d="),
            "no bh=": (resigned(rb" bh=[^;]*;", b""), Result.PERMERROR, "no bh="),
            "b= that is not base64": (resigned(rb" b=", b" b=#"), Result.PERMERROR, "b= is not base64"),
            "a domain that is none": (
                resigned(rb" d=example.org", b" d=exam ple"),
                Result.PERMERROR,
                "is not of the domain",
            ),
            "no list of tags": (b"DKIM-Signature: hello\r\n" + MESSAGE, Result.PERMERROR, "name=value"),
            "an unknown canonicalization": (resigned(rb"c=relaxed", b"c=nofws"), Result.PERMERROR, "c= is no"),
            "another way to the key": (resigned(rb"q=dns/txt", b"q=http"), Result.PERMERROR, "q= names"),
        }
    ),
)
def test_never_passes(message, result, why):
    """What is wrong with a signature, without a look at what it signs."""
    found = verify(message, RSA)[0]

    assert (found.result, why in found.why) == (result, True), found.why


def test_too_many_fields():
    """Of a message with more than 1,000 fields no signature passes: not all of it is read."""
    signed = sign(MESSAGE)

    assert verify(b"X: y\r\n" * (fields.MAX_FIELDS - 20) + signed, RSA)[0].result is Result.PASS
    found = verify(b"X: y\r\n" * (fields.MAX_FIELDS - 1) + signed, RSA)[0]
    assert (found.result, found.why) == (Result.PERMERROR, "more than 1000 header fields")
    unsigned = verify(b"X: y\r\n" * fields.MAX_FIELDS + MESSAGE, RSA)[0]
    assert (unsigned.result, unsigned.why) == (found.result, found.why)


def test_a_key_with_a_long_exponent():
    """It would make each check cost ten times as much, and whose key it is chooses it."""
    modulus = signing.rsa_key().public_key().public_numbers().n
    public = RSAPublicNumbers((1 << 2046) + 1, modulus).public_key()
    encoded = b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()

    found = verify(sign(MESSAGE), signing.zone(s=f"v=DKIM1; p={encoded}"))[0]

    assert (found.result, "exponent" in found.why) == (Result.POLICY, True), found.why


def test_short_key():
    """A key under 1024 bits never passes, whatever it signed (RFC 8301 §3.2)."""
    record = (
        "v=DKIM1; k=rsa; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAIHMJgG9zYxvyKtFn8T+p8uh2QPT2j4nMEm0yFR4kQSKp3"
        "zIbyGwBqmAq5fXo3DDnG/OI3vMkcF7cZoNJkjXI6cCAwEAAQ=="
    )

    found = verify(sign(MESSAGE), signing.zone(s=record))[0]

    assert (found.result, found.why) == (Result.POLICY, "s._domainkey.example.org: a key of 512 bits, under 1024")


def test_strict_key():
    """t=s in the key: i= may not be below the domain."""
    zone = signing.zone(s=signing.rsa_record(signing.rsa_key(), more="t=y:s; "))

    below = verify(sign(MESSAGE, identity=b"anna@sub.example.org"), zone)[0]
    itself = verify(sign(MESSAGE, identity=b"anna@example.org"), zone)[0]

    assert (below.result, itself.result) == (Result.PERMERROR, Result.PASS)
    assert below.testing
    assert itself.testing


def test_at_most_ten_signatures():
    """The eleventh is not looked at."""
    message = MESSAGE
    for _ in range(MAX_SIGNATURES + 2):
        message = sign(message)

    assert len(verify(message, RSA)) == MAX_SIGNATURES


def test_oversigning():
    """A field that is signed once more than it is there may not be added; what is not signed may."""
    signed = sign(MESSAGE, include_headers=[b"from", b"from", b"subject"])

    assert verify(b"X-Other: x\r\n" + signed, RSA)[0].result is Result.PASS
    assert verify(b"From: eve@example.net\r\n" + signed, RSA)[0].result is Result.FAIL


@pytest.mark.parametrize(
    ("message", "names"),
    table(
        {
            "there is no other": (MESSAGE, "from:dkim-signature"),
            "there is one other, and no more may be added": (sign(MESSAGE), "from:dkim-signature:dkim-signature"),
        }
    ),
)
def test_a_signature_is_none_of_the_fields_that_it_signs(message, names):
    """RFC 6376 §3.5, h=: it may include other signatures, and not the one that is being made."""
    key = signing.ed25519_key()
    zone = RSA | signing.zone(e=signing.ed25519_record(key))

    signed = signing.sign_ed25519(message, key, "e", names=names)

    assert {one.result for one in verify(signed, zone)} == {Result.PASS}
    assert verify(sign(signed), zone)[1].result is Result.FAIL


def test_lowest_field_first():
    """Of several fields of a name, the lowest is the one that is signed (RFC 6376 §5.4.2)."""
    signed = sign(b"Subject: upper\r\n" + MESSAGE)

    assert verify(signed, RSA)[0].result is Result.PASS
    assert verify(signed.replace(b"upper", b"other"), RSA)[0].result is Result.PASS
    assert verify(signed.replace(b"a  subject", b"another"), RSA)[0].result is Result.FAIL


_words = st.sampled_from([b"a", b" ", b"  ", b"\t", b"\r\n ", b"x=y", b";", b"\xc3\xa9", b":"])
_values = st.lists(_words, max_size=12).map(b"".join).filter(lambda value: value.strip() != b"")


@settings(max_examples=60, deadline=None)
@given(
    subject=_values,
    body=st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"--", b"\xff"]), max_size=20).map(b"".join),
    form=st.sampled_from(FORMS),
    cut=st.integers(1, 7),
)
def test_agrees_with_dkimpy(subject, body, form, cut):
    """Whatever dkimpy signs, verifies, wherever the body is cut; and dkimpy agrees on it."""
    message = b"From: anna@example.org\r\nSubject: x" + subject + b"x\r\n\r\n" + body + b"\r\n"  # as DATA ends
    signed = sign(message, form=form.encode(), include_headers=[b"from", b"subject"])
    record = RECORDS[0][1].encode()

    assert dkimpy.verify(signed, dnsfunc=lambda name, timeout=5: record)
    assert verify(signed, RSA, now=NOW, cut=cut)[0].result is Result.PASS
