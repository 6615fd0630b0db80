"""What cores have concluded is used again while nothing that it follows from has changed."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import Any

import pytest

from mailport.authentication.dns import Answer, Asking, Question, RecordType, Status
from mailport.checks import conclusions
from mailport.checks.checker import Checker
from mailport.checks.conclusions import MAX_QUESTIONS, Conclusions
from mailport.checks.questions import Asked, Questions
from mailport.checks.resolver import Resolver
from mailport.contract.model import Checks
from tests.tables import table

QUESTION = Question("a.example", RecordType.TXT)


class Core:
    """Asks one question, and counts how often it does."""

    def __init__(self, *questions: Question) -> None:
        self.questions = questions or (QUESTION,)
        self.runs = 0

    def asking(self) -> Asking[tuple[bytes, ...]]:
        self.runs += 1
        found: tuple[bytes, ...] = ()
        for question in self.questions:
            answer = yield question
            found += answer.texts
        return found


def told(resolver: Resolver, text: bytes, question: Question = QUESTION) -> None:
    resolver._cache.put(question, Answer(Status.NOERROR, texts=(text,)), 60, time.monotonic())


async def concluded(resolver: Resolver, core: Core, key: Any = "key", asked: list[Asked] | None = None) -> Any:
    return await Questions(resolver, asked=asked).start("spf", core.asking(), key).result()


async def test_the_same_again():
    """Asked and answered as before, a core need not run."""
    resolver, core = Resolver([]), Core()
    told(resolver, b"one")

    assert [await concluded(resolver, core) for _ in range(3)] == [(b"one",)] * 3
    assert core.runs == 1


async def test_another_answer():
    """Once an answer has been asked for anew, the core runs on it, even if it says the same."""
    resolver, core = Resolver([]), Core()
    told(resolver, b"one")
    await concluded(resolver, core)
    told(resolver, b"two")

    assert await concluded(resolver, core) == (b"two",)
    assert core.runs == 2


@pytest.mark.parametrize(
    ("key", "asked"),
    table({"another key": ("other", None), "no key": (None, None), "somebody wants to know": ("key", [])}),
)
async def test_not_the_same(key, asked):
    """What is asked otherwise, or has to be told question by question, is run."""
    resolver, core = Resolver([]), Core()
    told(resolver, b"one")
    await concluded(resolver, core)

    assert await concluded(resolver, core, key, asked) == (b"one",)
    assert core.runs == 2


async def test_it_counts():
    """A message's account is charged for the questions behind a conclusion."""
    resolver, core = Resolver([]), Core()
    told(resolver, b"one")
    account = Questions(resolver)
    for _ in range(3):
        account.start("spf", core.asking(), "key")

    assert account._count == 3


@pytest.mark.parametrize(
    ("questions", "text"),
    table(
        {
            "many questions": ([Question(f"n{n}.example", RecordType.TXT) for n in range(MAX_QUESTIONS + 1)], b"x"),
            "much text": ([QUESTION], b"x" * (conclusions.MAX_OCTETS + 1)),
        }
    ),
)
async def test_too_much(questions, text):
    """What would keep much alive is concluded anew each time."""
    resolver, core = Resolver([]), Core(*questions)
    for question in questions:
        told(resolver, text, question)
    await concluded(resolver, core)

    assert len(resolver.conclusions) == 0


def test_many_addresses_are_much_too():
    """Each is an object, though it has no text."""
    kept = Conclusions()
    answer = Answer(Status.NOERROR, tuple(ip_address(number) for number in range(conclusions.MAX_OCTETS // 100)))
    kept.put("key", [(QUESTION, answer)], None)

    assert len(kept) == 0


def test_bounded(monkeypatch):
    """The one that was used the longest ago goes."""
    monkeypatch.setattr(conclusions, "MAX_CONCLUSIONS", 2)
    kept = Conclusions()
    for key in ("a", "b"):
        kept.put(key, [], key)
    kept.get("a", lambda _: None)
    kept.put("c", [], "c")

    assert [kept.get(key, lambda _: None) is not None for key in ("a", "b", "c")] == [True, False, True]


@pytest.mark.parametrize(("author", "kept"), table({"usual": ("Anna", 1), "large": ("A" * 4000, 0), "many": ("a", 0)}))
async def test_a_large_from(author, kept):
    """A From field that is large, or is there many times, is not kept for the sake of what follows from it."""
    resolver = Resolver([])
    told(resolver, b"v=DMARC1; p=none", Question("_dmarc.a.example", RecordType.TXT))
    settings = Checks.model_validate_json('{"spf": {"mode": "Disabled"}, "iprev": {"mode": "Disabled"}}')
    check = Checker(settings, resolver).begin(ip_address("192.0.2.1")).message(None, "h.example")
    check.read_header(f"From: {author} <x@a.example>\r\n".encode() * (200 if author == "a" else 1))
    await check._dmarc(None, ())

    assert len(resolver.conclusions) == kept
