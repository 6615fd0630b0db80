"""DKIM and ARC beside dkimpy, another's implementation: both say the same of thousands of messages that nobody wrote.

Where they differ, an oddity of the message explains it, in the one direction. What nothing explains is a fault, and so
is an explanation of what never happens. $MAILPORT_CASES is how many messages. A third implementation, which is in Rust,
is compared by `python -m tests.authentication.beside_mail_auth`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from random import Random

import dkim as dkimpy

from mailport.authentication.result import Result
from tests.authentication import odd_signatures
from tests.authentication.odd_signatures import DOMAIN, SELECTOR, Case
from tests.authentication.signing import verify
from tests.authentication.test_arc_suite import verified

CASES = int(os.environ.get("MAILPORT_CASES", "1200"))

STRICTER = {  # we do not take it, dkimpy does
    "l= of all": "a body of which a part may be unsigned is never taken here",
    "From not signed": "RFC 6376 §5.4: it has to be",
    "key for sha1": "dkimpy does not read the key's h=",
    "key with v= last": "RFC 6376 §3.6.1: v= has to be the first; dkimpy does not look where it stands",
}
RARE = {  # likewise, in cases that some thousands are needed for
    "l= of a part": "an empty body has none (RFC 6376 §3.5); dkimpy does not compare the lengths",
    "strict key": "RFC 6376 §3.6.1: with t=s, i= may not be below d=; dkimpy does not read it",
}
LAXER = {  # we take it, dkimpy does not
    "a blank in front of a colon": "RFC 5322 §4.5.8's old form; to dkimpy the message is none",
    "two records": "dkimpy looks at the first TXT record alone",
    "another From on top": "dkimpy counts From once more than the signature; with two, DMARC is permerror here",
    "q= of several": "RFC 6376 §3.5: one of them is known",
    "C=": "words of a grammar have no case (RFC 5234 §2.3)",
    "A=": "likewise",
    "key for several services": "RFC 6376 §3.6.1: a list; dkimpy takes one word",
    "b= right behind the colon": "dkimpy looks for a blank or a semicolon in front of it",
}
LAXER_OF_ARC = {
    "a blank in front of a colon": LAXER["a blank in front of a colon"],
    "another From on top": LAXER["another From on top"],
    "i= written otherwise": "dkimpy looks for ` i=1;` in ARC-Message-Signature, with the blank and the semicolon",
}
_SILENT = logging.getLogger("dkimpy.silent")
_SILENT.disabled = True


def by_dkimpy(case: Case, *, arc: bool = False) -> bool:
    """Whether dkimpy verifies it."""
    text = case.zone[f"{SELECTOR}._domainkey.{DOMAIN}"][0][1]
    record = "".join(text).encode()

    def ask(name: bytes, timeout: int = 5) -> bytes | None:
        return record if name.lower() == f"{SELECTOR}._domainkey.{DOMAIN}.".encode() else None

    try:
        if arc:
            return bool(dkimpy.ARC(case.message, logger=_SILENT).verify(dnsfunc=ask)[0] == dkimpy.CV_Pass)
        return bool(dkimpy.DKIM(case.message, logger=_SILENT).verify(dnsfunc=ask))
    except Exception:  # noqa: BLE001 - whatever it says instead, it does not verify it
        return False


def by_us(case: Case) -> bool:
    found = verify(case.message, case.zone)
    return bool(found) and found[0].result is Result.PASS


class Comparison:
    """What two say of the same cases."""

    def __init__(self, laxer: Collection[str], stricter: Collection[str] = ()) -> None:
        self._laxer, self._stricter = laxer, stricter
        self.passed = 0
        self.unexplained: list[tuple[int, bool, set[str]]] = []  # seed, whether we take it, oddities
        self.needed: set[str] = set()  # explanations without which a difference would have none

    def add(self, seed: int, case: Case, ours: bool, theirs: bool) -> None:
        self.passed += ours and theirs
        if ours == theirs:
            return
        reasons = case.oddities & set(self._laxer if ours else self._stricter)
        if not reasons:
            self.unexplained.append((seed, ours, case.oddities))
        if len(reasons) == 1:
            self.needed |= reasons


def test_dkim():
    """Of one signature a message."""
    comparison = Comparison(LAXER, STRICTER | RARE)
    for seed in range(CASES):
        case = odd_signatures.dkim_case(Random(seed))
        comparison.add(seed, case, by_us(case), by_dkimpy(case))

    assert not comparison.unexplained
    assert comparison.needed - RARE.keys() == LAXER.keys() | STRICTER.keys()
    assert comparison.passed > CASES / 4


def test_arc():
    """Of one to three sets a message."""
    comparison = Comparison(LAXER_OF_ARC)
    for seed in range(CASES // 2):
        case = odd_signatures.arc_case(Random(seed))
        ours = verified(case.message, case.zone).result is Result.PASS
        comparison.add(seed, case, ours, by_dkimpy(case, arc=True))

    assert not comparison.unexplained
    assert comparison.needed == LAXER_OF_ARC.keys()
    assert comparison.passed > CASES / 8
