"""fsync of folders, off the event loop, and one for all who wait for the same folder."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future
from threading import Lock


def sync_folder(folder: bytes) -> None:
    """Make what was created, renamed or removed in a folder so far survive a crash of the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class FolderSync:
    """Syncs folders in a pool of threads.

    While the sync of a folder waits for its turn, whoever asks for it too gets the same one. One that has begun is not
    shared: it may have missed the newcomer's rename.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._lock = Lock()
        self._waiting: dict[bytes, Future[None]] = {}

    def sync(self, folder: bytes) -> Future[None]:
        """Return the future of a sync that begins after this call. From any thread."""
        with self._lock:
            future = self._waiting.get(folder)
            if future is None:
                future = self._waiting[folder] = Future()
                future.set_running_or_notify_cancel()  # one waiter's cancellation must not be everyone's
                self._pool.submit(self._sync, folder)
            return future

    def _sync(self, folder: bytes) -> None:
        with self._lock:
            future = self._waiting.pop(folder)
        try:
            sync_folder(folder)
        except OSError as error:
            future.set_exception(error)
        else:
            future.set_result(None)
