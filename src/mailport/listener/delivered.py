"""What has been delivered of messages that are not whole yet, and so is skipped when the sender tries again.

A sender repeats the whole message after a 4yz, to recipients that have it already too. The memory is bounded and this
process's own: in the worst case somebody gets a message twice, and nobody loses one.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from mailport.address.mail_address import Address

KEPT_SECONDS = 6 * 3600.0  # senders try again after minutes at first, and then within hours (RFC 5321 §4.5.4.1)
_MOST = 10_000  # some 3 MiB

_Pair = tuple[str, str]


class Delivered:
    """Who has which message, by sender, recipient and digest of the content. The oldest are forgotten first."""

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[_Pair, bytes], float] = OrderedDict()  # in the order in which they are forgotten
        self._pairs: Counter[_Pair] = Counter()

    def remember(self, sender: Address | None, recipients: Iterable[Address], digest: bytes, now: float) -> None:
        """Note that these have the message, for six hours from now."""
        for recipient in recipients:
            pair = _pair(sender, recipient)
            if (pair, digest) not in self._until:
                self._pairs[pair] += 1
            self._until[pair, digest] = now + KEPT_SECONDS
            self._until.move_to_end((pair, digest))
        while len(self._until) > _MOST:
            self._forget(next(iter(self._until)))

    def may_have(self, sender: Address | None, recipients: Iterable[Address], now: float) -> bool:
        """Whether one of these has some message of this sender; which one, its digest tells."""
        while self._until and next(iter(self._until.values())) <= now:
            self._forget(next(iter(self._until)))
        return bool(self._pairs) and any(_pair(sender, recipient) in self._pairs for recipient in recipients)

    def has(self, sender: Address | None, recipient: Address, digest: bytes) -> bool:
        """Whether this one has the message."""
        return (_pair(sender, recipient), digest) in self._until

    def forget(self, sender: Address | None, recipients: Iterable[Address], digest: bytes) -> None:
        """The message has had its 250: the same octets, sent again, are another message."""
        for recipient in recipients:
            self._forget((_pair(sender, recipient), digest))

    def _forget(self, key: tuple[_Pair, bytes]) -> None:
        if self._until.pop(key, None) is not None:
            pair, _ = key
            self._pairs[pair] -= 1
            if not self._pairs[pair]:
                del self._pairs[pair]


def _pair(sender: Address | None, recipient: Address) -> _Pair:
    return (sender.key if sender is not None else "", recipient.spelt_key)  # another's in each spelling, perhaps
