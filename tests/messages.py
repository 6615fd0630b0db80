"""Messages as destinations get them, made of the content that a client would send."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

from mailport.address.mail_address import Address
from mailport.message import header
from mailport.message.content import Content, Space
from mailport.message.envelope import Envelope
from mailport.message.message import Message

HOSTNAME = "mx.example.org"
ENVELOPE = Envelope(
    id="4bXyZ1",
    sender=Address.parse("sender@example.net"),
    smtputf8=False,
    body_8bitmime=False,
    size=None,
    user=None,
    client=ip_address("192.0.2.1"),
    client_port=40025,
    helo="client.example.net",
    extended=True,
    tls=None,
    listener="smtp",
    hostname=HOSTNAME,
    time=datetime(2026, 11, 23, 14, 12, 5, 999_999, tzinfo=UTC),
)
# What stands in front of a message's own header section, of more than one recipient: where delivery goes on, and ends.
RECEIVED = (
    b"Received: from client.example.net ([192.0.2.1])\r\n\tby mx.example.org with ESMTP\r\n"
    b"\tid 4bXyZ1;\r\n\tMon, 23 Nov 2026 14:12:05 +0000\r\n"
)
RETURN_PATH = b"Return-Path: <sender@example.net>\r\n"
TRACE = RETURN_PATH + RECEIVED

PIECE = 64 * 1024  # octets that come off the network at once


def trace_of_mailbox(recipient: str) -> bytes:
    """Return the trace fields as they stand in a recipient's mailbox."""
    return RETURN_PATH + f"Delivered-To: {recipient}\r\n".encode() + RECEIVED


async def hold(space: Space, octets: bytes, client: str = "192.0.2.1", piece: int = PIECE) -> Content:
    """Return a content that holds these octets."""
    content = Content(space, client)
    for start in range(0, len(octets), piece):
        await content.append(octets[start : start + piece])
    return content


async def message(content: Content, only: Address | None = None, envelope: Envelope = ENVELOPE) -> Message:
    """Return a message with this content, whose header section is read as a transaction reads it."""
    section = header.parse(await content.head(header.MAX_OCTETS), envelope.hostname, whole=True)
    assert section is not None
    return Message(envelope, content, section, only)
