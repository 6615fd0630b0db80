"""What arrives, in whose mailbox, and what is left when it does not."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.destination import Receipt, Unavailable
from mailport.deliver.maildir import disk, message_file, sync
from mailport.deliver.maildir.destination import MOST_THREADS, Maildir
from mailport.deliver.maildir.message_file import MessageFile, show
from mailport.message.content import MEMORY_OF_ONE, Content, Space
from mailport.message.message import Message
from mailport.process.threads import STALL_SECONDS
from tests.deliver.conftest import MESSAGE, Open, deliver, files, finished, held, on_disk
from tests.disks import make_room, needs_root, open_descriptors, tmpfs
from tests.messages import message, trace_of_mailbox
from tests.tables import table

ANNA, BERT, CARL = "anna@example.org", "bert@example.org", "carl@example.org"
# Held in scratch, and read in pieces that end between CR and LF, too.
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * (2 * MEMORY_OF_ONE // 17)


@pytest.mark.both_loops
async def test_a_message_arrives_as_it_came(maildir: Maildir, tmp_path: Path):
    """The file is the message with LF, behind our trace fields, with a Delivered-To as the sender wrote it."""
    outcomes = await deliver(maildir, "Anna+Shop@Example.org")
    [path] = files(tmp_path)

    assert path.parent == tmp_path / "default/example.org/anna/new"
    assert path.read_bytes() == on_disk("Anna+Shop@Example.org")
    assert outcomes == [Receipt(str(path))]


@pytest.mark.both_loops
async def test_a_large_message_arrives_from_scratch(maildir: Maildir, tmp_path: Path):
    """It is whole, and its name has its size on disk, and that with CRLF."""
    async with held(LARGE) as whole:
        assert whole._content.in_scratch
        await maildir.deliver(whole, [Address.parse(ANNA)])
    [path] = files(tmp_path)

    assert path.read_bytes() == on_disk(ANNA, LARGE)
    with_crlf = len(trace_of_mailbox(ANNA)) + len(LARGE)
    assert path.name.endswith(f",S={path.stat().st_size},W={with_crlf}")


async def test_a_message_of_any_size_needs_the_same_memory(maildir: Maildir, tmp_path: Path):
    """32 MiB, from the network to the mailbox, go through less than 3 MiB."""
    space = Space(tmp_path)
    await deliver(maildir, ANNA)  # threads and folders are there
    chunk = b"Subject: x\r\n\r\n" + b"x" * 65_534 + b"\r\n"
    tracemalloc.start()
    try:
        content = Content(space, "192.0.2.1")
        for _ in range(512):
            await content.append(bytes(chunk))
        await maildir.deliver(await message(content), [Address.parse(ANNA)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    content.close()
    space.close()

    assert peak < 3 * 1024 * 1024
    assert max(path.stat().st_size for path in files(tmp_path)) > 32 * 1024 * 1024


async def test_line_ends_may_be_cut_anywhere(maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However the content is cut into pieces, also between CR and LF, the file is the same."""
    monkeypatch.setattr(message_file, "_PIECE", 1)  # each piece goes to disk at once
    content, anna = b"a\r\n\r\nb\r\n", Address.parse(ANNA)
    for cuts in itertools.product((False, True), repeat=len(content) - 1):
        places = [0, *(place for place, cut in enumerate(cuts, start=1) if cut), len(content)]
        file = MessageFile(maildir.mailboxes, maildir.mailboxes.path(anna), anna)
        file.write_durably([content[start:end] for start, end in itertools.pairwise(places)])
        show([file])

    assert len(files(tmp_path)) == 2 ** (len(content) - 1)
    assert {path.read_bytes() for path in files(tmp_path)} == {b"a\n\nb\n"}


@pytest.mark.parametrize(
    "content, as_delivered",
    table(
        {
            "an empty message": (b"", b""),
            "a header section, and no more": (b"Subject: x\r\n", b"Subject: x\r\n"),
            "no line end at the end": (b"\r\na\r\nb", b"\r\na\r\nb"),
            "octets that are no text": (b"\r\n" + bytes(range(14, 256)), b"\r\n" + bytes(range(14, 256))),
            "text without a header section": (b" Alarm 7\r\n", b"\r\n Alarm 7\r\n"),
            "an earlier Return-Path": (b"Return-Path: <x@y>\r\nA: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
            "results that claim to be ours": (b"Authentication-Results: mx.example.org; dmarc=pass\r\n\r\n", b"\r\n"),
            "what reading from a mbox file leaves": (b"From x\r\nA: b\r\n", b"X-Mailbox-Line: From x\r\nA: b\r\n"),
        }
    ),
)
async def test_odd_contents_are_kept(maildir: Maildir, tmp_path: Path, content: bytes, as_delivered: bytes):
    """Nothing is lost where a message does not end as it should; its header section is as replies.md has it."""
    await deliver(maildir, ANNA, content=content)
    [path] = files(tmp_path)

    assert path.read_bytes() == on_disk(ANNA, as_delivered)


@pytest.mark.parametrize("content", table({"small": MESSAGE, "large": LARGE}))
async def test_each_recipient_has_a_file_that_tells_of_no_other(maildir: Maildir, tmp_path: Path, content: bytes):
    """A hundred recipients get a hundred files; each names its own recipient, and no blind copy is told."""
    recipients = [f"user{number}@example.org" for number in range(100)]
    outcomes = await deliver(maildir, *recipients, content=content)

    for number, (recipient, outcome) in enumerate(zip(recipients, outcomes, strict=True)):
        [path] = files(tmp_path / f"default/example.org/user{number}")
        assert path.read_bytes() == on_disk(recipient, content)
        assert path.stat().st_nlink == 1
        assert outcome == Receipt(str(path))


async def test_a_mailbox_may_be_reached_twice(maildir: Maildir, tmp_path: Path):
    """A subaddress that was written to on its own is not lost, as a filter may sort by it."""
    await deliver(maildir, "anna@example.org", "anna+shop@example.org")
    found = [path.read_bytes() for path in files(tmp_path / "default/example.org/anna/new")]

    assert len(found) == 2
    assert set(found) == {on_disk("anna@example.org"), on_disk("anna+shop@example.org")}


async def test_a_message_may_be_delivered_again(maildir: Maildir, tmp_path: Path):
    """The content is given out as often as a destination asks: two routes may have one."""
    async with held(LARGE) as whole:
        for recipient in (ANNA, BERT):
            await maildir.deliver(whole, [Address.parse(recipient)])

    assert [path.read_bytes() for path in files(tmp_path)] == [on_disk(ANNA, LARGE), on_disk(BERT, LARGE)]


# --- a step that fails


async def test_a_failed_rename_takes_back_the_others(maildir: Maildir, tmp_path: Path):
    """Where the second of three files cannot arrive, the first is taken back, and nobody gets the message."""
    await deliver(maildir, ANNA, BERT, CARL)
    before = files(tmp_path)
    new = tmp_path / "default/example.org/bert/new"
    new.rename(new.with_name("old"))
    new.write_bytes(b"in the way")

    with pytest.raises(Unavailable) as unavailable:
        await deliver(maildir, ANNA, BERT, CARL)

    assert (unavailable.value.reply.code, unavailable.value.reply.reason) == (451, "destination_unavailable")
    new.unlink()
    new.with_name("old").rename(new)
    assert files(tmp_path) == before


STEPS = {
    "its file is made": (os, "open"),
    "its file is written": (os, "write"),
    "its file is made durable": (os, "fdatasync"),
    "its file is closed, as NFS may say only then": (os, "close"),
    "it is shown": (os, "rename"),
    "`new` is made durable": (disk, "sync_folder"),
}
steps = pytest.mark.parametrize("owner, step", table(STEPS))


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, call: int, code: int) -> None:
    """Let one call of a step report an error. A stand-in: a disk that fails just here is not to be had in a test."""
    whole, calls = getattr(owner, step), itertools.count(1)

    def failing(*args: Any, **options: Any) -> Any:
        fails = threading.current_thread().name == "maildir" and next(calls) == call
        if fails and step != "close":
            raise OSError(code, os.strerror(code))
        result = whole(*args, **options)  # a close that reports an error has closed all the same
        if fails:
            raise OSError(code, os.strerror(code))
        return result

    monkeypatch.setattr(owner, step, failing)


@pytest.mark.parametrize("call", table({"of the first recipient": 1, "of the last recipient": 2}))
@steps
async def test_what_fails_is_taken_back(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, call: int
):
    """Whichever step fails: 451, no file is left in tmp or in new, no descriptor is, and the next attempt arrives."""
    await deliver(maildir, ANNA, BERT)
    before, descriptors = files(tmp_path), open_descriptors()

    with monkeypatch.context() as patch:
        fail_at(patch, owner, step, call, 5)
        with pytest.raises(Unavailable, match="Input/output error") as unavailable:
            await deliver(maildir, ANNA, BERT)

    assert unavailable.value.reply.code == 451
    assert files(tmp_path) == before
    assert open_descriptors() == descriptors
    await deliver(maildir, ANNA, BERT)
    assert len(files(tmp_path)) == len(before) + 2


@pytest.mark.parametrize("code, reply", table({"a full disk": (28, (452, "4.3.1")), "a quota": (122, (452, "4.3.1"))}))
@steps
async def test_a_disk_may_say_late_that_it_is_full(
    maildir: Maildir,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    step: str,
    code: int,
    reply: tuple[int, str],
):
    """Delayed allocation finds out at fsync, NFS at close: it is 452 all the same."""
    await deliver(maildir, ANNA)
    before = files(tmp_path)
    fail_at(monkeypatch, owner, step, 1, code)

    with pytest.raises(Unavailable) as unavailable:
        await deliver(maildir, ANNA)

    assert (unavailable.value.reply.code, unavailable.value.reply.enhanced) == reply
    assert files(tmp_path) == before


async def test_a_content_that_cannot_be_read_is_not_delivered(maildir: Maildir, tmp_path: Path):
    """Where scratch fails under a message, no part of it arrives."""
    async with held(LARGE) as whole:
        os.truncate(f"/proc/self/fd/{whole._content._file.fileno()}", len(LARGE) // 2)
        with pytest.raises(Unavailable, match="shorter"):
            await maildir.deliver(whole, [Address.parse(ANNA)])

    assert files(tmp_path) == []


async def test_a_fault_of_ours_leaves_nothing(maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is no error of the disk goes up as it is, and takes the message back all the same."""

    def broken(files: Sequence[MessageFile]) -> None:
        raise RuntimeError(len(files))

    await deliver(maildir, ANNA)
    before = files(tmp_path)
    monkeypatch.setattr(sync, "show", broken)

    with pytest.raises(RuntimeError):
        await deliver(maildir, ANNA)
    await finished(maildir)
    assert files(tmp_path) == before


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Path]:
    with tmpfs(tmp_path / "disk", request.param) as disk:
        yield disk


@needs_root
@pytest.mark.parametrize(
    "small_disk, content",
    table(
        {
            "a small message, one block too long": ("size=16k", b"\r\n" + b"x" * 20_000),
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
            await deliver(maildir, ANNA, content=content)
        assert (unavailable.value.reply.code, unavailable.value.reply.enhanced) == (452, "4.3.1")
        assert unavailable.value.reply.reason == "destination_unavailable"
        assert files(small_disk) == []

    make_room(small_disk)
    await deliver(maildir, ANNA, content=content)
    assert [path.read_bytes() for path in files(small_disk)] == [on_disk(ANNA, content)]


# --- a step that hangs


class Gate:
    """Holds a step of every delivery until it is opened: a volume that hangs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._step = getattr(owner, step)
        monkeypatch.setattr(owner, step, self._held())

    def _held(self) -> Callable[..., Any]:
        def hold_up(*args: Any, **options: Any) -> Any:
            if threading.current_thread().name == "maildir":
                self.reached.set()
                assert self.opened.wait(30)
            return self._step(*args, **options)

        return hold_up

    async def wait(self) -> None:
        """Wait until a delivery has come here."""
        assert await asyncio.to_thread(self.reached.wait, 10)


@asynccontextmanager
async def hanging(
    maildir: Maildir, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> AsyncGenerator[tuple[Gate, Message]]:
    """Give a gate at a step and a message; afterwards the gate is open, and all has come to its end."""
    await deliver(maildir, ANNA, BERT)  # its mailboxes are there
    async with held(MESSAGE) as whole:
        with monkeypatch.context() as patch:
            gate = Gate(patch, owner, step)
            try:
                yield gate, whole
            finally:
                gate.opened.set()
                await finished(maildir)


RECIPIENTS = [Address.parse(ANNA), Address.parse(BERT)]


@pytest.mark.both_loops
@steps
async def test_a_cancelled_delivery_is_taken_back(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
):
    """Wherever it is cancelled, nobody was promised anything: the sender will send it again."""
    async with hanging(maildir, monkeypatch, owner, step) as (gate, whole):
        before = files(tmp_path / "default/example.org/anna/new")
        delivering = asyncio.create_task(maildir.deliver(whole, RECIPIENTS))
        await gate.wait()
        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering

    assert files(tmp_path / "default/example.org/anna") == before
    assert len(files(tmp_path)) == 2


@pytest.mark.both_loops
@steps
async def test_a_hung_volume_is_not_waited_for(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
):
    """The route's time limit ends `deliver` while its thread hangs; when the thread goes on, it leaves no file.

    The content is over by then, as its transaction is: no half of it is shown to anybody either.
    """
    limit = asyncio.timeout(None)

    async def deliver_in_time(whole: Message) -> None:
        async with limit:
            await maildir.deliver(whole, RECIPIENTS)

    async with hanging(maildir, monkeypatch, owner, step) as (gate, _):
        async with held(LARGE) as whole:
            delivering = asyncio.create_task(deliver_in_time(whole))
            await gate.wait()
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.wait([delivering], timeout=10)
            assert isinstance(delivering.exception(), TimeoutError)
        assert not gate.opened.is_set()

    assert [path.parent.name for path in files(tmp_path)] == ["new", "new"]
    assert all(path.stat().st_size < len(LARGE) // 4 for path in files(tmp_path))  # the messages from before


async def test_one_that_waits_for_a_thread_is_never_begun(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Behind a volume that hangs, deliveries pile up and are given up; when it goes on, none of them is written."""
    begun, shown = [], []
    prepare = MessageFile.prepare
    async with hanging(maildir, monkeypatch, os, "write") as (gate, whole):
        monkeypatch.setattr(MessageFile, "prepare", lambda file, octets: (begun.append(file), prepare(file, octets)))
        monkeypatch.setattr(sync, "show", lambda files: (shown.extend(files), show(files)))
        delivering = [asyncio.create_task(maildir.deliver(whole, RECIPIENTS))]
        await gate.wait()
        for _ in range(20):
            delivering.append(asyncio.create_task(maildir.deliver(whole, RECIPIENTS)))
            await asyncio.wait(delivering, timeout=2 * STALL_SECONDS)
        for task in delivering:
            task.cancel()
        await asyncio.wait(delivering)
        in_threads = len(begun)
        gate.opened.set()
        await finished(maildir)

    assert 0 < in_threads <= MOST_THREADS
    assert len(begun) == in_threads  # no second recipient's file either
    assert shown == []
    assert len(files(tmp_path)) == 2


async def test_the_message_is_there_while_a_folder_is_synced_for_others(
    maildir: Maildir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One sync serves several messages: that one of them is given up takes it from nobody else."""
    async with hanging(maildir, monkeypatch, disk, "sync_folder") as (gate, whole):
        first, second, third = [asyncio.create_task(maildir.deliver(whole, RECIPIENTS[:1])) for _ in range(3)]
        await gate.wait()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.opened.set()
        outcomes = [*await first, *await third]

    arrived = sorted(str(path) for path in files(tmp_path / "default/example.org/anna/new"))
    assert len(arrived) == 3  # with the one that made the mailbox
    assert {outcome.text for outcome in outcomes if isinstance(outcome, Receipt)} < set(arrived)


async def test_the_event_loop_turns_while_disks_are_slow(maildir: Maildir, monkeypatch: pytest.MonkeyPatch):
    """A disk that takes its time holds up its own messages, and nothing else."""
    async with hanging(maildir, monkeypatch, disk, "sync_folder") as (gate, whole):
        delivering = [asyncio.create_task(maildir.deliver(whole, RECIPIENTS)) for _ in range(5)]
        await gate.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(task.done() for task in delivering)

        gate.opened.set()
        await asyncio.gather(*delivering)


async def test_a_hung_claim_holds_up_no_other(open_maildir: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each destination has threads of its own, and scratch has others."""
    other = open_maildir(claimName="other")
    prepare = MessageFile.prepare
    opened = threading.Event()

    def hang(self: MessageFile, octets: bytes) -> None:
        if b"/default/" in self._mailbox:
            assert opened.wait(30)
        prepare(self, octets)

    monkeypatch.setattr(MessageFile, "prepare", hang)
    hung = open_maildir()
    async with held(LARGE) as whole:
        delivering = [asyncio.create_task(hung.deliver(whole, RECIPIENTS)) for _ in range(10)]
        await asyncio.wait_for(other.deliver(whole, RECIPIENTS), 10)
        assert not any(task.done() for task in delivering)
        opened.set()
        await asyncio.gather(*delivering)

    assert len(files(tmp_path / "other")) == 2
