"""PURE. What a next hop said of recipients, for a little while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from mailport.deliver.destination import Refused

NO_SECONDS = 10.0
YES_SECONDS = 60.0
MOST = 4096  # of either

K = TypeVar("K")
V = TypeVar("V")


class Known:
    """Answers by recipient: as it was written, since a next hop may tell upper case from lower.

    A no is the sender's alone, who may be what the next hop does not like. A yes is everybody's: who is told no by the
    next hop later on hears so behind the content.
    """

    __slots__ = ("_no", "_yes")

    def __init__(self) -> None:
        self._no: _Bounded[tuple[str, str], Refused] = _Bounded(NO_SECONDS)  # by recipient and sender
        self._yes: _Bounded[str, bool] = _Bounded(YES_SECONDS)

    def __len__(self) -> int:
        return len(self._no) + len(self._yes)

    def get(self, recipient: str, sender: str, now: float) -> Refused | bool:
        """Return the refusal that is remembered, to be raised; True for a yes, False where nothing is known."""
        if refusal := self._no.get((recipient, sender), now):
            return refusal.again()
        return self._yes.get(recipient, now) or False

    def remember(self, recipient: str, sender: str, answer: Refused | None, now: float) -> None:
        """Remember a refusal, or a yes where it is None: at RCPT, or of a delivery."""
        if answer is None:
            self._no.forget((recipient, sender))
            self._yes.put(recipient, True, now)
        else:
            self._yes.forget(recipient)
            self._no.put((recipient, sender), answer.again(), now)


class _Bounded(Generic[K, V]):
    """A few values, each for a while; the one put first goes first."""

    __slots__ = ("_seconds", "_values")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()  # until when

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K, now: float) -> V | None:
        until, value = self._values.get(key, (now, None))
        if now < until:
            return value
        self.forget(key)
        return None

    def put(self, key: K, value: V, now: float) -> None:
        self.forget(key)
        self._values[key] = now + self._seconds, value
        if len(self._values) > MOST:
            self._values.popitem(last=False)

    def forget(self, key: K) -> None:
        self._values.pop(key, None)
