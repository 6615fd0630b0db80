"""One message for one recipient, on its way from a mailbox's `tmp` to its `new`. All of it is for threads."""

from __future__ import annotations

import itertools
import os
import re
import socket
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mailport.address.mail_address import Address
from mailport.deliver.disk import begin_write_out, write_out
from mailport.deliver.mailbox import Mailboxes

MARK = ".mailport"  # ends the names of our files in `tmp`, and of nobody else's
ABANDONED = 36 * 60 * 60  # seconds without a write after which a file in `tmp` is nobody's: Maildir's own rule

NOWHERE = -1  # no device has this number

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


class MessageFile:
    """A file for one recipient. For one thread at a time."""

    __slots__ = (
        "_fd",
        "_mailbox",
        "_mailboxes",
        "_name",
        "_octets",
        "_octets_as_sent",
        "device",
        "new",
        "path",
        "recipient",
    )

    def __init__(self, mailboxes: Mailboxes, mailbox: bytes, recipient: Address) -> None:
        self.new = os.path.join(mailbox, b"new")
        self.path = b""  # where it is now; empty while it is nowhere
        self.device = NOWHERE  # st_dev: on which file system it is
        self._mailboxes = mailboxes
        self._mailbox = mailbox
        self.recipient = recipient
        self._name = ""
        self._fd = -1
        self._octets = 0
        self._octets_as_sent = 0

    def write(self, chunks: Iterable[bytes | bytearray]) -> None:
        """Write the message into `tmp`, with the line ends of the disk."""
        self._open()
        # Every CR of a message is followed by its LF, so that this, the quickest way, takes only those out.
        waiting = bytearray()
        for chunk in chunks:
            waiting += chunk
            if len(waiting) >= _PIECE:
                self._write(waiting)
                waiting.clear()
                begin_write_out(self._fd)  # so that the disk works meanwhile
        self._write(waiting)

    def write_durably(self, chunks: Iterable[bytes | bytearray]) -> None:
        """Write the message into `tmp` and sync it."""
        self.write(chunks)
        self.sync()

    def begin_write_out(self) -> None:
        """Begin to write it to the disk, and do not wait."""
        begin_write_out(self._fd)

    def sync(self) -> None:
        """Make its octets durable, and close it."""
        os.fdatasync(self._fd)
        self.close()

    def write_out(self) -> None:
        """Have its octets on the disk, to survive what the next commit of the journal does, and close it."""
        write_out(self._fd)
        self.close()

    def close(self) -> None:
        """Close it. Raises OSError: on NFS that may be the first to hear that the disk is full."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1  # first: a close that fails has closed all the same
            os.close(fd)

    def move(self) -> None:
        """Show it to who reads the mailbox.

        The name's S is its octets on disk, W those with CRLF line ends, as IMAP counts (Maildir++).
        """
        name = f"{self._name},S={self._octets},W={self._octets_as_sent}"
        target = os.path.join(self.new, os.fsencode(name))
        os.rename(self.path, target)
        self.path = target

    def remove(self) -> None:
        """Leave nothing behind, wherever it lies."""
        with suppress(OSError):
            self.close()
        with suppress(OSError):  # what cannot be removed from `tmp` is swept one day
            if self.path:
                os.unlink(self.path)
        self.path = b""

    def _write(self, lines: bytearray) -> None:
        data = lines.translate(None, b"\r")
        self._octets += len(data)
        self._octets_as_sent += len(lines)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

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
        about = os.fstat(self._fd)
        self.device = about.st_dev
        if stat.S_IMODE(about.st_mode) != self._mailboxes.file_mode:  # the umask took some of it
            os.fchmod(self._fd, self._mailboxes.file_mode)

    def _create(self, path: bytes) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mailboxes.file_mode)


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
