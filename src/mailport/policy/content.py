"""PURE. May a message be delivered, now that its header section is there? In replies.md's order."""

from __future__ import annotations

from typing import NamedTuple

from mailport.policy import replies
from mailport.policy.replies import Reply

MAX_RECEIVED = 100  # Received fields; more are a loop (RFC 5321 §6.3)
MAX_OURS = 5  # … by this hostname: a list and a forward bring a message here twice more each


class ContentFacts(NamedTuple):
    """What is known at the end of the content."""

    header_octets: int  # of the header section
    max_header_octets: int
    received: int  # Received fields
    ours: int  # … by this hostname


def header_section_fits(facts: ContentFacts) -> Reply | None:
    """It is looked at whole, in memory."""
    return replies.HEADER_TOO_LARGE if facts.header_octets > facts.max_header_octets else None


def does_not_loop(facts: ContentFacts) -> Reply | None:
    """RFC 5321 §6.3."""
    loops = facts.received > MAX_RECEIVED or facts.ours > MAX_OURS
    return replies.MAIL_LOOP if loops else None


ON_CONTENT = (
    header_section_fits,  # 552: the rest could not be looked at
    does_not_loop,  # 554
)
