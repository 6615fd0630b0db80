"""PURE. The trace fields that we write: Received, Return-Path (RFC 5321 §4.4) and Delivered-To (RFC 9228)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from mailport.address.ip_ranges import IpAddress
from mailport.address.mail_address import Address
from mailport.message.envelope import Envelope

_MAX_NAME = 255  # octets of an EHLO name that are worth keeping: a domain has no more (RFC 5321 §4.5.3.1.2)
_ADDRESS_LITERAL = re.compile(r"\[[A-Za-z0-9.:-]+\]")
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9._-]")


def received(envelope: Envelope, recipient: Address | None) -> bytes:
    """Write our Received field.

    A `recipient` is named only where it is the only one: the others would learn of it.
    """
    hop = _hop(envelope.helo, envelope.client, envelope.hostname, _protocol(envelope), envelope.tls)
    whom = f" for <{recipient}>" if recipient is not None else ""
    return f"{hop}\r\n\tid {envelope.id}{whom};\r\n\t{_stamp(int(envelope.time.timestamp()))}\r\n".encode()


def delivered_to(recipient: Address) -> bytes:
    """Write Delivered-To, which says whose mailbox a message was put into (RFC 9228 §2)."""
    return f"Delivered-To: {recipient}\r\n".encode()


def return_path(sender: Address | None) -> bytes:
    """Write Return-Path, which final delivery puts in front of all (RFC 5321 §4.4)."""
    return f"Return-Path: <{sender or ''}>\r\n".encode()


def _protocol(envelope: Envelope) -> str:
    """Return the `with` of RFC 3848 and RFC 6531 §4.3."""
    if not envelope.extended:
        return "SMTP"
    kind = "UTF8SMTP" if envelope.smtputf8 else "ESMTP"
    return kind + "S" * (envelope.tls is not None) + "A" * (envelope.user is not None)


@lru_cache(maxsize=1024)
def _hop(helo: str, client: IpAddress, hostname: str, protocol: str, tls: tuple[str, str] | None) -> str:
    """Write what is the same for all messages of a session."""
    literal = f"[IPv6:{client}]" if client.version == 6 else f"[{client}]"
    secured = f" ({tls[0]} {tls[1]})" if tls is not None else ""
    return f"Received: from {_cleaned(helo) or literal} ({literal})\r\n\tby {hostname} with {protocol}{secured}"


def _cleaned(helo: str) -> str:
    """Keep what a domain or an address literal may hold: this is the client's word, and stands in a header."""
    helo = helo[:_MAX_NAME]
    return helo if _ADDRESS_LITERAL.fullmatch(helo) else _NOT_OF_A_NAME.sub("?", helo)


@lru_cache(maxsize=8)
def _stamp(second: int) -> str:
    """Write a date as RFC 5322 §3.3 has it. Many messages share a second."""
    return format_datetime(datetime.fromtimestamp(second, UTC))
