"""PURE. What is wrong with a document, and the reason of the condition Accepted that it gives."""

from __future__ import annotations

from typing import NamedTuple

from mailport.contract.faults import Fault


class Refusal(NamedTuple):
    """A reason of the condition Accepted, and what is wrong."""

    reason: str
    fault: Fault
