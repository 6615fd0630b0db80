"""Header fields: words, parameters, mailboxes."""

from __future__ import annotations

from datetime import UTC, datetime
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.mime import words
from mailport.mime.fields import MOST_FIELDS, Fields, mailboxes
from tests.tables import table


@pytest.mark.parametrize(
    "text, decoded",
    table(
        {
            "Q": ("=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=", "Grüße aus Köln"),
            "B, and text around": ("Re: =?UTF-8?B?w6TDtsO8?= x", "Re: äöü x"),
            "with a language (RFC 2231)": ("=?utf-8*de?q?=C3=A4?=", "ä"),
            "blanks between words are none": ("=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"),
            "of two charsets": ("=?iso-8859-1?q?=E4?= =?utf-8?q?=C3=A4?=", "ää"),
            "a character cut in two": ("=?utf-8?b?w6Q=?= =?utf-8?b?ww==?= =?utf-8?b?pA==?=", "ää"),
            "of a charset that is not known": ("=?x-nowhere?q?abc?=", "abc"),
            "what cannot be read stays": ("a =?utf-8?q?=FF=FE?= b", "a =?utf-8?q?=FF=FE?= b"),
            "no base64 at all": ("=?utf-8?b?!!!?=", ""),
            "not closed": ("=?utf-8?q?abc", "=?utf-8?q?abc"),
            "within a word": ("x=?utf-8?q?abc?=y", "xabcy"),
            "with a blank in it, as some write it": ("=?utf-8?q?a b?=", "a b"),
        }
    ),
)
def test_encoded_words(text: str, decoded: str):
    assert words.decoded(text) == decoded


@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z"), blacklist_characters="=?"), min_size=1, max_size=99)
)
def test_words_that_the_library_writes_are_read(text: str):
    written = Header(text, "utf-8", maxlinelen=60).encode().replace("\n", "")

    assert words.decoded(written) == text


@pytest.mark.parametrize(
    "text, value, parameters",
    table(
        {
            "none": ("text/plain", "text/plain", {}),
            "a token": ("Text/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
            "quoted": (r'a/b; name="a;\"b\" c"', "a/b", {"name": 'a;"b" c'}),
            "extended (RFC 2231)": (
                "attachment; filename*=utf-8'de'B%C3%AFld.png",
                "attachment",
                {"filename": "Bïld.png"},
            ),
            "in sections, out of order": (
                "attachment; filename*1=\"b c\"; filename*0*=iso-8859-1''%E4; filename*2*=%E4",
                "attachment",
                {"filename": "äb cä"},
            ),
            "a section is missing": ("a/b; n*0=x; n*2=z", "a/b", {"n": "x"}),
            "both: the extended one": ("a/b; name=x; name*=utf-8''y", "a/b", {"name": "y"}),
            "an encoded word in it, as many write it": ('a/b; name="=?utf-8?q?=C3=A4?="', "a/b", {"name": "ä"}),
            "which is nothing to a boundary": ("a/b; boundary==?utf-8?q?a?=", "a/b", {"boundary": "=?utf-8?q?a?="}),
            "twice: the first": ("a/b; n=1; n=2", "a/b", {"n": "1"}),
            "blanks, and no value": ("a/b ; n = x ; m", "a/b", {"n": "x"}),
            "quotes that are not closed": ('a/b; n="x', "a/b", {"n": '"x'}),
            "without quotes, with blanks": ("a/b; name=my file.pdf", "a/b", {"name": "my file.pdf"}),
            "extended without charset": ("a/b; name*=x%20y", "a/b", {"name": "x y"}),
            "nothing": ("", "", {}),
        }
    ),
)
def test_parameters(text: str, value: str, parameters: dict[str, str]):
    assert words.parametrized(text) == (value, parameters)


@pytest.mark.parametrize(
    "raw, found",
    table(
        {
            "an address": ("anna@example.org", [("", "anna@example.org")]),
            "with a name": ("Anna Maria <anna@example.org>", [("Anna Maria", "anna@example.org")]),
            "quoted": (r'"Doe, \"J\"" <j@x>, b@y', [('Doe, "J"', "j@x"), ("", "b@y")]),
            "encoded, with a comma that is the name's": ("=?utf-8?q?M=2C_A?= <a@x>", [("M, A", "a@x")]),
            "an address that is a name's word stays one": ("=?utf-8?q?evil=40x=2C?= <a@x>", [("evil@x,", "a@x")]),
            "a comment": ("anna@x (Anna (the first))", [("Anna the first", "anna@x")]),
            "a group": ("friends: a@x, B <b@y>;, c@z", [("", "a@x"), ("B", "b@y"), ("", "c@z")]),
            "an empty group": ("undisclosed-recipients:;", []),
            "a literal": (
                "<a@[IPv6:2001:db8::1]>, b@[192.0.2.1]",
                [("", "a@[IPv6:2001:db8::1]"), ("", "b@[192.0.2.1]")],
            ),
            "a route, which nobody uses": ("<@x,@y:a@z>", [("", "@x,@y:a@z")]),
            "no address": ("Anna", [("Anna", "")]),
            "the null address": ("<>", [("", "")]),
            "a name in UTF-8": ("Jörg <j@x>", [("Jörg", "j@x")]),
            "not closed": ("Anna <a@x", [("Anna", "a@x")]),
            "a comment that is not closed": ("a@x (oh", [("oh", "a@x")]),
            "nothing": (" , ,", []),
        }
    ),
)
def test_mailboxes(raw: str, found: list[tuple[str, str]]):
    assert [*mailboxes(raw)] == found


def test_mailboxes_without_end():
    """The first thousand of all fields of a name, and no more is read of them than 64 KiB."""
    many = Fields(b"To: a@x, b@x\r\n" * 9_000)
    assert len(many.mailboxes("to")) == 1000

    long = Fields((b"To: " + b"x" * 40_000 + b"@y\r\n") * 20)
    assert sum(len(one.name) + len(one.address) for one in long.mailboxes("to")) == 64 * 1024


@given(st.text(max_size=60))
def test_no_text_is_too_strange(raw: str):
    """For words, parameters or addresses."""
    assert all(isinstance(one.name, str) for one in mailboxes(raw))
    words.decoded(raw)
    words.parametrized(raw)


SECTION = (
    b"From: a@x\r\nSubject: one\r\n two\r\n\tthree \r\nsubject: second\r\nX-Empty:\r\n"
    b"X-Eight: \xc3\xa4\r\nX-Latin: \xe4\r\n"
    b"Date: Sat, 28 Nov 2026 22:00:00 +0000\r\nReferences: <a@b> x <c@d>\r\n\r\nNot: a field\r\n"
)


def test_a_header_section():
    """In order, unfolded; octets that are not ASCII are UTF-8 or Latin 1; the first of a name counts."""
    fields = Fields(SECTION)

    assert [(one.name, one.value) for one in fields.all][:6] == [
        ("From", "a@x"),
        ("Subject", "one two\tthree"),
        ("subject", "second"),
        ("X-Empty", ""),
        ("X-Eight", "ä"),
        ("X-Latin", "ä"),
    ]
    assert SECTION[fields.octets :] == b"\r\nNot: a field\r\n"
    assert fields.text("subject") == "one two\tthree"
    assert fields.text("not") is None
    assert fields.date() == datetime(2026, 11, 28, 22, tzinfo=UTC)
    assert fields.ids("references") == ["<a@b>", "<c@d>"]


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Sat, 99 Nov 2026 22:00:00", "1" * 500, "Sat, 28 Nov 99999999 22:00"]
)
def test_a_date_that_is_none(date: str):
    assert Fields(f"Date: {date}\r\n".encode()).date() is None


def test_fields_without_end_are_left_out_and_that_is_said():
    fields = Fields(b"a: b\r\n" * (MOST_FIELDS + 1) + b"\r\n")

    assert len(fields.all) == MOST_FIELDS
    assert fields.too_many
    assert fields.octets == 6 * (MOST_FIELDS + 1)
