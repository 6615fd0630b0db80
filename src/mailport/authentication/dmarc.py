"""PURE. Does the author's domain stand behind this message, and what does it want done if not? DMARC (RFC 9989)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mailport.authentication import author, dmarc_record
from mailport.authentication.author import FromFault, NoAuthor
from mailport.authentication.dkim import DkimResult
from mailport.authentication.dmarc_record import Policy, Record
from mailport.authentication.dns import Asking, Question, RecordType, is_name
from mailport.authentication.fields import Fields
from mailport.authentication.result import Result
from mailport.authentication.spf import SpfResult

MAX_QUESTIONS = 8  # of one tree walk (§4.10)


class DmarcResult(NamedTuple):
    """What DMARC says."""

    result: Result  # none, pass, fail, temperror, permerror
    domain: str  # of From, in A-labels; empty where there is not one
    policy_domain: str  # whose record applies; empty where none does
    policy: Policy  # that applies if it does not pass: p=, sp= or np=, one lower with t=y; see check() for permerror
    aligned_by: str  # what passes and is aligned: spf or dkim; empty where nothing is. With temperror too
    why: str  # for people


class _Unknown(Exception):  # noqa: N818 - it is the result
    """The DNS could not be asked: temperror."""


class _Walk(NamedTuple):
    """A domain, and those above it, at which a record was found: the longest first."""

    records: tuple[tuple[str, Record], ...]

    def organizational(self, start: str) -> str:
        """Return the Organizational Domain (§4.10.2)."""
        for domain, record in self.records:
            if record.psd == "n":
                return domain
            if record.psd == "y" and domain != start:
                labels = start.split(".")
                return ".".join(labels[-(domain.count(".") + 2) :])
        return self.records[-1][0] if self.records else start


def check(fields: Fields, spf: SpfResult | None, dkim: Sequence[DkimResult]) -> Asking[DmarcResult]:
    """Check the author's domain against what SPF and DKIM found.

    An author that we cannot tell, and a mail program may show, is not to be a way around every domain's policy
    (RFC 9989 §11.5): such a message is one to quarantine.
    """
    nothing = DmarcResult(Result.NONE, "", "", Policy.NONE, "", "")
    try:
        domain = author.domain(fields)
    except NoAuthor as missing:
        return nothing._replace(result=Result.PERMERROR, why=str(missing))
    except FromFault as fault:
        return nothing._replace(result=Result.PERMERROR, policy=Policy.QUARANTINE, why=str(fault))
    about = nothing._replace(domain=domain)
    if domain.startswith("["):
        return about._replace(why="the author's address has no domain name")
    try:
        return (yield from _check(about, spf, dkim))
    except _Unknown as unknown:
        return about._replace(result=Result.TEMPERROR, aligned_by=_surely_aligned(domain, spf, dkim), why=str(unknown))


def _surely_aligned(domain: str, spf: SpfResult | None, dkim: Sequence[DkimResult]) -> str:
    """Name what passes for the very domain: whatever could not be asked, it does not fail."""
    if spf is not None and spf.result is Result.PASS and spf.domain == domain:
        return "spf"
    return "dkim" if any(one.result is Result.PASS and one.domain == domain for one in dkim) else ""


def _check(about: DmarcResult, spf: SpfResult | None, dkim: Sequence[DkimResult]) -> Asking[DmarcResult]:
    domain = about.domain
    own = yield from _record(domain)
    walk: _Walk | None = None
    policy_domain, record = domain, own
    if record is None:
        walk = yield from _walk(domain, own)
        policy_domain, record = _applying(walk, domain)
    if record is None:
        return about._replace(why=f"{domain} and what is above it have no record")
    if not record.usable:
        return about._replace(why=f"the record of {policy_domain} has no valid p=, sp= or np=")
    about = about._replace(policy_domain=policy_domain)
    alignment = _Alignment(domain, own, walk)
    aligned = yield from _aligned(alignment, record, spf, dkim)
    if aligned.by:
        return about._replace(
            result=Result.PASS,
            policy=_lowered(record.policy if policy_domain == domain else record.subdomains, record),
            aligned_by=aligned.by,
            why=f"{aligned.by} passes, and is of {domain} or its organization",
        )
    policy, unknown = yield from _policy(domain, policy_domain, record)
    about = about._replace(policy=policy)
    if unknown or aligned.unknown:
        return about._replace(result=Result.TEMPERROR, why=aligned.unknown or unknown)
    return about._replace(result=Result.FAIL, why=f"no identifier that passes is aligned with {domain}")


def _applying(walk: _Walk, domain: str) -> tuple[str, Record | None]:
    """Return the record of the Organizational Domain, else the Public Suffix Domain's (§4.10.1)."""
    records = dict(walk.records)
    organizational = walk.organizational(domain)
    if organizational in records:
        return organizational, records[organizational]
    return next(((at, record) for at, record in walk.records if record.psd == "y"), ("", None))


def _policy(domain: str, policy_domain: str, record: Record) -> Asking[tuple[Policy, str]]:
    """Return the policy for what does not pass, and what could not be asked for it (§4.10.1)."""
    if policy_domain == domain:
        return _lowered(record.policy, record), ""
    if record.nonexistent is record.subdomains:
        return _lowered(record.subdomains, record), ""
    exists, unknown = yield from _exists(domain)
    if unknown:
        return _lowered(max(record.subdomains, record.nonexistent), record), unknown
    return _lowered(record.subdomains if exists else record.nonexistent, record), ""


def _lowered(policy: Policy, record: Record) -> Policy:
    """Return the policy, one lower where the domain only tries it out: t=y (§4.7)."""
    return Policy(policy - 1) if record.testing and policy else policy


def _exists(domain: str) -> Asking[tuple[bool, str]]:
    """Whether a name exists: not where it is NXDOMAIN (§3.2.13, RFC 8020)."""
    if not is_name(domain):
        return False, ""
    answer = yield Question(domain, RecordType.A)
    if answer.failed:
        return True, f"{domain} A: {answer.status}"
    return answer.status != "NXDOMAIN" or answer.alias, ""


class _Aligned(NamedTuple):
    by: str
    unknown: str  # what could not be learnt, and might have aligned


class _Alignment:
    """Which domains are aligned with the author's (§4.4, §4.10.2)."""

    def __init__(self, domain: str, own: Record | None, walk: _Walk | None) -> None:
        self.domain = domain
        self._own = own
        self._walk = walk
        self._organizational: dict[str, str] = {}

    def holds(self, other: str, *, strict: bool) -> Asking[bool]:
        """Whether an identifier's domain is aligned. Raises _Unknown."""
        if other == self.domain:
            return True
        if strict or not _related(other, self.domain):
            return False
        if self.domain not in self._organizational:
            if self._walk is None:
                self._walk = yield from _walk(self.domain, self._own)
            self._organizational[self.domain] = self._walk.organizational(self.domain)
        organizational = self._organizational[self.domain]
        if other != organizational and not other.endswith(f".{organizational}"):
            return False
        if other not in self._organizational:
            walk = yield from _walk(other, (yield from _record(other)))
            self._organizational[other] = walk.organizational(other)
        return self._organizational[other] == organizational


def _related(one: str, other: str) -> bool:
    """Whether two names have their last label in common: else no domain is above both."""
    return one.rpartition(".")[2] == other.rpartition(".")[2]


def _aligned(
    alignment: _Alignment, record: Record, spf: SpfResult | None, dkim: Sequence[DkimResult]
) -> Asking[_Aligned]:
    """Look for an identifier that passes and is aligned: one is enough."""
    identifiers = [("spf", spf.result, spf.domain, record.strict_spf)] if spf is not None else []
    identifiers += [("dkim", one.result, one.domain, record.strict_dkim) for one in dkim]
    identifiers.sort(key=lambda one: (one[1] is not Result.PASS, one[2] != alignment.domain))  # the surest first
    unknown = ""
    for method, result, domain, strict in identifiers:
        if not domain or result not in (Result.PASS, Result.TEMPERROR):
            continue
        try:
            aligned = yield from alignment.holds(domain, strict=strict)
        except _Unknown as failure:
            unknown = unknown or str(failure)
            continue
        if aligned and result is Result.PASS:
            return _Aligned(method, "")
        if aligned:
            unknown = unknown or f"{method} of {domain} could not be asked"
    return _Aligned("", unknown)


def _walk(start: str, own: Record | None) -> Asking[_Walk]:
    """Walk up the tree from a domain whose own record is known (§4.10). Raises _Unknown."""
    records = [(start, own)] if own is not None else []
    if own is not None and own.psd != "u":
        return _Walk(tuple(records))
    for domain in _above(start):
        record = yield from _record(domain)
        if record is not None:
            records.append((domain, record))
            if record.psd != "u":
                break
    return _Walk(tuple(records))


def _above(start: str) -> Iterator[str]:
    """Yield the domains above one: the first of at most seven labels, then each a label shorter (§4.10, steps 3, 4)."""
    labels = start.split(".")[1:]
    labels = labels[-(MAX_QUESTIONS - 1) :]
    while labels:
        yield ".".join(labels)
        labels = labels[1:]


def _record(domain: str) -> Asking[Record | None]:
    """Return a domain's record. Raises _Unknown."""
    name = f"_dmarc.{domain}"
    if not is_name(name):
        return None
    answer = yield Question(name, RecordType.TXT)
    if answer.failed:
        raise _Unknown(f"{name} TXT: {answer.status}")
    return dmarc_record.only(answer.texts)
