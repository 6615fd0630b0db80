"""What is posted of a message, and signed: the message as it is, or a document made of it.

A small body is sent in one piece. A large one is read, or made, twice: for its length and signature, which stand in
front of it, and as it goes out; so that it is never in memory whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailport.address.mail_address import Address
from mailport.deliver.webhook import document
from mailport.deliver.webhook.document import Document
from mailport.deliver.webhook.signature import Signing
from mailport.message.message import Message
from mailport.message.pieces import in_threads
from mailport.mime import reading
from mailport.outward.http import Body
from mailport.process import log
from mailport.process.threads import Threads

AT_ONCE = 64 * 1024  # octets of a message that is sent in one piece, and signed without a thread

_log = log.get()

threads = Threads(2, 2, "webhook")  # of the process: however many routes there are, two messages are read at once


async def as_it_is(message: Message, signing: Signing | None) -> bytes | Body:
    """Return the message itself. Raises OSError."""
    octets = message.length(final=True)
    if octets <= AT_ONCE:
        whole = await message.whole(final=True)
        if signing is not None:
            signing.update(whole)
        return whole
    if signing is not None:
        await threads.run_if_awaited(lambda: _length(message.chunks(final=True), signing))
    return Body(octets, lambda: message.pieces(final=True))


def as_document(message: Message, recipients: Sequence[Address], signing: Signing | None) -> bytes | Body:
    """Return the message as a JSON document. For a thread. Raises OSError.

    A message that cannot be read, by a fault of ours, is in the document whole: no sender can mend that.
    """
    source = message.reader(final=True)
    begin = document.begin(message.envelope, recipients, message.size, message.disposition, message.authentication)
    try:
        made = Document(begin, reading.read(source, source.head), source)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - whatever it is
        _log.exception("a message could not be read", id=message.envelope.id)
        made = Document(begin, reading.unread(source, "not read"), source)
    if message.length(final=True) <= AT_ONCE:
        whole = b"".join(made.pieces())
        if signing is not None:
            signing.update(whole)
        return whole
    return Body(_length(made.pieces(), signing), lambda: in_threads(made.pieces(), threads))


def _length(pieces: Iterator[bytes] | Iterator[bytes | bytearray], signing: Signing | None) -> int:
    """Return how many octets there are, and sign them."""
    octets = 0
    for piece in pieces:
        octets += len(piece)
        if signing is not None:
            signing.update(piece)
    return octets
