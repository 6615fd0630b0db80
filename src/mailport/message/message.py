"""A whole message, as destinations get it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from mailport.address.mail_address import Address
from mailport.authentication import results_field
from mailport.authentication.result import Disposition
from mailport.authentication.results_field import Authentication
from mailport.message import trace
from mailport.message.content import Content
from mailport.message.envelope import Envelope
from mailport.message.header import HeaderSection
from mailport.message.pieces import behind
from mailport.message.reader import Reader


class Message:
    """An envelope, and the content behind our trace fields. Lines end in CRLF.

    Where delivery ends (`final`), Return-Path stands on top and earlier ones are gone (RFC 5321 §4.4).
    """

    __slots__ = (
        "_content",
        "_found",
        "_header",
        "_only",
        "_received",
        "_route",
        "authentication",
        "disposition",
        "envelope",
    )

    def __init__(
        self,
        envelope: Envelope,
        content: Content,
        header: HeaderSection,
        only: Address | None,
        *,
        authentication: Authentication | None = None,
        disposition: Disposition = Disposition.DELIVER,
        route: int = 0,
    ) -> None:
        """`only` is the recipient, where there is no other: Received names it.

        `authentication` is what was found about who sent it; None where nothing was asked. `route` is the number of the
        route that it is for (`for_route`).
        """
        self.envelope = envelope
        self._route = route
        self.authentication = authentication
        self.disposition = disposition
        self._found = b""
        if authentication is not None:
            self._found = results_field.field(envelope.hostname, authentication)
            if disposition is Disposition.QUARANTINE:
                self._found += b"X-Spam-Flag: YES\r\n"
        self._content = content
        self._header = header
        self._only = only
        self._received = b""  # written when it is first asked for

    def for_route(self, number: int) -> Message:
        """Return this message for one of the routes that get it, which are counted from 0: each has its own id."""
        if number == self._route:
            return self
        return Message(
            self.envelope,
            self._content,
            self._header,
            self._only,
            authentication=self.authentication,
            disposition=self.disposition,
            route=number,
        )

    @property
    def id(self) -> str:
        """What a destination may name it by: the transaction's id, with a number from the second route on.

        Two routes may lead to one bucket or stream, and the one's message is not the other's.
        """
        return f"{self.envelope.id}.{self._route + 1}" if self._route else self.envelope.id

    @property
    def size(self) -> int:
        """Octets of the content as it was received, as RFC 1870 §5 counts them."""
        return self._content.size

    def head(self, *, final: bool) -> bytes:
        """Return the trace fields and the header section."""
        return b"".join(self._head(final=final))

    def _head(self, *, final: bool) -> tuple[bytes, ...]:
        self._received = self._received or trace.received(self.envelope, self._only)
        if final:
            return trace.return_path(self.envelope.sender), self._found, self._received, self._header.final
        return self._found, self._received, self._header.relayed

    def length(self, *, final: bool) -> int:
        """Return how many octets `pieces` gives."""
        return sum(map(len, self._head(final=final))) + self._content.size - self._header.octets

    async def whole(self, *, final: bool) -> bytes:
        """Return all that `pieces` gives, of a message that may be in memory whole. Raises OSError."""
        return b"".join((*self._head(final=final), await self._content.whole(self._header.octets)))

    def pieces(self, *, final: bool) -> AsyncIterator[bytes | bytearray]:
        """Yield the whole message, as often as asked. Raises OSError where the scratch folder cannot be read."""
        return behind(self.head(final=final), self._content.pieces(self._header.octets))

    def chunks(self, *, final: bool, mailbox_of: Address | None = None) -> Iterator[bytes | bytearray]:
        """Yield what `pieces` does, blocking: for a thread. Raises OSError, also where the transaction is over.

        `mailbox_of` is the recipient whose mailbox it is for, where delivery ends there: Delivered-To names it.
        """
        path, *fields = self._head(final=final)
        yield b"".join((path, trace.delivered_to(mailbox_of) if mailbox_of is not None else b"", *fields))
        yield from self._content.chunks(self._header.octets)

    def reader(self, *, final: bool) -> Reader:
        """Return what reads the whole message by the places of its octets: for a thread."""
        return Reader(self.head(final=final), self._content, self._header.octets)

    async def digest(self) -> bytes:
        """Return what tells this content, as it was received, from any other. Raises OSError."""
        return await self._content.digest()
