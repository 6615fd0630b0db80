"""Ids that destinations know a message by when it comes again."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable

from mailport.address.mail_address import Address
from mailport.message.message import Message

# Return-Path stands on top of it. A `^` in place of the line end would be tried at every octet, for four times as long
_MESSAGE_ID = re.compile(rb"(?i)\nmessage-id[ \t]*+:(?:\r\n[ \t]|[ \t])*+[^\r\s]")
_AT_ONCE = 64 * 1024  # octets of a header section that is searched in the event loop


class Repeated:
    """What a message is known by when it comes again: its content, where it has a Message-ID.

    Else it is known by the delivery alone: devices send the same octets twice and mean it.
    """

    __slots__ = ("_digest", "_message")

    def __init__(self, message: Message, digest: bytes) -> None:
        """`digest` is the content's, empty where the message has no Message-ID."""
        self._message = message
        self._digest = digest

    @classmethod
    async def of(cls, message: Message) -> Repeated:
        """Look at a message, once for all who get it. Raises OSError."""
        head = message.head(final=True)
        if len(head) <= _AT_ONCE:
            has_id = _MESSAGE_ID.search(head)
        else:
            has_id = await asyncio.to_thread(_MESSAGE_ID.search, head)
        return cls(message, await message.digest() if has_id else b"")

    def id(self, recipients: Iterable[Address]) -> str:
        """Return an id of letters, digits and `_`: the same when this message comes again for these recipients."""
        if not self._digest:
            return f"msg_{self._message.id.replace('.', '_')}"
        sender = self._message.envelope.sender
        known = hashlib.blake2b(self._digest, digest_size=20)
        for key in (sender.key if sender is not None else "", *sorted(one.key for one in recipients)):
            known.update(key.encode() + b"\0")
        return f"msg_{known.hexdigest()}"
