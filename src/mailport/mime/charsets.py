"""PURE. From octets to Unicode, whatever charset is claimed.

Labels are few and known: a codec of Python's that a message could name freely may decompress (zlib) or take quadratic
time (punycode, UTF-7). What mail programs call by a subset's name is read as the superset that they mean, as the WHATWG
Encoding Standard §4.2 has it.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator

_MOST_LABEL = 40

_UTF_8 = ("utf_8",)
_LATIN_1 = ("cp1252", "latin_1")  # five octets that windows-1252 lacks are the control characters of ISO 8859-1
_CODECS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968", "unicode-1-1-utf-8"), _UTF_8),
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "l1", "windows-1252", "cp1252"), _LATIN_1),
    **dict.fromkeys(("iso-8859-9", "iso8859-9", "latin5", "windows-1254", "cp1254"), ("cp1254",)),
    **dict.fromkeys(("tis-620", "iso-8859-11", "windows-874"), ("cp874",)),
    **dict.fromkeys(("gb2312", "gb_2312-80", "gbk", "cp936", "x-gbk", "gb18030"), ("gb18030",)),
    **dict.fromkeys(("big5", "big5-hkscs", "cn-big5", "x-x-big5"), ("big5hkscs", "cp950")),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "cp932"), ("cp932",)),
    **dict.fromkeys(("euc-jp", "x-euc-jp"), ("euc_jp", "euc_jis_2004")),
    **dict.fromkeys(
        ("iso-2022-jp", "iso-2022-jp-1", "iso-2022-jp-2", "csiso2022jp"), ("iso2022_jp_ext", "iso2022_jp_2")
    ),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ksc5601", "windows-949", "cp949"), ("cp949",)),
    "iso-2022-kr": ("iso2022_kr",),
    **dict.fromkeys(("koi8-r", "koi8"), ("koi8_r",)),
    "koi8-u": ("koi8_u",),
    **dict.fromkeys(("macintosh", "mac", "x-mac-roman"), ("mac_roman",)),
    "x-mac-cyrillic": ("mac_cyrillic",),
    **dict.fromkeys(("iso-8859-8-i", "iso-8859-8-e"), ("iso8859_8",)),
    **{f"iso-8859-{n}": (f"iso8859_{n}",) for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"windows-{n}": (f"cp{n}",) for n in (1250, 1251, 1253, 1255, 1256, 1257, 1258)},
    **{f"cp{n}": (f"cp{n}",) for n in (437, 850, 852, 866, 1250, 1251)},
    **dict.fromkeys(("utf-16", "ucs-2"), ("utf_16",)),
    "utf-16le": ("utf_16_le",),
    "utf-16be": ("utf_16_be",),
}


def codecs_for(label: str) -> tuple[str, ...]:
    """Return the codecs to try for a charset, in this order; UTF-8 for one that is not known."""
    return _CODECS.get(label[:_MOST_LABEL].strip().strip("'\"").lower(), _UTF_8)


def is_known(label: str) -> bool:
    """Whether a charset is one of those that are read."""
    return label[:_MOST_LABEL].strip().strip("'\"").lower() in _CODECS


def decode(octets: bytes, label: str) -> str | None:
    """Return the text of a few octets; None where they are not what their charset says, nor UTF-8."""
    for codec in (*codecs_for(label), *_UTF_8):
        try:
            return octets.decode(codec)
        except UnicodeError:
            continue
    return None


def decoded(pieces: Iterable[bytes], codec: str) -> Iterator[str]:
    """Yield text in pieces. Lines end in LF. Raises UnicodeError."""
    decoder = codecs.getincrementaldecoder(codec)()
    lines = io.IncrementalNewlineDecoder(decoder, translate=True)
    for piece in pieces:
        if text := lines.decode(piece):
            yield text
    if text := lines.decode(b"", final=True):
        yield text


def of_field(octets: bytes) -> str:
    """Return the octets of a header field as text: UTF-8 (RFC 6532), else each octet is a character of ISO 8859-1."""
    try:
        return octets.decode()
    except UnicodeError:
        return octets.decode("latin_1")
