"""PURE. The words for what came of a check: RFC 8601 §2.7."""

from __future__ import annotations

from enum import StrEnum


class Result(StrEnum):
    """One check's result. Not every check has each."""

    NONE = "none"  # nothing to check: no record, no signature
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SOFTFAIL = "softfail"  # SPF: probably not authorized
    NEUTRAL = "neutral"  # SPF: the domain says nothing of this client
    POLICY = "policy"  # DKIM: verified or not, such a signature is not accepted here
    TEMPERROR = "temperror"  # could not be asked; a later try may tell
    PERMERROR = "permerror"  # what is published or signed cannot be understood

    __hash__ = str.__hash__  # not Enum's, which is written in Python: metrics are looked up by it


class Disposition(StrEnum):
    """What becomes of a message that is taken."""

    DELIVER = "deliver"
    QUARANTINE = "quarantine"  # kept apart from other mail
