"""A volume is tried without a message: it answers, and has a place for mail."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mailport.deliver.destination import Unavailable
from mailport.deliver.maildir.destination import Maildir
from tests.deliver.conftest import Open, deliver, everything
from tests.disks import make_room, needs_root, tmpfs
from tests.tables import table


async def test_a_place_for_mail_is_looked_at(maildir: Maildir, tmp_path: Path):
    """Where mailboxes are, or will be made; nothing is made for it."""
    await maildir.check()
    assert everything(tmp_path) == []

    await deliver(maildir, "anna@example.org")
    await maildir.check()


async def test_mailboxes_that_are_not_ours_to_make(open_maildir: Open, tmp_path: Path):
    """A volume that is not there is a fault, and becomes none by being made."""
    maildir = open_maildir(createMailboxes="Never")
    with pytest.raises(Unavailable, match="No such file"):
        await maildir.check()
    assert everything(tmp_path) == []

    (tmp_path / "default").mkdir()
    await maildir.check()


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))


def take_inodes(disk: Path) -> None:
    with suppress(OSError):
        for number in range(1000):
            (disk / str(number)).touch()


def forbid_writing(disk: Path) -> None:
    remount(disk, "ro")


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize(
    "spoil, why",
    table(
        {
            "it is full": (fill, "No space left"),
            "it takes no more files": (take_inodes, "No space left"),
            "it takes no writing": (forbid_writing, "Read-only file system"),
        }
    ),
)
async def test_a_volume_that_takes_no_mail(open_maildir: Open, tmp_path: Path, spoil: Callable[[Path], None], why: str):
    with tmpfs(tmp_path / "disk", "size=1m,nr_inodes=50") as disk:
        maildir = open_maildir(disk)
        await maildir.check()
        spoil(disk)
        with pytest.raises(Unavailable, match=why):
            await maildir.check()
        remount(disk, "rw")
        make_room(disk)
        await maildir.check()


async def test_a_volume_that_hangs_is_looked_at_once(maildir: Maildir, monkeypatch: pytest.MonkeyPatch):
    """However often somebody asks, and leaves: no more than one thread hangs in it. No real disk hangs on demand."""
    answers, looks = threading.Event(), []

    def hang() -> None:
        looks.append(threading.current_thread())
        answers.wait(10)

    monkeypatch.setattr(maildir.mailboxes, "check", hang)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await maildir.check()
    assert len(looks) == 1
    answers.set()
    await maildir.check()
