"""PURE. Does a name of the client's address lead back to it? iprev (RFC 8601 §3)."""

from __future__ import annotations

from typing import NamedTuple

from mailport.address.ip_ranges import IpAddress
from mailport.authentication.dns import Asking, Question, RecordType, is_name
from mailport.authentication.result import Result

MAX_NAMES = 10  # of one address that are followed (RFC 8601 §3, RFC 7208 §4.6.4)


class IprevResult(NamedTuple):
    """What the two look-ups say."""

    result: Result
    name: str  # the first that leads back; empty where none does
    why: str  # for people


def check(client: IpAddress) -> Asking[IprevResult]:
    """Look for a name of the client's address that leads back to it."""
    question = Question(client.reverse_pointer, RecordType.PTR)
    answer = yield question
    if answer.failed:
        return IprevResult(Result.TEMPERROR, "", f"{question.name} PTR: {answer.status}")
    if not answer.names:
        return IprevResult(Result.PERMERROR, "", "the address has no name")
    names, failed = yield from validated_names(client, answer.names[:MAX_NAMES], enough=1)
    if names:
        return IprevResult(Result.PASS, names[0], f"{names[0]} leads back to the address")
    if failed:
        return IprevResult(Result.TEMPERROR, "", f"what {failed} leads to could not be asked")
    return IprevResult(Result.FAIL, "", f"no name of the address resolves back to it: {answer.names[0]} does not")


def validated_names(
    client: IpAddress, names: tuple[str, ...], enough: int = MAX_NAMES
) -> Asking[tuple[tuple[str, ...], str]]:
    """Return those names that lead back to the client, in lower case, and the last that could not be asked."""
    family = RecordType.A if client.version == 4 else RecordType.AAAA
    found: list[str] = []
    failed = ""
    for name in names:
        host = name.removesuffix(".").lower()
        if not is_name(host):
            continue
        answer = yield Question(host, family)
        if answer.failed:
            failed = host
        elif client in answer.addresses:
            found.append(host)
            if len(found) >= enough:
                break
    return tuple(found), failed
