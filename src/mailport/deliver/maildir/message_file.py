"""One message for one recipient, on its way from a mailbox's `tmp` to its `new`. All of it is for threads."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from mailport.address.mail_address import Address
from mailport.deliver.maildir import file_steps
from mailport.deliver.maildir.file_steps import File
from mailport.deliver.maildir.mailbox import Mailboxes

MARK = ".mailport"  # ends the names of our files in `tmp`, and of nobody else's
ABANDONED = 36 * 60 * 60  # seconds without a write after which a file in `tmp` is nobody's: Maildir's own rule

_PIECE = 256 * 1024  # octets that are written at a time

_numbers = itertools.count(1)


def escape_host(name: str) -> str:
    """Write a host's name as Maildir wants it within the name of a file."""
    return name.replace("/", r"\057").replace(":", r"\072")


PID, HOST = os.getpid(), escape_host(socket.gethostname())


def unique_name(nanoseconds: int, number: int) -> str:
    """Name a message as Maildir wants: by the time, this process, how many it has named, and this host."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{seconds}.M{rest // 1000}P{PID}Q{number}.{HOST}"


class MessageFile(File):
    """A file for one recipient. For one thread at a time."""

    __slots__ = ("_mailbox", "_mailboxes", "_name", "_octets_as_sent", "new", "recipient")

    def __init__(self, mailboxes: Mailboxes, mailbox: bytes, recipient: Address) -> None:
        super().__init__()
        self.new = mailbox + b"/new"
        self.mode = mailboxes.file_mode
        self.recipient = recipient
        self._mailboxes = mailboxes
        self._mailbox = mailbox
        self._name = ""
        self._octets_as_sent = 0

    def prepare(self, message: bytes) -> None:
        """Have a mailbox, a name in it, and a message to make it with. Raises OSError."""
        self._mailboxes.make(self._mailbox)
        self._name = unique_name(time.time_ns(), next(_numbers))
        self.path = b"%s/tmp/%s%s" % (self._mailbox, os.fsencode(self._name), MARK.encode())
        self.message = message
        self._octets_as_sent = len(message)

    def write(self, chunks: Iterable[bytes | bytearray]) -> None:
        """Write a large message into `tmp`, piece by piece, and leave it open. Raises OSError."""
        self.prepare(b"")
        create([self])
        if self.error is not None:
            raise self.error
        waiting = bytearray()
        for chunk in chunks:
            waiting += chunk
            if len(waiting) >= _PIECE:
                self._append(waiting)
                waiting.clear()
                file_steps.STEPS.begin_write_out([self])  # so that the disk works meanwhile
        self._append(waiting)

    def write_durably(self, chunks: Iterable[bytes | bytearray]) -> None:
        """Write a large message into `tmp`, and sync it. Raises OSError."""
        self.write(chunks)
        self.sync()

    def sync(self) -> None:
        """Make its octets durable, and close it. Raises OSError."""
        os.fdatasync(self.fd)
        file_steps.STEPS.close([self])
        if self.error is not None:
            raise self.error

    def aim(self) -> None:
        """Say where it is to be shown, now that its octets are known.

        The name's S is how many it has on disk, W those with CRLF line ends, as IMAP counts (Maildir++).
        """
        name = f"{self._name},S={self.octets},W={self._octets_as_sent}"
        self.target = b"%s/%s" % (self.new, os.fsencode(name))

    def remove(self) -> None:
        """Leave nothing behind, wherever it lies."""
        if self.fd >= 0:
            file_steps.STEPS.close([self])
        with suppress(OSError):  # what cannot be removed from `tmp` is swept one day
            if self.path:
                os.unlink(self.path)
        self.path = b""

    def prepare_again(self) -> None:
        """Make its mailbox, which was removed since it was last seen, and take a new name. Raises OSError."""
        self.error = None
        self._mailboxes.forget()
        self.prepare(self.message)

    def _append(self, lines: bytearray) -> None:
        file_steps.STEPS.append(self, lines)
        self._octets_as_sent += len(lines)


def create(files: Sequence[MessageFile]) -> None:
    """Make those that are prepared, in `tmp`. One that fails has its error afterwards."""
    file_steps.STEPS.create(files)
    create_again(files)


def create_again(files: Sequence[MessageFile]) -> None:
    """Make those whose mailbox was removed since it was last seen. No message is held behind that."""
    gone = [file for file in files if isinstance(file.error, FileNotFoundError)]
    for file in gone:
        try:
            file.prepare_again()
        except OSError as error:
            file.error = error
        else:
            file_steps.STEPS.create([file])
    for file in files:
        file.message = b""  # not held while the disk is waited for


def show(files: Sequence[MessageFile]) -> None:
    """Move them to `new`, where who reads the mailbox sees them. One that fails has its error afterwards."""
    for file in files:
        file.aim()
    file_steps.STEPS.rename(files)


_OURS = re.compile(rf"(\d+)\.M\d+P(\d+)Q\d+\.(.+){re.escape(MARK)}")


def sweep(mail_root: Path, started: float) -> int:
    """Remove what was never finished and return how many files. `started` is this process's, in seconds since 1970.

    Other processes may be writing into the same mailboxes, so only those files go that nobody wrote to for ABANDONED
    seconds, and those with our own host and pid from before our time: a container that starts again has both once more.
    Should the writer be alive all the same, its rename fails, and its sender is told to try again.
    """
    swept = 0
    for path in itertools.chain(mail_root.glob(f"*/*/*/tmp/*{MARK}"), mail_root.glob(f"*/*/*/.*/tmp/*{MARK}")):
        if name := _OURS.fullmatch(path.name):
            seconds, pid, host = int(name[1]), int(name[2]), name[3]
            with suppress(FileNotFoundError):  # another process sweeps as well
                before_us = (pid, host) == (PID, HOST) and seconds < int(started)
                if before_us or path.stat().st_mtime < started - ABANDONED:
                    path.unlink()
                    swept += 1
    return swept
