"""The arguments of MAIL, RCPT and BDAT."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailport.address import Address
from mailport.policy.command import (
    BAD_PARAMETER,
    BAD_RECIPIENT,
    BAD_SENDER,
    UNKNOWN_PARAMETER,
    MailCommand,
    RcptCommand,
    bdat,
    mail,
    rcpt,
)
from mailport.policy.replies import Reply
from tests.tables import table

ANNA = Address("anna", "example.org")


@pytest.mark.parametrize(
    ("argument", "understood"),
    table(
        {
            "an address": ("FROM:<anna@example.org>", MailCommand(ANNA)),
            "in any case": ("from:<anna@example.org>", MailCommand(ANNA)),
            "the null sender": ("FROM:<>", MailCommand(None)),
            "a space behind the colon, as Exchange has it": ("FROM: <anna@example.org>", MailCommand(ANNA)),
            "without brackets": ("FROM:anna@example.org", MailCommand(ANNA)),
            "without brackets, with a space and a parameter": ("FROM: anna@example.org SIZE=9", MailCommand(ANNA, 9)),
            "space at the end": ("FROM:<anna@example.org>  ", MailCommand(ANNA)),
            "a source route": ("FROM:<@a.example,@[192.0.2.1]:anna@example.org>", MailCommand(ANNA)),
            "a source route over IPv6": ("FROM:<@[IPv6:2001:db8::1]:anna@example.org>", MailCommand(ANNA)),
            "brackets and spaces in quotes": ('FROM:<"a> b"@example.org>', MailCommand(Address("a> b", "example.org"))),
            "quotes without brackets": ('FROM:"a b"@example.org', MailCommand(Address("a b", "example.org"))),
            "a quoted quote": (r'FROM:<"a\">"@example.org>', MailCommand(Address('a">', "example.org"))),
            "UTF-8": ("FROM:<änna@exämple.org> SMTPUTF8", MailCommand(Address("änna", "exämple.org"), smtputf8=True)),
            "SIZE": ("FROM:<> SIZE=1000000", MailCommand(None, 1_000_000)),
            "SIZE of 20 digits": ("FROM:<> SIZE=" + "9" * 20, MailCommand(None, 10**20 - 1)),
            "BODY=7BIT": ("FROM:<> BODY=7BIT", MailCommand(None)),
            "BODY=8BITMIME": ("FROM:<> BODY=8BITMIME", MailCommand(None, body_8bitmime=True)),
            "all of them in any order and case": (
                "FROM:<> smtputf8 Body=8bitmime\tAUTH=<> size=0 ",
                MailCommand(None, 0, body_8bitmime=True, smtputf8=True),
            ),
            "AUTH is taken and ignored": ("FROM:<> AUTH=anna+40example.org", MailCommand(None)),
        }
    ),
)
def test_mail(argument, understood):
    """What a client may write behind MAIL."""
    assert mail(argument.encode()) == understood


@pytest.mark.parametrize(
    ("argument", "reply"),
    table(
        {
            "nothing": (b"", BAD_SENDER),
            "no path": (b"FROM:", BAD_SENDER),
            "no colon": (b"FROM <anna@example.org>", BAD_SENDER),
            "RCPT's word": (b"TO:<anna@example.org>", BAD_SENDER),
            "no domain": (b"FROM:<anna>", BAD_SENDER),
            "the postmaster, who needs a domain here": (b"FROM:<postmaster>", BAD_SENDER),
            "an unfinished path": (b"FROM:<anna@example.org", BAD_SENDER),
            "an unbegun path": (b"FROM:anna@example.org>", BAD_SENDER),
            "unfinished quotes": (b'FROM:<"anna@example.org>', BAD_SENDER),
            "a path and something": (b"FROM:<anna@example.org>SIZE=1", BAD_SENDER),
            "a name and a path": (b"FROM:Anna <anna@example.org>", BAD_SENDER),
            "a source route to nowhere": (b"FROM:<@a.example:>", BAD_SENDER),
            "a source route without a colon": (b"FROM:<@a.example,anna@example.org>", BAD_SENDER),
            "not UTF-8": (b"FROM:<\xe4nna@example.org>", BAD_SENDER),
            "a control character": (b"FROM:<an\x01na@example.org>", BAD_SENDER),
            "a bare CR": (b"FROM:<>\rSIZE=1", BAD_SENDER),
            "SIZE without a value": (b"FROM:<> SIZE", BAD_PARAMETER),
            "SIZE that is no number": (b"FROM:<> SIZE=1k", BAD_PARAMETER),
            "a negative SIZE": (b"FROM:<> SIZE=-1", BAD_PARAMETER),
            "SIZE of 21 digits": (b"FROM:<> SIZE=" + b"1" * 21, BAD_PARAMETER),
            "BODY=BINARYMIME, which is not offered": (b"FROM:<> BODY=BINARYMIME", BAD_PARAMETER),
            "BODY without a value": (b"FROM:<> BODY", BAD_PARAMETER),
            "SMTPUTF8 with a value": (b"FROM:<> SMTPUTF8=YES", BAD_PARAMETER),
            "AUTH without a value": (b"FROM:<> AUTH", BAD_PARAMETER),
            "a parameter twice": (b"FROM:<> SIZE=1 size=1", BAD_PARAMETER),
            "no value behind =": (b"FROM:<> SIZE=", BAD_PARAMETER),
            "no keyword": (b"FROM:<> =1", BAD_PARAMETER),
            "a keyword of odd letters": (b"FROM:<> SI_ZE=1", BAD_PARAMETER),
            "a bare CR between parameters": (b"FROM:<> SIZE=1\rBODY=7BIT", BAD_PARAMETER),
            "a value in UTF-8": ("FROM:<> AUTH=ä".encode(), BAD_PARAMETER),
            "DSN, which is not offered": (b"FROM:<> RET=HDRS", UNKNOWN_PARAMETER),
            "an unknown word": (b"FROM:<> X", UNKNOWN_PARAMETER),
        }
    ),
)
def test_mail_refused(argument, reply):
    """501 5.1.7 for the sender, 501 5.5.4 for a parameter, 555 5.5.4 for one that we do not know."""
    assert mail(argument) is reply


@pytest.mark.parametrize(
    ("argument", "understood"),
    table(
        {
            "an address": ("TO:<anna@example.org>", RcptCommand(ANNA)),
            "in any case": ("to:<anna@example.org>", RcptCommand(ANNA)),
            "the postmaster": ("TO:<postmaster>", RcptCommand(None)),
            "in any case, he too": ("To: <PostMaster>", RcptCommand(None)),
            "without brackets": ("TO:anna@example.org", RcptCommand(ANNA)),
            "the postmaster of a domain": (
                "TO:<postmaster@example.org>",
                RcptCommand(Address("postmaster", "example.org")),
            ),
            "a source route": ("TO:<@a,@b:anna@example.org>", RcptCommand(ANNA)),
            "space at the end": ("TO:<anna@example.org> ", RcptCommand(ANNA)),
        }
    ),
)
def test_rcpt(argument, understood):
    """What a client may write behind RCPT."""
    assert rcpt(argument.encode()) == understood


@pytest.mark.parametrize(
    ("argument", "reply"),
    table(
        {
            "nothing": (b"", BAD_RECIPIENT),
            "the null sender is no recipient": (b"TO:<>", BAD_RECIPIENT),
            "no domain": (b"TO:<anna>", BAD_RECIPIENT),
            "the postmaster in quotes is another": (b'TO:<"postmaster">', BAD_RECIPIENT),
            "MAIL's word": (b"FROM:<anna@example.org>", BAD_RECIPIENT),
            "not UTF-8": (b"TO:<\xff@example.org>", BAD_RECIPIENT),
            "two paths": (b"TO:<anna@example.org>,<bert@example.org>", BAD_RECIPIENT),
            "DSN, which is not offered": (b"TO:<anna@example.org> NOTIFY=NEVER", UNKNOWN_PARAMETER),
            "MAIL's parameters": (b"TO:<anna@example.org> SIZE=1", UNKNOWN_PARAMETER),
            "a malformed parameter": (b"TO:<anna@example.org> NOTIFY=", BAD_PARAMETER),
        }
    ),
)
def test_rcpt_refused(argument, reply):
    """501 5.1.3 for the recipient, 555 5.5.4 for parameters: no extension of ours has any here."""
    assert rcpt(argument) is reply


def test_helo_knows_no_parameters():
    """What EHLO did not offer cannot be asked for (RFC 5321 §4.1.4)."""
    assert mail(b"FROM:<anna@example.org>", extended=False) == MailCommand(ANNA)
    assert mail(b"FROM:<anna@example.org> ", extended=False) == MailCommand(ANNA)
    assert mail(b"FROM:<anna@example.org> SIZE=1", extended=False) is UNKNOWN_PARAMETER
    assert rcpt(b"TO:<anna@example.org> SIZE=", extended=False) is UNKNOWN_PARAMETER


@pytest.mark.parametrize(
    ("argument", "understood"),
    table(
        {
            "a chunk": (b"86400", (86400, False)),
            "the last": (b"86400 LAST", (86400, True)),
            "in any case": (b"1 last ", (1, True)),
            "an empty last one (RFC 3030 §2)": (b"0 LAST", (0, True)),
            "nothing": (b"", (None, False)),
            "no number": (b"LAST", (None, False)),
            "a sign": (b"+1", (None, False)),
            "another word": (b"1 FIRST", (None, False)),
            "no space": (b"1LAST", (None, False)),
            "digits of other scripts": ("\u0661".encode(), (None, False)),
            "a number beyond all": (b"1" * 21, (None, False)),
        }
    ),
)
def test_bdat(argument, understood):
    """The number decides where the next command begins, so nothing is guessed."""
    assert bdat(argument) == understood


@given(st.binary(max_size=60) | st.text('<>@:"\\ ,[]=ab\t\r\x00é', max_size=40).map(str.encode))
@example(b"<" * 2000)
@example(b"<" + b"@a," * 600)
@example(b'<"' + b"\\a" * 900)
@example(b"<a@b>" + b" \t" * 900 + b"\n")
def test_nothing_raises(garbage):
    """Whatever stands there is understood or has a reply, and never half of each."""
    for argument in (garbage, b"FROM:" + garbage, b"TO:" + garbage):
        assert isinstance(mail(argument), MailCommand | Reply)
        assert isinstance(rcpt(argument), RcptCommand | Reply)
        bdat(argument)
