"""A body's hash, whatever it holds and wherever it is cut."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailport.authentication.body_hash import BodyHash
from tests.tables import table


def simple(body: bytes) -> bytes:
    """RFC 6376 §3.4.3, word by word."""
    return re.sub(rb"(?:\r\n)*\Z", b"", body) + b"\r\n"


def relaxed(body: bytes) -> bytes:
    """RFC 6376 §3.4.4, word by word."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def hashed(body: bytes, *, form: str, cuts: tuple[int, ...] = ()) -> bytes:
    made = BodyHash(relaxed=form == "relaxed")
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(places):
        made.update(body[start:end])
    return made.digest()


bodies = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"  ", b"word", b" \r\n", b"\x80"]), max_size=30).map(
    b"".join
)


@given(body=bodies, cuts=st.lists(st.integers(0, 200), max_size=6).map(tuple))
@example(body=b"", cuts=())
@example(body=b" \r\n\t\r\n", cuts=(1, 2, 3, 4))
@example(body=b"a \r\n \r\n\r\nb", cuts=(2, 3, 4, 6))
def test_any_body_cut_anywhere(body, cuts):
    """The hash is that of the RFC's text, however the body comes in."""
    assert hashed(body, form="simple", cuts=cuts) == hashlib.sha256(simple(body)).digest()
    assert hashed(body, form="relaxed", cuts=cuts) == hashlib.sha256(relaxed(body)).digest()


@pytest.mark.parametrize(
    ("body", "of_simple", "of_relaxed"),
    table(
        {
            "no body at all": (b"", b"\r\n", b""),
            "empty lines alone": (b"\r\n\r\n", b"\r\n", b""),
            "blanks alone": (b" \t\r\n", b" \t\r\n", b""),
            "RFC 6376 §3.4.5": (b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),
            "a last line without an end": (b"a", b"a\r\n", b"a\r\n"),
            "blanks at the very end": (b"a \t", b"a \t\r\n", b"a\r\n"),
        }
    ),
)
def test_forms(body, of_simple, of_relaxed):
    """The examples and the corners of RFC 6376 §3.4."""
    assert hashed(body, form="simple") == hashlib.sha256(of_simple).digest()
    assert hashed(body, form="relaxed") == hashlib.sha256(of_relaxed).digest()


def test_lines_that_wait_are_counted_and_not_kept():
    """A body of empty lines costs no memory while it is not known whether they are its end."""
    made = BodyHash(relaxed=True)
    for _ in range(1000):
        made.update(b"\r\n" * 10_000)
    made.update(b"end")

    assert made.digest() == hashlib.sha256(b"\r\n" * 10_000_000 + b"end\r\n").digest()


def test_asked_twice():
    """The hash is the same however often it is asked for, and more may come."""
    made = BodyHash(relaxed=False)
    made.update(b"a\r\n")

    assert made.digest() == made.digest()
    made.update(b"b\r\n")
    assert made.digest() == hashlib.sha256(b"a\r\nb\r\n").digest()
