"""PURE. spec.limits, spec.messageSize and spec.content: what a client and a message are held to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from mailport.contract import quantity
from mailport.contract.formats import (
    Between,
    Bytes,
    Count,
    MaxRecipients,
    Maybe,
    Seconds,
)
from mailport.contract.model.base import Model


class Limits(Model):
    """What a client may use. 0 is no limit for max…, minDataRate, commandTimeoutSeconds and dataTimeoutSeconds."""

    max_connections: Count = 1000
    """Concurrent connections of one replica, all listeners together. Each takes less than 1 MiB,
    so these fit in 1 GiB."""

    max_connections_per_client: Count = 100
    """Concurrent connections of one client: an IPv4 address or an IPv6 /64 (in 64:ff9b::/96, its IPv4). A tenth of the
    whole, so that one client cannot shut out the others."""

    max_recipients: MaxRecipients = 100
    """Recipients of one message. 0 or at least 100, which RFC 5321 §4.5.3.1.8 asks everyone to take."""

    max_errors: Count = 20
    """5yz replies in one session; the next is 421 and the end. docs/replies.md says which are not counted. Enough for a
    person at a terminal, too few to guess addresses with."""

    max_auth_failures: Count = 3
    """Failed AUTHs in one session; the next is 421, unchecked. Three typing errors, as everywhere."""

    command_timeout_seconds: Seconds = 300
    """Seconds from our last reply to the end of the next line; single bytes do not reset it. RFC 5321 §4.5.3.2.7."""

    data_timeout_seconds: Seconds = 180
    """Seconds without a byte within a message, counted only while we are reading. RFC 5321 §4.5.3.2.5."""

    min_data_rate: Count = 500
    """Bytes a second of message data, averaged, from 30 seconds on and only while we are reading. Slower than any modem
    that is left, faster than what ties up connections on purpose."""

    drain_seconds: Maybe[Annotated[int, Between(1, 600)]] = None
    """Seconds that open transactions get when a replica stops: enough to end a delivery that has begun.
    Default: the longest `timeoutSeconds` of a route (60 for maildir) + 45."""

    shutdown_delay_seconds: Annotated[int, Between(0, 300)] = 5
    """Seconds for which a stopping pod is not ready but serves on, while load balancers notice. Pods only: `serve` on
    its own stops without."""


class MessageSize(Model):
    """How large a message may be: octets as RFC 1870 counts them."""

    advertised: Bytes = 25 * quantity.MI
    """SIZE in EHLO: bytes, or a whole binary or decimal quantity (`25Mi`, `25M`), at most 1Ti; 0 is no limit. 25Mi is
    what people have come to expect of attachments."""

    enforce: bool = True
    """Whether a larger message is refused (552, checked as it arrives). false: advertised only; larger ones are taken,
    as far as there is scratch space."""


class BareNewlines(StrEnum):
    """What becomes of a CR or LF that stands alone."""

    NORMALIZE = "Normalize"
    REJECT = "Reject"


class Content(Model):
    """What message content must be like. Only CRLF.CRLF ends a message, whatever is set here."""

    bare_newlines: BareNewlines = BareNewlines.NORMALIZE
    """`Normalize`: a bare CR or LF becomes CRLF before any destination sees it, so that none can be smuggled past.
    `Reject`: 550, and 500 to a command that ends in LF alone. Normalising keeps mail from careless programs coming."""
