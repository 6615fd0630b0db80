"""PURE. How much may a client ask for? Connections, errors, slowness."""

from __future__ import annotations

from math import inf

from mailport.contract.model import BareNewlines
from mailport.policy import replies
from mailport.policy.replies import Reply

GRACE_SECONDS = 30.0  # of reading before minDataRate is applied: a TCP connection starts slowly
MAX_LINE = 512  # octets with CRLF (RFC 5321 §4.5.3.1.4)
MAX_MAIL_LINE = (
    2048  # MAIL and RCPT: what SIZE, BODY, AUTH and SMTPUTF8 add to it (RFC 1870, 6152, 4954, 6531) and more
)
MAX_AUTH_LINE = 12_288  # enough for all mechanisms in use (RFC 4954 §4): for responses, and here for AUTH itself too
_NOT_SMTP = (b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"HOST:")


def connection(total: int, of_client: int, max_total: int, max_per_client: int) -> Reply | None:
    """Decide on a connection beside `total` others, `of_client` of them by the same client; 0 is no limit."""
    if max_total and total >= max_total:
        return replies.TOO_MANY_CONNECTIONS
    if max_per_client and of_client >= max_per_client:
        return replies.TOO_MANY_FROM_CLIENT
    return None


def counts_as_error(reply: Reply, *, to_rcpt: bool, recipients: int, behind_refused_mail: bool) -> bool:
    """Whether a reply counts towards maxErrors.

    Each 5yz does, but not a 503 to what was pipelined behind a refused MAIL (one fault, not three), nor a refused RCPT
    of a transaction that has a recipient already (a sender with many recipients must get through).
    """
    if reply.code < 500:
        return False
    if behind_refused_mail and reply.code == 503:
        return False
    return not (to_rcpt and reply.code == 550 and recipients > 0)


def line_too_long(verb: bytes, length: int) -> Reply | None:
    """Hold a command line of `length` octets, CRLF and all, to what its verb is allowed."""
    if length <= MAX_LINE:
        return None
    if verb == b"AUTH":
        return replies.AUTH_LINE_TOO_LONG if length > MAX_AUTH_LINE else None
    if verb in (b"MAIL", b"RCPT") and length <= MAX_MAIL_LINE:
        return None
    return replies.LINE_TOO_LONG


def line_ending(line: bytes, bare_newlines: BareNewlines) -> Reply | None:
    """Refuse a line that ends in LF alone, where bareNewlines is Reject (RFC 5321 §2.3.8). Else LF ends a line too."""
    if line.endswith(b"\r\n") or bare_newlines is not BareNewlines.REJECT:
        return None
    return replies.LINE_WITHOUT_CR


def is_not_smtp(line: bytes) -> bool:
    """Whether a command line is HTTP: a web page can make a browser send one to a mail port (cross-protocol attack)."""
    return line[:8].upper().startswith(_NOT_SMTP)


def too_slow(octets: int, reading_seconds: float, min_rate: int) -> bool:
    """Whether message data came slower than `min_rate` octets a second on average over the seconds spent reading it."""
    return reading_seconds > seconds_for(octets, min_rate)


def seconds_for(octets: int, min_rate: int) -> float:
    """Return how many seconds of reading are enough for so many octets at `min_rate`; without a rate, any."""
    return max(GRACE_SECONDS, octets / min_rate) if min_rate else inf
