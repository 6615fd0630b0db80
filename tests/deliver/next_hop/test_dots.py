"""Dots at the beginning of lines, in content cut anywhere."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mailport.deliver.next_hop.dots import Dots

CONTENT = st.lists(st.sampled_from([b".", b"\r\n", b"a", b"..", b"\r\n.", b"\r\n.\r\n"]), max_size=12).map(b"".join)


def undone(octets: bytes) -> bytes:
    """What a server makes of it (RFC 5321 §4.5.2): up to the line that is a dot."""
    lines = []
    for line in octets.split(b"\r\n"):
        if line == b".":
            break
        lines.append(line.removeprefix(b"."))
    return b"".join(line + b"\r\n" for line in lines)


@given(CONTENT, st.lists(st.integers(0, 40), max_size=4))
def test_the_server_has_what_we_had(content: bytes, cuts: list[int]):
    """With a line end behind it, and nothing that ends it before its end."""
    dots, sent = Dots(), b""
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    for start, end in pairwise(places):
        sent += dots.piece(bytearray(content[start:end]))
    sent += dots.end()

    expected = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert undone(sent) == expected
    assert sent.endswith(b".\r\n")
    assert sent.count(b"\r\n.\r\n") == (1 if sent != b".\r\n" else 0)
