"""Ids that destinations know a message by when it comes again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from mailport.address.mail_address import Address
from mailport.message.message import Message

# Return-Path stands on top of it. A `^` in place of the line end would be tried at every octet, for four times as long
_MESSAGE_ID = re.compile(rb"(?i)\nmessage-id[ \t]*+:[ \t]*+[^\r\s]")


async def repeated_id(message: Message, recipients: Iterable[Address]) -> str:
    """Return an id of letters, digits and `_`: the same when this message comes again for these recipients.

    So it is only where the message has a Message-ID. Else it is the transaction's: devices send the same octets twice
    and mean it. Raises OSError.
    """
    envelope = message.envelope
    if not _MESSAGE_ID.search(message.head(final=True)):
        return f"msg_{envelope.id.replace('.', '_')}"
    known = hashlib.blake2b(await message.digest(), digest_size=20)
    for key in (envelope.sender.key if envelope.sender is not None else "", *sorted(one.key for one in recipients)):
        known.update(key.encode() + b"\0")
    return f"msg_{known.hexdigest()}"
