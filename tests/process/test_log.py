"""A log line is never worth a message: whatever it holds, and whether or not somebody reads it."""

from __future__ import annotations

import json
import os
import time

from mailport.process.log import Lines, _render


def test_octets_that_are_no_text_are_logged_all_the_same():
    """A path may hold any octets; Python shows them as lone surrogates, which JSON in UTF-8 cannot have."""
    line = _render(None, "info", {"event": "message", "destination": os.fsdecode(b"/mail/\xff")})

    assert json.loads(line)["destination"] == "/mail/\udcff"


def test_a_reader_that_has_stopped_holds_up_neither_writers_nor_the_end():
    """The pipe is full, and stays so."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while os.write(writing, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writing, True)
    lines = Lines(writing)
    began = time.monotonic()

    for number in range(20_000):
        lines.write(b"line %d\n" % number)
    lines.close()

    assert time.monotonic() - began < 5
    os.close(reading)  # the thread's write fails, and it ends
    lines._thread.join(5)
    assert not lines._thread.is_alive()
    os.close(writing)


def test_lost_lines_are_counted():
    """The next line that gets through says how many did not."""
    reading, writing = os.pipe()
    lines = Lines(writing)
    lines._lost = 7

    lines.write(b"{}\n")
    lines.close()

    assert b'"count": 7' in os.read(reading, 4096)
    lines._thread.join(5)
    os.close(reading)
    os.close(writing)
