"""Messages, read: as mail programs mean them, as the standard library reads them, and whatever they hold."""

from __future__ import annotations

import email
import email.policy
import hashlib
import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailport.mime import parts, reading, source
from mailport.mime.parts import MOST_DEPTH, MOST_PARTS, Problem
from mailport.mime.reading import Reading, Text
from tests.mime.hostile import HOSTILE
from tests.mime.octets import Octets
from tests.tables import table


def read(message: bytes) -> Reading:
    return reading.read(Octets(message), 1024 * 1024)


def lines(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def text_of(text: Text | None, message: bytes) -> str | None:
    return None if text is None else "".join(text.pieces(Octets(message)))


def attached(message: bytes) -> list[tuple[str, str | None, bytes]]:
    """What is attached: type, name, content."""
    return [
        (one.part.type, one.part.name, b"".join(reading.content(one.part, Octets(message))))
        for one in read(message).attachments
    ]


ALTERNATIVE = """\
Content-Type: multipart/mixed; boundary=outer

this is not seen
--outer
Content-Type: multipart/alternative; boundary="inner x"

--inner x
Content-Type: text/plain; charset=utf-8

Grüße
--inner x  
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<b>Gr=C3=BC=C3=9Fe</b>
--inner x--
--outer
Content-Type: image/png; name="a.png"
Content-Transfer-Encoding: base64
Content-ID: <image@1>
Content-Disposition: inline

iVBORw0KGgo=
--outer
Content-Type: text/plain

a footer of the list
--outer
Content-Type: message/rfc822

Subject: inside

--outer is not at the begin of a line of its own part
--outer--
nor is this seen
"""  # noqa: W291 - blanks behind a boundary are the transport's


@pytest.mark.parametrize("window", [source.WINDOW, 1, 7, 64])
def test_text_html_and_what_is_attached(window: int, monkeypatch: pytest.MonkeyPatch):
    """The first text and HTML are those; all else is attached, whole. However much is read at a time."""
    monkeypatch.setattr(source, "WINDOW", window)
    message = lines(ALTERNATIVE)
    found = read(message)

    assert text_of(found.text, message) == "Grüße"
    assert text_of(found.html, message) == "<b>Grüße</b>"
    assert [
        (one.part.number, one.part.type, one.part.content_id, one.part.disposition) for one in found.attachments
    ] == [
        ("2", "image/png", "image@1", "inline"),
        ("3", "text/plain", None, None),
        ("4", "message/rfc822", None, None),
    ]
    assert attached(message) == [
        ("image/png", "a.png", b"\x89PNG\r\n\x1a\n"),
        ("text/plain", None, b"a footer of the list"),
        ("message/rfc822", None, b"Subject: inside\r\n\r\n--outer is not at the begin of a line of its own part"),
    ]
    assert found.attachments[0].size == 8
    assert found.attachments[0].sha256 == hashlib.sha256(b"\x89PNG\r\n\x1a\n").hexdigest()
    assert not found.problems


MIXED = 'Content-Type: multipart/mixed; boundary="b"\n\n'
ODD: dict[str, tuple[str, str | None, list[tuple[str, str | None, bytes]], list[str]]] = {
    # what it is: the message, its text, what is attached, and the problems
    "no header section": ("\njust text\n", "just text\n", [], []),
    "nothing at all": ("", "", [], []),
    "no type": ("Subject: x\n\nä", "ä", [], []),
    "a type that is none": ("Content-Type: text\n\nx", "x", [], []),
    "HTML alone": ("Content-Type: text/html\n\n<p>", None, [], []),
    "an attachment alone": (
        "Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\n%PDF",
        None,
        [("application/pdf", "a.pdf", b"%PDF")],
        [],
    ),
    "text that is attached": (
        "Content-Disposition: attachment; filename*=utf-8''%C3%A4.txt\n\nx",
        None,
        [("text/plain", "ä.txt", b"x")],
        [],
    ),
    "text with a name is attached": (
        'Content-Type: text/plain; name="log"\n\nx',
        None,
        [("text/plain", "log", b"x")],
        [],
    ),
    "winmail.dat stays whole": (
        "Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\n\neJ8+IgE=",
        None,
        [("application/ms-tnef", "winmail.dat", b'x\x9f>"\x01')],
        [],
    ),
    "a charset that is not known, and UTF-8": (
        "Content-Type: text/plain; charset=x-nowhere\n\nä",
        "ä",
        [],
        ["charset not known"],
    ),
    "another charset than is claimed": (
        "Content-Type: text/plain; charset=euc-kr\n\n日",
        "日",
        [],
        ["charset is another"],
    ),
    "octets that are no text": (
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=FF=FE",
        None,
        [("text/plain", None, b"\xff\xfe")],
        ["text not decoded"],
    ),
    "a transfer encoding that is not known": (
        "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a",
        None,
        [("text/plain", None, b"begin 644 a")],
        ["encoding not known"],
    ),
    "no boundary": (
        "Content-Type: multipart/mixed\n\n--b\n\nx\n--b--",
        None,
        [("multipart/mixed", None, b"--b\r\n\r\nx\r\n--b--")],
        ["no boundary"],
    ),
    "a boundary that is not there": (MIXED + "text", None, [("multipart/mixed", None, b"text")], ["no parts"]),
    "no end": (MIXED + "--b\n\nx", "x", [], ["no end"]),
    "an end alone": (MIXED + "--b--\n", None, [("multipart/mixed", None, b"--b--\r\n")], ["no parts"]),
    "an empty part": (MIXED + "--b\n--b\n\nx\n--b--", "", [("text/plain", None, b"x")], []),
    "a part that is only a header": (MIXED + "--b\nContent-Type: a/b\n--b--", None, [("a/b", None, b"")], []),
    "a part without a header and an empty line": (MIXED + "--b\nhello you\n--b--", "hello you", [], []),
    "a longer boundary is another": (
        MIXED + "--b\n\nx\n--bb\ny\n--b--",
        "x\r\n--bb\r\ny".replace("\r\n", "\n"),
        [],
        [],
    ),
    "the same boundary inside": (
        MIXED + "--b\n" + MIXED + "--b\n\nx\n--b--",
        "x",
        [("multipart/mixed", None, b"")],
        ["no parts"],
    ),
    "a digest": (
        "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: a\n\nx\n--b--",
        None,
        [("message/rfc822", None, b"Subject: a\r\n\r\nx")],
        [],
    ),
    "a signed message": (
        (
            "Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n"
            "--b\nContent-Type: application/pgp-signature\n\ns\n--b--"
        ),
        "x",
        [("application/pgp-signature", None, b"s")],
        [],
    ),
}


@pytest.mark.parametrize("message, text, attachments, problems", table(ODD))
def test_messages_that_are_not_quite(message: str, text: str | None, attachments: list[object], problems: list[str]):
    octets = lines(message)
    found = read(octets)

    assert text_of(found.text, octets) == text
    assert attached(octets) == attachments
    assert [one.what for one in found.problems] == problems


def test_too_deep_and_too_many():
    """What is behind the bound is there, and whole."""
    deep = HOSTILE["multiparts within multiparts"](20_000)
    [attachment] = read(deep).attachments
    assert attachment.part.number.count("1") == MOST_DEPTH
    assert Problem(attachment.part.number, "too deep") in read(deep).problems

    many = b"".join(b"--b\r\n\r\n%d\r\n" % n for n in range(MOST_PARTS + 5))
    message = lines(MIXED) + many + b"--b--\r\n"
    found = read(message)
    assert len(found.attachments) == MOST_PARTS - 1, "and the first is the text"
    assert [one.what for one in found.problems] == ["too many parts"]
    assert b"1004" in attached(message)[-1][2]


def test_a_message_that_could_not_be_read_is_there_whole():
    message = lines(ALTERNATIVE)
    found = reading.unread(Octets(message), "not read")

    assert [one.sha256 for one in found.attachments] == [hashlib.sha256(message).hexdigest()]
    assert found.problems == [Problem("", "not read")]


TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=80)
NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1, max_size=40)
POLICY = email.policy.SMTP.clone(max_line_length=76)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """What Python's own library writes, of a few parts."""
    message = EmailMessage(POLICY)
    message["Subject"] = draw(TEXTS).strip() or "x"
    encoding = draw(st.sampled_from(["base64", "quoted-printable", "8bit"]))
    message.set_content(draw(TEXTS), cte=encoding)
    if draw(st.booleans()):
        message.add_alternative(draw(TEXTS), subtype="html", cte=encoding)
    for content in draw(st.lists(st.binary(max_size=200), max_size=3)):
        name = draw(NAMES)
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{number}")  # the library would draw lots
    return message.as_bytes()


@settings(max_examples=60)
@given(messages(), st.sampled_from([source.WINDOW, 11]))
def test_well_formed_messages_are_read_as_the_library_reads_them(octets: bytes, window: int):
    """Text, HTML, attachments with their names, and the subject."""
    theirs = email.message_from_bytes(octets, policy=POLICY)
    before, source.WINDOW = source.WINDOW, window
    try:
        found = read(octets)
        text, html, ours = text_of(found.text, octets), text_of(found.html, octets), attached(octets)
    finally:
        source.WINDOW = before

    plain, rich = theirs.get_body(["plain"]), theirs.get_body(["html"])
    assert text == (plain.get_content().replace("\r\n", "\n") if plain is not None else None)
    assert html == (rich.get_content().replace("\r\n", "\n") if rich is not None else None)
    assert [one[1:] for one in ours] == [(one.get_filename(), one.get_content()) for one in theirs.iter_attachments()]
    assert not found.problems


@settings(max_examples=60)
@given(messages(), st.data())
def test_what_is_cut_changed_or_doubled_is_read_all_the_same(octets: bytes, data: st.DataObject):
    """Nothing is raised for what a message holds, and each octet of a part is one of the message's."""
    start = data.draw(st.integers(0, len(octets)))
    stop = data.draw(st.integers(start, min(len(octets), start + 50)))
    changed = octets[:start] + data.draw(
        st.sampled_from([b"", b"\0", b"\xff\xfe", b"--", b"\r\n", octets[start:stop] * 2])
    )
    changed += octets[stop:]
    found = read(changed)

    text_of(found.text, changed)
    text_of(found.html, changed)
    assert all(one.size <= len(changed) for one in found.attachments)


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_any_octets_are_a_message(octets: bytes):
    found = read(octets)

    text_of(found.text, octets)
    text_of(found.html, octets)


@pytest.mark.parametrize("make", table(HOSTILE))
def test_time_grows_with_the_octets_and_no_more(make):
    """A megabyte that is made to be hard takes what a megabyte may; naive readers take minutes for many of these."""
    message = make(1_000_000)
    begin = time.thread_time()
    found = read(message)
    text_of(found.text, message)
    for one in found.fields.all:
        assert one.value is not None
    for name in ("from", "to"):
        found.fields.mailboxes(name)
    found.fields.ids("references")
    found.fields.date()

    assert time.thread_time() - begin < 2
    assert len(found.attachments) <= parts.MOST_PARTS
