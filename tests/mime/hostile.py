"""Messages that are made to be hard to read, each as large as it is told to be: what takes a naive reader for ever."""

from __future__ import annotations

from collections.abc import Callable

MIXED = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'


def filled(begin: bytes, again: bytes, end: bytes = b"") -> Callable[[int], bytes]:
    """Return what makes a message of a size: a begin, the same again and again, an end."""
    return lambda octets: begin + again * ((octets - len(begin) - len(end)) // len(again)) + end


def nested(octets: int) -> bytes:
    """Multiparts within multiparts, each with a boundary of its own."""
    parts, size, depth = [], 0, 0
    while size < octets:
        parts.append(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (depth, depth))
        size += len(parts[-1])
        depth += 1
    return b"".join(parts)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "multiparts within multiparts": nested,
    "multiparts of one boundary": filled(b"", MIXED + b"--b\r\n"),
    "parts without end": filled(MIXED, b"--b\r\n\r\n\r\n"),
    "delimiters alone": filled(MIXED, b"--b\r\n"),
    "almost delimiters": filled(MIXED, b"--bb\r\n"),
    "delimiters with blanks behind": filled(MIXED, b"--b" + b" " * 99 + b"x\r\n"),
    "one line of dashes": filled(MIXED, b"-"),
    "empty lines": filled(MIXED, b"\r\n"),
    "a boundary of backslashes": filled(
        b'Content-Type: multipart/mixed; boundary="' + b"\\" * 100 + b'"\r\n\r\n', b"--\\"
    ),
    "fields without end": filled(b"", b"a:\r\n"),
    "a field of many lines": filled(b"a:", b" b\r\n"),
    "a name without colon": filled(b"", b"a"),
    "words that are not closed": filled(b"Subject: ", b"=?a?q?"),
    "words that are": filled(b"Subject: ", b"=?utf-8?q?=E9?= ", b"\r\n\r\n"),
    "words of base64": filled(b"Subject: =?utf-8?b?", b"/", b"?=\r\n\r\n"),
    "words of one charset, joined": filled(b"Subject: ", b"=?utf-8?b?4pyT?=", b"\r\n\r\n"),
    "blanks between words": filled(b"Subject: =?utf-8?q?a?=", b" ", b"=?utf-8?q?a?=\r\n\r\n"),
    "parameters without end": filled(b"Content-Type: text/plain", b";a=b", b"\r\n\r\n"),
    "semicolons within quotes": filled(b'Content-Type: text/plain; name="', b";", b'"\r\n\r\n'),
    "quotes that are not closed": filled(b"Content-Type: text/plain", b';a="\\"', b"\r\n\r\n"),
    "sections of a name": lambda octets: (
        b"Content-Disposition: attachment" + b"".join(b";filename*%d*=a" % n for n in range(octets // 17)) + b"\r\n\r\n"
    ),
    "comments within comments": filled(b"From: ", b"(", b"\r\n\r\n"),
    "comments that close nothing": filled(b"From: ", b")", b"\r\n\r\n"),
    "quotes in an address": filled(b"From: ", b'"', b"\r\n\r\n"),
    "brackets in an address": filled(b"From: ", b"[", b"\r\n\r\n"),
    "angle brackets in an address": filled(b"From: ", b"<", b"\r\n\r\n"),
    "an address of signs": filled(b"From: ", b"@:", b"\r\n\r\n"),
    "addresses without end": filled(b"To: ", b"a@b,", b"\r\n\r\n"),
    "references without end": filled(b"References: ", b"<a>", b"\r\n\r\n"),
    "a date of digits": filled(b"Date: ", b"1", b"\r\n\r\n"),
    "a date of blanks": filled(b"Date: 1", b" ", b"1\r\n\r\n"),
    "padding alone": filled(b"Content-Transfer-Encoding: base64\r\nContent-Type: a/b\r\n\r\n", b"="),
    "padding after each letter": filled(b"Content-Transfer-Encoding: base64\r\nContent-Type: a/b\r\n\r\n", b"QQ=="),
    "a line of equal signs": filled(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"="),
    "soft line ends": filled(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"=\r\n"),
    "blanks at a line's end": filled(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b" ", b"x"),
    "control characters": filled(b"\r\n", b"\0"),
    "characters of four octets": filled(b"Content-Type: text/plain; charset=utf-8\r\n\r\n", "😀".encode()),
    "one such character": filled(b"Content-Type: text/plain; charset=utf-8\r\n\r\n", b"a", "😀".encode()),
    "no charset's octets at the end": filled(b"Content-Type: text/plain; charset=utf-8\r\n\r\n", b"a", b"\xff"),
    "shifts": filled(b"Content-Type: text/plain; charset=utf-7\r\n\r\n", b"+2AA-"),
    "one long shift": filled(b"Content-Type: text/plain; charset=utf-7\r\n\r\n+", b"AGEA"),
    "escapes of a charset": filled(b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n", b"\x1b$B\x1b(B"),
    "a charset that decompresses": filled(b"Content-Type: text/plain; charset=zlib_codec\r\n\r\n", b"x\x9c"),
    "a charset that is quadratic": filled(b"Content-Type: text/plain; charset=punycode\r\n\r\n", b"a-9999"),
}
