"""A process whose loop stands still ends, whatever else hangs in it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mailport.operator.watchdog import Watchdog
from tests.tables import table

LIMIT = 0.5  # seconds
PATIENCE = 30  # seconds: a bound to fail at, on a busy machine

# Says when it runs; ends by itself, with 0, if nothing else ends it
WATCHED = """
import asyncio, sys, time
from mailport.operator.watchdog import Watchdog

async def main():
    with Watchdog(float(sys.argv[1])):
        print("runs", flush=True)
        await asyncio.sleep(0)
        {does}

asyncio.run(main())
"""


class Ends:
    """Stands where the process would end: how long the loop had stalled, each time."""

    def __init__(self):
        self.seconds = []
        self.happened = threading.Event()

    def __call__(self, seconds):
        self.seconds.append(seconds)
        self.happened.set()


def start(does, **streams):
    watched = WATCHED.format(does=does)
    return subprocess.Popen([sys.executable, "-c", watched, str(LIMIT)], stdout=subprocess.PIPE, text=True, **streams)


async def test_a_loop_that_turns_is_let_live():
    """Long after its limit; its age is what /livez goes by."""
    ends = Ends()
    with Watchdog(2, ends) as watchdog:
        ages = []
        for _ in range(30):
            await asyncio.sleep(0.1)
            ages.append(watchdog.age())

    assert not ends.seconds
    assert 0 <= min(ages) <= max(ages) < 2


async def test_a_loop_that_stalls_ends_the_process():
    """While it stalls, from the thread; once."""
    ends = Ends()
    with Watchdog(LIMIT, ends) as watchdog:
        assert ends.happened.wait(PATIENCE), "the wait is the stall"
        age = watchdog.age()
        await asyncio.sleep(LIMIT)

    assert len(ends.seconds) == 1
    assert LIMIT <= ends.seconds[0] <= age


async def test_a_gap_that_the_loop_sees_first_ends_the_process_too():
    """After a stop of the whole process both come back at once."""
    ends = Ends()
    with Watchdog(LIMIT, ends) as watchdog:
        watchdog._stopped.set()
        watchdog._thread.join(PATIENCE)  # it looks no more
        watchdog._stopped.clear()
        time.sleep(LIMIT)  # noqa: ASYNC251 - the stall
        await asyncio.sleep(LIMIT / 2)

    assert len(ends.seconds) == 1


async def test_when_the_loop_ends_in_order_so_does_the_watch():
    """Nothing looks any more: what comes then may take its time."""
    ends = Ends()
    with Watchdog(LIMIT, ends) as watchdog:
        pass
    watchdog._thread.join(PATIENCE)

    assert not watchdog._thread.is_alive()
    time.sleep(LIMIT)  # noqa: ASYNC251 - a stall that nobody sees
    await asyncio.sleep(LIMIT / 2)
    assert not ends.seconds


@pytest.mark.parametrize(
    "does",
    table(
        {
            "a call that blocks": "time.sleep(60)",
            "a computation": "while True: pass",
            "and no clean-up is waited for": "import atexit; atexit.register(time.sleep, 60); time.sleep(60)",
        }
    ),
)
def test_it_ends_with_status_1_and_a_line(does):
    """JSON, as the log's lines are: the last, which Kubernetes shows as the container's message."""
    with start(does, stderr=subprocess.PIPE) as process:
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    (line,) = [json.loads(line) for line in said.splitlines()]
    assert line.keys() == {"event", "level", "seconds", "time"}
    assert (line["event"], line["level"]) == ("the event loop has stalled: ending", "error")
    assert line["seconds"] >= LIMIT


def test_a_process_that_was_stopped_does_not_go_on():
    """SIGSTOP for longer than the limit, then SIGCONT."""
    with start("await asyncio.sleep(60)", stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(LIMIT)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert json.loads(said)["seconds"] >= LIMIT


def test_a_reader_of_stderr_that_has_stopped_holds_up_nothing():
    """The pipe is full: there is no line, and the process ends all the same."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while os.write(writing, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writing, True)
    try:
        with start("time.sleep(60)", stderr=writing) as process:
            assert process.wait(PATIENCE) == 1
    finally:
        os.close(reading)
        os.close(writing)


def test_no_stderr_is_no_hindrance():
    """Closed by whoever started us."""
    with start("import os; os.close(2); time.sleep(60)") as process:
        assert process.wait(PATIENCE) == 1
