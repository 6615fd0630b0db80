"""Three ways to make files and folders survive a crash of the machine. All of it is for threads.

A name in `new` must never be durable before the octets of its file, and for a 250 both must be. Any file system is
told so by FileSync: a sync of each file, the renames, a sync of each folder. The other two cost a group of small
messages a fraction of that, where something is known of the file system (file_system.py):

- JournalSync, where it keeps octets and names in order: the files are written out and renamed, and one sync of the
  journal makes all of it durable.
- VolumeSync, where nothing else is on it: the whole of it is synced when the files are written, and again when they
  are renamed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from mailport.deliver.maildir import disk, file_steps
from mailport.deliver.maildir.delivery import Delivery, step
from mailport.deliver.maildir.file_steps import NOWHERE
from mailport.deliver.maildir.file_system import device_of, why_not_as_a_whole, why_not_in_order
from mailport.deliver.maildir.message_file import MessageFile, create, create_again, show
from mailport.process.threads import Helpers


class Way(StrEnum):
    """How groups are made durable, as the log and /status have it."""

    JOURNAL = "JournalSync"
    VOLUME = "VolumeSync"
    FILE = "FileSync"


class Sync(Protocol):
    """What makes one group of deliveries durable. A delivery that is not has its error afterwards."""

    def write(self, deliveries: Sequence[Delivery]) -> None:
        """Have their files in `tmp`, as safe as they must be before the first of the group is renamed, and closed."""

    def show(self, deliveries: Sequence[Delivery]) -> None:
        """Have all files in `new`, durably."""


class FileSync:
    """Each file and each folder by itself, some side by side: the disk then flushes its cache once for all of these."""

    def __init__(self, helpers: Helpers) -> None:
        self._helpers = helpers

    def write(self, deliveries: Sequence[Delivery]) -> None:
        """Have all of them written at once, and then wait for each."""
        _create(deliveries)
        self.files(deliveries)

    def files(self, deliveries: Sequence[Delivery]) -> None:
        """Do so with files that are there."""
        if len(deliveries) > 1:
            step(deliveries, file_steps.STEPS.begin_write_out)
        self._helpers.each(lambda delivery: delivery.each(MessageFile.sync), deliveries)

    def show(self, deliveries: Sequence[Delivery]) -> None:
        """Sync each folder once."""
        step(deliveries, show)
        self.folders(deliveries)

    def folders(self, deliveries: Sequence[Delivery]) -> None:
        """Do so with files that are in them already."""
        in_folder: dict[bytes, list[Delivery]] = {}
        for delivery in deliveries:
            for folder in delivery.folders():
                in_folder.setdefault(folder, []).append(delivery)
        self._helpers.each(lambda folder: _sync_folder(folder, in_folder[folder]), in_folder)


class JournalSync:
    """The file system's journal, once; file by file where a mailbox is linked or mounted from elsewhere."""

    def __init__(self, device: int, each: FileSync) -> None:
        """`device` (st_dev) is that of the file system."""
        self._device = device
        self._each = each

    def write(self, deliveries: Sequence[Delivery]) -> None:
        """Have all of them written at once, and wait until the disk has taken them."""
        done = True

        def put(files: Sequence[MessageFile]) -> None:
            nonlocal done
            done = file_steps.STEPS.put_on_disk(files, self._device)
            create_again(files)

        step(deliveries, put)
        if not done:
            self._each.files(deliveries)

    def show(self, deliveries: Sequence[Delivery]) -> None:
        """Sync the folder that was changed last: the journal holds all that was done before."""
        step(deliveries, show)
        shown = [delivery for delivery in deliveries if delivery.folders()]
        if not shown or not _are_on(self._device, deliveries):
            self._each.folders(deliveries)
            return
        try:
            file_steps.STEPS.sync_folder(shown[-1].files[-1].new)
        except FileNotFoundError:  # somebody removed that mailbox, and nothing has been synced
            self._each.folders(deliveries)
        except OSError as error:  # of all of them: a second sync may succeed, as the kernel reports a failure once
            for delivery in deliveries:
                delivery.fail(error)


class VolumeSync:
    """The whole file system on which `fd` is open; it was opened before the first file was written."""

    def __init__(self, fd: int, each: FileSync) -> None:
        self._fd = fd
        self._device = os.fstat(fd).st_dev
        self._each = each

    def write(self, deliveries: Sequence[Delivery]) -> None:
        """Sync them all at once; each by itself where one lies elsewhere, as a mailbox may be mounted or linked."""
        _create(deliveries)
        if _are_on(self._device, deliveries):
            step(deliveries, file_steps.STEPS.close)
            self._sync(deliveries)
        else:
            self._each.files(deliveries)

    def show(self, deliveries: Sequence[Delivery]) -> None:
        """Sync them all at once, likewise."""
        step(deliveries, show)
        if _are_on(self._device, deliveries):
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

    way: Way
    device: int = NOWHERE  # st_dev of the file system whose journal is synced

    @classmethod
    def quickest(cls, folder: Path, others: Iterable[Path]) -> tuple[Commit, str]:
        """Return the quickest way that is known to keep the promise in a folder, and why it is none of the others.

        `others` are folders that must not wait for a sync of the whole file system.
        """
        if not (why_not_journal := why_not_in_order(folder)):
            return cls(Way.JOURNAL, device_of(folder)), ""
        if not (why_not_volume := why_not_as_a_whole(folder, others)):
            return cls(Way.VOLUME), why_not_journal
        return cls(Way.FILE), "; ".join(dict.fromkeys((why_not_journal, why_not_volume)))

    @contextmanager
    def begin(self, folder: Path, helpers: Helpers) -> Iterator[Sync]:
        """For the time from before the first file of a group is written until behind the last step. Raises OSError.

        `folder` is the claim's. Where it is not there yet, and so cannot be opened, each file is synced.
        """
        each = FileSync(helpers)
        if self.way is Way.JOURNAL:
            yield JournalSync(self.device, each)
            return
        if self.way is Way.FILE:
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


def _create(deliveries: Sequence[Delivery]) -> None:
    """Make the files of those that are not there yet."""
    step(deliveries, lambda files: create([file for file in files if file.fd < 0]))


def _are_on(device: int, deliveries: Sequence[Delivery]) -> bool:
    """Whether all files are on a device, but for those that have not been made."""
    return all(file.device in (device, NOWHERE) for delivery in deliveries for file in delivery.files)


def _sync_folder(folder: bytes, deliveries: Sequence[Delivery]) -> None:
    try:
        file_steps.STEPS.sync_folder(folder)
    except OSError as error:
        for delivery in deliveries:
            delivery.fail(error)
