"""Any charset that is claimed, and what is made of those that are not."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.mime import charsets
from tests.tables import table


@pytest.mark.parametrize(
    "octets, label, text",
    table(
        {
            "UTF-8": ("ü€".encode(), "UTF-8", "ü€"),
            "in quotes": ("ü".encode(), '"utf-8"', "ü"),
            "ASCII that is UTF-8": ("ü".encode(), "us-ascii", "ü"),
            "Latin 1 is windows-1252": (b"\x80 \xfc", "ISO-8859-1", "€ ü"),
            "what windows-1252 lacks": (b"\x81\xfc", "iso-8859-1", "\x81ü"),
            "Latin 9": (b"\xa4", "iso-8859-15", "€"),
            "simplified Chinese by its subset's name": ("镕".encode("gb18030"), "gb2312", "镕"),
            "Korean": ("한".encode("cp949"), "ks_c_5601-1987", "한"),
            "Japanese": ("日本".encode("iso2022_jp"), "iso-2022-jp", "日本"),
            "circled digits of Windows": ("①".encode("cp932"), "shift_jis", "①"),
            "Russian": ("да".encode("koi8_r"), "koi8-r", "да"),
            "a charset that nobody knows, and UTF-8": ("ü".encode(), "x-unknown", "ü"),
            "another than is claimed, and UTF-8": ("日".encode(), "euc-kr", "日"),
            "nothing that can be read": (b"\xff\xfe\xfc", "utf-8", None),
            "a codec that is no charset": (codecs.encode(b"x", "zlib_codec"), "zlib_codec", None),
            "another": (b"uryyb", "rot13", "uryyb"),
            "UTF-7, which no program should read any more": (b"+AOQ-", "utf-7", "+AOQ-"),
        }
    ),
)
def test_charsets(octets: bytes, label: str, text: str | None):
    assert charsets.decode(octets, label) == text


def test_each_codec_is_there_and_gives_no_half_characters():
    """Such as can stand in no JSON."""
    for label, names in charsets._CODECS.items():
        for name in names:
            assert codecs.lookup(name)._is_text_encoding
        for pair in range(0, 65536, 97):
            text = charsets.decode(pair.to_bytes(2, "big") + b"a", label)
            assert text is None or text.encode()


@given(st.text(max_size=100), st.integers(1, 9), st.sampled_from(["utf_8", "utf_16", "gb18030", "utf_16_le"]))
def test_text_wherever_it_is_cut(text: str, size: int, codec: str):
    octets = text.encode(codec)
    pieces = [octets[start : start + size] for start in range(0, len(octets), size)]

    assert "".join(charsets.decoded(pieces, codec)) == text.replace("\r\n", "\n").replace("\r", "\n")
