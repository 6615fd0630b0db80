"""Mail in folders, one file a message and recipient, for any IMAP server that reads Maildir.

What makes it durable is an order: sync the files in `tmp`, rename them into `new`, sync `new` (sync.py). Deliveries
that are ready at the same time go through it together (groups.py). Each recipient has a file of its own, also where two
of them share a mailbox: one file with both Delivered-To would tell of blind copies.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from mailport.address.mail_address import Address
from mailport.authentication.result import Disposition
from mailport.contract import model
from mailport.deliver.destination import Outcome, Receipt, Refused, Unavailable
from mailport.deliver.maildir.delivery import Delivery
from mailport.deliver.maildir.groups import Groups
from mailport.deliver.maildir.mailbox import Mailboxes, NameTooLong
from mailport.deliver.maildir.message_file import MessageFile
from mailport.deliver.maildir.sync import Commit, Way
from mailport.deliver.maildir.usage import MailboxUsage
from mailport.message.envelope import Envelope
from mailport.message.message import Message
from mailport.process.threads import NoThread, Threads

# A large delivery is written before it joins a group, so that small mail does not wait for it.
SMALL = 1024 * 1024  # octets of all files of a delivery; one with more is large
FEW_FILES = 16  # files of a delivery; likewise
FEW_THREADS, MOST_THREADS = 1, 8  # for large deliveries, and for RCPT
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


class Maildir:
    """The destination `maildir`. Its threads are its volume's: one that hangs holds up no other's mail."""

    kind: ClassVar = "maildir"
    rank: ClassVar = 70
    final: ClassVar = True

    def __init__(
        self,
        settings: model.Maildir,
        mail_root: Path,
        usage: MailboxUsage | None = None,
        scratch: Path | None = None,
    ) -> None:
        """Blocks. `usage` is what mailboxes without a claim take, where that is limited; `scratch` as serve has it."""
        self.mailboxes = Mailboxes(settings, mail_root)
        self.threads = Threads(FEW_THREADS, MOST_THREADS, "maildir")
        self._usage = usage if settings.claim_name is None else None
        commit, self.why_commit = Commit(Way.FILE), "maildir.commit says so"
        if settings.commit is model.MaildirCommit.AUTO:
            others = (Path("/"), scratch or Path(tempfile.gettempdir()))
            commit, self.why_commit = Commit.quickest(self.mailboxes.root, others)
        self.groups = Groups.of(self.mailboxes.root, commit)
        self._check_threads = Threads(1, 1, "maildir check")
        self._checking: asyncio.Future[None] | None = None  # the last look at the volume, which may hang

    @property
    def commit(self) -> str:
        """How the disk is made to hold mail, for the log and for /status."""
        return self.groups.commit.way

    @property
    def verifies_at_once(self) -> bool:
        """Whether each recipient gets a mailbox, so that nobody looks for it."""
        return self.mailboxes.creates

    async def verify(self, recipient: Address, envelope: Envelope) -> None:
        """Look whether there is a mailbox, or can be one."""
        del envelope
        try:
            mailbox = self.mailboxes.path(recipient)
            exists = self.mailboxes.creates or await self.threads.run(lambda: self.mailboxes.exists(mailbox))
        except NameTooLong as error:
            raise _no_such_recipient(str(error)) from error
        except OSError as error:
            raise self._unavailable(error) from error
        if not exists:
            raise _no_such_recipient(f"there is no {os.fsdecode(mailbox)}")

    async def deliver(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        """Have a file in each recipient's `new`, durably, or none anywhere."""
        try:
            if self._usage is None:
                return await self._write(message, recipients)
            async with self._usage.room_for(message.length(final=True), files=len(recipients)):
                return await self._write(message, recipients)
        except OSError as error:
            raise self._unavailable(error) from error

    async def _write(self, message: Message, recipients: Sequence[Address]) -> Sequence[Outcome]:
        quarantined = message.disposition is Disposition.QUARANTINE
        places = [
            self.mailboxes.place(self.mailboxes.path(recipient), quarantined=quarantined) for recipient in recipients
        ]
        files = [
            MessageFile(self.mailboxes, place, recipient) for place, recipient in zip(places, recipients, strict=True)
        ]
        delivery = Delivery(message, files)
        beside = delivery.octets > SMALL or len(files) > FEW_FILES
        try:
            if beside:
                await self.threads.run(delivery.write_durably)
            await self.groups.add(delivery, written=beside)
        except BaseException:
            # What has begun in a thread ends there, whoever waits for it; what it left is removed behind it. A volume
            # that hangs would hang this too, so a caller who has given up does not wait for it.
            delivery.give_up()
            with suppress(NoThread):  # then it is swept one day
                self.groups.remove(delivery)
            raise
        if delivery.error is not None:
            raise delivery.error
        return [Receipt(os.fsdecode(file.path)) for file in files]

    async def check(self) -> None:
        """Look whether the volume answers, and has a place for mail. Raises Unavailable.

        Where a look hangs no other one is begun: the next check waits for the same.
        """
        try:
            if self._checking is None or self._checking.done():
                self._checking = self._check_threads.run(self.mailboxes.check)
            await asyncio.shield(self._checking)
        except OSError as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        """Let the threads go."""
        self.threads.close()
        self.groups.close()
        self._check_threads.close()

    def _unavailable(self, error: OSError) -> Unavailable:
        if error.errno in _FULL:
            text = "insufficient system storage, try again later"
            return Unavailable(str(error), code=452, enhanced="4.3.1", text=text)
        self.mailboxes.forget()  # a folder may be gone
        return Unavailable(str(error))


def _no_such_recipient(detail: str) -> Refused:
    return Refused("no such recipient here", code=550, enhanced="5.1.1", reason="no_such_recipient", detail=detail)
