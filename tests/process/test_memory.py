"""What is freed is used again."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from mailport.process import memory

# Messages of 1 MB in pieces, ten of them at a time: how many pages the kernel had to give
PROGRAM = """
import resource
from mailport.process import memory
{first}
def messages():
    for _ in range(50):
        held = [bytearray(b"x" * (256 * 1024)) for _ in range(40)]
        del held
messages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
messages()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(first: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first)], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_what_is_freed_is_kept():
    """Without, each piece is given back, and taken again page by page."""
    assert pages("") > 10_000
    assert pages("memory.keep_freed()") < 500


def test_what_stays_is_not_looked_through():
    """A full collection finds what came later, and looks at nothing from before."""
    before = [[number] for number in range(1000)]
    memory.leave_to_stay()
    try:
        later: list = []
        later.append(later)  # garbage, once its name is gone
        seen = set(map(id, gc.get_objects()))

        assert id(later) in seen
        assert not seen & set(map(id, before))
        del later, seen
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
