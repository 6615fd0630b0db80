"""What the DNS has answered, for as long as it said, within bounds."""

from __future__ import annotations

from collections import OrderedDict

from mailport.authentication.dns import Answer, Question

MAX_OCTETS = 64 * 1024 * 1024  # all entries together, about
MIN_SECONDS, MAX_SECONDS = 5.0, 3600.0  # whatever the TTL says; failures have the least (RFC 9520 §3.2)
_OCTETS_OF_ENTRY = 800  # keys, tuples and the dictionary's own; an address is an object of some 100 octets
_OCTETS_OF_RECORD = 120


class Cache:
    """Answers by their question. The one that was used the longest ago goes first."""

    def __init__(self, max_octets: int = MAX_OCTETS) -> None:
        self._max_octets = max_octets
        self._entries: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()
        self.octets = 0

    def get(self, question: Question, now: float) -> Answer | None:
        """Return what is known, if it still holds at `now`, a monotonic clock's seconds."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        until, answer = entry
        if until <= now:
            self._remove(question)
            return None
        self._entries.move_to_end(question)
        return answer

    def put(self, question: Question, answer: Answer, seconds: float, now: float) -> None:
        """Keep an answer for so many seconds, which are brought within the bounds."""
        self._remove(question)
        octets = _octets(question, answer)
        if octets * 4 > self._max_octets:
            return
        self._entries[question] = now + min(max(seconds, MIN_SECONDS), MAX_SECONDS), answer
        self.octets += octets
        while self.octets > self._max_octets:
            self._remove(next(iter(self._entries)))

    def __len__(self) -> int:
        return len(self._entries)

    def _remove(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self.octets -= _octets(question, entry[1])


def _octets(question: Question, answer: Answer) -> int:
    """Estimate what an entry takes in memory."""
    records = len(answer.addresses) + len(answer.names) + len(answer.texts)
    held = len(question.name) + sum(map(len, answer.names)) + sum(map(len, answer.texts))
    return _OCTETS_OF_ENTRY + records * _OCTETS_OF_RECORD + held
