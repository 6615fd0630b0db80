"""The content of a message does not depend on where the network cut it, nor on what it tries to be taken for."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.listener.framing import END, DotStuffed, Newlines
from tests.tables import table

# What hostile and broken senders write around dots and line ends.
hostile = st.lists(
    st.sampled_from((b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"..", b"a", b"\xff", b"\n.\r\n", b"\r.\r", b"NOOP")),
    max_size=40,
).map(b"".join)


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in any cut."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def stuffed(content: bytes) -> bytes:
    """DATA as a correct client sends content (RFC 5321 §4.5.2): whole lines, dots doubled, the end."""
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    lines = content.split(b"\r\n")[:-1]
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"


def receive(parts: list[bytes]) -> tuple[bytes, bytes | None]:
    frame, content = DotStuffed(), b""
    for number, part in enumerate(parts):
        piece, rest = frame.feed(part)
        content += piece
        if rest is not None:
            return content, rest + b"".join(parts[number + 1 :])
    return content, None


@given(st.data(), hostile, hostile)
def test_what_a_client_stuffs_comes_out_in_any_cut(data: st.DataObject, content: bytes, following: bytes):
    """Content and whatever was pipelined behind it are told apart."""
    whole = content if not content or content.endswith(b"\r\n") else content + b"\r\n"

    received, rest = receive(data.draw(pieces(stuffed(content) + following)))

    assert received == whole
    assert rest == following


@given(st.data(), hostile)
def test_any_bytes_mean_the_same_in_any_cut(data: st.DataObject, raw: bytes):
    """Also those that no correct client sends."""
    assert receive(data.draw(pieces(raw + END + b"NOOP\r\n"))) == receive([raw + END + b"NOOP\r\n"])


@pytest.mark.parametrize(
    "raw",
    table(
        {
            "LF.LF": b"a\n.\nMAIL FROM:<evil@example.org>\r\n",
            "LF.CRLF": b"a\n.\r\nMAIL FROM:<evil@example.org>\r\n",
            "CRLF.LF": b"a\r\n.\nMAIL FROM:<evil@example.org>\r\n",
            "CR.CR": b"a\r.\rMAIL FROM:<evil@example.org>\r\n",
            "CRLF.CR": b"a\r\n.\rMAIL FROM:<evil@example.org>\r\n",
            "CR CRLF.CR CRLF": b"a\r\r\n.\r\r\nMAIL FROM:<evil@example.org>\r\n",
            "NUL in between": b"a\r\n.\0\r\nMAIL FROM:<evil@example.org>\r\n",
        }
    ),
)
def test_nothing_but_crlf_dot_crlf_ends_a_message(raw: bytes):
    """SMTP smuggling needs a server that is more generous."""
    content, rest = receive([raw])
    assert rest is None
    content, rest = receive([raw + b".\r\n"])

    assert rest == b""
    assert b"MAIL FROM:<evil@example.org>" in content


@pytest.mark.parametrize(
    "raw, content",
    table(
        {
            "an empty message": (b".\r\n", b""),
            "one empty line": (b"\r\n.\r\n", b"\r\n"),
            "a line that is a dot": (b"..\r\n.\r\n", b".\r\n"),
            "the first line begins with a dot": (b"..a\r\n.\r\n", b".a\r\n"),
            "a dot that was not doubled goes (RFC 5321 §4.5.2)": (b".a\r\n.\r\n", b"a\r\n"),
            "dots within a line stay": (b"a.\r\nb..c\r\n.\r\n", b"a.\r\nb..c\r\n"),
        }
    ),
)
def test_dots(raw: bytes, content: bytes):
    """As RFC 5321 §4.5.2 has them."""
    assert receive([raw]) == (content, b"")
    assert receive([raw[i : i + 1] for i in range(len(raw))]) == (content, b"")


def normalised(parts: list[bytes]) -> tuple[bytes, bool]:
    newlines = Newlines()
    content = b"".join(newlines.feed(part) for part in parts) + newlines.finish()
    return content, newlines.bare


@given(st.data(), hostile)
def test_each_line_end_becomes_crlf_in_any_cut(data: st.DataObject, raw: bytes):
    """A run of CRs before an LF is one, a bare CR or LF too. The oracle is a regular expression over the whole."""
    expected = re.sub(rb"\r*\n|\r", b"\r\n", raw)

    content, bare = normalised(data.draw(pieces(raw)))

    assert content == expected
    assert bare is (expected != raw)


@given(st.data(), hostile)
def test_data_and_newlines_together_leave_only_crlf(data: st.DataObject, raw: bytes):
    """What a destination sees has no other line end than ours."""
    frame, newlines, content = DotStuffed(), Newlines(), b""
    for part in data.draw(pieces(raw + END)):
        piece, rest = frame.feed(part)
        content += newlines.feed(piece)
        if rest is not None:
            break
    content += newlines.finish()

    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", content)


@pytest.mark.parametrize(
    "raw, content",
    table(
        {
            "CR CR LF is one line's end": (b"a\r\r\nb\r\r\n", b"a\r\nb\r\n"),
            "100 CRs before an LF are one": (b"a" + b"\r" * 100 + b"\nb", b"a\r\nb"),
            "CRs without an LF are a line's end each": (b"a\r\rb", b"a\r\n\r\nb"),
            "an empty line between CR CR LFs stays": (b"a\r\r\n\r\r\nb", b"a\r\n\r\nb"),
        }
    ),
)
def test_runs_of_crs(raw: bytes, content: bytes):
    """Cut anywhere into two, and octet by octet."""
    cuts = [[raw[:place], raw[place:]] for place in range(len(raw) + 1)]

    assert {normalised(parts) for parts in [*cuts, [raw[i : i + 1] for i in range(len(raw))]]} == {(content, True)}


@pytest.mark.parametrize("pieces", table({"in one piece": (1,), "an octet each, at the end": (100,)}))
def test_a_run_of_crs_is_bounded(pieces: int):
    """So many are held until it is known what follows; those before them are line ends of their own."""
    raw = b"a" + b"\r" * (32 * 1024 + 2) + b"\nb"
    cut = len(raw) - pieces

    assert normalised([raw[:cut], *(raw[i : i + 1] for i in range(cut, len(raw)))]) == (b"a" + b"\r\n" * 3 + b"b", True)


def test_a_megabyte_of_crs_takes_no_longer_than_a_megabyte():
    """What a client sends to hold up the event loop does not."""
    newlines = Newlines()
    began = time.perf_counter()
    content = newlines.feed(b"\r" * 1_000_000 + b"x") + newlines.finish()

    assert len(content) == 2_000_001
    assert time.perf_counter() - began < 0.5
