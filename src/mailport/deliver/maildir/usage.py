"""How much of a volume its mailboxes take, and whether there is room for more.

For mailboxes on an emptyDir: when that outgrows its sizeLimit, the kubelet evicts the pod, and the mail in it is gone.
So mail is refused before, and the sender keeps it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mailport.process.threads import Threads

_BLOCK = 4096  # octets: what file systems give out at least, and what a folder takes
_NEW_MAILBOX = 5 * _BLOCK  # domain, local part, tmp, new, cur: each file is taken for the first of its mailbox
_SECTOR = 512  # octets of st_blocks' unit, whatever the block size (stat(2)); the kubelet counts in these too

_OFTEN = 10.0  # seconds from a count to the next, at least
_SHARE = 20  # and at least so many times as long as the count took: a twentieth of one thread's time
_SELDOM = 600.0  # seconds after which a count is old, where nothing asks for one


class MailboxesFull(OSError):  # noqa: N818 - what it says
    """There is no room for another message; errno is ENOSPC, as for any other disk that is full."""

    def __init__(self, detail: str) -> None:
        super().__init__(errno.ENOSPC, detail)


class MailboxUsage:
    """What lies below a folder, up to a limit in octets. One for each folder, and for the event loop alone.

    It is counted in a thread before the first message, and kept up by what is delivered, rather too high than too low.
    So where there seems to be no room it is counted again, which also finds what somebody has deleted.
    """

    def __init__(self, folder: Path, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._limit = limit
        self._now = now
        self._threads = Threads(1, 1, "mailbox usage")
        self._counting: asyncio.Future[int] | None = None
        self._counted: int | None = None  # octets that the last count found
        self._since = 0  # octets of messages that it may not have found
        self._under_way = 0  # those of them that are being written
        self._next_count = self._old_at = 0.0  # monotonic seconds

    @asynccontextmanager
    async def room_for(self, octets: int, files: int = 1) -> AsyncIterator[None]:
        """Hold room for so many files of this size while they are written.

        Raises MailboxesFull where they would pass the limit, and OSError where the folder cannot be looked through.
        """
        needed = files * (-(-octets // _BLOCK) * _BLOCK + _NEW_MAILBOX)
        if self._counted is None:
            await self._count()
        elif self._now() >= self._old_at:
            self._begin_count()
        if not self._fits(needed) and self._now() >= self._next_count:
            await self._count()
        if not self._fits(needed):
            raise MailboxesFull(f"{self._folder} has no room for {octets} octets: its limit is {self._limit}")
        self._since += needed
        self._under_way += needed
        try:
            yield
        finally:  # also of what failed: the next count sees what it left
            self._under_way -= needed

    @property
    def octets(self) -> int:
        """What the mailboxes take, as far as is known: no less than that."""
        return (self._counted or 0) + self._since

    def close(self) -> None:
        """Let the thread go."""
        self._threads.close()

    def _fits(self, needed: int) -> bool:
        return self.octets + needed <= self._limit

    async def _count(self) -> None:
        """Wait for a count: one for all who wait, and not ended by one of them who leaves."""
        await asyncio.shield(self._begin_count())

    def _begin_count(self) -> asyncio.Future[int]:
        if self._counting is not None:
            return self._counting
        began, on_disk = self._now(), self._since - self._under_way

        def ended(counting: asyncio.Future[int]) -> None:
            self._counting = None
            now = self._now()
            self._next_count = now + max(_OFTEN, _SHARE * (now - began))
            self._old_at = now + _SELDOM
            if counting.exception() is None:  # who waits is told of it
                self._counted = counting.result()
                self._since -= on_disk  # a file that came meanwhile is in both: too high until the next count

        self._counting = self._threads.run(lambda: octets_below(self._folder))
        self._counting.add_done_callback(ended)
        return self._counting


def octets_below(folder: Path) -> int:
    """Return what files and folders below this one take on disk; none where it is not there. For a thread."""
    octets = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    octets += _on_disk(entry)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:  # removed meanwhile
            continue
    return octets


def _on_disk(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * _SECTOR
    except FileNotFoundError:  # renamed from tmp to new, and counted there or by the delivery
        return 0
