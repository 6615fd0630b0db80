"""Two ways to make files and folders survive a crash of the machine. All of it is for threads.

FileSync syncs each file and each folder, as any file system knows. VolumeSync syncs the file system as a whole, which
for a group of small messages costs a fraction of that, where nothing else is on it (file_system.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from mailport.deliver import disk
from mailport.deliver.delivery import Delivery
from mailport.deliver.message_file import NOWHERE, MessageFile
from mailport.process.threads import Helpers


class Sync(Protocol):
    """What makes one group of deliveries durable. A delivery that is not has its error afterwards."""

    def files(self, deliveries: Sequence[Delivery]) -> None:
        """Make durable what has been written, and close it."""

    def folders(self, deliveries: Sequence[Delivery]) -> None:
        """Make durable the names in `new`."""


class FileSync:
    """Each file and each folder by itself, some side by side: the disk then flushes its cache once for all of these."""

    def __init__(self, helpers: Helpers) -> None:
        self._helpers = helpers

    def files(self, deliveries: Sequence[Delivery]) -> None:
        """Have all of them written at once, and then wait for each."""
        if len(deliveries) > 1:
            for delivery in deliveries:
                delivery.each(MessageFile.begin_write_out)
        self._helpers.each(lambda delivery: delivery.each(MessageFile.sync), deliveries)

    def folders(self, deliveries: Sequence[Delivery]) -> None:
        """Sync each folder once."""
        in_folder: dict[bytes, list[Delivery]] = {}
        for delivery in deliveries:
            for folder in delivery.folders():
                in_folder.setdefault(folder, []).append(delivery)
        self._helpers.each(lambda folder: _sync_folder(folder, in_folder[folder]), in_folder)


def _sync_folder(folder: bytes, deliveries: Sequence[Delivery]) -> None:
    try:
        disk.sync_folder(folder)
    except OSError as error:
        for delivery in deliveries:
            delivery.fail(error)


class VolumeSync:
    """The whole file system on which `fd` is open; it was opened before the first file was written."""

    def __init__(self, fd: int, each: FileSync) -> None:
        self._fd = fd
        self._device = os.fstat(fd).st_dev
        self._each = each

    def files(self, deliveries: Sequence[Delivery]) -> None:
        """Sync them all at once; each by itself where one lies elsewhere, as a mailbox may be mounted or linked."""
        if self._has(deliveries):
            for delivery in deliveries:
                delivery.each(MessageFile.close)
            self._sync(deliveries)
        else:
            self._each.files(deliveries)

    def folders(self, deliveries: Sequence[Delivery]) -> None:
        """Sync them all at once, likewise."""
        if self._has(deliveries):
            self._sync(deliveries)
        else:
            self._each.folders(deliveries)

    def _has(self, deliveries: Sequence[Delivery]) -> bool:
        """Whether all their files are on this file system, but for those that have not been made."""
        return all(file.device in (self._device, NOWHERE) for delivery in deliveries for file in delivery.files)

    def _sync(self, deliveries: Sequence[Delivery]) -> None:
        try:
            disk.syncfs(self._fd)
        except OSError as error:  # whose octets were lost, is not said
            for delivery in deliveries:
                delivery.fail(error)


@contextmanager
def each_file(helpers: Helpers) -> Iterator[Sync]:
    """Sync a group file by file."""
    yield FileSync(helpers)


@contextmanager
def whole_volume(folder: Path, helpers: Helpers) -> Iterator[Sync]:
    """Sync a group by its file system; file by file where the folder is not there yet. Raises OSError."""
    each = FileSync(helpers)
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield each
        return
    try:
        yield VolumeSync(fd, each)
    finally:
        with suppress(OSError):
            os.close(fd)
