"""What /livez and /readyz say: each thing that only a new process mends, and each that is waited for."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp
import pytest

from mailport.operator import admin
from mailport.operator.health import Health, Pulse
from mailport.process import web
from tests.tables import table


@dataclass
class Facts:
    """All that health is judged by, as one thing: all is well, but for what is given."""

    filled_at: float | None = 0.0  # seconds ago
    work: float = 0.0
    failing: float = 0.0
    running: bool = True
    answers: bool = True
    stalled: float = 0.0

    def longest_work(self):
        return self.work

    def failing_for(self):
        return self.failing


def health(facts):
    if facts.filled_at is not None:
        facts.filled_at = time.monotonic() - facts.filled_at
    pulse = Pulse()
    pulse.longest = facts.stalled
    return Health(pulse, facts, facts, facts, facts)


@pytest.mark.parametrize(
    "facts, why",
    table(
        {
            "all is well": (Facts(), ""),
            "work that takes its time: webhooks do": (Facts(work=300), ""),
            "work that never ends": (Facts(work=601), "a worker hangs"),
            "a list that is due": (Facts(filled_at=700), ""),
            "no list for half an hour": (Facts(filled_at=1900), "nothing was listed for too long"),
            "nothing listed yet: the API server may be away": (Facts(filled_at=None), ""),
            "watches that fail for a moment": (Facts(failing=119, running=False), ""),
            "watches that have failed for two minutes, though each time they begin": (Facts(failing=121), "no watches"),
            "an API server that is away": (Facts(answers=False), ""),
            "a loop that stood still for a moment": (Facts(stalled=14), ""),
            "a loop that stood still for as long as a Lease": (Facts(stalled=15), "the event loop has stalled"),
        }
    ),
)
def test_livez_says_what_only_a_new_process_mends(facts, why):
    assert health(facts).why_not_alive() == why


@pytest.mark.parametrize(
    "facts, why",
    table(
        {
            "all is well": (Facts(), ""),
            "nothing has been listed": (Facts(filled_at=None), "starting"),
            "the API server is away": (Facts(answers=False), "the API server does not answer"),
            "watches wait to begin": (Facts(running=False), "watches begin anew"),
        }
    ),
)
def test_readyz_says_what_it_waits_for(facts, why):
    assert health(facts).why_not_ready() == why


async def test_a_pulse_knows_for_how_long_the_loop_stood_still():
    """Also where the question is what the loop does first, when it goes on."""
    pulse = Pulse()
    feeling = asyncio.create_task(pulse.run())
    await asyncio.sleep(0.01)
    assert pulse.longest < 0.5
    time.sleep(1.3)  # noqa: ASYNC251 - the stall
    pulse.measure()
    feeling.cancel()

    assert 0.2 < pulse.longest < 1


def test_a_stall_that_has_just_ended_is_said_before_the_loop_has_felt_it():
    """The question may be the first thing that it does when it goes on."""
    facts = Facts()
    judged = health(facts)
    judged._pulse._last -= 17

    assert judged.why_not_alive() == "the event loop has stalled"


async def test_the_pages_say_it():
    """503 with the reason, for a kubelet and for a person."""
    bad = health(Facts(failing=121, running=False))
    pages = await web.start(admin.pages(bad.why_not_alive, bad.why_not_ready), "127.0.0.1", 0)
    host, port = pages.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as client:
            said = {}
            for page in ("livez", "readyz"):
                async with client.get(f"http://{host}:{port}/{page}") as answer:
                    said[page] = (answer.status, await answer.text())
    finally:
        await pages.cleanup()

    assert said == {"livez": (503, "no watches\n"), "readyz": (503, "watches begin anew\n")}
