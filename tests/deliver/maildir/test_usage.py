"""How much mailboxes take, counted on a real disk, and what is refused."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import shutil
import smtplib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailport.deliver.maildir import usage as mailbox_usage
from mailport.deliver.maildir.usage import MailboxesFull, MailboxUsage, octets_below
from tests.serving import eventually, serving

KIB, MIB = 1024, 1024 * 1024
PER_FILE = 24 * KIB  # of a message up to 4 KiB: its block, and five for the folders of a new mailbox


class Clock:
    """A clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


class SlowCount:
    """A count that has looked, and returns when it may: as on a volume that is slow."""

    def __init__(self) -> None:
        self.looked, self.go_on = threading.Event(), threading.Event()
        self.times = 0

    def __call__(self, folder: Path) -> int:
        self.times += 1
        octets = octets_below(folder)
        self.looked.set()
        assert self.go_on.wait(10)
        return octets


@pytest.fixture
def slow_count(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowCount]:
    counts = SlowCount()
    monkeypatch.setattr(mailbox_usage, "octets_below", counts)
    yield counts
    counts.go_on.set()


def put(root: Path, mailbox: str, octets: int) -> Path:
    """Write a file into a mailbox as a delivery does, durably: blocks are given out then."""
    folder = root / "example.org" / mailbox
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "new" / f"{len(list((folder / 'new').iterdir()))}"
    with path.open("wb") as file:
        file.write(os.urandom(octets))
        os.fsync(file.fileno())
    return path


def on_disk(root: Path) -> int:
    """What `du` says, and so the kubelet: the blocks of all files and folders."""
    answer = subprocess.run(["du", "--summarize", "--block-size=1", root], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[0]) - root.stat().st_blocks * 512


async def deliver(usage: MailboxUsage, root: Path, mailbox: str, octets: int) -> Path:
    async with usage.room_for(octets):
        return put(root, mailbox, octets)


@pytest.mark.both_loops
async def test_there_is_room_up_to_the_limit(tmp_path: Path):
    """Beyond it, as for a full disk: ENOSPC, which clients hear as 452 4.3.1."""
    usage = MailboxUsage(tmp_path, limit=3 * PER_FILE)
    for _ in range(3):
        async with usage.room_for(4 * KIB):
            pass
    with pytest.raises(MailboxesFull) as full:
        async with usage.room_for(1):
            pytest.fail("there is room")

    assert full.value.errno == errno.ENOSPC
    assert str(full.value).endswith(f"{tmp_path} has no room for 1 octets: its limit is {3 * PER_FILE}")


async def test_what_is_there_at_the_start_is_counted(tmp_path: Path):
    """As after a restart of the container, which leaves an emptyDir as it is."""
    put(tmp_path, "anna", 300 * KIB)
    usage = MailboxUsage(tmp_path, limit=400 * KIB)
    with pytest.raises(MailboxesFull):
        async with usage.room_for(100 * KIB):
            pytest.fail("there is room")
    async with usage.room_for(10 * KIB):
        pass


async def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path):
    """The first message makes it."""
    usage = MailboxUsage(tmp_path / "default", limit=MIB)
    async with usage.room_for(KIB):
        assert usage.octets == PER_FILE


async def test_each_recipients_file_takes_room(tmp_path: Path):
    """Ten files of a message, one over the limit: none of them is written."""
    usage = MailboxUsage(tmp_path, limit=9 * PER_FILE)
    with pytest.raises(MailboxesFull):
        async with usage.room_for(KIB, files=10):
            pytest.fail("there is room")
    async with usage.room_for(KIB, files=9):
        assert usage.octets == 9 * PER_FILE


async def test_messages_that_come_at_once_do_not_pass_the_limit_together(tmp_path: Path):
    """Each holds its room from before it is written."""
    usage = MailboxUsage(tmp_path, limit=10 * MIB)
    at_once, most = 0, 0

    async def message() -> bool:
        nonlocal at_once, most
        try:
            async with usage.room_for(MIB - PER_FILE):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.01)
                at_once -= 1
        except MailboxesFull:
            return False
        return True

    assert sum(await asyncio.gather(*(message() for _ in range(100)))) == 10
    assert most == 10


async def test_it_is_never_less_than_what_lies_on_the_disk(tmp_path: Path):
    """Small and large messages, in mailboxes of before and new ones, and counts in between: not below what du says."""
    chance = random.Random(9)
    clock = Clock()
    usage = MailboxUsage(tmp_path, limit=100 * MIB, now=clock)
    for _ in range(300):
        size = chance.choice((1, 700, 4 * KIB, 4 * KIB + 1, 70 * KIB))
        await deliver(usage, tmp_path, f"mailbox-{chance.randrange(100)}", size)
        clock.seconds += chance.choice((1, 300))
        if chance.randrange(10) == 0:
            assert usage.octets >= on_disk(tmp_path)
    await usage._count()  # or the one that has begun
    await usage._count()

    assert usage.octets == on_disk(tmp_path)


async def test_where_there_seems_to_be_no_room_it_is_counted_again(tmp_path: Path, clock: Clock):
    """Mail that somebody has deleted makes room for the very message that asks."""
    usage = MailboxUsage(tmp_path, limit=MIB, now=clock)
    path = await deliver(usage, tmp_path, "anna", 900 * KIB)
    path.unlink()
    clock.seconds += 11
    await deliver(usage, tmp_path, "anna", 900 * KIB)

    assert usage.octets <= MIB


async def test_it_is_not_counted_for_each_message_that_is_refused(tmp_path: Path, clock: Clock, slow_count: SlowCount):
    """But once in ten seconds, or twenty times as long as it takes: a full volume must not keep a processor busy."""
    put(tmp_path, "anna", 900 * KIB)
    usage = MailboxUsage(tmp_path, limit=MIB, now=clock)

    async def counts_of(messages: int) -> int:
        before = slow_count.times
        for _ in range(messages):
            with pytest.raises(MailboxesFull):
                async with usage.room_for(200 * KIB):
                    pytest.fail("there is room")
        return slow_count.times - before

    slow_count.go_on.set()
    assert await counts_of(100) == 1
    clock.seconds += 11
    assert await counts_of(100) == 1
    slow_count.go_on.clear()
    slow_count.looked.clear()
    clock.seconds += 11
    waiting = asyncio.create_task(counts_of(1))
    await asyncio.to_thread(slow_count.looked.wait, 10)
    clock.seconds += 3
    slow_count.go_on.set()
    assert await waiting == 1
    clock.seconds += 59
    assert await counts_of(1) == 0
    clock.seconds += 2
    assert await counts_of(1) == 1


async def test_an_old_count_is_made_anew_beside_the_mail(tmp_path: Path, clock: Clock, slow_count: SlowCount):
    """After ten minutes, and no message waits for it."""
    slow_count.go_on.set()
    usage = MailboxUsage(tmp_path, limit=MIB, now=clock)
    path = await deliver(usage, tmp_path, "anna", 500 * KIB)
    path.unlink()
    clock.seconds += 601
    slow_count.go_on.clear()
    await deliver(usage, tmp_path, "ben", KIB)
    assert usage.octets > 500 * KIB
    slow_count.go_on.set()
    await usage._count()

    assert slow_count.times == 2
    assert usage.octets < 200 * KIB


async def test_what_comes_while_it_is_counted_is_not_lost(tmp_path: Path, clock: Clock, slow_count: SlowCount):
    """The count has looked and not seen it, be it begun before the count or after."""
    slow_count.go_on.set()
    usage = MailboxUsage(tmp_path, limit=100 * MIB, now=clock)
    await deliver(usage, tmp_path, "anna", MIB)
    async with usage.room_for(MIB):
        slow_count.go_on.clear()
        slow_count.looked.clear()
        counting = asyncio.create_task(usage._count())
        await asyncio.to_thread(slow_count.looked.wait, 10)
        await deliver(usage, tmp_path, "ben", MIB)
        put(tmp_path, "cleo", MIB)
    slow_count.go_on.set()
    await counting

    assert usage.octets >= on_disk(tmp_path) > 3 * MIB
    await usage._count()
    assert usage.octets == on_disk(tmp_path)


async def test_a_message_that_was_not_delivered_takes_room_until_the_next_count(tmp_path: Path, clock: Clock):
    """What it left on the disk is not known; a count sees that there is nothing."""
    usage = MailboxUsage(tmp_path, limit=MIB, now=clock)
    with pytest.raises(OSError, match="Input/output"):
        async with usage.room_for(900 * KIB):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert usage.octets > 900 * KIB
    clock.seconds += 11
    async with usage.room_for(900 * KIB):
        pass


@pytest.mark.both_loops
async def test_the_event_loop_goes_on_while_it_is_counted(tmp_path: Path, slow_count: SlowCount):
    """And of several who wait for it, one that leaves leaves alone."""
    usage = MailboxUsage(tmp_path, limit=MIB)

    async def message() -> int:
        async with usage.room_for(KIB):
            return usage.octets

    first, second = asyncio.create_task(message()), asyncio.create_task(message())
    await asyncio.to_thread(slow_count.looked.wait, 10)
    first.cancel()
    await asyncio.wait([first])
    assert not second.done()
    slow_count.go_on.set()

    assert await second == PER_FILE
    assert first.cancelled()
    assert slow_count.times == 1


async def test_a_folder_that_cannot_be_looked_through_is_a_fault_of_ours(tmp_path: Path):
    """Not a full disk, and not an empty one: an OSError, which clients hear as 451. It is looked through again."""
    (tmp_path / "default").touch()
    usage = MailboxUsage(tmp_path / "default", limit=MIB)
    with pytest.raises(NotADirectoryError):
        async with usage.room_for(KIB):
            pytest.fail("it was counted")
    (tmp_path / "default").unlink()
    async with usage.room_for(KIB):
        assert usage.octets == PER_FILE


def test_a_link_is_counted_and_not_followed(tmp_path: Path):
    """What it leads to lies elsewhere."""
    folder, elsewhere = tmp_path / "default", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_bytes(os.urandom(MIB))
    (folder / "link").symlink_to(elsewhere)

    assert octets_below(folder) <= 4 * KIB


async def test_a_file_that_goes_while_it_is_counted_is_no_fault(tmp_path: Path):
    """Deliveries rename, and readers delete: here without an end, beside twenty counts."""
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            path = put(tmp_path, "anna", 1)
            path.rename(path.parent.parent / "cur" / path.name).unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        counts = [octets_below(tmp_path) for _ in range(20)]
    finally:
        stop.set()
        thread.join()

    assert max(counts) <= 10 * 4 * KIB


@pytest.mark.slow
def test_strangers_cannot_fill_the_disk(tmp_path: Path):
    """A real listener says 452 before the limit, also after a reload; mail for a claim goes on, and deleting helps."""
    claimed = {"name": "claimed", "recipients": ["*@kept.example.org"], "deliver": {"maildir": {"claimName": "kept"}}}
    strangers = {"name": "mail", "recipients": ["*@example.org"], "deliver": {"maildir": {}}}
    limit = 400 * KIB
    with serving(tmp_path, {"routes": [claimed, strangers]}, "--mailbox-limit=400Ki") as running:

        def send(recipient: str) -> tuple[int, bytes]:
            with smtplib.SMTP("127.0.0.1", running.port) as client:
                client.ehlo()
                client.mail("stranger@example.net")
                client.rcpt(recipient)
                return client.data(b"Subject: more\r\n\r\n" + (b"x" * 62 + b"\r\n") * 100)

        answers = [send(f"mailbox-{number}@example.org") for number in range(30)]
        taken = [code for code, _ in answers].index(452)

        assert {code for code, _ in answers[:taken]} == {250}
        assert answers[taken:] == [(452, b"4.3.1 insufficient system storage, try again later")] * (30 - taken)
        assert limit * 3 // 4 < on_disk(running.mail) <= limit
        assert send("anna@kept.example.org")[0] == 250
        running.change({"limits": {"maxErrors": 7}})
        assert send("anna@example.org")[0] == 452
        refused = running.logged(event="refused", reason="destination_unavailable")
        assert f"{running.mail} has no room for " in json.dumps(refused)
        shutil.rmtree(running.mail / "example.org")
        eventually(lambda: send("anna@example.org")[0] == 250, "there is room again", 30)
