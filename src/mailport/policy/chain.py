"""PURE. Rules in a row: the first that refuses decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mailport.policy.replies import Reply

F = TypeVar("F")


def first_refusal(chain: tuple[Callable[[F], Reply | None], ...], facts: F) -> Reply | None:
    """Return the reply of the first rule that has one; None where nothing stands against it."""
    for rule in chain:
        if (reply := rule(facts)) is not None:
            return reply
    return None
