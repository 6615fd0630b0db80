"""What a destination may say of a message, and what a client hears of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.deliver.destination import Refused, Unavailable
from mailport.policy.replies import Reply
from tests.tables import table


@pytest.mark.parametrize(
    "code, enhanced, heard",
    table(
        {
            "a next hop's own reply is passed on": (552, "5.2.2", (552, "5.2.2")),
            "a 4yz would bring the sender back for ever": (451, "4.3.0", (554, "5.3.0")),
            "a 250 would lose the message": (250, "2.0.0", (554, "5.0.0")),
            "a code of three digits that is none": (600, "5.1.1", (554, "5.1.1")),
            "no code": (0, "5.1.1", (554, "5.1.1")),
            "an enhanced code of another class is made to match": (550, "4.1.1", (550, "5.1.1")),
            "no enhanced code": (550, "", (550, "5.3.0")),
            "an enhanced code that is none": (550, "5.1", (550, "5.3.0")),
            "an enhanced code with a second line behind it": (550, "5.1.1\r\n250 2.0.0", (550, "5.3.0")),
        }
    ),
)
def test_refused_is_for_good(code: int, enhanced: str, heard: tuple[int, str]):
    """Whatever the destination said, the client hears a 5yz, and the same class twice (RFC 2034 §4)."""
    reply = Refused("no", code=code, enhanced=enhanced).reply

    assert (reply.code, reply.enhanced) == heard
    assert reply.permanent


@pytest.mark.parametrize(
    "code, enhanced, heard",
    table(
        {
            "a disk that is full": (452, "4.3.1", (452, "4.3.1")),
            "a 5yz would send mail back for a fault of ours": (550, "5.1.1", (451, "4.1.1")),
            "a 250 would lose the message": (250, "2.0.0", (451, "4.0.0")),
            "no code": (0, "4.3.0", (451, "4.3.0")),
            "an enhanced code of another class is made to match": (451, "5.7.1", (451, "4.7.1")),
            "no enhanced code": (451, "", (451, "4.3.0")),
            "an enhanced code that is none": (451, "4.3.0 try later", (451, "4.3.0")),
        }
    ),
)
def test_unavailable_is_for_now(code: int, enhanced: str, heard: tuple[int, str]):
    """Whatever the destination said, the client hears a 4yz, and the sender keeps the message."""
    reply = Unavailable("no", code=code, enhanced=enhanced).reply

    assert (reply.code, reply.enhanced) == heard
    assert not reply.permanent
    assert not reply.positive


@pytest.mark.parametrize(
    "text, heard",
    table(
        {
            "one line": ("mailbox is full", "mailbox is full"),
            "a second reply in it": ("no\r\n250 2.0.0 Ok", "no 250 2.0.0 Ok"),
            "control characters": ("\x1b[31mno\x00\x7f", "[31mno"),
            "beyond ASCII": ("Postfach für Köln", "Postfach f r K ln"),
            "line ends that only Unicode has": ("no\u2028no", "no no"),
            "half a character": ("no \udcfc", "no"),
            "nothing that can be said": ("\r\n", "refused"),
            "no end of it": ("x" * 5000, "x" * 500),
        }
    ),
)
def test_a_text_is_one_printable_line(text: str, heard: str):
    """It may be a next hop's, a program's or an administrator's word, and goes to a client."""
    assert Refused(text).reply.text == heard
    assert Unavailable("", text=text).reply.text == heard


@given(st.text(), st.integers(-1000, 1000), st.text(max_size=12) | st.from_regex(r"[0-9]\.[0-9]+\.[0-9]+"))
def test_whatever_is_said_is_one_reply(text: str, code: int, enhanced: str):
    """One line of printable ASCII, in 512 octets (RFC 5321 §4.5.3.1.5), of the class it should have."""
    for digit, failure in (
        (b"5", Refused(text, code=code, enhanced=enhanced)),
        (b"4", Unavailable(text, code=code, enhanced=enhanced, text=text)),
    ):
        assert re.fullmatch(rb"%b\d\d %b\.\d{1,3}\.\d{1,3} [ -~]+\r\n" % (digit, digit), failure.reply.line)
        assert len(failure.reply.line) <= 512


def test_what_is_for_the_log_is_not_for_the_client():
    """Paths, addresses and traces of ours stay with us; without them the log has what the client heard."""
    refused = Refused("no such mailbox", code=550, enhanced="5.1.1", detail="there is no /mail/anna")
    unavailable = Unavailable("[Errno 5] Input/output error: /mail/anna")

    assert (str(refused), refused.reply.text) == ("there is no /mail/anna", "no such mailbox")
    assert str(Refused("no such mailbox")) == "no such mailbox"
    assert str(unavailable) == "[Errno 5] Input/output error: /mail/anna"
    assert b"/mail" not in unavailable.reply.line
    assert (refused.reply.reason, unavailable.reply.reason) == ("destination_refused", "destination_unavailable")


@pytest.mark.parametrize("text", table({"a CR": "no\rno", "an LF": "no\nno", "CRLF": "no\r\n250 2.0.0 Ok"}))
def test_no_reply_has_two_lines(text: str):
    """Where a text was not cleaned, it goes no further."""
    with pytest.raises(ValueError, match="a reply is one line"):
        Reply(550, "5.1.1", text)
