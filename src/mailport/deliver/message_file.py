"""One message for one recipient, on its way from a mailbox's `tmp` to its `new`. All of it is for threads."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

from mailport.address import Address
from mailport.deliver.mailbox import Mailboxes

MARK = ".mailport"  # ends the names of our files in `tmp`, and of nobody else's
ABANDONED = 36 * 60 * 60  # seconds without a write after which a file in `tmp` is nobody's: Maildir's own rule

_numbers = itertools.count(1)


def escape_host(name: str) -> str:
    """Write a host's name as Maildir wants it within the name of a file."""
    return name.replace("/", r"\057").replace(":", r"\072")


PID, HOST = os.getpid(), escape_host(socket.gethostname())


def unique_name(nanoseconds: int, number: int) -> str:
    """Name a message as Maildir wants: by the time, this process, how many it has named, and this host."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{seconds}.M{rest // 1000}P{PID}Q{number}.{HOST}"


class MessageFile:
    """A file that begins with its recipient's Delivered-To. It is made by the first `write`; one thread at a time."""

    def __init__(self, mailboxes: Mailboxes, mailbox: bytes, recipient: Address) -> None:
        self.new = os.path.join(mailbox, b"new")
        self.path = b""  # where it lies now; empty while it lies nowhere
        self._mailboxes = mailboxes
        self._mailbox = mailbox
        self._head = f"Delivered-To: {recipient}\n".encode()
        self._name = ""
        self._fd = -1

    def write(self, data: bytes) -> None:
        """Append a piece of the content."""
        if not self.path:
            self._open()
            data = self._head + data
        elif self._fd < 0:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def pause(self) -> None:
        """Hold no descriptor until the next `write`: a message may have many recipients, and take its time."""
        self._close()

    def finish(self) -> None:
        """Make the content durable. A `write` comes first."""
        os.fsync(self._fd)
        self._close()

    def move(self, size: int, lines: int) -> None:
        """Show it to who reads the mailbox. `size` and `lines` are the content's, as written."""
        size += len(self._head)
        virtual_size = size + lines + 1  # each line with CRLF, as IMAP counts
        target = os.path.join(self.new, os.fsencode(f"{self._name},S={size},W={virtual_size}"))
        os.rename(self.path, target)
        self.path = target

    def remove(self) -> None:
        """Leave nothing behind, wherever it lies."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):  # what cannot be removed from `tmp` is swept one day
            if self.path:
                os.unlink(self.path)
        self.path = b""

    def _open(self) -> None:
        self._name = unique_name(time.time_ns(), next(_numbers))
        path = os.path.join(self._mailbox, b"tmp", os.fsencode(self._name + MARK))
        self._mailboxes.make(self._mailbox)
        try:
            self._fd = self._create(path)
        except FileNotFoundError:  # the mailbox was removed since it was last seen
            self._mailboxes.forget()
            self._mailboxes.make(self._mailbox)
            self._fd = self._create(path)
        self.path = path
        os.fchmod(self._fd, self._mailboxes.file_mode)  # whatever the umask

    def _create(self, path: bytes) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mailboxes.file_mode)

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1  # first: a close that fails has closed all the same
            os.close(fd)


_OURS = re.compile(rf"(\d+)\.M\d+P(\d+)Q\d+\.(.+){re.escape(MARK)}")


def sweep(mail_root: Path, started: float) -> int:
    """Remove what was never finished and return how many files. `started` is this process's, in seconds since 1970.

    Other processes may be writing into the same mailboxes, so only those files go that nobody wrote to for ABANDONED
    seconds, and those with our own host and pid from before our time: a container that starts again has both once more.
    Should the writer be alive all the same, its rename fails, and its sender is told to try again.
    """
    swept = 0
    for path in mail_root.glob(f"*/*/*/tmp/*{MARK}"):
        if name := _OURS.fullmatch(path.name):
            seconds, pid, host = int(name[1]), int(name[2]), name[3]
            with suppress(FileNotFoundError):  # another process sweeps as well
                before_us = (pid, host) == (PID, HOST) and seconds < int(started)
                if before_us or path.stat().st_mtime < started - ABANDONED:
                    path.unlink()
                    swept += 1
    return swept
