"""The arguments of EHLO, MAIL, RCPT and BDAT."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailport.address.mail_address import Address
from mailport.policy import replies
from mailport.policy.command import MailCommand, RcptCommand, bdat, hello, mail, rcpt
from mailport.policy.replies import BAD_PARAMETER, BAD_RECIPIENT, BAD_SENDER, UNKNOWN_PARAMETER, Reply
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
            "so is DSN's RET": ("FROM:<> ret=Hdrs", MailCommand(None)),
            "and its ENVID": ("FROM:<> ENVID=a+2Bb RET=FULL SIZE=1", MailCommand(None, size=1)),
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
            "AUTH that is no xtext": (b"FROM:<> AUTH=anna+tag@example.org", BAD_PARAMETER),
            "RET of neither form": (b"FROM:<> RET=ALL", BAD_PARAMETER),
            "RET without a value": (b"FROM:<> RET", BAD_PARAMETER),
            "RET twice": (b"FROM:<> RET=FULL RET=HDRS", BAD_PARAMETER),
            "ENVID that is no xtext": (b"FROM:<> ENVID=a+2", BAD_PARAMETER),
            "ENVID in small hexadecimal digits": (b"FROM:<> ENVID=a+2b", BAD_PARAMETER),
            "RCPT's parameter of DSN": (b"FROM:<> NOTIFY=NEVER", UNKNOWN_PARAMETER),
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
            "DSN's NOTIFY is taken and ignored": ("TO:<anna@example.org> NOTIFY=NEVER", RcptCommand(ANNA)),
            "of several words": ("TO:<anna@example.org> notify=success,Failure,DELAY", RcptCommand(ANNA)),
            "so is its ORCPT": ("TO:<anna@example.org> ORCPT=rfc822;anna+2Btag@example.org", RcptCommand(ANNA)),
            "in UTF-8 (RFC 6533)": ("TO:<anna@example.org> ORCPT=utf-8;änna@example.org", RcptCommand(ANNA)),
            "with nothing behind its type": ("TO:<anna@example.org> ORCPT=rfc822;", RcptCommand(ANNA)),
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
            "NOTIFY of another word": (b"TO:<anna@example.org> NOTIFY=ALWAYS", BAD_PARAMETER),
            "NOTIFY of NEVER and more": (b"TO:<anna@example.org> NOTIFY=NEVER,DELAY", BAD_PARAMETER),
            "NOTIFY with an empty word": (b"TO:<anna@example.org> NOTIFY=DELAY,,FAILURE", BAD_PARAMETER),
            "NOTIFY without a value": (b"TO:<anna@example.org> NOTIFY", BAD_PARAMETER),
            "NOTIFY twice": (b"TO:<anna@example.org> NOTIFY=NEVER NOTIFY=NEVER", BAD_PARAMETER),
            "ORCPT without a type": (b"TO:<anna@example.org> ORCPT=anna@example.org", BAD_PARAMETER),
            "ORCPT that is no xtext": (b"TO:<anna@example.org> ORCPT=rfc822;anna+tag@example.org", BAD_PARAMETER),
            "ORCPT with a control character": ("TO:<anna@example.org> ORCPT=utf-8;a\x85b".encode(), BAD_PARAMETER),
            "MAIL's parameter of DSN": (b"TO:<anna@example.org> RET=FULL", UNKNOWN_PARAMETER),
            "MAIL's parameters": (b"TO:<anna@example.org> SIZE=1", UNKNOWN_PARAMETER),
            "a malformed parameter": (b"TO:<anna@example.org> NOTIFY=", BAD_PARAMETER),
        }
    ),
)
def test_rcpt_refused(argument, reply):
    """501 5.1.3 for the recipient, 501 5.5.4 for a parameter, 555 5.5.4 for one that we do not know."""
    assert rcpt(argument) is reply


@pytest.mark.parametrize(
    ("argument", "understood"),
    table(
        {
            "a name": (b"client.example.net", "client.example.net"),
            "a literal": (b"[192.0.2.1]", "[192.0.2.1]"),
            "no name of a host": (b"my_PC (2)", "my_PC (2)"),
            "in UTF-8": ("bücher.example".encode(), "bücher.example"),
            "not in UTF-8": (b"b\xfccher", "b\ufffdcher"),
            "nothing": (b"", replies.NEEDS_HOSTNAME),
            "a tab": (b"client\texample", replies.BAD_HOSTNAME),
            "a bare CR": (b"client\rReceived: from elsewhere", replies.BAD_HOSTNAME),
            "a NUL": (b"client\0", replies.BAD_HOSTNAME),
            "DEL": (b"client\x7f", replies.BAD_HOSTNAME),
            "an escape sequence": (b"\x1b[31mclient", replies.BAD_HOSTNAME),
            "a control character of Unicode's": ("client\x9b".encode(), replies.BAD_HOSTNAME),
        }
    ),
)
def test_hello(argument, understood):
    """Any text is a name, but for control characters."""
    assert hello(argument) == understood


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
