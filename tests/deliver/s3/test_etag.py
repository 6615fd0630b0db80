"""Which ETag proves that a store has a content."""

from __future__ import annotations

from hashlib import md5

import pytest

from mailport.deliver.s3.etag import Etag
from tests.tables import table

CONTENT = b"abcdefghij"
MD5 = md5(CONTENT).hexdigest()


def of_parts(*parts: bytes) -> str:
    return f"{md5(b''.join(md5(part).digest() for part in parts)).hexdigest()}-{len(parts)}"


@pytest.mark.parametrize(
    "part, tag, proves",
    table(
        {
            "the MD5 of what is written at once": (None, f'"{MD5}"', True),
            "… in upper case": (None, f'"{MD5.upper()}"', True),
            "… without quotes": (None, MD5, True),
            "… made weak by a proxy": (None, f'W/"{MD5}"', True),
            "something else": (None, '"x"', False),
            "nothing": (None, "", False),
            "parts": (4, f'"{of_parts(b"abcd", b"efgh", b"ij")}"', True),
            "… of which the last is whole": (5, of_parts(b"abcde", b"fghij"), True),
            "… that is the only one": (10, of_parts(CONTENT), True),
            "other parts": (4, of_parts(b"abc", b"defghij"), False),
            "the MD5 of all of them": (4, MD5, False),
        }
    ),
)
@pytest.mark.parametrize("piece", [1, 3, 4, 100])
def test_proof(part: int | None, tag: str, proves: bool, piece: int):
    etag = Etag(part)
    for start in range(0, len(CONTENT), piece):
        etag.update(CONTENT[start : start + piece])

    assert etag.octets == len(CONTENT)
    assert etag.proves(tag) == proves


def test_an_empty_object():
    assert Etag().proves(md5(b"").hexdigest())
