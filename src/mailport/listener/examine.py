"""What is decided about a message once its content is whole: its header section, its way so far, and who sent it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mailport.address.mail_address import Address
from mailport.authentication.result import Disposition
from mailport.authentication.results_field import Authentication
from mailport.listener.receive import Incoming
from mailport.message import header
from mailport.message.content import Content
from mailport.message.envelope import Envelope
from mailport.message.header import HeaderSection
from mailport.message.message import Message
from mailport.policy import replies
from mailport.policy.chain import first_refusal
from mailport.policy.content import ON_CONTENT, ContentFacts
from mailport.policy.replies import Reply
from mailport.policy.sender import ON_SENDER
from mailport.policy.verdict import ON_VERDICT, disposition

if TYPE_CHECKING:
    from mailport.checks.checker import MessageCheck

_USUAL_HEADER = 64 * 1024  # octets of content in which a header section is looked for first


class Examination:
    """One message's, from MAIL on."""

    __slots__ = ("_check", "_hostname", "authentication", "disposition")

    def __init__(self, hostname: str, check: MessageCheck | None) -> None:
        """`hostname` is ours; `check` asks who sent the message, and is None where nothing is asked."""
        self._hostname = hostname
        self._check = check
        self.authentication: Authentication | None = None  # what the check has found, at the end
        self.disposition = Disposition.DELIVER

    @property
    def asks(self) -> bool:
        """Whether somebody is asked who sent the message."""
        return self._check is not None

    def close(self) -> None:
        """Ask nothing any more."""
        if self._check is not None:
            self._check.close()

    async def refuses_sender(self) -> Reply | None:
        """Decide on the client and on the sender's domain, at RCPT."""
        return first_refusal(ON_SENDER, await self._check.sender_facts()) if self._check is not None else None

    async def look_ahead(self, content: Content) -> None:
        """Ask for the signatures' keys while the body comes in, once the header section is there. Raises OSError."""
        if self._check is None or self._check.has_header:
            return
        start = await content.head(_USUAL_HEADER)
        section = header.parse(start[:_USUAL_HEADER], self._hostname, whole=False)
        if section is not None:
            self._check.read_header(bytes(start[section.begin : section.octets]))

    async def message(self, incoming: Incoming, envelope: Envelope, only: Address | None) -> Message | None:
        """Return the message, if it may be delivered; else `incoming` has the failure.

        `only` is the recipient, where there is no other.
        """
        await incoming.end()
        if incoming.failure is not None:
            return None
        try:
            section = await self._header_section(incoming.content)
            facts = ContentFacts(section.octets, header.MAX_OCTETS, section.received, section.ours)
            refusal = first_refusal(ON_CONTENT, facts)
            if refusal is None and self._check is not None:
                refusal = await self._ask_who_sent(self._check, incoming.content, section)
        except OSError as error:
            incoming.fail(replies.INTERNAL, f"scratch: {error}")
            return None
        if refusal is not None:
            incoming.fail(refusal, self.authentication.why if self.authentication is not None else "")
            return None
        return Message(
            envelope,
            incoming.content,
            section,
            only,
            authentication=self.authentication,
            disposition=self.disposition,
        )

    async def _header_section(self, content: Content) -> HeaderSection:
        hostname, checked = self._hostname, self._check is not None
        start = await content.head(_USUAL_HEADER)
        whole = content.size <= _USUAL_HEADER
        section = header.parse(start[:_USUAL_HEADER], hostname, whole=whole, checked=checked)
        if section is None:  # in a thread: a megabyte takes some 25 ms
            start = await content.head(header.MAX_OCTETS + 2)
            whole = len(start) == content.size
            section = await asyncio.to_thread(header.parse, start, hostname, whole=whole, checked=checked)
        if section is not None:
            return section
        return HeaderSection(b"", b"", content.size, 0, 0)  # more than MAX_OCTETS

    async def _ask_who_sent(self, check: MessageCheck, content: Content, section: HeaderSection) -> Reply | None:
        """Decide by who sent it. Raises OSError."""
        start = await content.head(section.octets + 2)
        if not check.has_header:
            octets = bytes(start[section.begin : section.octets])
            if len(octets) <= _USUAL_HEADER:
                check.read_header(octets)
            else:
                await check.read_large_header(octets)
        self.authentication = found = await check.authentication(content, section.body(start))
        facts = check.verdict_facts(found)
        self.disposition = disposition(facts)
        return first_refusal(ON_VERDICT, facts)
