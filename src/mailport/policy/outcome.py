"""PURE. The one reply to a message whose recipients may have fared differently: replies.md, "Recipients"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailport.policy import replies
from mailport.policy.replies import Reply

_NAMED = 5  # refused recipients that the reply names, and 60 characters of each: its line has at most 512 octets
_NAME_LENGTH = 60


def reply_to(message_id: str, *, taken: bool, refused: Mapping[str, Reply], deferred: Sequence[Reply]) -> Reply:
    """Return the reply.

    `taken`: some recipient has the message. `refused`: the 5yz of others, by their address. `deferred`: the 4yz.
    """
    if deferred:
        return replies.PARTIAL if taken else deferred[0]
    if refused:
        return _partly_refused(list(refused)) if taken else next(iter(refused.values()))
    return replies.queued(message_id)


def _partly_refused(addresses: list[str]) -> Reply:
    named = ", ".join(address[:_NAME_LENGTH] for address in addresses[:_NAMED])
    more = f" and {len(addresses) - _NAMED} more" if len(addresses) > _NAMED else ""
    return Reply(554, "5.3.0", f"not delivered to {named}{more}; delivered to the others", "partial_refused")
