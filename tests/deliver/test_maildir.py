"""What arrives, in whose mailbox, and what is left when it does not."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import pytest

from mailport.address import Address
from mailport.deliver import maildir as maildir_module
from mailport.deliver import sync
from mailport.deliver.delivery import Receipt, Unavailable
from mailport.deliver.maildir import BUFFER, Maildir
from mailport.deliver.message_file import MessageFile
from tests.deliver.conftest import ENVELOPE, MESSAGE, Open, begin, deliver, files, needs_root
from tests.tables import table

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * (5 * BUFFER // 17)  # its pieces end between CR and LF, too


@pytest.mark.both_loops
async def test_a_message_arrives_as_it_came(maildir: Maildir, tmp_path: Path):
    """The file is the message with LF, behind a Delivered-To of the address as the sender wrote it."""
    receipt = await deliver(maildir, "Anna+Shop@Example.org")
    [path] = files(tmp_path)

    assert path.parent == tmp_path / "default/example.org/anna/new"
    assert path.read_bytes() == b"Delivered-To: Anna+Shop@Example.org\n" + MESSAGE.replace(b"\r\n", b"\n")
    assert receipt.text == str(path)


@pytest.mark.both_loops
async def test_a_large_message_goes_to_disk_as_it_comes(maildir: Maildir, tmp_path: Path):
    """Before the end of DATA most of it is in tmp already; afterwards it is whole, in new."""
    delivery = await begin(maildir, "anna@example.org", content=LARGE)
    [path] = files(tmp_path)

    assert path.parent.name == "tmp"
    assert path.stat().st_size > 3 * BUFFER
    await delivery.prepare()
    await delivery.commit()
    [path] = files(tmp_path)
    assert path.read_bytes() == b"Delivered-To: anna@example.org\n" + LARGE.replace(b"\r\n", b"\n")
    assert path.name.endswith(f",S={path.stat().st_size},W={len(LARGE) + len('Delivered-To: anna@example.org') + 2}")


async def test_a_message_of_any_size_needs_the_same_memory(maildir: Maildir):
    """32 MiB go through less than 2 MiB."""
    delivery = await begin(maildir, "anna@example.org", content=b"")
    chunk = (b"x" * 126 + b"\r\n") * 512
    tracemalloc.start()
    try:
        for _ in range(512):
            await delivery.write(chunk)
        await delivery.commit()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2 * 1024 * 1024


async def test_line_ends_may_be_cut_anywhere(maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However the content is cut into pieces, also between CR and LF, the file is the same."""
    monkeypatch.setattr(maildir_module, "BUFFER", 1)  # each piece goes to disk at once
    content = b"a\r\n\r\nb\r\n"
    for cuts in itertools.product((False, True), repeat=len(content) - 1):
        delivery = await begin(maildir, "anna@example.org", content=b"")
        places = [0, *(place for place, cut in enumerate(cuts, start=1) if cut), len(content)]
        for start, end in itertools.pairwise(places):
            await delivery.write(content[start:end])
        await delivery.commit()

    assert {path.read_bytes() for path in files(tmp_path)} == {b"Delivered-To: anna@example.org\na\n\nb\n"}


@pytest.mark.parametrize(
    "content, on_disk",
    table(
        {
            "an empty message": (b"", b""),
            "no line end at the end": (b"a\r\nb", b"a\nb"),
            "octets that are no text": (bytes(range(14, 256)) + b"\r\n", bytes(range(14, 256)) + b"\n"),
        }
    ),
)
async def test_odd_contents_are_kept(maildir: Maildir, tmp_path: Path, content: bytes, on_disk: bytes):
    """Nothing is lost where a message does not end as it should."""
    await deliver(maildir, "anna@example.org", content=content)
    [path] = files(tmp_path)

    assert path.read_bytes() == b"Delivered-To: anna@example.org\n" + on_disk


@pytest.mark.parametrize("content", table({"small": MESSAGE, "large": LARGE}))
async def test_each_recipient_has_a_file_that_tells_of_no_other(maildir: Maildir, tmp_path: Path, content: bytes):
    """A hundred recipients get a hundred files; each names its own recipient, and no blind copy is told."""
    recipients = [f"user{number}@example.org" for number in range(100)]
    await deliver(maildir, *recipients, content=content)

    for number, recipient in enumerate(recipients):
        [path] = files(tmp_path / f"default/example.org/user{number}")
        assert path.read_bytes() == f"Delivered-To: {recipient}\n".encode() + content.replace(b"\r\n", b"\n")
        assert path.stat().st_nlink == 1


@pytest.mark.parametrize(
    "recipients, heads",
    table(
        {
            "two addresses of one mailbox are two recipients": (
                ("anna@example.org", "anna+shop@example.org"),
                {b"Delivered-To: anna@example.org", b"Delivered-To: anna+shop@example.org"},
            ),
            "the same address twice is one, as first written": (
                ("Anna@example.org", "anna@EXAMPLE.org"),
                {b"Delivered-To: Anna@example.org"},
            ),
        }
    ),
)
async def test_a_mailbox_may_be_reached_twice(
    maildir: Maildir, tmp_path: Path, recipients: tuple[str, str], heads: set[bytes]
):
    """A subaddress that was written to on its own is not lost, as a filter may sort by it; a mere repetition is."""
    await deliver(maildir, *recipients)
    found = [path.read_bytes().partition(b"\n")[0] for path in files(tmp_path / "default/example.org/anna/new")]

    assert len(found) == len(heads)
    assert set(found) == heads


@pytest.mark.parametrize("prepared", table({"before prepare": False, "after prepare": True}))
@pytest.mark.parametrize("content", table({"a small message": MESSAGE, "a large message": LARGE}))
async def test_an_aborted_message_leaves_nothing(maildir: Maildir, tmp_path: Path, content: bytes, prepared: bool):
    """An aborted delivery leaves no file, however far it came; a second abort finds nothing to do."""
    delivery = await begin(maildir, "anna@example.org", "bert@example.org", content=content)
    if prepared:
        await delivery.prepare()
    await delivery.abort()
    await delivery.abort()

    assert files(tmp_path) == []


async def test_an_abort_after_the_promise_takes_nothing_back(maildir: Maildir, tmp_path: Path):
    """Once commit has returned, the message stays."""
    delivery = await begin(maildir, "anna@example.org")
    await delivery.commit()
    await delivery.abort()

    assert len(files(tmp_path)) == 1


async def test_a_failed_rename_takes_back_the_others(maildir: Maildir, tmp_path: Path):
    """Where the second of three files cannot arrive, the first is taken back, and nobody gets the message."""
    recipients = ("anna@example.org", "bert@example.org", "carl@example.org")
    await deliver(maildir, *recipients)
    before = files(tmp_path)
    new = tmp_path / "default/example.org/bert/new"
    new.rename(new.with_name("old"))
    new.write_bytes(b"in the way")

    with pytest.raises(Unavailable) as unavailable:
        await deliver(maildir, *recipients)

    assert (unavailable.value.code, unavailable.value.reason) == (451, "destination_unavailable")
    new.unlink()
    new.with_name("old").rename(new)
    assert files(tmp_path) == before


async def test_a_failed_sync_takes_back_all(maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What may not survive a crash is not promised: it leaves `new` again, and the sender keeps it."""

    def fail(folder: bytes) -> None:  # a stand-in: a disk that fails just here is not to be had in a test
        raise OSError(5, "Input/output error", folder)

    monkeypatch.setattr(sync, "sync_folder", fail)
    with pytest.raises(Unavailable, match="Input/output error") as unavailable:
        await deliver(maildir, "anna@example.org", "bert@example.org")

    assert unavailable.value.code == 451
    assert files(tmp_path) == []


async def test_a_failed_delivery_stays_failed(maildir: Maildir, tmp_path: Path):
    """After a step has failed, no other leaves a part of the message behind."""
    (tmp_path / "default").touch()
    delivery = await begin(maildir, "anna@example.org")
    with pytest.raises(Unavailable):
        await delivery.prepare()
    (tmp_path / "default").unlink()

    with pytest.raises(Unavailable):
        await delivery.commit()
    assert files(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", request.param, "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m,nr_inodes=100", disk], check=True)


@needs_root
@pytest.mark.parametrize(
    "small_disk, content",
    table(
        {
            "a small message, one block too long": ("size=16k", b"x" * 20_000),
            "a large message, full while it arrives": ("size=512k", LARGE),
            "no inode for the file": ("size=1m,nr_inodes=7", MESSAGE),
            "no inode for the mailbox": ("size=1m,nr_inodes=4", MESSAGE),
        }
    ),
    indirect=["small_disk"],
)
async def test_a_full_disk_is_452(open_maildir: Open, small_disk: Path, content: bytes):
    """The sender is told to come back; nothing is left behind; and once there is room, mail arrives."""
    maildir = open_maildir(small_disk)
    for _ in range(2):
        with pytest.raises(Unavailable) as unavailable:
            await deliver(maildir, "anna@example.org", content=content)
        assert (unavailable.value.code, unavailable.value.enhanced) == (452, "4.3.1")
        assert unavailable.value.reason == "destination_unavailable"
        assert files(small_disk) == []

    make_room(small_disk)
    await deliver(maildir, "anna@example.org", content=content)
    assert len(files(small_disk)) == 1


class Gate:
    """Holds a step of every delivery until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, step: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._step = getattr(owner, step)
        monkeypatch.setattr(owner, step, self._held())

    def _held(self) -> Callable[..., None]:
        def hold(*args: object) -> None:  # a function, and so a method where the step is one
            self.reached.set()
            assert self.opened.wait(10)
            self._step(*args)

        return hold

    async def cancel(self, committing: asyncio.Task[Receipt]) -> None:
        """Cancel a commit that has come here."""
        assert await asyncio.to_thread(self.reached.wait, 10)
        committing.cancel()
        with suppress(asyncio.CancelledError):
            await committing


def arrival(folder: Path) -> Path:
    """Wait for the file that arrives in a folder."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if found := files(folder):
            return found[0]
        time.sleep(0.005)
    pytest.fail(f"nothing arrives in {folder}")


steps = pytest.mark.parametrize(
    "owner, step",
    table(
        {
            "while its file is synced": (MessageFile, "finish"),
            "while its file is moved": (MessageFile, "move"),
            "while `new` is synced": (sync, "sync_folder"),
        }
    ),
)


@pytest.mark.both_loops
@steps
async def test_a_cancelled_commit_ends_whole(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str
):
    """A commit whose caller is gone goes on in its thread, and the message arrives."""
    gate = Gate(monkeypatch, owner, step)
    delivery = await begin(maildir, "anna@example.org")
    await gate.cancel(asyncio.create_task(delivery.commit()))
    gate.opened.set()
    arrived = await asyncio.to_thread(arrival, tmp_path / "default/example.org/anna/new")

    assert files(tmp_path) == [arrived]
    assert arrived.read_bytes().endswith(b"last line\n")


@pytest.mark.both_loops
@steps
async def test_a_cancelled_commit_can_be_aborted(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str
):
    """While commit has not returned, abort takes back even what is in new: the sender will send it again."""
    gate = Gate(monkeypatch, owner, step)
    delivery = await begin(maildir, "anna@example.org")
    await gate.cancel(asyncio.create_task(delivery.commit()))
    aborting = asyncio.create_task(delivery.abort())
    await asyncio.sleep(0)
    gate.opened.set()
    await aborting

    assert files(tmp_path) == []


async def test_the_event_loop_turns_while_disks_are_slow(maildir: Maildir, monkeypatch: pytest.MonkeyPatch):
    """A disk that takes its time holds up its own messages, and nothing else."""
    gate = Gate(monkeypatch, sync, "sync_folder")
    committing = [asyncio.create_task((await begin(maildir, "anna@example.org")).commit()) for _ in range(5)]
    assert await asyncio.to_thread(gate.reached.wait, 10)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not any(task.done() for task in committing)

    gate.opened.set()
    await asyncio.gather(*committing)


async def test_a_recipient_may_come_without_any_content(maildir: Maildir, tmp_path: Path):
    """A session that ends after RCPT has nothing to undo."""
    delivery = await maildir.open(ENVELOPE)
    await delivery.rcpt(Address.parse("anna@example.org"))
    await delivery.abort()

    assert files(tmp_path) == []
