"""PURE. May this client send for this domain? SPF's check_host() (RFC 7208 §4)."""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum
from typing import NamedTuple

from mailport.address.ip_ranges import IpAddress
from mailport.authentication import spf_macro
from mailport.authentication.dns import Answer, Asking, Question, RecordType, is_name
from mailport.authentication.iprev import MAX_NAMES, validated_names
from mailport.authentication.result import Result
from mailport.authentication.spf_record import Kind, Mechanism, Record, SyntaxFault, is_spf, parse

MAX_LOOKUPS = 10  # terms that ask the DNS (§4.6.4)
MAX_VOID = 2  # void look-ups, by term (§4.6.4): an `mx` counts once, however many of its hosts have no address
MAX_MX = 10  # hosts of one `mx` (§4.6.4)


class Identity(StrEnum):
    """Which name of the client's is checked."""

    MAIL_FROM = "mailfrom"
    HELO = "helo"  # where the sender is <> (§2.4)


class SpfResult(NamedTuple):
    """What SPF says."""

    result: Result
    identity: Identity
    domain: str  # that was checked, in A-labels; as the client said it where that is no domain
    sender: str  # the whole address; postmaster@ the HELO name where the sender is <>
    why: str  # for people: the mechanism that matched, or what is wrong


class _Fault(Exception):  # noqa: N818 - it is the result
    """The check ends here: temperror or permerror."""

    def __init__(self, result: Result, why: str) -> None:
        super().__init__(why)
        self.result = result


def check(client: IpAddress, *, sender: tuple[str, str] | None, helo: str) -> Asking[SpfResult]:
    """Check the sender (local part and domain), or the HELO name where it is <>.

    Names are in A-labels. `client` is an address as `ip_ranges.canonical` gives it.
    """
    identity = Identity.HELO if sender is None else Identity.MAIL_FROM
    local, domain = sender if sender is not None else ("postmaster", helo)
    domain = domain.removesuffix(".").lower()
    address = f"{local or 'postmaster'}@{domain}"
    if not _is_domain(domain):
        return SpfResult(Result.NONE, identity, domain, address, "not a domain name")
    checking = _Check(client, local or "postmaster", domain, helo)
    try:
        result, why = yield from checking.host(domain)
    except _Fault as fault:
        result, why = fault.result, str(fault)
    return SpfResult(result, identity, domain, address, why)


def _is_domain(domain: str) -> bool:
    """Whether a domain has several labels and can be asked for (§4.3). An address literal is none."""
    return "." in domain and not domain.startswith("[") and is_name(domain)


class _Check:
    """One check: what is the same for the record and all that it includes, and what has been used up."""

    def __init__(self, client: IpAddress, local: str, domain: str, helo: str) -> None:
        self._client = client
        self._values = {
            "s": f"{local}@{domain}",
            "l": local,
            "o": domain,
            "d": domain,
            "i": spf_macro.dotted(client),
            "v": "in-addr" if client.version == 4 else "ip6",
            "h": helo.removesuffix("."),
        }
        self._local_is_ascii = local.isascii()
        self._lookups = 0
        # The void look-ups, each with the number of the term that asked it first: a repeated question counts once
        self._void: dict[Question, int] = {}

    def host(self, domain: str) -> Asking[tuple[Result, str]]:
        """Check one domain: the first, or one that another includes or redirects to. Raises _Fault."""
        record = (yield from _record(domain)) if _is_domain(domain) else None
        if record is None:
            return Result.NONE, f"{domain} has no record"
        while True:
            for mechanism in record.mechanisms:
                if (yield from self._matches(mechanism, domain)):
                    return mechanism.result, f"{mechanism.text} of {domain}"
            if record.redirect is None:
                return Result.NEUTRAL, f"nothing of {domain} matches"
            self._count_lookup()
            domain = yield from self._expand(record.redirect, domain)
            record = (yield from _record(domain)) if _is_domain(domain) else None
            if record is None:
                raise _Fault(Result.PERMERROR, f"redirect={domain}: no record there")

    def _matches(self, mechanism: Mechanism, domain: str) -> Asking[bool]:
        kind = mechanism.kind
        if kind is Kind.ALL:
            return True
        if kind in (Kind.IP4, Kind.IP6):
            return self._within(mechanism.network, mechanism)
        self._count_lookup()
        target = domain
        if mechanism.domain_spec:
            if not self._local_is_ascii and spf_macro.letters(mechanism.domain_spec) & {"s", "l"}:
                return False  # there are no such names, and `include` is no exception (RFC 8616 §4)
            target = yield from self._expand(mechanism.domain_spec, domain)
        if kind is Kind.INCLUDE:
            return (yield from self._include(target))
        if not is_name(target):
            return False  # it cannot exist (§4.3)
        if kind is Kind.PTR:
            return (yield from self._ptr(target))
        if kind is Kind.EXISTS:
            return bool((yield from self._look_up(target, RecordType.A)).addresses)
        hosts: tuple[str, ...] = (target,)
        if kind is Kind.MX:
            hosts = (yield from self._look_up(target, RecordType.MX)).names
            if len(hosts) > MAX_MX:
                raise _Fault(Result.PERMERROR, f"{target} has more than {MAX_MX} MX records")
        return (yield from self._addressed(hosts, mechanism))

    def _addressed(self, hosts: tuple[str, ...], mechanism: Mechanism) -> Asking[bool]:
        family = RecordType.A if self._client.version == 4 else RecordType.AAAA
        for host in hosts:
            if is_name(host):
                answer = yield from self._look_up(host, family)
                if any(self._within(address, mechanism) for address in answer.addresses):
                    return True
        return False

    def _include(self, target: str) -> Asking[bool]:
        result, why = yield from self.host(target)
        if result is Result.NONE:
            raise _Fault(Result.PERMERROR, f"include:{target}: {why}")
        return result is Result.PASS

    def _ptr(self, target: str) -> Asking[bool]:
        names = yield from self._validated()
        return any(name == target or name.endswith(f".{target}") for name in names)

    def _validated(self) -> Asking[tuple[str, ...]]:
        """Return the names that lead back to the client's address. What cannot be asked is skipped (§5.5).

        A client without a PTR record counts as one to which there is nothing. The addresses of its names do not: a
        client could name three that do not exist, and have `fail` turned into permerror.
        """
        question = Question(self._client.reverse_pointer, RecordType.PTR)
        answer = yield question
        self._count_void(question, answer)
        names, _ = yield from validated_names(self._client, answer.names[:MAX_NAMES])
        return names

    def _expand(self, domain_spec: str, domain: str) -> Asking[str]:
        values = {**self._values, "d": domain}
        if "p" in spf_macro.letters(domain_spec):
            values["p"] = _best((yield from self._validated()), domain)
        return spf_macro.expand_domain(domain_spec, values)

    def _look_up(self, name: str, kind: RecordType) -> Asking[Answer]:
        """Ask for what a term needs. Raises _Fault where it cannot be had, or too often is not there."""
        question = Question(name, kind)
        answer = yield from _ask(question)
        self._count_void(question, answer)
        return answer

    def _count_void(self, question: Question, answer: Answer) -> None:
        if answer.void:
            self._void.setdefault(question, self._lookups)
            if len(set(self._void.values())) > MAX_VOID:
                why = f"more than {MAX_VOID} void lookups: {question.name}"
                raise _Fault(Result.PERMERROR, why)

    def _count_lookup(self) -> None:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise _Fault(Result.PERMERROR, f"more than {MAX_LOOKUPS} terms that cause DNS lookups")

    def _within(self, network: IpAddress | None, mechanism: Mechanism) -> bool:
        client = self._client
        if network is None or network.version != client.version:
            return False
        ignored = client.max_prefixlen - (mechanism.prefix4 if client.version == 4 else mechanism.prefix6)
        return int(network) >> ignored == int(client) >> ignored


def _ask(question: Question) -> Generator[Question, Answer, Answer]:
    answer = yield question
    if answer.failed:
        raise _Fault(Result.TEMPERROR, f"{question.name} {question.type}: {answer.status}")
    return answer


def _record(domain: str) -> Asking[Record | None]:
    """Return a domain's record. Raises _Fault where it cannot be had, is not alone, or is faulty (§4.4 to §4.6)."""
    answer = yield from _ask(Question(domain, RecordType.TXT))
    records = [text for text in answer.texts if is_spf(text)]
    if len(records) > 1:
        raise _Fault(Result.PERMERROR, f"{domain} has {len(records)} records")
    try:
        return parse(records[0]) if records else None
    except SyntaxFault as fault:
        raise _Fault(Result.PERMERROR, f"{domain}: {fault}") from None


def _best(names: tuple[str, ...], domain: str) -> str:
    """Choose what %{p} stands for: the domain itself, else a name below it, else any (§7.3)."""
    below = [name for name in names if name.endswith(f".{domain}")]
    return domain if domain in names else (below or [*names, "unknown"])[0]
