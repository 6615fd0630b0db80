"""Transfer encodings: like the standard library where they are whole, tolerant where they are not."""

from __future__ import annotations

import binascii
import quopri
from base64 import b64encode, encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.mime import transfer
from tests.tables import table


def cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


def decoded(octets: bytes, encoding: str, size: int = 1 << 20) -> bytes:
    return b"".join(transfer.decoded(cut(octets, size), encoding))


@given(st.binary(max_size=300), st.integers(1, 80))
def test_base64_wherever_it_is_cut(octets: bytes, size: int):
    lines = encodebytes(octets).replace(b"\n", b"\r\n")

    assert decoded(lines, "base64", size) == octets


@given(st.binary(max_size=300), st.integers(1, 80))
def test_quoted_printable_wherever_it_is_cut(octets: bytes, size: int):
    octets = octets.replace(b"\r", b"").replace(b"\n", b"\r\n")
    lines = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")

    assert decoded(lines, "quoted-printable", size) == octets
    assert decoded(lines, "quoted-printable") == octets


@given(st.binary(max_size=200), st.sampled_from(["base64", "quoted-printable", "7bit", "x-other"]), st.integers(1, 50))
def test_any_octets_are_decoded_to_the_same_wherever_they_are_cut(octets: bytes, encoding: str, size: int):
    assert decoded(octets, encoding, size) == decoded(octets, encoding)


@pytest.mark.parametrize(
    "text, octets",
    table(
        {
            "what is no base64 is passed over": (b"a\0GV-sb_G8=!", b"hello"),
            "no padding": (b"aGVsbG8", b"hello"),
            "a single letter at the end": (b"aGVsbG8=a", b"hello"),
            "two texts, each with its padding": (b"aGVsbG8=aGVsbG8=", b"hellohello"),
            "padding too long": (b"aGVsbG8=====aGVs", b"hellohel"),
            "nothing": (b"", b""),
        }
    ),
)
def test_base64_that_is_not_quite(text: bytes, octets: bytes):
    assert decoded(text, "base64") == octets
    assert decoded(text, "base64", 1) == octets


def test_padding_without_end_is_looked_at_a_thousand_times():
    assert decoded(b"QQ==" * 1000, "base64")[:500] == b"A" * 500
    assert len(decoded(b"QQ==" * 100_000, "base64")) > 100_000


@pytest.mark.parametrize(
    "text, octets",
    table(
        {
            "blanks at a line's end are not the sender's": (b"a \t\r\nb=20\r\n", b"a\r\nb \r\n"),
            "a soft line end": (b"a=\r\nb", b"ab"),
            "an equal sign alone": (b"a=b =ZZ", b"a=b =ZZ"),
            "digits in lower case": (b"=c3=a4", "ä".encode()),
            "a line without end": (b"x" * 200_000 + b"=41", b"x" * 200_000 + b"A"),
        }
    ),
)
def test_quoted_printable_that_is_not_quite(text: bytes, octets: bytes):
    assert decoded(text, "quoted-printable", 4096) == octets
    assert decoded(text, "quoted-printable") == octets


def test_the_library_decodes_each_line_likewise():
    assert decoded(b64encode(b"x" * 100_000), "base64", 4001) == binascii.a2b_base64(b64encode(b"x" * 100_000))
