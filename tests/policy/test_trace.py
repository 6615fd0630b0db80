"""Trace fields: what we write, what we count, what we remove; and that it does not matter where the network cut."""

from __future__ import annotations

import re
import tracemalloc
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.address import Address
from mailport.policy.trace import HeaderFilter, Pieces, received, return_path
from tests.tables import table

HOSTNAME = "mx.example.org"
ANNA = Address("anna", "example.org")
FACTS = {
    "helo": "mail.example.net",
    "client": ip_address("192.0.2.1"),
    "hostname": HOSTNAME,
    "extended": True,
    "tls": None,
    "authenticated": False,
    "smtputf8": False,
    "message_id": "1a2b",
    "recipient": None,
    "date": datetime(2026, 11, 23, 14, 12, 5, 999_999, tzinfo=UTC),
}
TLS = ("TLSv1.3", "TLS_AES_256_GCM_SHA384")


# --- what we write


@pytest.mark.parametrize(
    ("facts", "written"),
    table(
        {
            "the plain case": (
                {},
                [
                    "Received: from mail.example.net ([192.0.2.1])",
                    "\tby mx.example.org with ESMTP",
                    "\tid 1a2b;",
                    "\tMon, 23 Nov 2026 14:12:05 +0000",
                ],
            ),
            "everything at once": (
                {"tls": TLS, "authenticated": True, "recipient": ANNA, "client": ip_address("2001:db8::1")},
                [
                    "Received: from mail.example.net ([IPv6:2001:db8::1])",
                    "\tby mx.example.org with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)",
                    "\tid 1a2b for <anna@example.org>;",
                    "\tMon, 23 Nov 2026 14:12:05 +0000",
                ],
            ),
            "an address beyond ASCII is written in UTF-8": (
                {"recipient": Address("änna", "example.org"), "smtputf8": True},
                [
                    "Received: from mail.example.net ([192.0.2.1])",
                    "\tby mx.example.org with UTF8SMTP",
                    "\tid 1a2b for <änna@example.org>;",
                    "\tMon, 23 Nov 2026 14:12:05 +0000",
                ],
            ),
        }
    ),
)
def test_received(facts, written):
    """RFC 5321 §4.4, folded."""
    assert received(**FACTS | facts).decode().split("\r\n") == [*written, ""]


@pytest.mark.parametrize(
    ("facts", "protocol"),
    table(
        {
            "HELO": ({"extended": False}, "SMTP"),
            "HELO has no other names, TLS or not": ({"extended": False, "tls": TLS}, "SMTP"),
            "EHLO": ({}, "ESMTP"),
            "with TLS": ({"tls": TLS}, "ESMTPS"),
            "with AUTH": ({"authenticated": True}, "ESMTPA"),
            "with both": ({"tls": TLS, "authenticated": True}, "ESMTPSA"),
            "SMTPUTF8": ({"smtputf8": True}, "UTF8SMTP"),
            "SMTPUTF8 with TLS": ({"smtputf8": True, "tls": TLS}, "UTF8SMTPS"),
            "SMTPUTF8 with AUTH": ({"smtputf8": True, "authenticated": True}, "UTF8SMTPA"),
            "SMTPUTF8 with both": ({"smtputf8": True, "tls": TLS, "authenticated": True}, "UTF8SMTPSA"),
        }
    ),
)
def test_with(facts, protocol):
    """RFC 3848 and RFC 6531 §4.3."""
    assert re.search(rb" with (\w+)", received(**FACTS | facts))[1].decode() == protocol


@pytest.mark.parametrize(
    ("helo", "written"),
    table(
        {
            "a name": ("mail.example.net", "mail.example.net"),
            "an address literal": ("[192.0.2.9]", "[192.0.2.9]"),
            "an IPv6 literal": ("[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]"),
            "underscores": ("my_laptop", "my_laptop"),
            "nothing": ("", "[192.0.2.1]"),
            "a clause of its own": ("x by mx.example.org", "x?by?mx.example.org"),
            "a comment": ("x (y)", "x??y?"),
            "a line end": ("x\r\nSubject: y", "x??Subject??y"),
            "beyond ASCII": ("münchen", "m?nchen"),
            "half an address literal": ("[192.0.2.1", "?192.0.2.1"),
            "no end of it": ("x" * 500, "x" * 255),
        }
    ),
)
def test_the_ehlo_name_is_cleaned(helo, written):
    """It is whatever the client says, and may not end the line, the clause or the reader's patience."""
    line = received(**FACTS | {"helo": helo}).split(b"\r\n")[0].decode()

    assert line == f"Received: from {written} ([192.0.2.1])"


@given(st.text(max_size=300), st.sampled_from([None, ANNA, Address('a>"; x', "example.org")]))
def test_received_is_one_field_with_a_date(helo, recipient):
    """Whatever the client is called, the standard library sees one field, and the date in it."""
    message = message_from_bytes(
        received(**FACTS | {"helo": helo, "recipient": recipient}) + b"\r\n", policy=policy.SMTP
    )

    assert message.keys() == ["Received"]
    assert parsedate_to_datetime(message["Received"].rpartition(";")[2]) == FACTS["date"].replace(microsecond=0)
    assert not message.defects


def test_received_is_counted_as_ours():
    """Else a loop through this very gateway would never be seen."""
    header = HeaderFilter(HOSTNAME.upper())
    header.feed(received(**FACTS | {"tls": TLS, "recipient": ANNA, "helo": "x" * 300}) * 3 + b"\r\n")

    assert header.loop


@pytest.mark.parametrize(
    ("sender", "written"),
    table(
        {
            "a sender": (ANNA, "Return-Path: <anna@example.org>\r\n"),
            "the null sender": (None, "Return-Path: <>\r\n"),
            "one in quotes": (Address("a b", "example.org"), 'Return-Path: <"a b"@example.org>\r\n'),
            "one beyond ASCII": (Address("änna", "example.org"), "Return-Path: <änna@example.org>\r\n"),
        }
    ),
)
def test_return_path(sender, written):
    """The reverse-path as MAIL had it."""
    assert return_path(sender) == written.encode()


# --- what others wrote


def filtered(message: bytes, cuts: tuple[int, ...] = ()) -> tuple[bytes, bytes, bool]:
    """The message for a final destination, for a relay, and whether it loops."""
    header = HeaderFilter(HOSTNAME)
    pieces = [header.feed(message[start:end]) for start, end in zip((0, *cuts), (*cuts, len(message)), strict=True)]
    pieces.append(header.finish())
    return b"".join(piece.final for piece in pieces), b"".join(piece.relayed for piece in pieces), header.loop


def octet_by_octet(message: bytes) -> tuple[int, ...]:
    """The most cuts that there can be."""
    return tuple(range(1, len(message)))


BODY = "\r\nReturn-Path: <x@y>\r\nAuthentication-Results: mx.example.org; spf=pass\r\n.\r\n"
MINE = "Authentication-Results: mx.example.org; spf=pass\r\n"


@pytest.mark.parametrize(
    "field",
    table(
        {
            "the plain case": MINE,
            "in any case": "authentication-RESULTS: MX.Example.Org; spf=pass\r\n",
            "without results": "Authentication-Results: mx.example.org; none\r\n",
            "without anything": "Authentication-Results: mx.example.org\r\n",
            "with a version": "Authentication-Results: mx.example.org 1; spf=pass\r\n",
            "with an old version": "Authentication-Results: mx.example.org/1; spf=pass\r\n",
            "without a space": "Authentication-Results:mx.example.org;spf=pass\r\n",
            "space before the colon": "Authentication-Results \t: mx.example.org; spf=pass\r\n",
            "folded before the name": "Authentication-Results:\r\n\tmx.example.org; spf=pass\r\n",
            "folded over and over": "Authentication-Results:\r\n \r\n \r\n mx.example.org;\r\n spf=pass\r\n",
            "folded behind it": "Authentication-Results: mx.example.org\r\n ; spf=pass\r\n",
            "behind a comment": "Authentication-Results: (really) mx.example.org; spf=pass\r\n",
            "in front of one": "Authentication-Results: mx.example.org(really); spf=pass\r\n",
            "behind comments in comments, folded": "Authentication-Results: (a\r\n (b \\) c)) (d)mx.example.org; x\r\n",
            "behind more of them than are followed": f"Authentication-Results: {'(' * 9}{')' * 9} example.com; x\r\n",
            "behind a comment that never ends": "Authentication-Results: (mx.example.org; spf=pass\r\n",
            "in quotes": 'Authentication-Results: "mx.example.org"; spf=pass\r\n',
            "escaped in quotes": 'Authentication-Results: "mx\\.example\\.org"; spf=pass\r\n',
            "in quotes that never end": 'Authentication-Results: "mx.example.org; spf=pass\r\n',
            "with the root's dot": "Authentication-Results: mx.example.org.; spf=pass\r\n",
            "too far behind to be looked for": f"Authentication-Results: ({'x' * 9000}) example.com; spf=pass\r\n",
            "after more spaces than anyone writes": f"Authentication-Results{' ' * 9000}: mx.example.org; spf=pass\r\n",
        }
    ),
)
def test_claims_to_be_by_us_are_removed(field):
    """RFC 8601 §5: none that comes from outside is, so nobody gets it. What is unclear goes, too."""
    message = f"Subject: x\r\n{field}To: y\r\n{BODY}".encode()
    cleaned = f"Subject: x\r\nTo: y\r\n{BODY}".encode()

    assert filtered(message) == (cleaned, cleaned, False)
    assert filtered(message, octet_by_octet(message)) == (cleaned, cleaned, False)


@pytest.mark.parametrize(
    "field",
    table(
        {
            "another host's results": "Authentication-Results: mx.example.net; spf=pass (mx.example.org)\r\n",
            "a host below ours": "Authentication-Results: a.mx.example.org; spf=pass\r\n",
            "one whose name begins alike": "Authentication-Results: mx.example.org.example.net; spf=pass\r\n",
            "our name in a comment": "Authentication-Results: (mx.example.org) example.net; spf=pass\r\n",
            "behind comments in comments": "Authentication-Results: (a (b) c) example.net; spf=pass\r\n",
            "behind a long comment": f"Authentication-Results: ({'x' * 8000}) example.net; spf=pass\r\n",
            "no name at all": "Authentication-Results: ; spf=pass\r\n",
            "nothing at all": "Authentication-Results:\r\n",
            "another field": "X-Authentication-Results: mx.example.org; spf=pass\r\n",
            "a sealed one": "ARC-Authentication-Results: i=1; mx.example.org; spf=pass\r\n",
            "a field that begins alike": "Received-SPF: pass by mx.example.org\r\n",
            "a long one of another host": f"Authentication-Results: example.net; {'x' * 9000}\r\n",
            "a Received": "Received: by mx.example.org; now\r\n",
            "a line of white space, which continues": "X: y\r\n \r\n",
            "octets beyond ASCII in a value": "Subject: \u00fc\u2028\r\n",
            "an empty value": "X:\r\n",
            "a bare CR, LF or NUL in a value": "X: a\rReturn-Path: b\nReturn-Path: c\0\r\n",
        }
    ),
)
def test_all_else_stays(field):
    """Nothing of the message is changed that need not be: the very same object comes out."""
    message = f"Subject: x\r\n{field}To: y\r\n{BODY}".encode()
    pieces = HeaderFilter(HOSTNAME).feed(message)

    assert pieces.final is message
    assert pieces.relayed is message
    assert filtered(message, octet_by_octet(message)) == (message, message, False)


@pytest.mark.parametrize(
    "field",
    table(
        {
            "the plain case": "Return-Path: <x@example.net>\r\n",
            "in any case": "RETURN-PATH:<>\r\n",
            "folded": "Return-Path:\r\n <x@example.net>\r\n",
            "twice": "Return-Path: <x@example.net>\r\nReturn-Path: <y@example.net>\r\n",
            "without end": f"Return-Path: {'x' * 99_999}\r\n",
        }
    ),
)
def test_return_path_is_removed_where_delivery_ends(field):
    """There it is written anew; on the way to another server it is left alone."""
    message = f"Subject: x\r\n{field}To: y\r\n{BODY}".encode()
    final = f"Subject: x\r\nTo: y\r\n{BODY}".encode()

    assert filtered(message) == (final, message, False)
    assert filtered(message, octet_by_octet(message)) == (final, message, False)


@pytest.mark.parametrize(
    "message",
    table(
        {
            "nothing at all": "",
            "a blank line first": f"\r\n{MINE}",
            "no header": f"Hello\r\n{MINE}",
            "a line with a space in its name": f"Dear all: hello\r\n{MINE}",
            "a continuation of nothing": f" x: y\r\n{MINE}",
            "a colon of nothing": f": y\r\n{MINE}",
            "a name beyond ASCII": f"Sübject: y\r\n{MINE}",
            "a header that just ends in text": f"Subject: x\r\nHello\r\n{MINE}",
            "a header, and no more": "Subject: x\r\n",
            "half a line": "Subj",
            "half a field": "Subject: x",
            "half a line end": "Subject: x\r",
            "half a blank line": "Subject: x\r\n\r",
            "a name without a colon, and no more": "Return-Path",
            "a name and a half": "Return-Path \r\n\r\n",
        }
    ),
)
def test_what_is_no_header_is_not_touched(message):
    """The header section ends at the first line that is neither field nor continuation; the rest is body."""
    assert filtered(message.encode()) == (message.encode(),) * 2 + (False,)


@pytest.mark.parametrize(
    ("message", "relayed"),
    table(
        {
            "the last field, with its line end": (f"A: b\r\n{MINE}", "A: b\r\n"),
            "without it": (f"A: b\r\n{MINE[:-2]}", "A: b\r\n"),
            "with half of it": (f"A: b\r\n{MINE[:-1]}", "A: b\r\n"),
            "all that there is": (MINE * 3, ""),
        }
    ),
)
def test_a_message_may_end_in_its_header(message, relayed):
    """What is held back is decided upon at the end."""
    assert filtered(message.encode()) == (relayed.encode(), relayed.encode(), False)


BY_US = b"Received: from a (b [192.0.2.1])\r\n\tby mx.example.org with ESMTP; now\r\n"
BY_OTHERS = b"Received: from mx.example.org by mx.example.org.example.net for <x@mx.example.org>; now\r\n"


@pytest.mark.parametrize(
    ("fields", "loop"),
    table(
        {
            "fifty hops": (BY_OTHERS * 50, False),
            "fifty-one": (BY_OTHERS * 51, True),
            "twice here": (BY_US * 2, False),
            "three times": (BY_US * 3, True),
            "between others": ((BY_US + BY_OTHERS) * 3, True),
            "in any case": (BY_US.upper() * 3, True),
            "folded": (BY_US.replace(b" by ", b"\r\n by\r\n ").replace(b"by mx", b"by\r\n mx") * 3, True),
            "with the root's dot": (BY_US.replace(b".org", b".org.") * 3, True),
            "only the names of other clauses": (BY_OTHERS * 9, False),
            "a field that begins alike": (b"Received-SPF: by mx.example.org\r\n" * 60, False),
            "hops quoted in the body": (BY_US * 2 + b"\r\n" + BY_US * 60, False),
            "behind a value too long to be ours": (b"Received: (" + b"x" * 9000 + b") by mx.example.org\r\n", False),
            "long ones count as hops": ((b"Received: " + b"x" * 9000 + b"\r\n") * 51, True),
        }
    ),
)
def test_loops(fields, loop):
    """More than 50 Received fields, or 3 by this hostname."""
    assert filtered(b"Subject: x\r\n" + fields + b"\r\nbody")[2] is loop


def reference(message: bytes) -> tuple[bytes, bytes, bool]:
    """The same, line by line and in no hurry: without the bound on what is held."""
    lines = re.findall(rb"(?s:.*?)\r\n|(?s:.+)\Z", message)
    fields: list[bytes] = []
    while lines:
        if re.match(rb"[!-9;-~]+[ \t]*:", lines[0]):
            fields.append(lines.pop(0))
        elif fields and lines[0][:1] in {b" ", b"\t"}:
            fields[-1] += lines.pop(0)
        else:
            break
    names = [field.partition(b":")[0].strip().lower() for field in fields]
    hops = [field for field, name in zip(fields, names, strict=True) if name == b"received"]
    ours = [hop for hop in hops if re.search(rb"(?i)\sby\s+mx\.example\.org[\s;]", hop)]
    relayed = [
        (name, field)
        for name, field in zip(names, fields, strict=True)
        if name != b"authentication-results" or not re.match(rb"\s*mx\.example\.org[\s;]", field.partition(b":")[2])
    ]
    return (
        b"".join([field for name, field in relayed if name != b"return-path"] + lines),
        b"".join([field for _, field in relayed] + lines),
        len(hops) > 50 or len(ours) > 2,
    )


FRAGMENTS = [
    BY_US, BY_OTHERS, MINE.encode(), b"Return-Path: <x@y>\r\n", b"Subject: x\r\n", b"Authentication-Results: b; c\r\n",
    b"Received", b"Return-Path", b"Authentication-Results", b":", b" : ", b" mx.example.org;", b"\r", b"\n", b"\r\n",
    b"\r\n ", b"x", b"\r\n\r\n", b"\xff", b"",
]  # fmt: skip
messages = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join)


@given(messages)
def test_the_definition(message):
    """The filter does what the rules say, taken one line at a time."""
    expected = reference(message)
    found = filtered(message)

    assert found == expected or (found[2] and expected[2])  # of a loop nothing is delivered
    assert filtered(message, octet_by_octet(message)) == found


@given(messages, st.sampled_from([b"", b"A:" + b"x" * 8186, b"Received" + b" " * 8190, b"y" * 8191]), st.data())
def test_cuts_do_not_matter(message, prefix, data):
    """In however many pieces a message comes, what comes out is the same: around the bound on what is held, too."""
    message = prefix + message
    places = st.integers(0, len(message)) | st.integers(min(len(message), 8180), min(len(message), 8200))
    cuts = tuple(sorted(data.draw(st.lists(places, max_size=8))))

    assert filtered(message, cuts) == filtered(message)


@pytest.mark.parametrize(
    "line",
    table(
        {
            "a value": b"Subject: " + b"x" * 65_000,
            "a name": b"x" * 65_000,
            "a Received": b"Received: " + b"x" * 65_000,
            "a Return-Path": b"Return-Path: " + b"x" * 65_000,
            "results": b"Authentication-Results: " + b"(" * 65_000,
            "white space": b"Authentication-Results" + b" " * 65_000,
            "bare CRs": b"Subject: " + b"\r" * 65_000,
            "continuations": b"Subject: x" + b"\r\n " * 20_000,
            "fields": b"X:\r\n" * 16_000,
        }
    ),
)
def test_memory_is_bounded(line):
    """A header that never ends takes no more memory than a small one: what is not held goes on at once."""
    header = HeaderFilter(HOSTNAME)
    header.feed(line)
    tracemalloc.start()
    for _ in range(200):
        header.feed(line[-60_000:])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(header._held) <= 8192
    assert kept < 65_536


def test_the_body_passes_by():
    """Once the header is over, `done` says so, and what still comes is given back as it is."""
    header = HeaderFilter(HOSTNAME)
    assert not header.done

    header.feed(b"Subject: x\r\n\r\n")
    assert header.done

    body = MINE.encode()
    assert header.feed(body) == Pieces(body, body)
    assert header.feed(body).final is body
    assert header.finish() == Pieces(b"", b"")
