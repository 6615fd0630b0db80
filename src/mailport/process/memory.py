"""What the process does with its memory: what it keeps of what is freed, and what it need not look through."""

from __future__ import annotations

import ctypes
import gc

# The parameters of mallopt(3) that are set here, as <malloc.h> numbers them
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_KEPT = 32 * 1024 * 1024  # octets: half of what all messages together may hold in memory
_IN_THE_HEAP = 1024 * 1024  # octets: as much as one message may hold


def keep_freed() -> None:
    """Keep up to 32 MiB of what is freed, as pieces of messages are all the time.

    By itself glibc gives it back to the kernel at once and takes it again, page by page: a third of the CPU of a
    message of 1 MB. Nothing is changed where the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _IN_THE_HEAP)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def leave_to_stay() -> None:
    """Take all objects that there are now out of the garbage collector's sight: modules and what was loaded stay.

    A full collection looks at every object while nothing else runs: 40 ms for the modules of `serve` alone, once in a
    few thousand messages.
    """
    gc.collect()
    gc.freeze()
