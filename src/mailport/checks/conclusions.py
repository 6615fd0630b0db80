"""What cores have concluded. They are pure: asked the same and answered the same, they conclude the same again.

The same senders write again and again, from the same clients, and their records stay: so SPF and DMARC need not be
evaluated anew for each message.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from mailport.authentication.dns import Answer, Question

MAX_CONCLUSIONS = 4096
MAX_QUESTIONS = 4  # behind one of them; more is rare, and they are looked up each time
MAX_OCTETS = 2048  # of what was answered, and of what was asked: both are kept alive
_OCTETS_OF_ADDRESS = 120  # in memory


class _Conclusion(NamedTuple):
    answered: tuple[tuple[Question, Answer], ...]
    result: Any


class Conclusions:
    """Results by what was asked of a core. The one that was used the longest ago goes first."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, _Conclusion] = OrderedDict()

    def get(self, key: Hashable, known: Callable[[Question], Answer | None]) -> _Conclusion | None:
        """Return what was concluded, if each of its questions still has the very answer that it had then."""
        found = self._known.get(key)
        if found is None:
            return None
        for question, answer in found.answered:
            if known(question) is not answer:
                del self._known[key]
                return None
        self._known.move_to_end(key)
        return found

    def put(self, key: Hashable, answered: Sequence[tuple[Question, Answer]], result: object) -> None:
        """Keep a result, with what it follows from."""
        octets = sum(len(text) for _, answer in answered for text in (*answer.texts, *answer.names))
        octets += sum(len(answer.addresses) for _, answer in answered) * _OCTETS_OF_ADDRESS
        if len(answered) > MAX_QUESTIONS or octets > MAX_OCTETS:
            return
        self._known[key] = _Conclusion(tuple(answered), result)
        if len(self._known) > MAX_CONCLUSIONS:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)
