"""Two ways to make files and folders survive a crash of the machine. All of it is for threads.

FileSync syncs each file and each folder, as any file system knows. VolumeSync syncs the file system as a whole, which
for a group of small messages costs a fraction of that, where nothing else is on it (file_system.py).

A name in `new` must never be durable before the octets of its file. Where the file system itself keeps that order, no
way syncs the files: these are written out and renamed, and then the sync of the names is that of the octets too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

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

    def __init__(self, helpers: Helpers, ordered: int = NOWHERE) -> None:
        """`ordered` is the device (st_dev) of the file system that keeps the order, where there is one."""
        self.ordered = ordered
        self._helpers = helpers

    def files(self, deliveries: Sequence[Delivery]) -> None:
        """Have all of them written at once, and then wait for each."""
        if len(deliveries) > 1:
            for delivery in deliveries:
                delivery.each(MessageFile.begin_write_out)
        if are_on(self.ordered, deliveries):
            for delivery in deliveries:
                delivery.each(MessageFile.write_out)
        else:
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


def are_on(device: int, deliveries: Sequence[Delivery]) -> bool:
    """Whether all files are on a device, but for those that have not been made."""
    return all(file.device in (device, NOWHERE) for delivery in deliveries for file in delivery.files)


class VolumeSync:
    """The whole file system on which `fd` is open; it was opened before the first file was written."""

    def __init__(self, fd: int, each: FileSync) -> None:
        self._fd = fd
        self._device = os.fstat(fd).st_dev
        self._each = each

    def files(self, deliveries: Sequence[Delivery]) -> None:
        """Sync them all at once; each by itself where one lies elsewhere, as a mailbox may be mounted or linked."""
        if self._each.ordered != self._device and are_on(self._device, deliveries):
            for delivery in deliveries:
                delivery.each(MessageFile.close)
            self._sync(deliveries)
        else:
            self._each.files(deliveries)

    def folders(self, deliveries: Sequence[Delivery]) -> None:
        """Sync them all at once, likewise."""
        if are_on(self._device, deliveries):
            self._sync(deliveries)
        else:
            self._each.folders(deliveries)

    def _sync(self, deliveries: Sequence[Delivery]) -> None:
        try:
            disk.syncfs(self._fd)
        except OSError as error:  # whose octets were lost, is not said
            for delivery in deliveries:
                delivery.fail(error)


class Commit(NamedTuple):
    """How the groups of a claim are made durable."""

    as_a_whole: bool = False  # its file system is synced, and not each file
    ordered: int = NOWHERE  # the device of its file system (st_dev), where that makes changes durable in their order

    @contextmanager
    def begin(self, folder: Path, helpers: Helpers) -> Iterator[Sync]:
        """For the time from before the first file of a group is written until behind the last step. Raises OSError.

        Where the claim's folder is not there yet, each file is synced.
        """
        each = FileSync(helpers, self.ordered)
        if not self.as_a_whole:
            yield each
            return
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
