"""PURE. A message as a JSON document: docs/webhook.schema.json.

What can be large of it, text and attachments, is written a piece at a time, so that no message is held in memory whole.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mailport.address.mail_address import Address
from mailport.authentication import results_json
from mailport.authentication.result import Disposition
from mailport.authentication.results_field import Authentication
from mailport.message.envelope import Envelope
from mailport.mime import reading
from mailport.mime.fields import Fields, Mailbox
from mailport.mime.reading import Attachment, Reading, Text
from mailport.mime.source import Source

VERSION = 1
_PIECE = 64 * 1024  # octets that are joined before they are handed on


class Document:
    """The document of one message, which can be written as often as it is asked for."""

    def __init__(self, begin: dict[str, Any], read: Reading, source: Source) -> None:
        """`begin` is what stands in front of what the message itself says."""
        self._begin = begin
        self._read = read
        self._source = source

    def pieces(self) -> Iterator[bytes]:
        """Yield the document, in UTF-8. Raises OSError where the source does."""
        waiting = bytearray()
        for piece in self._small_pieces():
            waiting += piece
            if len(waiting) >= _PIECE:
                yield bytes(waiting)
                waiting.clear()
        yield bytes(waiting)

    def _small_pieces(self) -> Iterator[bytes]:
        read = self._read
        said = {**self._begin, **_said(read.fields)}
        yield _json(said)[:-1]  # the object goes on
        for name, text in (("text", read.text), ("html", read.html)):
            yield b',"%b":' % name.encode()
            yield from self._text(text)
        yield b',"attachments":['
        for number, attachment in enumerate(read.attachments):
            yield b"," if number else b""
            yield from self._attachment(attachment)
        yield b'],"problems":'
        yield _json([{"part": one.part, "problem": one.what} for one in read.problems])
        yield b"}"

    def _text(self, text: Text | None) -> Iterator[bytes]:
        if text is None:
            yield b"null"
            return
        yield b'"'
        for piece in text.pieces(self._source):
            yield _json(piece)[1:-1]
        yield b'"'

    def _attachment(self, attachment: Attachment) -> Iterator[bytes]:
        part = attachment.part
        yield _json(
            {
                "part": part.number,
                "name": part.name,
                "type": part.type,
                "charset": part.charset or None,
                "contentId": part.content_id,
                "disposition": part.disposition,
                "size": attachment.size,
                "sha256": attachment.sha256,
            }
        )[:-1]
        yield b',"content":"'
        yield from _base64(reading.content(part, self._source))
        yield b'"}'


def begin(
    envelope: Envelope,
    recipients: Sequence[Address],
    size: int,
    disposition: Disposition,
    authentication: Authentication | None,
) -> dict[str, Any]:
    """Return what is known of a message beside its content; `size` is octets, as they came in.

    `authentication` is what was found about who sent it; None where nothing was asked.
    """
    known: dict[str, Any] = {
        "version": VERSION,
        "id": envelope.id,
        "time": envelope.time.isoformat(),
        "size": size,
        "disposition": disposition,
    }
    if authentication is not None:
        known["authentication"] = results_json.described(authentication)
    known["envelope"] = {
        "sender": str(envelope.sender or ""),
        "recipients": [str(one) for one in recipients],
        "smtputf8": envelope.smtputf8,
    }
    known["session"] = {
        "client": {"address": str(envelope.client), "port": envelope.client_port},
        "helo": envelope.helo,
        "tls": {"version": envelope.tls[0], "cipher": envelope.tls[1]} if envelope.tls is not None else None,
        "user": envelope.user,
        "listener": envelope.listener,
        "hostname": envelope.hostname,
    }
    return known


def _said(fields: Fields) -> dict[str, Any]:
    date = fields.date()
    return {
        "subject": fields.text("subject"),
        "date": date.isoformat() if date is not None else None,
        "messageId": next(iter(fields.ids("message-id")), None),
        "inReplyTo": fields.ids("in-reply-to"),
        "references": fields.ids("references"),
        "from": _mailboxes(fields.mailboxes("from")),
        "sender": _mailboxes(fields.mailboxes("sender")),
        "replyTo": _mailboxes(fields.mailboxes("reply-to")),
        "to": _mailboxes(fields.mailboxes("to")),
        "cc": _mailboxes(fields.mailboxes("cc")),
        "headers": [{"name": field.name, "value": field.value} for field in fields.all],
    }


def _mailboxes(mailboxes: Iterable[Mailbox]) -> list[dict[str, str]]:
    return [{"name": mailbox.name, "address": mailbox.address} for mailbox in mailboxes]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        octets = rest + piece
        whole = len(octets) - len(octets) % 3
        yield b64encode(octets[:whole])
        rest = octets[whole:]
    yield b64encode(rest)
