"""fsync of folders: one for all who wait for the same folder."""

from __future__ import annotations

import asyncio
import os
from threading import Lock

from mailport.deliver.threads import Threads


def sync_folder(folder: bytes) -> None:
    """Make what was created, renamed or removed in a folder so far survive a crash of the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class FolderSync:
    """Syncs folders in threads. While one waits for a thread, all who ask for it join in.

    One that has begun is not joined: it may have missed the newcomer's rename.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._lock = Lock()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}

    def sync(self, folder: bytes) -> asyncio.Future[None]:
        """Make durable what happened in a folder before this call."""
        with self._lock:
            if folder not in self._waiting:
                self._waiting[folder] = self._threads.run(lambda: self._sync(folder))
            return asyncio.shield(self._waiting[folder])  # from those who are cancelled, for the others

    def _sync(self, folder: bytes) -> None:
        with self._lock:
            del self._waiting[folder]
        sync_folder(folder)
