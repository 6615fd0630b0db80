"""Who sent this? The cores of authentication/, let run at the right time, on one message's account with the DNS.

iprev begins when the client connects, SPF at MAIL, DKIM's keys are asked for while the body comes in, then comes DMARC.
What is found are facts; policy/ says what follows from them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeVar

from mailport.address.ip_ranges import AddressSet, IpAddress, is_private, without_nat64
from mailport.address.mail_address import domain_key
from mailport.authentication import arc, dkim, dmarc, iprev, keys, null_mx, spf
from mailport.authentication.arc import ArcResult, Chain
from mailport.authentication.body_hash import BodyHashes
from mailport.authentication.dkim import DkimResult, Signature
from mailport.authentication.dmarc import DmarcResult
from mailport.authentication.dmarc_record import Policy
from mailport.authentication.fields import Fields
from mailport.authentication.iprev import IprevResult
from mailport.authentication.keys import Key, NoKey
from mailport.authentication.result import Result
from mailport.authentication.results_field import Authentication
from mailport.authentication.spf import Identity, SpfResult
from mailport.checks.conclusions import MAX_OCTETS
from mailport.checks.questions import Asked, Questions, Running
from mailport.checks.resolver import Resolver
from mailport.contract.model import Checks, DmarcMode, RejectMode, ReportMode
from mailport.message.content import Content
from mailport.policy.sender import SenderFacts
from mailport.policy.verdict import VerdictFacts

T = TypeVar("T")

_PRIVATE = "the client's address is private: it stands for many"


class Checker:
    """What one document's spec.checks asks for."""

    def __init__(self, settings: Checks, resolver: Resolver, now: Callable[[], float] = time.time) -> None:
        """`now` gives seconds since 1970: signatures expire."""
        self.settings = settings
        self.resolver = resolver
        self.now = now
        self._exempt = AddressSet(settings.exempt_cidrs)
        self._forwarders = AddressSet(settings.trusted_forwarder_cidrs)

    def begin(self, client: IpAddress, asked: list[Asked] | None = None) -> ClientCheck | None:
        """Begin with a client, whose address is `ip_ranges.canonical`; None where it is exempt.

        `asked` gets each question with its answer, where somebody wants to know.
        """
        return None if client in self._exempt else ClientCheck(self, client, asked)

    def trusts(self, client: IpAddress) -> bool:
        """Whether a client is a forwarder: what it brings fails, and may be honest."""
        return client in self._forwarders

    @property
    def looks_at_null_mx(self) -> bool:
        """Whether a sender's domain that takes no mail may be refused for it."""
        return self.settings.spf.mode is RejectMode.REJECT or self.settings.dmarc.mode is DmarcMode.REJECT


class ClientCheck:
    """One client, for as long as it is connected."""

    __slots__ = ("address", "asked", "checker", "iprev", "private", "trusted_forwarder")

    def __init__(self, checker: Checker, client: IpAddress, asked: list[Asked] | None) -> None:
        self.checker = checker
        self.asked = asked
        self.address = without_nat64(client)
        self.private = is_private(client)
        self.trusted_forwarder = checker.trusts(client)
        self.iprev: Running[IprevResult] | None = None
        if checker.settings.iprev.mode is not RejectMode.DISABLED:
            if self.private:
                self.iprev = Running(IprevResult(Result.NONE, "", _PRIVATE), None)
            else:
                account = Questions(checker.resolver, asked=asked)
                self.iprev = account.start("iprev", iprev.check(self.address))

    def message(self, sender: tuple[str, str] | None, helo: str) -> MessageCheck:
        """Begin with a message, at MAIL. `sender` is its local part, and its domain in A-labels; None is <>."""
        return MessageCheck(self, sender, helo)

    def close(self) -> None:
        """Ask nothing any more."""
        if self.iprev is not None:
            self.iprev.close()


class MessageCheck:
    """One message, from MAIL to the end of its content."""

    def __init__(self, client: ClientCheck, sender: tuple[str, str] | None, helo: str) -> None:
        self._client = client
        self._settings = client.checker.settings
        self.trusted_forwarder = client.trusted_forwarder
        self.questions = Questions(client.checker.resolver, asked=client.asked)
        self._spf = self._begin_spf(sender, helo)
        self._null_mx = self._begin_null_mx(sender)
        self._fields: Fields | None = None
        self._is_large = False  # the header section
        self._signatures: list[Signature | DkimResult] = []
        self._keys: list[Running[Key | NoKey]] = []
        self._chain: Chain | ArcResult | None = None
        self._arc_keys: Running[tuple[Key | NoKey, ...]] | None = None

    def close(self) -> None:
        """Ask nothing any more: the transaction has ended."""
        for running in (self._spf, self._null_mx, self._arc_keys, *self._keys):
            if running is not None:
                running.close()

    # At MAIL and RCPT.

    def _begin_spf(self, sender: tuple[str, str] | None, helo: str) -> Running[SpfResult] | None:
        if self._settings.spf.mode is RejectMode.DISABLED:
            return None
        helo = _as_name(helo)
        if self._client.private:
            identity, domain = (Identity.MAIL_FROM, sender[1]) if sender is not None else (Identity.HELO, helo)
            mailbox = f"{sender[0] if sender is not None else 'postmaster'}@{domain}"
            return Running(SpfResult(Result.NONE, identity, domain, mailbox, _PRIVATE), None)
        client = self._client.address
        return self.questions.start("spf", spf.check(client, sender=sender, helo=helo), (client, sender, helo))

    def _begin_null_mx(self, sender: tuple[str, str] | None) -> Running[bool] | None:
        if sender is None or self.trusted_forwarder or not self._client.checker.looks_at_null_mx:
            return None
        return self.questions.start("null_mx", null_mx.takes_no_mail(sender[1]))

    async def sender_facts(self) -> SenderFacts:
        """Return what decides at RCPT. What can refuse nobody is not waited for."""
        mode, running = self._settings.iprev.mode, self._client.iprev
        reverse = await running.result() if running is not None and mode is RejectMode.REJECT else None
        return SenderFacts(
            iprev_mode=mode,
            iprev=reverse.result if reverse is not None else None,
            null_mx=self._null_mx is not None and await self._null_mx.result(),
        )

    # While the content comes in, and at its end.

    @property
    def has_header(self) -> bool:
        """Whether the header section has been read."""
        return self._fields is not None

    async def read_large_header(self, section: bytes) -> None:
        """Do what `read_header` does, with a thread for what takes long: now, and when its signatures are judged."""
        self._is_large = True
        self._use_fields(*await asyncio.to_thread(self._read, section))

    def read_header(self, section: bytes) -> None:
        """Read the header section, CRLF and all, and begin to ask for the keys of its signatures."""
        self._use_fields(*self._read(section))

    def _read(self, section: bytes) -> tuple[Fields, list[Signature | DkimResult], Chain | ArcResult | None]:
        fields = Fields(section)
        return (
            fields,
            dkim.signatures(fields) if self._settings.dkim.mode is not ReportMode.DISABLED else [],
            arc.read(fields) if self._settings.arc.mode is not ReportMode.DISABLED else None,
        )

    def _use_fields(
        self, fields: Fields, signatures: list[Signature | DkimResult], chain: Chain | ArcResult | None
    ) -> None:
        self._fields, self._signatures, self._chain = fields, signatures, chain
        self._keys = [
            self.questions.start("dkim", keys.ask(one.selector, one.domain, one.algorithm))
            for one in signatures
            if isinstance(one, Signature)
        ]
        if isinstance(chain, Chain):
            self._arc_keys = self.questions.start("arc", arc.ask(chain))

    async def authentication(self, content: Content, body: int) -> Authentication:
        """Return all that is found, once. `body` is where the body begins. Raises OSError where it cannot be read."""
        assert self._fields is not None  # noqa: S101 - read_header comes first
        hashes = BodyHashes(self._forms())
        if hashes:
            await content.feed(hashes.update, body)
        signed = await self._judged(hashes)
        of_spf = await self._spf.result() if self._spf is not None else None
        reverse = self._client.iprev
        found = Authentication(
            client=self._client.address,
            iprev=await reverse.result() if reverse is not None else None,
            spf=of_spf,
            dkim=signed,
            dmarc=await self._dmarc(of_spf, signed or ()),
            arc=await self._judged_chain(hashes),
        )
        self._fields, self._signatures, self._chain = None, [], None  # not held while the message is delivered
        return found

    def verdict_facts(self, found: Authentication) -> VerdictFacts:
        """Return what decides at the end."""
        return VerdictFacts(
            spf_mode=self._settings.spf.mode,
            dmarc_mode=self._settings.dmarc.mode,
            spf=found.spf.result if found.spf is not None else None,
            dmarc=found.dmarc,
            trusted_forwarder=self.trusted_forwarder,
        )

    def _forms(self) -> set[bool]:
        """Return the forms of the body whose hashes are needed: whether each is relaxed."""
        forms = {one.relaxed_body for one in self._signatures if isinstance(one, Signature)}
        return forms | ({self._chain.last.relaxed_body} if isinstance(self._chain, Chain) else set())

    async def _judged(self, hashes: BodyHashes) -> tuple[DkimResult, ...] | None:
        assert self._fields is not None  # noqa: S101 - see authentication()
        if self._settings.dkim.mode is ReportMode.DISABLED:
            return None
        fields, now, found, asked = self._fields, int(self._client.checker.now()), [], iter(self._keys)
        for one in self._signatures:
            if isinstance(one, Signature):
                key, digest = await next(asked).result(), hashes.digest(relaxed=one.relaxed_body)
                found.append(await self._computed(partial(dkim.judge, one, key, fields, digest, now)))
            else:
                found.append(one)
        return tuple(found)

    async def _judged_chain(self, hashes: BodyHashes) -> ArcResult | None:
        chain = self._chain
        if not isinstance(chain, Chain) or self._arc_keys is None or self._fields is None:
            return chain if isinstance(chain, ArcResult) else None
        found, now = await self._arc_keys.result(), int(self._client.checker.now())
        digest = hashes.digest(relaxed=chain.last.relaxed_body)
        return await self._computed(partial(arc.judge, chain, found, self._fields, digest, now))

    async def _computed(self, work: Callable[[], T]) -> T:
        """Do what takes long where the header section is large, and no more than a signature's check where not."""
        return await asyncio.to_thread(work) if self._is_large else work()

    async def _dmarc(self, of_spf: SpfResult | None, signed: tuple[DkimResult, ...]) -> DmarcResult | None:
        if self._settings.dmarc.mode is DmarcMode.DISABLED or self._fields is None:
            return None
        key = _dmarc_key(self._fields, of_spf, signed)
        found = await self.questions.start("dmarc", dmarc.check(self._fields, of_spf, signed), key).result()
        if found.result is Result.PERMERROR and self._client.private:
            return found._replace(policy=Policy.NONE)
        if found.result not in (Result.FAIL, Result.TEMPERROR):
            return found
        if self._client.private:
            return found._replace(result=Result.NONE, why=f"{_PRIVATE}, and SPF might have passed")
        if of_spf is None or self._settings.dkim.mode is ReportMode.DISABLED:
            return found._replace(result=Result.NONE, why="SPF or DKIM is not looked at, and might have passed")
        return found


def _as_name(helo: str) -> str:
    """Return a HELO name in A-labels, as it is where it is none."""
    try:
        return helo if helo.startswith("[") else domain_key(helo)
    except ValueError:
        return helo


def _dmarc_key(fields: Fields, of_spf: SpfResult | None, signed: tuple[DkimResult, ...]) -> Hashable:
    """Return all that DMARC's result depends on beside the DNS; None where that is large, since it is kept."""
    authors = tuple(field.body for field in fields.named(b"from"))
    if sum(map(len, authors)) > MAX_OCTETS:
        return None
    found = (of_spf.result, of_spf.domain) if of_spf is not None else None
    return authors, found, tuple((one.result, one.domain) for one in signed)
