"""A server's replies, read in whatever pieces they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.deliver.next_hop.answers import MAX_LINE, MAX_LINES, Answer, AnswerReader, ProtocolError
from tests.tables import table


def read(octets: bytes, cut: int = 0) -> list[Answer]:
    reader, answers = AnswerReader(), []
    for piece in (octets[:cut], octets[cut:]):
        reader.feed(piece)
        while (answer := reader.next()) is not None:
            answers.append(answer)
    return answers


@pytest.mark.parametrize(
    "octets, code, enhanced, text",
    table(
        {
            "one line": (b"250 2.1.0 Ok\r\n", 250, "2.1.0", "Ok"),
            "a code alone": (b"250\r\n", 250, "", ""),
            "no enhanced code": (b"550 no such user\r\n", 550, "", "no such user"),
            "an enhanced code of another class takes the reply's": (b"550 4.1.1 no\r\n", 550, "5.1.1", "no"),
            "several lines": (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", 550, "5.1.1", "no such user"),
            "LF alone": (b"250 Ok\n", 250, "", "Ok"),
            "what is not printable": (b"550 n\xf6\x1b[m\r\n", 550, "", "n [m"),
        }
    ),
)
def test_a_reply_is_read(octets: bytes, code: int, enhanced: str, text: str):
    """Wherever it is cut."""
    for cut in range(len(octets)):
        [answer] = read(octets, cut)

        assert (answer.code, answer.enhanced, answer.text) == (code, enhanced, text)


@pytest.mark.parametrize(
    "octets",
    table(
        {
            "another protocol": b"HTTP/1.1 400 Bad Request\r\n",
            "1yz, which SMTP has not": b"150 wait\r\n",
            "6yz": b"650 no\r\n",
            "two codes in one reply": b"250-one\r\n550 two\r\n",
            "no blank behind the code": b"250Ok\r\n",
            "an empty line": b"\r\n",
            "a line without end": b"250 " + b"x" * MAX_LINE,
            "a reply without end": b"250-x\r\n" * MAX_LINES,
            "a NUL": b"\x00\x00\r\n",
        }
    ),
)
def test_nonsense_is_said_to_be(octets: bytes):
    with pytest.raises(ProtocolError):
        read(octets)


@given(st.binary(max_size=200) | st.from_regex(rb"([2-5][0-9]{2}[ -]?[a-z0-9. ]*\r?\n){1,4}"), st.integers(0, 200))
def test_no_octets_raise_anything_else(octets: bytes, cut: int):
    try:
        answers = read(octets, cut)
    except ProtocolError:
        return
    assert all(200 <= answer.code <= 599 and str(answer).isprintable() for answer in answers)
