"""The questions of one message: how many, and for how long; and what was answered, for who wants to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from mailport.authentication.dns import Answer, Asking, Question, Status
from mailport.checks.resolver import Resolver

MAX_SECONDS = 30.0  # of DNS for one message
MAX_QUESTIONS = 200
# Seconds and questions that a check leaves to those behind it. The sender's domain writes what SPF asks, and its
# servers say how long that takes: they are not to decide whether the author's domain is asked for its policy.
LEAVES: dict[str, tuple[float, int]] = {"spf": (10.0, 80), "null_mx": (10.0, 80), "arc": (10.0, 60), "dkim": (5.0, 40)}
_NOTHING = (0.0, 0)

T = TypeVar("T")

_LATE = Answer(Status.TIMEOUT)


class Asked(NamedTuple):
    """A question, and what came of it."""

    check: str  # which asked
    question: Question
    answer: Answer


class Running(Generic[T]):
    """A core at work, or its result where nothing had to be waited for."""

    __slots__ = ("_result", "_task")

    def __init__(self, result: T | None, task: asyncio.Task[T] | None) -> None:
        self._result = result
        self._task = task

    async def result(self) -> T:
        """Return what the core returns. Who gives up leaves it running."""
        if self._task is not None:
            return await asyncio.shield(self._task)
        return self._result  # type: ignore[return-value] # it is a T where there is no task

    def close(self) -> None:
        """Ask no more for it."""
        if self._task is not None:
            self._task.cancel()


class Questions:
    """One message's account with the resolver. The seconds run while somebody waits, however many do."""

    def __init__(
        self, resolver: Resolver, clock: Callable[[], float] = time.monotonic, asked: list[Asked] | None = None
    ) -> None:
        """`asked` gets each question with its answer, where somebody wants to know."""
        self._resolver = resolver
        self._clock = clock
        self._left = MAX_SECONDS
        self._waiting = 0
        self._since = 0.0
        self._count = 0
        self._counted = set[Question]()  # a question that is asked again costs nothing
        self._asked = asked

    def start(self, check: str, asking: Asking[T], key: Hashable = None) -> Running[T]:
        """Let a core run: at once, as far as its answers are known, and then by a task of its own.

        What it asks beyond its part of the account is a time-out. `key` is all that its result depends on beside the
        answers: where both are as they were before, so is the result, and it need not run.
        """
        if key is not None and self._asked is None:
            concluded = self._resolver.conclusions.get((check, key), self._resolver.known)
            if concluded is not None and len(concluded.answered) <= self._questions_left(check):
                self._count += len(concluded.answered)
                return Running(concluded.result, None)
        answered: list[tuple[Question, Answer]] = []
        try:
            question = next(asking)
            while (answer := self._known(check, question)) is not None:
                answered.append((question, answer))
                if self._asked is not None:
                    self._asked.append(Asked(check, question, answer))
                question = asking.send(answer)
        except StopIteration as end:
            if key is not None:
                self._resolver.conclusions.put((check, key), answered, end.value)
            return Running(end.value, None)
        return Running(None, asyncio.create_task(self._go_on(check, asking, question)))

    def _known(self, check: str, question: Question) -> Answer | None:
        if question not in self._counted:
            if self._questions_left(check) <= 0:
                return _LATE
            self._counted.add(question)
            self._count += 1
        return self._resolver.known(question)

    async def _go_on(self, check: str, asking: Asking[T], question: Question) -> T:
        try:
            while True:
                answer = self._known(check, question) or await self._ask(check, question)
                if self._asked is not None:
                    self._asked.append(Asked(check, question, answer))
                question = asking.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _ask(self, check: str, question: Question) -> Answer:
        left = self._seconds_left() - LEAVES.get(check, _NOTHING)[0]
        if left <= 0:
            return _LATE
        if not self._waiting:
            self._since = self._clock()
        self._waiting += 1
        try:
            async with asyncio.timeout(left):
                return await self._resolver.ask(question)
        except TimeoutError:
            return _LATE
        finally:
            self._left = self._seconds_left()
            self._since = self._clock()
            self._waiting -= 1

    def _questions_left(self, check: str) -> int:
        return MAX_QUESTIONS - LEAVES.get(check, _NOTHING)[1] - self._count

    def _seconds_left(self) -> float:
        return self._left - (self._clock() - self._since if self._waiting else 0.0)
