"""Quarantined mail: a Maildir++ folder below the mailbox."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailport.address.mail_address import Address
from mailport.authentication.result import Disposition
from mailport.authentication.results_field import Authentication
from mailport.deliver.destination import Outcome, Refused
from mailport.deliver.maildir import message_file
from mailport.deliver.maildir.destination import Maildir
from mailport.message.message import Message
from tests.deliver.conftest import MESSAGE, Open, files, held, verify
from tests.messages import ENVELOPE, RECEIVED

ANNA = "anna@example.org"


async def quarantine(maildir: Maildir, *recipients: str) -> Sequence[Outcome]:
    async with held(MESSAGE) as whole:
        message = Message(
            whole.envelope,
            whole._content,
            whole._header,
            None,
            authentication=Authentication(ENVELOPE.client),
            disposition=Disposition.QUARANTINE,
        )
        return await maildir.deliver(message, [Address.parse(recipient) for recipient in recipients])


async def test_it_lies_in_the_folder(maildir: Maildir, tmp_path: Path):
    """It is in .Junk, which says that it is a folder, and says itself that it is quarantined."""
    await quarantine(maildir, ANNA)
    junk = tmp_path / "default/example.org/anna/.Junk"
    [path] = [file for file in files(tmp_path) if file.parent.name == "new"]

    assert path.parent == junk / "new"
    assert sorted(path.name for path in junk.iterdir()) == ["cur", "maildirfolder", "new", "tmp"]
    assert (junk / "maildirfolder").read_bytes() == b""
    assert path.read_bytes().replace(b"\n", b"\r\n") == (
        b"Return-Path: <sender@example.net>\r\nDelivered-To: anna@example.org\r\n"
        b"Authentication-Results: mx.example.org;\r\n\tnone\r\nX-Spam-Flag: YES\r\n" + RECEIVED + MESSAGE
    )


async def test_modes(open_maildir: Open, tmp_path: Path):
    """Folder and files have the modes of the mailbox's, whatever the umask."""
    former = os.umask(0o077)
    try:
        await quarantine(open_maildir(fileMode="0640", directoryMode="0750"), ANNA)
    finally:
        os.umask(former)
    junk = tmp_path / "default/example.org/anna/.Junk"

    assert stat.S_IMODE(junk.stat().st_mode) == 0o750
    assert {stat.S_IMODE(file.stat().st_mode) for file in files(tmp_path)} == {0o640}


async def test_in_the_inbox(open_maildir: Open, tmp_path: Path):
    """quarantineFolder "": it lies in the inbox, with its flag."""
    await quarantine(open_maildir(quarantineFolder=""), ANNA)
    [path] = files(tmp_path)

    assert path.parent == tmp_path / "default/example.org/anna/new"
    assert b"X-Spam-Flag: YES" in path.read_bytes()


async def test_another_name(open_maildir: Open, tmp_path: Path):
    """The folder is called as the document says."""
    await quarantine(open_maildir(quarantineFolder="Spam"), ANNA)

    assert (tmp_path / "default/example.org/anna/.Spam/cur").is_dir()


async def test_mailboxes_are_not_made_for_it(open_maildir: Open, tmp_path: Path):
    """createMailboxes Never: the folder is made in a mailbox that is there, and no mailbox is."""
    maildir = open_maildir(createMailboxes="Never")
    (tmp_path / "default/example.org/anna").mkdir(parents=True)
    await quarantine(maildir, ANNA)

    assert (tmp_path / "default/example.org/anna/.Junk/new").is_dir()
    with pytest.raises(Refused):
        await verify(maildir, "bert@example.org")


async def test_a_folder_that_is_removed(maildir: Maildir, tmp_path: Path):
    """Who empties the folder by removing it gets it back with the next message."""
    await quarantine(maildir, ANNA)
    junk = tmp_path / "default/example.org/anna/.Junk"
    junk.rename(tmp_path / "gone")
    await quarantine(maildir, ANNA)

    assert len(list((junk / "new").iterdir())) == 1
    assert (junk / "maildirfolder").exists()


async def test_what_was_never_finished_is_swept(maildir: Maildir, tmp_path: Path):
    """An unfinished file in the folder's tmp goes as one in the mailbox's does."""
    await quarantine(maildir, ANNA)
    left = tmp_path / f"default/example.org/anna/.Junk/tmp/1.M1P1Q1.host{message_file.MARK}"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))

    assert message_file.sweep(tmp_path, started=1_000_000_000) == 1
    assert not left.exists()
