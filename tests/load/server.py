"""What is seen from outside of a server under load: its memory, its descriptors, and how others are served."""

from __future__ import annotations

import smtplib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.serving import Serving, eventually

KIB, MIB = 1024, 1024 * 1024


def memory(serving: Serving, figure: str = "VmRSS") -> int:
    """Return the octets of memory that the server's process has (VmRSS), or had at most (VmHWM)."""
    for line in Path(f"/proc/{serving.process.pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == figure:
            return int(value.split()[0]) * KIB
    raise AssertionError(figure)


def forget_peak(serving: Serving) -> None:
    """Have VmHWM begin anew (proc(5), clear_refs)."""
    Path(f"/proc/{serving.process.pid}/clear_refs").write_text("5")


def descriptors(serving: Serving) -> int:
    return sum(1 for _ in Path(f"/proc/{serving.process.pid}/fd").iterdir())


def connections(serving: Serving) -> int:
    return sum(int(listener["connections"]) for listener in serving.status()["listeners"])


@contextmanager
def others_served(serving: Serving, *, within: float) -> Iterator[list[float]]:
    """Send a mail ten times a second meanwhile: each gets its 250 within so many seconds."""
    seconds: list[float] = []
    failed: list[Exception] = []
    over = threading.Event()

    def probe() -> None:
        while not over.wait(0.1):
            start = time.monotonic()
            try:
                with smtplib.SMTP("127.0.0.1", serving.port, timeout=30) as smtp:
                    smtp.sendmail("probe@client.example", ["probe@example.org"], "Subject: are you there?\r\n\r\n")
            except (smtplib.SMTPException, OSError) as error:
                failed.append(error)
            seconds.append(time.monotonic() - start)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield seconds
    finally:
        over.set()
        thread.join()

    assert not failed
    assert max(seconds, default=0.0) < within


@contextmanager
def nothing_kept(serving: Serving, *, memory_growth: int) -> Iterator[None]:
    """Whatever the clients do: the peak of memory is bounded, and afterwards no descriptor and no session is left."""
    with smtplib.SMTP("127.0.0.1", serving.port, timeout=30) as smtp:  # what the first mail loads, stays
        smtp.sendmail("a@client.example", ["probe@example.org"], "Subject: first\r\n\r\n")
    eventually(lambda: connections(serving) == 0, "no session")
    descriptors_before, memory_before = descriptors(serving), memory(serving)
    forget_peak(serving)
    yield

    grown = memory(serving, "VmHWM") - memory_before
    assert grown < memory_growth, f"{grown / MIB:.1f} MiB more at the peak"
    eventually(lambda: connections(serving) == 0, "no session left")
    eventually(lambda: descriptors(serving) <= descriptors_before, "no descriptor left")
