"""PURE. What is asked of the DNS, and what it answers: the one language between the cores and a resolver."""

from __future__ import annotations

import re
from collections.abc import Generator
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias, TypeVar

from mailport.address.ip_ranges import IpAddress

MAX_NAME = 253  # characters of a name without the root's dot (RFC 1035 §2.3.4: 255 octets on the wire)

_LABEL = re.compile(r"[ -\-/-~]{1,63}")  # any printable ASCII but a dot: what a name holds is the zone's affair

T = TypeVar("T")


class RecordType(StrEnum):
    """The types that are asked for."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    PTR = "PTR"
    TXT = "TXT"

    __hash__ = str.__hash__  # not Enum's, which is written in Python: each look-up in the cache would pay for it


class Status(StrEnum):
    """How a question was answered. A failure to ask is never "there is none"."""

    NOERROR = "NOERROR"  # there are records
    NODATA = "NODATA"  # the name exists, without records of this type
    NXDOMAIN = "NXDOMAIN"  # there is no such name (RFC 8020)
    SERVFAIL = "SERVFAIL"  # the servers failed, refused or answered nonsense
    TIMEOUT = "TIMEOUT"  # … or did not answer in time


class Question(NamedTuple):
    """One question. The name is absolute, without the root's dot, in ASCII and lower case."""

    name: str
    type: RecordType


class Answer(NamedTuple):
    """What came back: records of the question's type, behind whatever aliases."""

    status: Status
    addresses: tuple[IpAddress, ...] = ()  # of A and AAAA
    names: tuple[str, ...] = ()  # of PTR, and of MX in the order of preference; "" is the root: a null MX (RFC 7505)
    texts: tuple[bytes, ...] = ()  # of TXT: a record's strings joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2)
    alias: bool = False  # the name is a CNAME: it exists, even where its target does not

    @property
    def failed(self) -> bool:
        """Whether what is there could not be learnt: a later try may tell."""
        return self.status in _FAILURES

    @property
    def void(self) -> bool:
        """Whether there is nothing of this type."""
        return self.status in _VOID


_FAILURES = frozenset((Status.SERVFAIL, Status.TIMEOUT))
_VOID = frozenset((Status.NODATA, Status.NXDOMAIN))

Asking: TypeAlias = Generator[Question, Answer, T]
"""A core at work: yields questions, is sent their answers, returns a T."""


def is_name(name: str) -> bool:
    """Whether a name can be asked for: printable ASCII, labels of 1 to 63 characters, at most 253 in all."""
    return len(name) <= MAX_NAME and _has_labels(name)


@lru_cache(maxsize=4096)  # the same names come again
def _has_labels(name: str) -> bool:
    return all(map(_LABEL.fullmatch, name.split(".")))
