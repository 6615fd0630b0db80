"""Deliveries that are committed together: who waits for whom, and whose failure is whose."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver.destination import Outcome, Receipt, Unavailable
from mailport.deliver.maildir import disk, file_steps, groups, sync
from mailport.deliver.maildir.delivery import Delivery
from mailport.deliver.maildir.destination import FEW_FILES, SMALL, Maildir
from mailport.deliver.maildir.groups import Groups, _Group
from mailport.deliver.maildir.message_file import MessageFile
from mailport.deliver.maildir.sync import Commit, VolumeSync, Way
from mailport.process.threads import Helpers
from tests.deliver.conftest import MESSAGE, deliver, files, finished, on_disk
from tests.tables import table

PEOPLE = [f"user{number}@example.org" for number in range(5)]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many deliveries each group has had."""
    committed: list[int] = []
    commit = _Group.commit

    def counted(group: _Group, how: Any) -> None:
        committed.append(len(group.deliveries))
        commit(group, how)

    monkeypatch.setattr(_Group, "commit", counted)
    return committed


@asynccontextmanager
async def busy(maildir: Maildir) -> AsyncGenerator[Callable[[int], Any]]:
    """Let the thread of the groups have something to do, until as many deliveries wait for it as `go_on` is told."""
    free = threading.Event()
    maildir.groups.threads.run(lambda: free.wait(30))

    async def go_on(waiting: int) -> None:
        async with asyncio.timeout(10):
            while maildir.groups._next is None or len(maildir.groups._next.deliveries) < waiting:  # noqa: ASYNC110
                await asyncio.sleep(0)
        free.set()

    try:
        yield go_on
    finally:
        free.set()


async def outcomes_of(delivering: list[asyncio.Task[Any]]) -> list[Outcome]:
    """Return one outcome a delivery, whether returned or raised."""
    ended = await asyncio.gather(*delivering, return_exceptions=True)
    return [one if isinstance(one, BaseException) else one[0] for one in ended]


# --- who waits for whom


@pytest.mark.both_loops
async def test_one_alone_goes_at_once(maildir: Maildir, sizes: list[int]):
    """Nobody waits for company that may not come."""
    for recipient in PEOPLE:
        await deliver(maildir, recipient)

    assert sizes == [1] * 5


@pytest.mark.both_loops
async def test_those_who_come_meanwhile_are_the_next_group(maildir: Maildir, sizes: list[int], tmp_path: Path):
    """However many come while the thread works, they cost what one costs."""
    async with busy(maildir) as go_on:
        delivering = [asyncio.create_task(deliver(maildir, recipient)) for recipient in PEOPLE]
        await go_on(5)
        outcomes = await outcomes_of(delivering)

    assert sizes == [5]
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert len(files(tmp_path)) == 5


@pytest.mark.parametrize("bound, most", table({"its files": ("MOST_FILES", 2), "its octets": ("MOST_OCTETS", 2 * 250)}))
async def test_a_group_is_bounded(
    maildir: Maildir, sizes: list[int], monkeypatch: pytest.MonkeyPatch, bound: str, most: int
):
    """By its files, which are open at once, and by its octets, for which its first waits."""
    assert 2 * 250 < 3 * len(on_disk(PEOPLE[0])) < 3 * 250
    monkeypatch.setattr(groups, bound, most)
    async with busy(maildir) as go_on:
        delivering = [asyncio.create_task(deliver(maildir, recipient)) for recipient in PEOPLE]
        await go_on(1)
        await asyncio.gather(*delivering)

    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    "recipients, content",
    table(
        {
            "a large message": (PEOPLE[:1], b"\r\n" + b"x" * SMALL),
            "one with many recipients": ([f"user{number}@example.net" for number in range(FEW_FILES + 1)], MESSAGE),
        }
    ),
)
async def test_what_takes_long_to_write_holds_up_no_small_message(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recipients: list[str], content: bytes
):
    """It is written beside the groups, and joins one when it is in tmp, durably."""
    await deliver(maildir, *PEOPLE)
    begun, go_on = threading.Event(), threading.Event()
    write = MessageFile.write_durably

    def slow(file: MessageFile, chunks: Any) -> None:
        begun.set()
        assert go_on.wait(30)
        write(file, chunks)

    monkeypatch.setattr(MessageFile, "write_durably", slow)
    long = asyncio.create_task(deliver(maildir, *recipients, content=content))
    assert await asyncio.to_thread(begun.wait, 10)
    for recipient in PEOPLE:
        await asyncio.wait_for(deliver(maildir, recipient), 10)
    assert not long.done()
    go_on.set()

    assert all(isinstance(outcome, Receipt) for outcome in await long)
    assert len(files(tmp_path)) == 2 * len(PEOPLE) + len(recipients)


# --- whose failure is whose


async def together(maildir: Maildir, *recipients: str) -> list[Outcome]:
    """Deliver a message to each of these in one group."""
    async with busy(maildir) as go_on:
        delivering = [asyncio.create_task(deliver(maildir, recipient)) for recipient in recipients]
        await go_on(len(recipients))
        return await outcomes_of(delivering)


@pytest.mark.parametrize(
    "owner, step, code, reply",
    table(
        {
            "its file cannot be made": (os, "open", 28, 452),
            "its file cannot be written": (os, "write", 28, 452),
            "its file cannot be synced": (os, "fdatasync", 5, 451),
            "it cannot be shown": (os, "rename", 5, 451),
        }
    ),
)
async def test_what_fails_of_one_is_its_own(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, code: int, reply: int
):
    """The others of its group arrive."""
    await deliver(maildir, *PEOPLE)
    before = files(tmp_path)
    whole, calls = getattr(owner, step), itertools.count(1)

    def failing(*args: Any, **options: Any) -> Any:
        if threading.current_thread().name == "maildir" and next(calls) == 3:
            raise OSError(code, os.strerror(code))
        return whole(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, failing)
        outcomes = await together(maildir, *PEOPLE)
    failed = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]

    assert [outcome.reply.code for outcome in failed] == [reply]
    assert len(files(tmp_path)) == len(before) + 4
    assert {outcome.text for outcome in outcomes if isinstance(outcome, Receipt)} < {str(p) for p in files(tmp_path)}


async def test_a_folder_that_cannot_be_synced_fails_those_who_are_in_it(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two messages of anna's are taken back, bert's stays."""
    await deliver(maildir, *PEOPLE[:2])
    whole = disk.sync_folder

    def failing(folder: bytes) -> None:
        if folder.endswith(b"user0/new"):
            raise OSError(5, "Input/output error")
        whole(folder)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync_folder", failing)
        outcomes = await together(maildir, PEOPLE[0], PEOPLE[1], PEOPLE[0])

    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [False, True, False]
    assert len(files(tmp_path)) == 3


class _ADisk:
    """In place of a volume of its own: syncfs that fails when it is told to. No real disk fails just here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, maildir: Maildir) -> None:
        self.calls, self.fails_at = 0, 0
        maildir.groups.commit = Commit(Way.VOLUME)
        monkeypatch.setattr(disk, "syncfs", self._syncfs)

    def _syncfs(self, fd: int) -> None:
        os.fstat(fd)  # it is open
        self.calls += 1
        if self.calls == self.fails_at:
            raise OSError(5, "Input/output error")


@pytest.mark.parametrize("call", table({"when they are written": (1,), "when they are shown": (2,)}))
async def test_a_volume_that_cannot_be_synced_fails_all(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
):
    """Whose octets were lost is not said: 451 for each, and none of them is left."""
    await deliver(maildir, *PEOPLE)
    before, volume = files(tmp_path), _ADisk(monkeypatch, maildir)
    volume.fails_at = call
    outcomes = await together(maildir, *PEOPLE)

    assert [outcome.reply.code for outcome in outcomes if isinstance(outcome, Unavailable)] == [451] * 5
    assert files(tmp_path) == before
    assert all(isinstance(outcome, Receipt) for outcome in await together(maildir, *PEOPLE))


def use_journal(maildir: Maildir) -> None:
    """Take the file system for one that keeps octets and names in order, whatever this machine's is."""
    maildir.groups.commit = Commit(Way.JOURNAL, maildir.mailboxes.root.stat().st_dev)


async def test_what_cannot_be_written_out_is_its_own(maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk does not take the octets of one, and the others are there."""
    await deliver(maildir, *PEOPLE)
    before, write_out = files(tmp_path), disk.write_out
    use_journal(maildir)

    def fails(fd: int) -> None:
        if "user1" in Path(f"/proc/self/fd/{fd}").readlink().parts:
            raise OSError(5, "Input/output error")
        write_out(fd)

    monkeypatch.setattr(disk, "write_out", fails)
    outcomes = await together(maildir, *PEOPLE)

    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, False, True, True, True]
    assert len(files(tmp_path)) == len(before) + 4


@pytest.mark.parametrize(
    "error, broken, taken",
    table(
        {
            "the last one's folder is gone": (FileNotFoundError(2, "gone"), "user4", [True, True, True, True, False]),
            "another's is, which needs no sync": (FileNotFoundError(2, "gone"), "user1", [True] * 5),
            "the disk fails, and would say so once": (OSError(5, "Input/output error"), "user4", [False] * 5),
        }
    ),
)
async def test_a_journal_that_cannot_be_synced(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, broken: str, taken: list[bool]
):
    """Where a mailbox was removed, the others have theirs; a failure of the disk is everybody's. Nothing is left."""
    await deliver(maildir, *PEOPLE)
    before, whole = files(tmp_path), disk.sync_folder
    use_journal(maildir)

    def failing(folder: bytes) -> None:
        if broken in str(folder):
            raise error
        whole(folder)

    monkeypatch.setattr(disk, "sync_folder", failing)
    outcomes = await together(maildir, *PEOPLE)

    assert [isinstance(outcome, Receipt) for outcome in outcomes] == taken
    assert len(files(tmp_path)) == len(before) + sum(taken)


@pytest.mark.parametrize("way", [Way.VOLUME, Way.JOURNAL])
async def test_a_mailbox_that_lies_elsewhere_is_synced_there(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
):
    """One of a group may be linked or mounted from another file system: then each file and folder is synced."""
    await deliver(maildir, *PEOPLE)
    volume = _ADisk(monkeypatch, maildir)
    if way is Way.JOURNAL:
        use_journal(maildir)
    create, durable, each, folders, whole = file_steps.STEPS.create, [], MessageFile.sync, [], disk.sync_folder

    def elsewhere(made: Sequence[MessageFile]) -> None:
        create(made)
        for file in made:
            file.device += b"user3" in file.path

    monkeypatch.setattr(file_steps.STEPS, "create", elsewhere)
    monkeypatch.setattr(MessageFile, "sync", lambda file: (durable.append(file), each(file)))
    monkeypatch.setattr(disk, "sync_folder", lambda folder: (folders.append(folder), whole(folder)))
    await together(maildir, *PEOPLE)
    assert (volume.calls, len(folders), len(durable)) == (0, 5, 5)

    await together(maildir, *PEOPLE[:3])
    assert (volume.calls, len(folders), len(durable)) == ((2, 5, 5) if way is Way.VOLUME else (0, 6, 5))


async def test_a_volume_is_opened_before_the_first_file_is_written(maildir: Maildir, monkeypatch: pytest.MonkeyPatch):
    """An error between the two would be reported to nobody (syncfs(2))."""
    await deliver(maildir, *PEOPLE)
    _ADisk(monkeypatch, maildir)
    done = []
    make, create = VolumeSync.__init__, file_steps.STEPS.create

    def opened(volume: VolumeSync, *args: Any) -> None:
        done.append("open")
        make(volume, *args)

    def written(made: Sequence[MessageFile]) -> None:
        done.append("write")
        create(made)

    monkeypatch.setattr(sync.VolumeSync, "__init__", opened)
    monkeypatch.setattr(file_steps.STEPS, "create", written)
    await together(maildir, *PEOPLE)

    assert done == ["open", "write"]


@pytest.mark.both_loops
async def test_who_is_given_up_takes_nothing_from_the_others(maildir: Maildir, tmp_path: Path):
    """A delivery that is cancelled while it waits is never written; those beside it arrive."""
    await deliver(maildir, *PEOPLE)
    async with busy(maildir) as go_on:
        delivering = [asyncio.create_task(deliver(maildir, recipient)) for recipient in PEOPLE]
        while maildir.groups._next is None or len(maildir.groups._next.deliveries) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0)
        delivering[2].cancel()
        await asyncio.wait(delivering[2:3])
        await go_on(5)
        outcomes = await outcomes_of(delivering)
    await finished(maildir)

    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, True, False, True, True]
    assert len(files(tmp_path)) == 5 + 4


async def test_a_group_that_finds_no_thread_is_no_trap(maildir: Maildir, monkeypatch: pytest.MonkeyPatch):
    """Where the host gives no thread the message is 451, and the next one finds no group that nobody works."""

    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        with pytest.raises(Unavailable, match="no thread can be started"):
            await deliver(maildir, PEOPLE[0])
    [outcome] = await deliver(maildir, PEOPLE[0])

    assert isinstance(outcome, Receipt)


def test_a_delivery_ends_once(maildir: Maildir):
    """The error of its first failure is what its sender's log has."""
    anna = Address.parse(PEOPLE[0])

    class Whole:
        def length(self, *, final: bool) -> int:
            return 1

    delivery = Delivery(Whole(), [MessageFile(maildir.mailboxes, b"/nowhere/anna", anna)])  # type: ignore[arg-type]
    delivery.fail(OSError("first"))
    delivery.fail(OSError("second"))

    assert str(delivery.error) == "first"
    assert delivery.folders() == set()


# --- helpers


def test_helpers_share_the_work():
    """Each thing is worked on once, by several threads at a time, and all of it is done when `each` returns."""
    helpers, at_once, done = Helpers(3, "test"), threading.Barrier(4), []

    def work(number: int) -> None:
        if number < 4:
            at_once.wait(10)  # the caller and three helpers meet here
        done.append(number)

    helpers.each(work, range(20))
    helpers.close()

    assert sorted(done) == list(range(20))


def test_the_caller_works_alone_where_there_are_no_threads(monkeypatch: pytest.MonkeyPatch):
    """A host that gives no thread makes it slower, and no more."""

    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    done: list[int] = []
    Helpers(3, "test").each(done.append, range(20))

    assert done == list(range(20))


async def test_the_groups_of_one_claim_have_one_thread(maildir: Maildir, sizes: list[int], tmp_path: Path):
    """Routes into the same claim have their groups in common, until the last of them is closed."""
    other = Maildir(model.Maildir(quarantineFolder="Spam"), tmp_path)
    async with busy(maildir) as go_on:
        delivering = [asyncio.create_task(deliver(one, PEOPLE[0])) for one in (maildir, other)]
        await go_on(2)
        await outcomes_of(delivering)
    threads = maildir.groups.threads
    await other.close()

    assert sizes == [2]
    assert threads._most == len(threads._threads) == 1
    await maildir.close()
    assert not threads._threads


def test_what_is_synced_in_another_way_is_no_group_of_theirs(maildir: Maildir, tmp_path: Path):
    """Nor is what lies in another claim."""
    root = maildir.mailboxes.root
    commit = maildir.groups.commit
    assert Groups.of(root, commit) is maildir.groups

    assert Groups.of(root, Commit(Way.VOLUME)) is not maildir.groups
    assert Groups.of(tmp_path / "other", commit) is not maildir.groups


@pytest.mark.parametrize("error", [IndexError, MemoryError])
def test_what_fails_in_a_helper_is_heard(error: type[Exception]):
    """Whatever it is, and in whichever thread: else 250 would be said for what was never synced."""
    helpers, at_once, done = Helpers(3, "test"), threading.Barrier(4), []
    caller = threading.current_thread()

    def work(_: int) -> None:
        at_once.wait(5)  # each thread has one
        if threading.current_thread() is not caller:
            raise error("of a helper")
        done.append(1)

    for _ in range(2):  # and the threads are there for the next group
        with pytest.raises(error, match="of a helper"):
            helpers.each(work, range(4))
    helpers.close()

    assert done == [1, 1]
