"""Zones as tables, and what a resolver would answer from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mailport.authentication.dns import Answer, Asking, Question, RecordType, Status

MAX_ALIASES = 8

T = TypeVar("T")

Zone = dict[str, list[tuple[str, Any]]]  # a name -> (type, value)s; ("TIMEOUT", None) and ("SERVFAIL", None) too


def suites() -> tuple[Path, ...]:
    """The folders of published suites: $MAILPORT_SUITES or beside the checkout, and where tools/suites.sh puts them."""
    given = os.environ.get("MAILPORT_SUITES")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else Path(__file__).parents[3] / "shared/suites", cache / "mailport/suites"


def published(path: str) -> Path | None:
    """A suite's file, where there is one."""
    return next((folder / path for folder in suites() if (folder / path).exists()), None)


def suite(path: str) -> Path:
    """A suite's file; a test that needs it is skipped where it is not there, and fails in CI."""
    file = published(path)
    if file is None:
        pytest.skip(f"no {path} in {' nor '.join(map(str, suites()))}: tools/suites.sh fetches it")
    return file


def run(asking: Asking[T], answer: Callable[[Question], Answer]) -> T:
    """Run a core to its end, answered by a function."""
    try:
        question = next(asking)
        while True:
            question = asking.send(answer(question))
    except StopIteration as end:
        result: T = end.value
        return result


def answering(zone: Zone, asked: list[Question] | None = None) -> Callable[[Question], Answer]:
    """What a resolver with this zone would answer."""
    records = {name.lower().rstrip("."): values for name, values in zone.items()}

    def exists(name: str) -> bool:
        return any(known == name or known.endswith(f".{name}") for known in records)

    def answer(question: Question) -> Answer:
        if asked is not None:
            asked.append(question)
        name, alias = question.name, False
        for _ in range(MAX_ALIASES):
            there = records.get(name, [])
            for failure in (Status.TIMEOUT, Status.SERVFAIL):
                if (failure.value, question.type.value) in there:
                    return Answer(failure)
            wanted = [value for kind, value in there if kind == question.type]
            if wanted:
                return _answer(question.type, wanted, alias)
            for failure in (Status.TIMEOUT, Status.SERVFAIL):
                if (failure.value, None) in there:
                    return Answer(failure)
            target = next((value for kind, value in there if kind == "CNAME"), None)
            if target is None:
                return Answer(Status.NODATA if exists(name) else Status.NXDOMAIN, alias=alias)
            name, alias = target.lower().rstrip("."), True
        return Answer(Status.SERVFAIL)

    return answer


def _answer(kind: RecordType, values: list[Any], alias: bool) -> Answer:
    if kind in (RecordType.A, RecordType.AAAA):
        return Answer(Status.NOERROR, addresses=tuple(map(ip_address, values)), alias=alias)
    if kind is RecordType.MX:
        return Answer(Status.NOERROR, names=tuple(host.rstrip(".") for _, host in sorted(values)), alias=alias)
    if kind is RecordType.PTR:
        return Answer(Status.NOERROR, names=tuple(value.rstrip(".") for value in values), alias=alias)
    return Answer(Status.NOERROR, texts=tuple(map(_octets, values)), alias=alias)


def _octets(value: Any) -> bytes:
    """A TXT record's strings as one; a character is an octet, as the suites write them."""
    if isinstance(value, bytes):
        return value
    return "".join(value if isinstance(value, list) else [value]).encode("latin-1" if _is_latin(value) else "utf-8")


def _is_latin(value: Any) -> bool:
    return all(ord(character) < 256 for part in (value if isinstance(value, list) else [value]) for character in part)
