"""Mail in folders, one file a message and recipient, for any IMAP server that reads Maildir.

What makes it durable is an order: fsync the files in `tmp`, rename them into `new`, fsync `new`. Each recipient has a
file of its own, also where two of them share a mailbox: one file with both Delivered-To would tell of blind copies.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from mailport import model
from mailport.address import Address
from mailport.deliver.delivery import Envelope, Receipt, Refused, Unavailable
from mailport.deliver.mailbox import Mailboxes, NameTooLong
from mailport.deliver.message_file import MessageFile
from mailport.deliver.sync import FolderSync
from mailport.deliver.threads import Threads

BUFFER = 256 * 1024  # octets of a message held in memory; a shorter one goes to disk in one go, when it is complete
FEW = 4  # recipients whose files stay open while their message comes in; of more, each is opened for each piece
FEW_THREADS, MOST_THREADS = 3, 8  # fsyncs that run together share the file system's commits


class Maildir:
    """The destination `maildir`. Its threads are its own: a volume that hangs holds up no other route's mail."""

    final = True

    def __init__(self, settings: model.Maildir, mail_root: Path) -> None:
        self.mailboxes = Mailboxes(settings, mail_root)
        self.threads = Threads(FEW_THREADS, MOST_THREADS, "maildir")
        self.folders = FolderSync(self.threads)

    async def open(self, _envelope: Envelope) -> MaildirDelivery:
        """Begin a delivery."""
        return MaildirDelivery(self)

    async def close(self) -> None:
        """Let the threads go."""
        self.threads.close()


class MaildirDelivery:
    """One message on its way into its recipients' mailboxes.

    A step that fails leaves nothing behind. One whose caller is cancelled goes on in its thread; `abort` undoes it.
    """

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir
        self._files: dict[str, MessageFile] = {}  # by the recipient's key
        self._buffer = bytearray()  # not a list of pieces: a client may make them two octets each
        self._size = self._lines = 0  # of the content on disk
        self._lock = Lock()  # one step at a time, also when nobody waits for it any more
        self._begun = self._finished = self._committed = self._over = False

    async def rcpt(self, recipient: Address) -> None:
        """Add a recipient. The same one twice is one; anna@ and anna+shop@ are two, with two files in one mailbox."""
        mailboxes = self._maildir.mailboxes
        try:
            mailbox = mailboxes.path(recipient)
            exists = mailboxes.creates or await self._maildir.threads.run(lambda: mailboxes.exists(mailbox))
        except NameTooLong as error:
            raise _no_such_recipient(str(error)) from error
        except OSError as error:
            raise self._unavailable(error) from error
        if not exists:
            raise _no_such_recipient(f"there is no {os.fsdecode(mailbox)}")
        self._files.setdefault(recipient.key, MessageFile(mailboxes, mailbox, recipient))

    async def write(self, chunk: bytes) -> None:
        """Keep a piece of the content, or write out what has come together."""
        self._buffer += chunk
        if len(self._buffer) >= BUFFER:
            # Not in the thread: each keeps what it once allocated, and the interpreter lets only one at it anyway.
            data = self._take()
            await self._step(lambda: self._write_out(data))

    async def prepare(self) -> None:
        """Have every file in `tmp`, whole and durable."""
        await self._step(self._finish)

    async def commit(self) -> Receipt:
        """Have every file in `new`, durably. Does first what `prepare` does, where that was not called."""
        await self._step(self._move)
        folders = {file.new for file in self._files.values()}
        try:
            await asyncio.gather(*[self._maildir.folders.sync(folder) for folder in folders])
        except OSError as error:
            await self.abort()
            raise self._unavailable(error) from error
        self._committed = True
        return Receipt(", ".join(os.fsdecode(file.path) for file in self._files.values()))

    async def abort(self) -> None:
        """Leave nothing behind: not even in `new`, while `commit` has not returned."""
        if self._begun and not self._committed:
            await self._maildir.threads.run(self._undo)

    async def _step(self, work: Callable[[], None]) -> None:
        self._begun = True
        try:
            await self._maildir.threads.run(lambda: self._do(work))
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> Unavailable:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            text = "insufficient system storage, try again later"
            return Unavailable(str(error), code=452, enhanced="4.3.1", text=text)
        self._maildir.mailboxes.forget()  # a folder may be gone
        return Unavailable(str(error))

    # --- in threads

    def _do(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._over:
                raise Unavailable("the delivery was aborted")
            try:
                work()
            except BaseException:
                self._remove()
                raise

    def _undo(self) -> None:
        with self._lock:
            self._remove()

    def _remove(self) -> None:
        self._over = True
        for file in self._files.values():
            file.remove()

    def _write_out(self, data: bytes) -> None:
        for file in self._files.values():
            file.write(data)
            if len(self._files) > FEW:
                file.pause()

    def _finish(self) -> None:
        data = self._take()
        for file in self._files.values():
            file.write(data)
            file.finish()
        self._finished = True

    def _move(self) -> None:
        if not self._finished:
            self._finish()
        for file in self._files.values():
            file.move(self._size, self._lines)

    def _take(self) -> bytes:
        """Take what has come together, with the line ends of the disk."""
        # Every CR of content is followed by its LF (delivery.py), so that this, the quickest way, takes only those out.
        data = bytes(self._buffer.translate(None, b"\r"))
        self._size += len(data)
        self._lines += len(self._buffer) - len(data)
        self._buffer.clear()
        return data


def _no_such_recipient(detail: str) -> Refused:
    return Refused(550, "5.1.1", "no such recipient here", reason="no_such_recipient", detail=detail)
