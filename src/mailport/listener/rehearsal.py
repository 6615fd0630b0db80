"""What the checks find of a message, and the reply to it, without a client: for `mailport check`, by the same code."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mailport.address.ip_ranges import IpAddress
from mailport.authentication.result import Disposition
from mailport.authentication.results_field import Authentication
from mailport.checks.checker import MessageCheck
from mailport.checks.questions import Asked
from mailport.contract.model import Spec
from mailport.listener.checking import Checkers
from mailport.listener.framing import Newlines
from mailport.message import header
from mailport.message.content import Content, Space
from mailport.outward.allowed import Allowed
from mailport.policy.chain import first_refusal
from mailport.policy.replies import Reply
from mailport.policy.sender import ON_SENDER
from mailport.policy.verdict import ON_VERDICT, disposition


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was asked and found, and what the client would hear."""

    authentication: Authentication | None = None  # None: nothing is asked of this client
    trusted_forwarder: bool = False
    null_mx: bool = False  # the sender's domain takes no mail, where that could be a reason to refuse
    at_rcpt: Reply | None = None
    at_end: Reply | None = None
    disposition: Disposition = Disposition.DELIVER
    asked: tuple[Asked, ...] = ()


async def rehearse(
    spec: Spec, message: bytes, client: IpAddress, sender: tuple[str, str] | None, helo: str
) -> Rehearsal:
    """Check a message as if a client had sent it. Any DNS server may be asked: this is no gateway."""
    checker = Checkers(Allowed(local=True)).load(spec)
    asked: list[Asked] = []
    of_client = checker.begin(client, asked) if checker is not None else None
    if checker is None or of_client is None:
        return Rehearsal()
    # Room for any message: it may be twice as long with CRLF line ends, and a client holds a quarter at most
    space = Space(scratch_limit=8 * len(message))
    try:
        content = Content(space, client)
        newlines = Newlines()
        await content.append(newlines.feed(message) + newlines.finish())
        found = await _follow(of_client.message(sender, helo), content, spec.hostname)
        return replace(found, asked=tuple(asked))
    finally:
        await checker.resolver.close()
        space.close()


async def _follow(check: MessageCheck, content: Content, hostname: str) -> Rehearsal:
    at_rcpt = await check.sender_facts()
    start = await content.head(content.size)
    section = header.parse(start, hostname, whole=True)
    assert section is not None  # noqa: S101 - the content is whole
    check.read_header(bytes(start[section.begin : section.octets]))
    found = await check.authentication(content, section.body(start))
    facts = check.verdict_facts(found)
    return Rehearsal(
        authentication=found,
        trusted_forwarder=check.trusted_forwarder,
        null_mx=at_rcpt.null_mx,
        at_rcpt=first_refusal(ON_SENDER, at_rcpt),
        at_end=first_refusal(ON_VERDICT, facts),
        disposition=disposition(facts),
    )
