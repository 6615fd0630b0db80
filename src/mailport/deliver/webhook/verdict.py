"""PURE. What was found about a message's sender. The one place where this destination takes it from the message."""

from __future__ import annotations

from typing import Any, NamedTuple

from mailport.authentication.results_json import described
from mailport.message.message import Message


class Verdict(NamedTuple):
    """What becomes of a message, and why."""

    disposition: str  # deliver, or quarantine
    authentication: dict[str, Any] | None  # results by method, as `mailport check` has them; None: nothing was asked


def verdict(message: Message) -> Verdict:
    """Return the verdict on a message."""
    found = message.authentication
    return Verdict(message.disposition, described(found) if found is not None else None)
