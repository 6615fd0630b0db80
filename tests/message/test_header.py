"""The header section: where it ends, for us and for all readers; what is removed; how often the message was here."""

from __future__ import annotations

import re
import time
import tracemalloc
from email import message_from_bytes, policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailport.message import header
from mailport.message.header import HeaderSection
from tests.messages import HOSTNAME, RECEIVED
from tests.tables import table


def read(content: bytes) -> HeaderSection:
    """The header section of a whole content."""
    section = header.parse(content, HOSTNAME, whole=True)
    assert section is not None
    return section


def in_two_windows(content: bytes, first: int) -> HeaderSection:
    """The same, looked for in the first octets, and in the whole only where they do not tell."""
    return header.parse(content[:first], HOSTNAME, whole=False) or read(content)


def delivered(content: bytes) -> tuple[bytes, bytes]:
    """What a final destination and the next hop get, without our trace fields; whatever is looked at first."""
    section = read(content)
    for first in range(len(content) + 1):
        assert in_two_windows(content, first) == section
    assert read(bytearray(content)) == section
    return section.final + content[section.octets :], section.relayed + content[section.octets :]


# --- what is removed

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
            "more spaces than anyone writes": f"Authentication-Results{' ' * 900}: mx.example.org; spf=pass\r\n",
            "folded before the name": "Authentication-Results:\r\n\tmx.example.org; spf=pass\r\n",
            "folded over and over": "Authentication-Results:\r\n \r\n \r\n mx.example.org;\r\n spf=pass\r\n",
            "folded behind it": "Authentication-Results: mx.example.org\r\n ; spf=pass\r\n",
            "behind a comment": "Authentication-Results: (really) mx.example.org; spf=pass\r\n",
            "behind a long comment": f"Authentication-Results: ({'x' * 900}) mx.example.org; spf=pass\r\n",
            "in front of one": "Authentication-Results: mx.example.org(really); spf=pass\r\n",
            "behind comments in comments, folded": "Authentication-Results: (a\r\n (b \\) c)) (d)mx.example.org; x\r\n",
            "behind more of them than are followed": f"Authentication-Results: {'(' * 9}{')' * 9} example.com; x\r\n",
            "behind a comment that never ends": "Authentication-Results: (mx.example.org; spf=pass\r\n",
            "in quotes": 'Authentication-Results: "mx.example.org"; spf=pass\r\n',
            "escaped in quotes": 'Authentication-Results: "mx\\.example\\.org"; spf=pass\r\n',
            "in quotes that never end": 'Authentication-Results: "mx.example.org; spf=pass\r\n',
            "with the root's dot": "Authentication-Results: mx.example.org.; spf=pass\r\n",
            "with a NUL behind it, where some readers end": "Authentication-Results: mx.example.org\0; spf=pass\r\n",
            "several": MINE * 3,
        }
    ),
)
def test_claims_to_be_by_us_are_removed(field):
    """RFC 8601 §5: none that comes from outside is, so nobody gets it. What is unclear goes, too."""
    cleaned = f"Subject: x\r\nTo: y\r\n{BODY}".encode()

    assert delivered(f"Subject: x\r\n{field}To: y\r\n{BODY}".encode()) == (cleaned, cleaned)


@pytest.mark.parametrize(
    ("authserv_id", "stays"),
    table(
        {
            "ours in U-labels": ("mx.bücher.example".encode(), False),
            "… in capitals, with the root's dot": ("mx.BÜCHER.example.".encode(), False),
            "… in quotes": ('"mx.bücher.example"'.encode(), False),
            "octets that are no text": (b"mx.b\xfccher.example", False),
            "another's in U-labels": ("mx.büchers.example".encode(), True),
            "ours in A-labels": (b"mx.xn--bcher-kva.example", False),
        }
    ),
)
def test_claims_to_be_by_us_in_u_labels(authserv_id, stays):
    """A host name has two forms, and a forged field may have either."""
    content = b"Authentication-Results: " + authserv_id + b"; dmarc=pass\r\n\r\n"
    section = header.parse(content, "mx.xn--bcher-kva.example", whole=True)

    assert section is not None
    assert (b"dmarc=pass" in section.relayed) is stays


@pytest.mark.parametrize(
    "field",
    table(
        {
            "another host's results": "Authentication-Results: mx.example.net; spf=pass (mx.example.org)\r\n",
            "a host below ours": "Authentication-Results: a.mx.example.org; spf=pass\r\n",
            "one whose name begins alike": "Authentication-Results: mx.example.org.example.net; spf=pass\r\n",
            "our name in a comment": "Authentication-Results: (mx.example.org) example.net; spf=pass\r\n",
            "behind comments in comments": "Authentication-Results: (a (b) c) example.net; spf=pass\r\n",
            "behind a comment of any length": f"Authentication-Results: ({'x' * 900}) example.net; spf=pass\r\n",
            "no name at all": "Authentication-Results: ; spf=pass\r\n",
            "nothing at all": "Authentication-Results:\r\n",
            "another field": "X-Authentication-Results: mx.example.org; spf=pass\r\n",
            "a sealed one": "ARC-Authentication-Results: i=1; mx.example.org; spf=pass\r\n",
            "a field that begins alike": "Received-SPF: pass by mx.example.org\r\n",
            "a long one of another host": f"Authentication-Results: example.net; {'x' * 900}\r\n",
            "a Received": "Received: by mx.example.org; now\r\n",
            "a line of white space, which continues": "X: y\r\n \r\n",
            "what would be a field, if it did not continue one": "X: y\r\n Return-Path: <z>\r\n",
            "octets beyond ASCII in a value": "Subject: \u00fc\u2028\r\n",
            "an empty value": "X:\r\n",
            "a NUL in a value": "X: a\0b\r\n",
            "the longest name": f"{'x' * 998}: y\r\n",
        }
    ),
)
def test_all_else_stays(field):
    """Nothing of the message is changed that need not be, and both kinds of destination share what is there."""
    content = f"Subject: x\r\n{field}To: y\r\n{BODY}".encode()
    section = read(content)

    assert delivered(content) == (content, content)
    assert section.octets == len(content) - len(BODY)
    assert section.final is section.relayed


@pytest.mark.parametrize(
    "field",
    table(
        {
            "the plain case": "Return-Path: <x@example.net>\r\n",
            "in any case": "RETURN-PATH:<>\r\n",
            "folded": "Return-Path:\r\n <x@example.net>\r\n",
            "twice": "Return-Path: <x@example.net>\r\nReturn-Path: <y@example.net>\r\n",
            "a long one": f"Return-Path: {'x' * 1500}\r\n",
        }
    ),
)
def test_return_path_is_removed_where_delivery_ends(field):
    """There it is written anew; on the way to another server it is left alone."""
    content = f"Subject: x\r\n{field}To: y\r\n{BODY}".encode()
    final = f"Subject: x\r\nTo: y\r\n{BODY}".encode()

    assert delivered(content) == (final, content)


def test_both_are_removed_in_any_order():
    """One pass takes out all, wherever each stands."""
    content = f"Return-Path: <a>\r\n{MINE}A: b\r\n{MINE}Return-Path: <c>\r\n{BODY}".encode()
    relayed = f"Return-Path: <a>\r\nA: b\r\nReturn-Path: <c>\r\n{BODY}".encode()

    assert delivered(content) == (f"A: b\r\n{BODY}".encode(), relayed)


# --- where it ends


@pytest.mark.parametrize(
    ("content", "as_delivered"),
    table(
        {
            "nothing at all": ("", ""),
            "an empty line first": (f"\r\n{MINE}", f"\r\n{MINE}"),
            "no header": (f"Hello\r\n{MINE}", f"\r\nHello\r\n{MINE}"),
            "a line with a space in its name": (f"Dear all: hello\r\n{MINE}", f"\r\nDear all: hello\r\n{MINE}"),
            "a continuation of nothing": (f" x: y\r\n{MINE}", f"\r\n x: y\r\n{MINE}"),
            "a line of white space first": (f" \r\n{MINE}", f"\r\n \r\n{MINE}"),
            "a colon of nothing": (f": y\r\n{MINE}", f"\r\n: y\r\n{MINE}"),
            "a name beyond ASCII": (f"Sübject: y\r\n{MINE}", f"\r\nSübject: y\r\n{MINE}"),
            "a control character in a name": (f"Sub\x01ject: y\r\n{MINE}", f"\r\nSub\x01ject: y\r\n{MINE}"),
            "a name longer than a line may be": (f"{'x' * 999}: y\r\n{MINE}", f"\r\n{'x' * 999}: y\r\n{MINE}"),
            "a header that just ends in text": (f"A: b\r\nHello\r\n{MINE}", f"A: b\r\n\r\nHello\r\n{MINE}"),
            "a claim of ours with its continuation, and text": (f"{MINE} x: y\r\n\r\n x", "\r\n x"),
            "a header, and no more": ("Subject: x\r\n", "Subject: x\r\n"),
            "half a line": ("Subj", "\r\nSubj"),
            "half a field": ("Subject: x", "Subject: x"),
            "half a continuation": ("Subject: x\r\n ", "Subject: x\r\n "),
            "a name without a colon, and no more": ("Return-Path", "\r\nReturn-Path"),
            "a name and a half": ("Return-Path \r\n\r\n", "\r\nReturn-Path \r\n\r\n"),
            "our claim as the last field": (f"A: b\r\n{MINE}", "A: b\r\n"),
            "our claim without a line end": (f"A: b\r\n{MINE[:-2]}", "A: b\r\n"),
            "our claim, and no more": (MINE * 3, ""),
            "our claim, and text behind it": (f"{MINE}Hello\r\n", "\r\nHello\r\n"),
        }
    ),
)
def test_the_end_of_the_header_section(content, as_delivered):
    """It ends at the first line that is neither field nor continuation, an empty line is there, the rest is body."""
    assert delivered(content.encode()) == (as_delivered.encode(),) * 2


@pytest.mark.parametrize(
    ("content", "as_delivered"),
    table(
        {
            "from a mbox file": ("From x Mon\r\nA: b\r\n\r\nc", "X-Mailbox-Line: From x Mon\r\nA: b\r\n\r\nc"),
            "quoted, as in a mbox file's text": (">From x\r\nA: b\r\n\r\n", "X-Mailbox-Line: >From x\r\nA: b\r\n\r\n"),
            "quoted twice": (">>From x\r\nA: b\r\n\r\n", "X-Mailbox-Line: >>From x\r\nA: b\r\n\r\n"),
            "and no more": ("From x\r\n", "X-Mailbox-Line: From x\r\n"),
            "in front of an empty line": ("From x\r\n\r\nHello", "X-Mailbox-Line: From x\r\n\r\nHello"),
            "in front of text": ("From x\r\nHello", "X-Mailbox-Line: From x\r\n\r\nHello"),
            "in front of what would continue it": ("From x\r\n y\r\n", "X-Mailbox-Line: From x\r\n\r\n y\r\n"),
            "in front of our claim": (f"From x\r\n{MINE}A: b\r\n", "X-Mailbox-Line: From x\r\nA: b\r\n"),
            "twice: the second is text": ("From x\r\nFrom y\r\n", "X-Mailbox-Line: From x\r\n\r\nFrom y\r\n"),
            "further below it is text": (f"A: b\r\nFrom x\r\n{MINE}", f"A: b\r\n\r\nFrom x\r\n{MINE}"),
            "and quoted too": (f"A: b\r\n>From x\r\n{MINE}", f"A: b\r\n\r\n>From x\r\n{MINE}"),
            "in small letters it is text": ("from x\r\n", "\r\nfrom x\r\n"),
            "without a space it is text": ("From\r\n", "\r\nFrom\r\n"),
            "without a line end it is text": ("From x", "\r\nFrom x"),
            "longer than a line may be, it is text": (f"From {'x' * 999}\r\n", f"\r\nFrom {'x' * 999}\r\n"),
            "quoted more than anyone does, it is text": (f"{'>' * 999}From x\r\n", f"\r\n{'>' * 999}From x\r\n"),
            "a field From stays": ("From: x\r\n", "From: x\r\n"),
            "with a space before its colon it does not, as in Postfix": (
                "From : x\r\n",
                "X-Mailbox-Line: From : x\r\n",
            ),
        }
    ),
)
def test_a_mbox_line(content, as_delivered):
    """A leading `From ` line, as reading mail out of a mbox file leaves it, becomes a field (as Postfix does)."""
    assert delivered(content.encode()) == (as_delivered.encode(),) * 2


FORGED = b"Authentication-Results: mx.example.org; dmarc=pass\r\nSubject: forged\r\n\r\nbody\r\n"


@pytest.mark.parametrize(
    ("content", "fields", "text"),
    table(
        {
            "behind a name with a space": (b"Invalid Header: x\r\n" + FORGED, [], b"Invalid Header: x\r\n" + FORGED),
            "behind junk": (b"junk\r\n" + FORGED, [], b"junk\r\n" + FORGED),
            "behind a colon": (b":\r\n" + FORGED, [], b":\r\n" + FORGED),
            "behind a colon and text": (b": x\r\n" + FORGED, [], b": x\r\n" + FORGED),
            "behind an 8-bit name": (b"S\xfcbject: x\r\n" + FORGED, [], b"S\xfcbject: x\r\n" + FORGED),
            "behind a mbox line": (b"From x\r\n" + FORGED, ["X-Mailbox-Line", "Subject"], b"body\r\n"),
            "behind a quoted one": (b">From x\r\n" + FORGED, ["X-Mailbox-Line", "Subject"], b"body\r\n"),
            "behind a field and a name with a space": (
                b"To: a\r\nInvalid Header: x\r\n" + FORGED,
                ["To"],
                b"Invalid Header: x\r\n" + FORGED,
            ),
            "behind a field and junk": (b"To: a\r\njunk\r\n" + FORGED, ["To"], b"junk\r\n" + FORGED),
            "behind a field and a colon": (b"To: a\r\n:\r\n" + FORGED, ["To"], b":\r\n" + FORGED),
            "behind a field and an 8-bit name": (b"To: a\r\nS\xfc: x\r\n" + FORGED, ["To"], b"S\xfc: x\r\n" + FORGED),
            "behind a field and a mbox line": (b"To: a\r\nFrom x\r\n" + FORGED, ["To"], b"From x\r\n" + FORGED),
            "behind two mbox lines": (b"From x\r\nFrom y\r\n" + FORGED, ["X-Mailbox-Line"], b"From y\r\n" + FORGED),
            "text that would continue our Received": (b" Alarm 7\r\n", [], b" Alarm 7\r\n"),
            "text without any field": (b"water level high\r\n", [], b"water level high\r\n"),
            "text behind a field": (b"Subject: a\r\nwater level high\r\n", ["Subject"], b"water level high\r\n"),
            "text behind our claim": (MINE.encode() + b" Alarm\r\n\r\n Alarm 7\r\n", [], b" Alarm 7\r\n"),
            "text with a colon": (b"level 7: high\r\n\r\nx\r\n", [], b"level 7: high\r\n\r\nx\r\n"),
        }
    ),
)
def test_every_reader_sees_the_same_end(content, fields, text):
    """Nothing behind the end passes for a field, and text stays text: Python's parser, as one that reads on."""
    section = read(content)
    message = message_from_bytes(RECEIVED + section.relayed + content[section.octets :], policy=policy.SMTP)

    assert message.keys() == ["Received", *fields]
    assert message["Authentication-Results"] is None
    assert message["Received"].endswith("Mon, 23 Nov 2026 14:12:05 +0000")
    assert message.get_payload(decode=True) == text
    assert message.defects == []


# --- how often it was here

BY_US = b"Received: from a (b [192.0.2.1])\r\n\tby mx.example.org with ESMTP; now\r\n"
BY_OTHERS = b"Received: from mx.example.org by mx.example.org.example.net for <x@mx.example.org>; now\r\n"


@pytest.mark.parametrize(
    ("fields", "received", "ours"),
    table(
        {
            "never": (b"", 0, 0),
            "a hundred hops": (BY_OTHERS * 100, 100, 0),
            "five times here": (BY_US * 5, 5, 5),
            "between others": ((BY_US + BY_OTHERS) * 3, 6, 3),
            "in any case": (BY_US.upper() * 3, 3, 3),
            "folded": (BY_US.replace(b" by ", b"\r\n by\r\n ").replace(b"by mx", b"by\r\n mx") * 3, 3, 3),
            "with the root's dot": (BY_US.replace(b".org", b".org.") * 3, 3, 3),
            "as the first words": (b"Received:by mx.example.org; now\r\n", 1, 1),
            "behind a mbox line": (b"From x\r\n" + BY_US, 1, 1),
            "only the names of other clauses": (BY_OTHERS * 9, 9, 0),
            "another host below the same name": (b"Received: by a.mx.example.org; now\r\n", 1, 0),
            "a field that begins alike": (b"Received-SPF: by mx.example.org\r\n" * 60, 0, 0),
            "hops quoted in the body": (BY_US * 2 + b"\r\n" + BY_US * 60, 2, 2),
            "behind a value of any length": (b"Received: (" + b"x" * 9000 + b") by mx.example.org\r\n", 1, 1),
            "long ones count as hops": ((b"Received: " + b"x" * 9000 + b"\r\n") * 51, 51, 0),
        }
    ),
)
def test_hops(fields, received, ours):
    """Received fields are counted, and those whose `by` is this host: policy/content.py says how many are a loop."""
    for start in (b"Subject: x\r\n", b"") if not fields.startswith(b"From ") else (b"",):
        section = read(start + fields + b"\r\nbody")

        assert (section.received, section.ours) == (received, ours)


# --- all of it, in no hurry


def reference(content: bytes) -> tuple[bytes, bytes, int, int]:
    """The same, line by line."""
    lines = re.findall(rb"(?s:.*?)\r\n|(?s:.+)\Z", content)
    fields: list[bytes] = []
    mailbox_line = b""
    if lines and re.fullmatch(rb">{0,64}From .{0,998}\r\n", lines[0]):
        mailbox_line = b"X-Mailbox-Line: " + lines.pop(0)
    while lines:
        if re.match(rb"[!-9;-~]{1,998}[ \t]*:", lines[0]):
            fields.append(lines.pop(0))
        elif fields and lines[0][:1] in {b" ", b"\t"}:
            fields[-1] += lines.pop(0)
        else:
            break
    if lines and lines[0] != b"\r\n":
        lines.insert(0, b"\r\n")
    names = [field.partition(b":")[0].strip().lower() for field in fields]
    hops = [field for field, name in zip(fields, names, strict=True) if name == b"received"]
    ours = [hop for hop in hops if re.search(rb"(?i)\sby\s+mx\.example\.org[\s;]", hop)]
    relayed = [
        (name, field)
        for name, field in zip(names, fields, strict=True)
        if name != b"authentication-results"
        or not re.match(rb"\s*(mx\.example\.org[\s;]|[^\s;]*\xff)", field.partition(b":")[2])  # which is no text
    ]
    return (
        b"".join([mailbox_line] + [field for name, field in relayed if name != b"return-path"] + lines),
        b"".join([mailbox_line] + [field for _, field in relayed] + lines),
        len(hops),
        len(ours),
    )


FRAGMENTS = [
    BY_US, BY_OTHERS, MINE.encode(), b"Return-Path: <x@y>\r\n", b"Subject: x\r\n", b"Authentication-Results: b; c\r\n",
    b"Received", b"Return-Path", b"Authentication-Results", b":", b" : ", b" mx.example.org;", b"\r", b"\n", b"\r\n",
    b"\r\n ", b"x", b"\r\n\r\n", b"\xff", b"", b"From ", b">", b"From x\r\n", b"Invalid Header: x\r\n",
]  # fmt: skip
# On the way here every line end has become CRLF (listener/framing.py).
contents = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(
    lambda fragments: re.sub(rb"\r*\n|\r", b"\r\n", b"".join(fragments))
)


@given(contents)
@example(b"From x\r\n y: z\r\n")
@example(b">From x")
@example(b"From : x\r\n y")
def test_the_definition(content):
    """The expressions do what the rules say, taken one line at a time, whatever is looked at first."""
    section = read(content)

    assert (*delivered(content), section.received, section.ours) == reference(content)


@given(contents, st.sampled_from([b"A:", b"", b"From ", b">>From ", b">"]), st.integers(985, 1005), st.data())
def test_a_long_line_may_be_cut_anywhere(content, start, octets, data):
    """Around the 998 octets that a name may have, the first window tells the same as the whole, or nothing."""
    content = start + b"x" * (octets - len(start)) + content
    first = data.draw(st.integers(0, len(content)))

    assert in_two_windows(content, first) == read(content)
    assert delivered(content) == reference(content)[:2]


@pytest.mark.parametrize(
    ("content", "first"),
    table(
        {
            "at an empty line": (b"A: b\r\n\r\nbody", 8),
            "at a line that is no field": (b"A: b\r\nHello all\r\n", 13),
            "at text": (b" Alarm 7\r\n", 1),
        }
    ),
)
def test_the_first_window_is_enough_once_it_has_the_end(content, first):
    """No more of a message is read than need be."""
    assert header.parse(content[:first], HOSTNAME, whole=False) == read(content)
    assert header.parse(content[: first - 1], HOSTNAME, whole=False) in (None, read(content))


@pytest.mark.parametrize(
    "content",
    table(
        {
            "nothing yet": b"",
            "half a name": b"Subj",
            "a name and a space": b"Subject ",
            "half a value": b"Subject: x",
            "half a line end": b"Subject: x\r",
            "a field, which may be continued": b"Subject: x\r\n",
            "half an empty line": b"Subject: x\r\n\r",
            "half a mbox line": b"From x",
            "half a quoted one": b">>From x",
            "half of its line end": b"From x\r",
        }
    ),
)
def test_more_is_asked_for(content):
    """Where what follows may belong to the header section."""
    assert header.parse(content, HOSTNAME, whole=False) is None


MIB = 1024 * 1024


@pytest.mark.parametrize(
    "line",
    table(
        {
            "a value": b"Subject: " + b"x" * MIB,
            "a name": b"x" * MIB,
            "a mbox line": b"From " + b"x" * MIB,
            "its quotes": b">" * MIB,
            "a Received": b"Received: by mx.example.org" + b" by mx.example.or" * (MIB // 17),
            "a Return-Path": b"Return-Path: " + b"x" * MIB,
            "a comment that never ends": b"Authentication-Results: " + b"(" * MIB,
            "comments in comments": b"Authentication-Results: " + b"((((" * (MIB // 8) + b"))))" * (MIB // 8),
            "many comments": b"Authentication-Results: " + b"()" * (MIB // 2),
            "white space before a colon": b"Authentication-Results" + b" " * MIB,
            "white space before a name": b"Authentication-Results:" + b" " * MIB,
            "backslashes": b'Authentication-Results: "' + b"\\" * MIB,
            "continuations": b"Subject: x" + b"\r\n " * (MIB // 3),
            "fields": b"X:\r\n" * (MIB // 4),
            "claims to be by us": MINE.encode() * (MIB // len(MINE)),
            "claims without a colon": b"Authentication-Results\r\n" * (MIB // 24),
            "hops": BY_US * (MIB // len(BY_US)),
        }
    ),
)
def test_a_megabyte_is_read_in_a_moment(line):
    """No octet is looked at again and again, so that no header section holds up other sessions, or fills the memory."""
    began = time.thread_time()
    for whole in (True, False):
        header.parse(line[:MIB], HOSTNAME, whole=whole)
    seconds = time.thread_time() - began
    tracemalloc.start()
    try:
        header.parse(line[:MIB], HOSTNAME, whole=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seconds < 1
    assert peak < 8 * MIB
