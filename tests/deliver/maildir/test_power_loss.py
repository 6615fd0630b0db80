"""What a disk holds at the moment of a 250: it is copied just then, and looked at as after a power cut."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from mailport.deliver.destination import Receipt
from mailport.deliver.maildir import file_steps
from mailport.deliver.maildir.destination import SMALL, Maildir
from mailport.deliver.maildir.file_steps import File
from mailport.deliver.maildir.message_file import MARK, MessageFile
from mailport.deliver.maildir.sync import Commit, Way
from tests.deliver.conftest import Open, deliver
from tests.disks import disk_on_a_file, mounted_file, needs_root
from tests.tables import table

PEOPLE = ("anna@example.org", "bert@example.org", "carl@example.org")
CUTS = 10  # at most, of a test; and at least a few

pytestmark = [needs_root, pytest.mark.slow, pytest.mark.usefixtures("each_way_of_steps")]


class Torn(Exception):  # noqa: N818 - what it is
    """A message in `new` that is not all there."""


@dataclass
class Disk:
    """A disk of its own with mailboxes on it, and copies of it."""

    image: Path
    mail: Path
    copies: list[tuple[Path, set[str]]] = field(default_factory=list)  # and the messages that were promised by then
    promised: set[str] = field(default_factory=set)
    quiet: Lock = field(default_factory=Lock)  # nobody writes while the disk is copied: a power cut takes no time

    def copy(self) -> None:
        """Copy what is on the disk, and not what the kernel has yet to write to it."""
        copy = self.image.with_name(f"{len(self.copies)}-{self.image.name}")
        subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
        self.copies.append((copy, set(self.promised)))

    def after_each_group(self, maildir: Maildir, monkeypatch: pytest.MonkeyPatch) -> None:
        """Copy the disk when a group is durable, before anybody hears of it and before the next one begins."""
        commit, write_beside = maildir.groups._commit, MessageFile.write_durably

        def write_while_quiet(file: MessageFile, chunks: Any) -> None:
            with self.quiet:
                write_beside(file, chunks)

        monkeypatch.setattr(MessageFile, "write_durably", write_while_quiet)

        def then_copy(group: Any) -> None:
            commit(group)
            new = {file.path.decode() for delivery in group.deliveries for file in delivery.files}
            self.promised |= {path.removeprefix(f"{self.mail}/") for path in new if path}
            if len(self.copies) < CUTS:
                with self.quiet:
                    self.copy()

        maildir.groups._commit = then_copy  # type: ignore[method-assign]

    def before_each_sync(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Copy the disk when the names are given, and somebody else has synced a file of the same file system."""
        sync_folder = file_steps.STEPS.sync_folder

        def copy_first(folder: bytes) -> None:
            if len(self.copies) < CUTS:
                with self.quiet, (self.mail / "somebody-else's").open("wb") as file:
                    file.write(b"x")
                    file.flush()
                    os.fsync(file.fileno())
                    self.copy()
            sync_folder(folder)

        monkeypatch.setattr(file_steps.STEPS, "sync_folder", copy_first)

    def looked_at(self) -> Iterator[tuple[set[str], set[str]]]:
        """Yield for each copy what was promised by then, and what is there; fail where one in `new` is torn."""
        for copy, promised in self.copies:
            nouuid = ",nouuid" if copy.suffix == ".xfs" else ""  # the disk that it is a copy of is mounted too
            with mounted_file(copy, copy.with_suffix(".mounted"), f"loop{nouuid}") as folder:
                there = [path for path in folder.rglob("*/new/*") if not path.name.endswith(MARK)]
                for path in there:
                    if not whole(path):
                        raise Torn(path)
                yield promised, {str(path.relative_to(folder)) for path in there}


@contextmanager
def own_disk(tmp_path: Path, kind: str) -> Iterator[Disk]:
    with disk_on_a_file(tmp_path / "mail", kind) as image:
        yield Disk(image, tmp_path / "mail")


def content(chance: random.Random) -> bytes:
    """Return a message with its own checksum: small, of several writes, or so large that it is written beside."""
    body = (chance.randbytes(35).hex() + "\r\n").encode() * chance.choice((1, 10, 10, 5_000, SMALL // 72 + 1))
    return b"X-Checksum: " + sha256(body.replace(b"\r\n", b"\n")).hexdigest().encode() + b"\r\n\r\n" + body


def whole(path: Path) -> bool:
    header, _, body = path.read_bytes().partition(b"\n\n")
    found = re.search(rb"^X-Checksum: (\w+)$", header, re.MULTILINE)
    return found is not None and found[1].decode() == sha256(body).hexdigest()


async def some_mail(maildir: Maildir) -> None:
    """Deliver by twelve sessions at once, some messages to several recipients."""
    chance = random.Random(15)

    async def session() -> None:
        for _ in range(8):
            recipients = chance.sample(PEOPLE, chance.choice((1, 1, 1, 3)))
            outcomes = await deliver(maildir, *recipients, content=content(chance))
            assert all(isinstance(outcome, Receipt) for outcome in outcomes)

    await asyncio.gather(*(session() for _ in range(12)))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize(
    "way",
    table({"its journal": (Way.JOURNAL,), "all of it": (Way.VOLUME,), "each file and folder": (Way.FILE,)}),
)
async def test_what_got_its_250_survives_a_power_cut(
    open_maildir: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, way: Way
):
    """Whenever the power goes, each message that was promised is there, and none in `new` is torn."""
    with own_disk(tmp_path, kind) as own:
        maildir = open_maildir(own.mail)
        assert maildir.groups.commit == Commit(Way.JOURNAL, own.mail.stat().st_dev)
        maildir.groups.commit = maildir.groups.commit._replace(way=way)
        own.after_each_group(maildir, monkeypatch)
        await some_mail(maildir)
        await maildir.close()

        for promised, there in own.looked_at():
            assert promised <= there
    assert len(own.copies) > 3
    assert len(own.promised) > 3 * len(own.copies)  # groups of several


async def test_the_power_cut_is_one(open_maildir: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without the sync, promised messages are missing: the test above would see it."""
    with own_disk(tmp_path, "ext4") as own:
        maildir = open_maildir(own.mail)
        await deliver(maildir, *PEOPLE, content=content(random.Random(1)))
        monkeypatch.setattr(file_steps.STEPS, "sync_folder", lambda folder: None)
        own.after_each_group(maildir, monkeypatch)
        await some_mail(maildir)
        await maildir.close()

        assert sum(len(promised - there) for promised, there in own.looked_at())


def created_and_closed(files: Sequence[File], _device: int) -> bool:
    """Do what `put_on_disk` does, but for the writing out."""
    file_steps.STEPS.create([file for file in files if file.fd < 0])
    file_steps.STEPS.close(files)
    return True


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("written_out", table({"as it is": (True,), "not written out": (False,)}))
async def test_no_name_comes_before_its_octets(
    open_maildir: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, written_out: bool
):
    """The power goes when the names in `new` are durable by somebody else's sync, and our own has not begun.

    What is not promised yet may be there or not, and is whole where it is; unless what should be written out before
    the rename is not: then it is torn.
    """
    if not written_out:
        monkeypatch.setattr(file_steps.STEPS, "begin_write_out", lambda files: None)
        monkeypatch.setattr(file_steps.STEPS, "put_on_disk", created_and_closed)
    shown_before_its_time = torn = 0
    with own_disk(tmp_path, kind) as own:
        maildir = open_maildir(own.mail)
        await deliver(maildir, *PEOPLE, content=content(random.Random(1)))
        own.before_each_sync(monkeypatch)
        await some_mail(maildir)
        await maildir.close()
        try:
            for promised, there in own.looked_at():
                shown_before_its_time += len(there - promised)
        except Torn:
            torn = 1

    assert torn == (not written_out)
    assert written_out == (shown_before_its_time > 0)
