"""PURE. What is known of a message beside its content."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from mailport.address.ip_ranges import IpAddress
from mailport.address.mail_address import Address


class Envelope(NamedTuple):
    """The sender's side of a transaction, from MAIL on."""

    id: str  # ours: it stands in the 250, in Received, in the log and at the destination
    sender: Address | None  # None is the null sender <>
    smtputf8: bool  # the client asked for it (RFC 6531 §3.4)
    body_8bitmime: bool  # BODY=8BITMIME (RFC 6152)
    size: int | None  # octets, as declared with SIZE= (RFC 1870); None when not said
    user: str | None  # who authenticated
    client: IpAddress
    client_port: int
    helo: str  # as the client said it
    extended: bool  # EHLO was said, and not HELO
    tls: tuple[str, str] | None  # version and cipher
    listener: str  # its name
    hostname: str  # ours
    time: datetime  # of MAIL, with its time zone
