"""DMARC: a row for each sentence of RFC 9989 that says how a receiver decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.authentication import dkim, dmarc, dmarc_record
from mailport.authentication.dmarc import DmarcResult
from mailport.authentication.dmarc_record import Policy
from mailport.authentication.dns import Question
from mailport.authentication.fields import Fields
from mailport.authentication.result import Result
from mailport.authentication.spf import Identity, SpfResult
from tests.authentication.zones import Zone, answering, run
from tests.tables import table

REJECT = "v=DMARC1; p=reject"


def spf(domain: str, result: Result = Result.PASS) -> SpfResult:
    return SpfResult(result, Identity.MAIL_FROM, domain, f"x@{domain}", "")


def signed(domain: str, result: Result = Result.PASS) -> dkim.DkimResult:
    return dkim.DkimResult(result, domain, "s", "rsa-sha256", "", "", testing=False, why="")


def records(**named: str) -> Zone:
    """DMARC records; `a_example_org` is a.example.org, which exists."""
    return {f"_dmarc.{name.replace('_', '.')}": [("TXT", text)] for name, text in named.items()}


def checked(
    zone: Zone,
    *found: SpfResult | dkim.DkimResult,
    author: str = "example.org",
    asked: list[Question] | None = None,
) -> DmarcResult:
    of_spf = next((one for one in found if isinstance(one, SpfResult)), None)
    of_dkim = [one for one in found if isinstance(one, dkim.DkimResult)]
    fields = Fields(f"From: anna@{author}\r\n".encode())
    return run(dmarc.check(fields, of_spf, of_dkim), answering(zone, asked))


ORG = records(example_org=REJECT)


@pytest.mark.parametrize(
    ("zone", "author", "found", "result", "policy"),
    table(
        {
            "§4.4.1 DKIM of the same domain": (ORG, "example.org", [signed("example.org")], "pass", "reject"),
            "§4.4.2 SPF of the same domain": (ORG, "example.org", [spf("example.org")], "pass", "reject"),
            "§4.4.1 relaxed: a subdomain of one organization": (
                ORG,
                "example.org",
                [signed("mail.example.org")],
                "pass",
                "reject",
            ),
            "§4.4.1 relaxed: the organization of a subdomain": (
                ORG,
                "news.example.org",
                [signed("example.org")],
                "pass",
                "reject",
            ),
            "§4.4.1 relaxed: two subdomains of one organization": (
                ORG,
                "news.example.org",
                [spf("bounce.example.org")],
                "pass",
                "reject",
            ),
            "§4.4.1 strict: a subdomain is not the same": (
                records(example_org=f"{REJECT}; adkim=s"),
                "example.org",
                [signed("mail.example.org")],
                "fail",
                "reject",
            ),
            "§4.4.2 strict: a subdomain is not the same": (
                records(example_org=f"{REJECT}; aspf=s"),
                "example.org",
                [spf("mail.example.org")],
                "fail",
                "reject",
            ),
            "§4.4.2 strict for SPF is relaxed for DKIM": (
                records(example_org=f"{REJECT}; aspf=s"),
                "example.org",
                [signed("mail.example.org")],
                "pass",
                "reject",
            ),
            "§4.4 another domain": (ORG, "example.org", [signed("example.net"), spf("example.net")], "fail", "reject"),
            "§4.4 a domain that ends alike": (ORG, "example.org", [signed("notexample.org")], "fail", "reject"),
            "§4.4 a public suffix in common is no organization": (
                ORG,
                "example.org",
                [signed("other.org")],
                "fail",
                "reject",
            ),
            "§4.4 one that passes among those that fail": (
                ORG,
                "example.org",
                [spf("example.org", Result.FAIL), signed("example.net"), signed("example.org")],
                "pass",
                "reject",
            ),
            "§4.4 softfail and neutral do not pass": (
                ORG,
                "example.org",
                [spf("example.org", Result.SOFTFAIL)],
                "fail",
                "reject",
            ),
            "§4.7 no record: DMARC does not apply": ({}, "example.org", [spf("example.org")], "none", "none"),
            "§4.7 v= has to be first": (records(example_org="p=reject; v=DMARC1"), "example.org", [], "none", "none"),
            "§4.7 v= has to match precisely": (
                records(example_org="v=dmarc1; p=reject"),
                "example.org",
                [],
                "none",
                "none",
            ),
            "§4.7 another version is no record": (
                records(example_org="v=DMARC2; p=reject"),
                "example.org",
                [],
                "none",
                "none",
            ),
            "§4.8 white space around tags": (
                records(example_org="v = DMARC1 ;p = reject ; ;"),
                "example.org",
                [],
                "fail",
                "reject",
            ),
            "§4.7 unknown tags are ignored": (
                records(example_org="v=DMARC1; pct=0; new=thing; p=reject; rf=afrf"),
                "example.org",
                [],
                "fail",
                "reject",
            ),
            "§4.7 faults elsewhere have their default": (
                records(example_org="v=DMARC1; p=reject; adkim=x; aspf; t=maybe; psd=?"),
                "example.org",
                [signed("mail.example.org")],
                "pass",
                "reject",
            ),
            "§4.10 of several records none counts": (
                {"_dmarc.example.org": [("TXT", REJECT), ("TXT", "v=DMARC1; p=none")]},
                "example.org",
                [],
                "none",
                "none",
            ),
            "§4.10 a record beside a text that is none": (
                {"_dmarc.example.org": [("TXT", "hello"), ("TXT", REJECT)]},
                "example.org",
                [],
                "fail",
                "reject",
            ),
            "§4.10.1 the author's own record wins": (
                records(a_example_org="v=DMARC1; p=none", example_org=REJECT),
                "a.example.org",
                [],
                "fail",
                "none",
            ),
            "§4.10.1 else the organization's": (ORG, "a.example.org", [], "fail", "reject"),
            "§4.10.1 the organization's, not what lies between": (
                records(b_example_org="v=DMARC1; p=none", example_org=REJECT),
                "a.b.example.org",
                [],
                "fail",
                "reject",
            ),
            "§4.10.1 sp= for a subdomain that exists": (
                {
                    **records(example_org="v=DMARC1; p=reject; sp=none; np=quarantine"),
                    "a.example.org": [("A", "192.0.2.1")],
                },
                "a.example.org",
                [],
                "fail",
                "none",
            ),
            "§4.10.1 np= for one that does not": (
                records(example_org="v=DMARC1; p=reject; sp=none; np=quarantine"),
                "a.example.org",
                [],
                "fail",
                "quarantine",
            ),
            "§4.7 np= is not for what has records of another type": (
                {
                    **records(example_org="v=DMARC1; p=none; np=reject"),
                    "a.example.org": [("MX", (0, "mx.example.org"))],
                },
                "a.example.org",
                [],
                "fail",
                "none",
            ),
            "RFC 8020: nor for what has a name below it": (
                {**records(example_org="v=DMARC1; p=none; np=reject"), "x.a.example.org": [("A", "192.0.2.1")]},
                "a.example.org",
                [],
                "fail",
                "none",
            ),
            "§4.7 nor for an alias, wherever it leads": (
                {
                    **records(example_org="v=DMARC1; p=none; np=reject"),
                    "a.example.org": [("CNAME", "gone.example.net")],
                },
                "a.example.org",
                [],
                "fail",
                "none",
            ),
            "§4.7 without np=, sp= is for both": (
                records(example_org="v=DMARC1; p=none; sp=reject"),
                "a.example.org",
                [],
                "fail",
                "reject",
            ),
            "§4.7 sp= is not for the domain itself": (
                records(example_org="v=DMARC1; p=reject; sp=none"),
                "example.org",
                [],
                "fail",
                "reject",
            ),
            "§4.7 sp= of a subdomain's own record is ignored": (
                records(a_example_org="v=DMARC1; p=reject; sp=none", example_org="v=DMARC1; p=none"),
                "a.example.org",
                [],
                "fail",
                "reject",
            ),
            "§4.7 t=y: reject is quarantine": (
                records(example_org="v=DMARC1; p=reject; t=y"),
                "example.org",
                [],
                "fail",
                "quarantine",
            ),
            "§4.7 t=y: quarantine is none": (
                records(example_org="v=DMARC1; p=quarantine; t=y"),
                "example.org",
                [],
                "fail",
                "none",
            ),
            "§4.7 t=y has no effect on none": (
                records(example_org="v=DMARC1; p=none; t=y"),
                "example.org",
                [],
                "fail",
                "none",
            ),
            "§4.7 t=y for sp= too": (
                records(example_org="v=DMARC1; p=none; sp=reject; t=y"),
                "a.example.org",
                [],
                "fail",
                "quarantine",
            ),
            "§4.10.1 a faulty p= with rua= is none": (
                records(example_org="v=DMARC1; p=block; rua=mailto:d@example.org"),
                "example.org",
                [],
                "fail",
                "none",
            ),
            "§4.10.1 a faulty sp= with rua= is none, p= too": (
                records(example_org="v=DMARC1; p=reject; sp=block; rua=mailto:d@example.org"),
                "example.org",
                [],
                "fail",
                "none",
            ),
            "§4.10.1 a faulty p= without rua= is no DMARC": (
                records(example_org="v=DMARC1; p=block"),
                "example.org",
                [],
                "none",
                "none",
            ),
            "§4.10.1 a faulty p= with a rua= that is no URI is no DMARC": (
                records(example_org="v=DMARC1; p=block; rua=d@example.org"),
                "example.org",
                [],
                "none",
                "none",
            ),
            "§4.10.1 no p= with rua= is none": (
                records(example_org="v=DMARC1; rua=mailto:d@example.org"),
                "example.org",
                [],
                "fail",
                "none",
            ),
            "§4.10.2 psd=n: the organization ends here": (
                records(mail_example_org=f"{REJECT}; psd=n", example_org=REJECT),
                "mail.example.org",
                [signed("example.org")],
                "fail",
                "reject",
            ),
            "§4.10.2 psd=n of the other's": (
                records(other_example_org=f"{REJECT}; psd=n", example_org=REJECT),
                "example.org",
                [signed("other.example.org")],
                "fail",
                "reject",
            ),
            "§4.10.2 psd=n above: its subdomains are one organization": (
                records(example_org=f"{REJECT}; psd=n"),
                "a.example.org",
                [signed("b.example.org")],
                "pass",
                "reject",
            ),
            "§4.10.2 psd=y: one label below is the organization": (
                records(org=f"{REJECT}; psd=y"),
                "a.example.org",
                [signed("b.example.org")],
                "pass",
                "reject",
            ),
            "§4.10.2 psd=y: two names below it are two organizations": (
                records(org=f"{REJECT}; psd=y"),
                "example.org",
                [signed("other.org")],
                "fail",
                "reject",
            ),
            "§4.10.1 the record of a public suffix, where there is no other": (
                records(org="v=DMARC1; p=none; sp=quarantine; psd=y"),
                "example.org",
                [],
                "fail",
                "quarantine",
            ),
            "§4.10.1 not where the organization has one": (
                records(org=f"{REJECT}; psd=y", example_org="v=DMARC1; p=none"),
                "a.example.org",
                [],
                "fail",
                "none",
            ),
            "§4.10.2 a public suffix that sends mail is its own organization": (
                records(org=f"{REJECT}; psd=y"),
                "org",
                [signed("example.org")],
                "fail",
                "reject",
            ),
            "§4.10.2 the record with the fewest labels": (
                records(a_b_example_org=REJECT, b_example_org=REJECT, example_org=REJECT),
                "a.b.example.org",
                [signed("example.org")],
                "pass",
                "reject",
            ),
            "§4.10.2 a record between does not make an organization of its own": (
                records(b_example_org=REJECT, example_org=REJECT),
                "a.b.example.org",
                [signed("c.example.org")],
                "pass",
                "reject",
            ),
        }
    ),
)
def test_rfc_9989(zone, author, found, result, policy):
    """The result, and the policy that applies."""
    of = checked(zone, *found, author=author)

    assert (of.result, of.policy.word) == (result, policy), of.why


@pytest.mark.parametrize("failure", ["SERVFAIL", "TIMEOUT"])
@pytest.mark.parametrize(
    ("zone", "author", "found", "result", "policy"),
    table(
        {
            "the author's record": (
                {"_dmarc.example.org": "?"},
                "example.org",
                [signed("example.org")],
                "temperror",
                "none",
            ),
            "what is above it, where there is no other": ({"_dmarc.org": "?"}, "example.org", [], "temperror", "none"),
            "what is above it, and it is not needed": (
                {**ORG, "_dmarc.org": "?"},
                "example.org",
                [signed("example.org")],
                "pass",
                "reject",
            ),
            "what is above it, and nothing would be aligned": (
                {**ORG, "_dmarc.org": "?"},
                "example.org",
                [signed("example.net")],
                "fail",
                "reject",
            ),
            "what is above it, and something might be aligned": (
                {**ORG, "_dmarc.org": "?"},
                "example.org",
                [signed("a.example.org")],
                "temperror",
                "reject",
            ),
            "the walk of one identifier, and another is aligned": (
                {**ORG, "_dmarc.a.example.org": "?"},
                "example.org",
                [signed("a.example.org"), spf("b.example.org")],
                "pass",
                "reject",
            ),
            "the key of the author's signature": (
                ORG,
                "example.org",
                [signed("example.org", Result.TEMPERROR)],
                "temperror",
                "reject",
            ),
            "the key of another's signature": (
                ORG,
                "example.org",
                [signed("example.net", Result.TEMPERROR)],
                "fail",
                "reject",
            ),
            "the author's SPF record, and a signature passes": (
                ORG,
                "example.org",
                [spf("example.org", Result.TEMPERROR), signed("example.org")],
                "pass",
                "reject",
            ),
            "the author's SPF record": (
                ORG,
                "example.org",
                [spf("example.org", Result.TEMPERROR)],
                "temperror",
                "reject",
            ),
            "whether the domain exists": (
                {**records(example_org="v=DMARC1; p=none; sp=quarantine; np=reject"), "a.example.org": "?"},
                "a.example.org",
                [],
                "temperror",
                "reject",
            ),
            "whether it exists, and it passes": (
                {**records(example_org="v=DMARC1; p=none; np=reject"), "a.example.org": "?"},
                "a.example.org",
                [signed("example.org")],
                "pass",
                "none",
            ),
        }
    ),
)
def test_what_cannot_be_asked(zone, author, found, result, policy, failure):
    """What could not be asked is a temperror where it would have decided, and only there."""
    failing = {name: [(failure, None)] if values == "?" else values for name, values in zone.items()}
    of = checked(failing, *found, author=author)

    assert (of.result, of.policy.word) == (result, policy), of.why


def test_the_walk_of_a_long_name():
    """The example of §4.10: eight questions, however many labels there are."""
    asked: list[Question] = []
    checked({}, author="a.b.c.d.e.f.g.h.i.j.mail.example.com", asked=asked)

    assert [question.name for question in asked] == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "_dmarc.g.h.i.j.mail.example.com",
        "_dmarc.h.i.j.mail.example.com",
        "_dmarc.i.j.mail.example.com",
        "_dmarc.j.mail.example.com",
        "_dmarc.mail.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


def test_a_walk_of_eight_labels():
    """A name of eight labels is walked label by label."""
    asked: list[Question] = []
    checked({}, author="a.b.c.d.e.f.g.h", asked=asked)

    assert len(asked) == dmarc.MAX_QUESTIONS
    assert asked[1].name == "_dmarc.b.c.d.e.f.g.h"


@pytest.mark.parametrize(
    ("found", "questions"),
    table(
        {
            "the same domain": ([signed("example.org")], ["_dmarc.example.org"]),
            "nothing that passes": ([signed("example.org", Result.FAIL)], ["_dmarc.example.org"]),
            "another top-level domain": ([signed("example.net")], ["_dmarc.example.org"]),
            "another organization": ([signed("other.org")], ["_dmarc.example.org", "_dmarc.org"]),
            "the same domain, behind others": (
                [signed("a.example.org"), signed("b.example.org"), signed("example.org")],
                ["_dmarc.example.org"],
            ),
        }
    ),
)
def test_asks_no_more_than_it_needs(found, questions):
    """§4.10.2: there is no walk where it could not change the result."""
    asked: list[Question] = []
    checked(ORG, *found, asked=asked)

    assert [question.name for question in asked] == questions


@pytest.mark.parametrize(
    ("found", "aligned_by"),
    table(
        {
            "nothing": ([], ""),
            "SPF, for the domain itself": ([spf("a.example.org")], "spf"),
            "SPF, for another domain": ([spf("example.net")], ""),
            "SPF, for a domain above it": ([spf("example.org")], ""),
            "a signature of the domain itself": ([signed("example.net"), signed("a.example.org")], "dkim"),
            "a signature of a domain above it": ([signed("example.org")], ""),
            "a signature that does not verify": ([signed("a.example.org", Result.FAIL)], ""),
        }
    ),
)
def test_what_passes_where_the_policy_cannot_be_asked(found, aligned_by):
    """No record could make it fail: it is pass or none."""
    of = checked({"_dmarc.a.example.org": [("SERVFAIL", None)]}, *found, author="a.example.org")

    assert (of.result, of.aligned_by) == (Result.TEMPERROR, aligned_by)


def test_an_address_literal():
    """An author without a domain name has no record."""
    assert checked({}, author="[192.0.2.1]").result is Result.NONE


@pytest.mark.parametrize(
    ("section", "policy"),
    table(
        {
            "no field": (b"To: x@example.org\r\n", "none"),
            "a name and no address": (b"From: Scanner 3\r\n", "none"),
            "an empty group": (b"From: nobody:;\r\n", "none"),
            "two addresses": (b"From: a@example.org, b@example.net\r\n", "quarantine"),
            "two fields": (b"From: a@example.org\r\nFrom: b@example.net\r\n", "quarantine"),
            "a bracket that is left open": (b"From: <a@example.org\r\n", "quarantine"),
            "an address behind very much": (b"From: " + b"x" * 9000 + b" <a@example.org>\r\n", "quarantine"),
            "an address in front of very many fields": (b"From: a@example.org\r\n" + b"x:\r\n" * 1000, "quarantine"),
            "an address behind very many fields": (b"x:\r\n" * 1000 + b"From: a@example.org\r\n", "quarantine"),
        }
    ),
)
def test_no_one_author(section, policy):
    """Permerror, and nothing is asked; what a mail program may show as the author is not to pass for one."""
    found = run(dmarc.check(Fields(section), None, []), answering({}))

    assert (found.result, found.policy.word) == (Result.PERMERROR, policy), found.why


@given(st.text(alphabet="vpsnt=;:,! DMARC1rejctquanimlo@", max_size=80))
def test_any_record(text):
    """Whatever a record holds, it is read."""
    assert dmarc_record.parse(f"v=DMARC1;{text}").policy in Policy
