"""The promise of a webhook: no 250 without a message, whatever the receiver does (faults.py)."""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailport.deliver.destination import NotDelivered, Outcome
from tests.deliver.conftest import deliver
from tests.deliver.webhook import faults
from tests.deliver.webhook.faults import FAULTS, MAYBE, NO, OK, STATUSES, YES, Case, Exchange, Receiver
from tests.deliver.webhook.receivers import webhook

PAGE = Path(__file__).parents[3] / "docs/routes.md"
BEGIN, END = "<!-- webhook faults: begin -->", "<!-- webhook faults: end -->"
SMALL = b"Subject: x\r\n\r\nsmall\r\n"
LARGE = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 200_000  # more than any socket's buffers hold
SECONDS = 2  # for an answer that does not come
ENOUGH = 60  # for one that does, on a machine that has other work
AT_ONCE = 8
_numbers = itertools.count()


@dataclass(frozen=True)
class Came:
    """What came of a fault."""

    code: str
    copies: int
    why: str


async def outcome_of(port: int, content: bytes, seconds: int) -> tuple[str, str]:
    async with webhook(port, timeoutSeconds=seconds) as hook:
        try:
            [outcome] = await deliver(hook, "anna@example.org", content=content)
        except NotDelivered as error:
            outcome: Outcome = error
    if isinstance(outcome, NotDelivered):
        return str(outcome.reply.code), str(outcome)
    return "250", outcome.text


async def play(case: Case, *, large: bool) -> Came:
    content = LARGE if large else SMALL
    async with Receiver(case.script) as receiver:
        code, why = await outcome_of(receiver.port, content, SECONDS if case.hangs else ENOUGH)
        assert all(body.endswith(content) for body in receiver.whole)
        return Came(code, len(receiver.whole), why)


CASES = {f"says {name}": case for name, case in STATUSES.items()} | FAULTS


@pytest.fixture(scope="module")
def came() -> dict[tuple[str, bool], Came]:
    """All cases, some at a time: most of them wait."""

    async def all_of_them() -> dict[tuple[str, bool], Came]:
        some = asyncio.Semaphore(AT_ONCE)

        async def one(name: str, case: Case, *, large: bool) -> tuple[tuple[str, bool], Came]:
            async with some:
                return (name, large), await play(case, large=large)

        every = [
            one(name, case, large=large)
            for name, case in CASES.items()
            for large in (False, True)
            if case.large in (None, large)
        ]
        return dict(await asyncio.gather(*every))

    return asyncio.run(all_of_them())


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_250_without_a_message(name: str, came: dict[tuple[str, bool], Came]):
    """A small message, sent in one piece, and a large one, which is streamed. The receiver has it at most once."""
    case = CASES[name]
    for large in (False, True):
        if case.large not in (None, large):
            continue
        found = came[name, large]
        assert found.code == case.code, (large, found)
        assert found.copies in {NO: (0,), YES: (1,), MAYBE: (0, 1)}[case.has], (large, found)
        assert found.code != "250" or found.copies == 1


def test_an_answer_that_nobody_asked_for_is_no_answer_to_the_next_message():
    """It came while the connection was idle: that is closed, and the next message goes out on a new one."""

    async def two_answers(exchange: Exchange) -> None:
        await exchange.read()
        await exchange.say(OK)
        await asyncio.sleep(0.05)
        await exchange.say(OK)
        await exchange.read_head()
        await asyncio.sleep(faults.LATER)

    async def run() -> None:
        async with Receiver(two_answers) as receiver, webhook(receiver.port) as hook:
            await deliver(hook, "anna@example.org")
            await asyncio.sleep(0.2)
            await deliver(hook, "anna@example.org")

            assert len(receiver.whole) == 2
            assert receiver.connections == 2

    asyncio.run(run())


def test_two_answers_at_once_are_one():
    async def run() -> None:
        async with Receiver(faults.answers(OK + OK, then=0.5)) as receiver, webhook(receiver.port) as hook:
            for _ in range(2):
                await deliver(hook, "anna@example.org")

            assert len(receiver.whole) == receiver.connections == 2

    asyncio.run(run())


def table() -> str:
    """The faults as docs/routes.md shows them."""
    by_reply: dict[str, list[str]] = {}
    for name, case in STATUSES.items():
        by_reply.setdefault(case.code, []).append(name)
    rows = [f"| says {', '.join(names)} | `{reply}` | {YES} |" for reply, names in by_reply.items()]
    rows += [f"| {name} | `{case.code}` | {case.has} |" for name, case in FAULTS.items()]
    return "\n".join(["| the receiver | the client hears | the message |", "|---|---|---|", *rows])


def test_the_page_shows_every_fault():
    """docs/routes.md has this table: python -m tests.deliver.webhook.test_faults writes it."""
    shown = re.search(f"{BEGIN}\n\n(.*)\n\n{END}", PAGE.read_text(), re.DOTALL)

    assert shown is not None
    assert shown[1] == table()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}")
