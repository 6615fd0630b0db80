"""PURE. What a receiver's answer means for the client: replies.md, "Webhook, S3, NATS"."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mailport.deliver.destination import MISCONFIGURED, Outcome, Receipt, Refused, Unavailable

LONGEST_PAUSE = 300.0  # seconds that a Retry-After is heeded

_OF_SET_UP = frozenset((401, 403, 404, 410, 415, 422))
_PAUSES = frozenset((429, 503))
_NOBODY_BEHIND = frozenset((502, 503, 504))  # a proxy's word that it has no receiver
_SECONDS = re.compile(r"[0-9]{1,9}")


def outcome(status: int, text: str) -> Outcome:
    """Return the outcome of an answer; `text` is of its body, for the log."""
    said = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if 200 <= status <= 299:
        return Receipt(said)
    if status == 406:
        return Refused("the message is not accepted", detail=said)
    if status == 413:
        return Refused("message is larger than the limit", code=552, enhanced="5.3.4", detail=said)
    if status in _OF_SET_UP or 300 <= status <= 399:
        return Unavailable(said, reason=MISCONFIGURED)
    return Unavailable(said)


def is_down(status: int) -> bool:
    """Whether an answer says that there is no receiver, whatever the message."""
    return status in _NOBODY_BEHIND


def pause(status: int, retry_after: str, now: datetime) -> float:
    """Return the seconds for which the receiver wants nothing (Retry-After, RFC 9110 §10.2.3); 0: it does not say."""
    if status not in _PAUSES or not retry_after:
        return 0.0
    if _SECONDS.fullmatch(retry_after):
        seconds = float(retry_after)
    else:
        try:
            date = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):  # a year that no calendar has
            return 0.0
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_PAUSE)
