"""Whatever comes from outside: no parser raises what nobody expects, and none takes long."""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailport.authentication import arc, author, dkim, dmarc, dmarc_record, dns, keys, spf, spf_record, tags
from mailport.authentication.author import FromFault
from mailport.authentication.body_hash import BodyHash
from mailport.authentication.dns import Answer, Question, Status, is_name
from mailport.authentication.fields import Fields
from mailport.authentication.keys import Algorithm
from mailport.authentication.results_field import Authentication
from mailport.authentication.spf_record import SyntaxFault
from mailport.authentication.tags import TagFault
from tests.authentication import signing
from tests.authentication.zones import run
from tests.tables import table

KIB64 = 64 * 1024
_SECONDS = 0.01
_ATTEMPTS = 5  # the quickest counts: the machine does other things
EXAMPLES = int(os.environ.get("MAILPORT_CASES", "200"))  # of each test of any text


def quickest(work: Callable[[], Any]) -> float:
    def once() -> float:
        began = time.process_time()
        with suppress(SyntaxFault, TagFault, FromFault):
            work()
        return time.process_time() - began

    return min(once() for _ in range(_ATTEMPTS))


def signature(value: bytes) -> Fields:
    return Fields(b"DKIM-Signature: " + value + b"\r\n")


@pytest.mark.parametrize(
    "work",
    table(
        {
            "a signature with 10,000 tags": lambda: dkim.signatures(signature(b"a=b;" * 10_000)),
            "a signature of one long tag": lambda: dkim.signatures(signature(b"v=1; b=" + b"A" * KIB64)),
            "a signature over 30,000 fields": lambda: dkim.signatures(
                signature(b"v=1; a=rsa-sha256; b=AAAA; bh=AAAA; d=a.example; s=s; h=" + b"a:" * 30_000)
            ),
            "a signature of white space": lambda: dkim.signatures(signature(b" \t" * 30_000)),
            "a key record of 64 KiB": lambda: keys._read.__wrapped__(b"v=DKIM1; p=" + b"A" * KIB64, Algorithm.RSA),
            "a key record with 10,000 tags": lambda: keys._read.__wrapped__(b"a=b;" * 10_000, Algorithm.RSA),
            "an SPF record of 16,000 terms": lambda: spf_record.parse.__wrapped__(b"v=spf1 " + b"a " * 16_000),
            "an SPF record of one long macro": lambda: spf_record.parse.__wrapped__(b"v=spf1 a:" + b"%{s}" * 16_000),
            "an SPF record of half a macro": lambda: spf_record.parse.__wrapped__(b"v=spf1 a:" + b"%{" * 30_000),
            "an SPF record of slashes": lambda: spf_record.parse.__wrapped__(b"v=spf1 a" + b"/1" * 30_000),
            "a DMARC record with 10,000 tags": lambda: dmarc_record.parse("v=DMARC1;" + "a=b;" * 10_000),
            "a DMARC record of white space": lambda: dmarc_record.parse("v=DMARC1; p=a" + " " * KIB64 + "b"),
            "a DMARC record of 30,000 addresses": lambda: dmarc_record.parse("v=DMARC1; p=x; rua=" + "a," * 30_000),
            "From of nested comments": lambda: author.domain(Fields(b"From: a@b" + b"(" * KIB64 + b"\r\n")),
            "ARC of 10,000 sets": partial(arc.read, Fields(b"ARC-Seal: i=1; a=b\r\n" * 10_000)),
        }
    ),
)
def test_time_is_bounded(work):
    """64 KiB of what costs most take no 10 ms."""
    assert quickest(work) < _SECONDS


def test_a_mebibyte_of_fields():
    """A header section as large as any, with ten signatures over all of it, takes a fraction of a second."""
    section = (b"X-Field: a  value\r\n" + b"\tthat is folded\r\n" * 60) * 980
    names = b"from:" + b"x-field:" * 900
    field = (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; b=AAAA; bh=AAAA; d=a.example; s=s; h=" + names + b"x\r\n"
    )
    section = field * 10 + b"From: a@a.example\r\n" + section
    key = keys._read(signing.rsa_record(signing.rsa_key()).encode(), Algorithm.RSA)

    def work() -> None:
        fields = Fields(section)
        for one in dkim.signatures(fields):
            dkim.judge(one, key, fields, one.body_hash, 0)

    assert quickest(work) < 0.5


def test_a_mebibyte_of_tiny_fields():
    """They take no more than the section does."""
    section = b"a:\r\n" * 250_000
    tracemalloc.start()
    try:
        fields = Fields(section)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert fields.too_many
    assert most < len(section)


def test_what_is_long_is_not_kept():
    """What comes again is remembered; what somebody makes as long as he likes is not, and no result tells all of it."""
    held = []
    tracemalloc.start()
    try:
        for number in range(8):
            long = b"%d" % number * 100_000
            tags_ = b"; ".join(name + b"=" + long for name in (b"a", b"d", b"s", b"i", b"cv"))
            section = Fields(b"DKIM-Signature: v=1; " + tags_ + b"\r\nARC-Seal: i=1; " + tags_ + b"\r\n")
            held.append(Authentication(ip_address("192.0.2.1"), dkim=tuple(dkim.signatures(section))))
            held[-1].written  # noqa: B018 - it is kept
            arc.read(section)
            with suppress(SyntaxFault):
                spf_record.parse(b"v=spf1 a:" + long[:60_000])
            spf_record.parse(b"v=spf1" + b" a" * 400 + b" " * 1000 * (number + 1))
            keys._read(b"v=DKIM1; p=" + long, Algorithm.RSA)
            dmarc_record.only((b"v=DMARC1; p=none; x=" + long,))
            is_name(long.decode())
            author.domain(Fields(b"From: a@b.example (" + long[:8000] + b")\r\n"))
        del section, long, tags_
        gc.collect()
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert octets < 100_000


@pytest.mark.parametrize("unit", [b" \t", b"\r\n", b"a  b\t \r\n", b" ", b"\t\r\n"])
def test_a_body_of_what_costs_most(unit):
    """White space of all kinds: no slower than 10 MB a second."""
    made, piece = BodyHash(relaxed=True), unit * (KIB64 // len(unit))

    assert quickest(lambda: made.update(piece)) < len(piece) / 10_000_000


_octets = st.binary(max_size=200)
_texts = st.text(alphabet='v=spf1DKIM1;: /%{}sidoprh.-+~?"()<>@,ab\\ \t\r\n\x00é', max_size=120)
_RECORD = b"v=spf1 a mx include:b.example -all"
_answers = st.builds(
    Answer,
    st.sampled_from(Status),
    st.lists(st.sampled_from([ip_address("192.0.2.1"), ip_address("::1")]), max_size=3).map(tuple),
    st.lists(st.sampled_from(["", "a.example", "\x00", "é", "x" * 300]), max_size=12).map(tuple),
    st.lists(
        st.one_of(_octets, _texts.map(str.encode), st.just(b"v=spf1 a mx include:b.example -all")), max_size=3
    ).map(tuple),
    st.booleans(),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=_texts, octets=_octets)
def test_any_text(text, octets):
    """Each parser takes any text, or says what is wrong with it."""
    for given_ in (text.encode(), octets):
        section = Fields(given_)
        Fields(b"From: " + given_.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n")
        dkim.signatures(section)
        dkim.read(signature(given_).all[0]) if signature(given_).all else None
        arc.read(Fields(b"ARC-Seal: " + given_ + b"\r\nARC-Message-Signature: i=1\r\n"))
        keys._read(given_, Algorithm.RSA)
        keys._read(b"v=DKIM1; p=" + given_, Algorithm.ED25519)
        with suppress(SyntaxFault):
            spf_record.parse(b"v=spf1 " + given_)
        with suppress(TagFault):
            tags.parse(given_)
        with suppress(FromFault):
            author.domain(Fields(b"From: " + given_ + b"\r\n"))
    dmarc_record.parse(f"v=DMARC1;{text}")


@settings(max_examples=EXAMPLES, deadline=None)
@given(answers=st.lists(_answers, min_size=1, max_size=8), local=_texts, domain=_texts, helo=_texts)
def test_any_answers(answers, local, domain, helo):
    """Whatever the DNS answers, and whoever the sender is, a core ends, and has not asked without end."""
    asked: list[Question] = []

    def answer(question: Question) -> Answer:
        assert dns.is_name(question.name)
        asked.append(question)
        assert len(asked) < 300
        return answers[len(asked) % len(answers)]

    for name in (domain, "a.example"):
        found = run(spf.check(ip_address("192.0.2.1"), sender=(local, name), helo=helo), answer)
        run(dmarc.check(Fields(f"From: x@{name}\r\n".encode()), found, []), answer)
        asked.clear()
