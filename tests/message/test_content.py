"""Where the content of messages is held, how much of it in all, and that nothing is held for longer than it must."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from mailport.message import content as module
from mailport.message.content import MEMORY, MEMORY_OF_ONE, PIECE, Budget, Content, NoSpace, Space, TooLarge
from tests.disks import needs_root, open_descriptors, tmpfs
from tests.messages import hold
from tests.tables import table

KIB, MIB = 1024, 1024 * 1024
ANNA, BERT = "192.0.2.1", "192.0.2.2"

Open = Callable[..., Space]


@pytest_asyncio.fixture
async def open_space(tmp_path: Path) -> AsyncGenerator[Open]:
    """Open a space; at the end nothing may be held in it, of memory, scratch or descriptors."""
    opened = []
    descriptors = open_descriptors()

    def open_one(scratch: Path = tmp_path, **limits: int) -> Space:
        opened.append(Space(scratch, **limits))
        return opened[-1]

    yield open_one
    for space in opened:
        await given_back(space)
        assert space.memory._of_client == {}
        assert space.scratch._of_client == {}
        space.close()
    assert open_descriptors() <= descriptors


async def given_back(space: Space) -> None:
    """See that nothing is held, and wait until the files are closed: that is done in a thread."""
    assert (space.memory.held, space.scratch.held) == (0, 0)
    deadline = time.monotonic() + 10
    while space.threads._under_way and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.001)


async def octets(content: Content, start: int = 0) -> bytes:
    return b"".join([piece async for piece in content.pieces(start)])


# --- the budget

EACH_A_QUARTER = [("a", 100, True), ("b", 100, True), ("c", 100, True), ("d", 100, True)]


@pytest.mark.parametrize(
    "limit, asked",
    table(
        {
            "all there is can be held": (400, [*EACH_A_QUARTER]),
            "and not an octet more": (400, [*EACH_A_QUARTER, ("e", 1, False), ("a", 1, False)]),
            "one client holds a quarter": (400, [("a", 100, True), ("a", 1, False), ("b", 1, True)]),
            "a quarter at once, too": (400, [("a", 101, False), ("a", 100, True)]),
            "a quarter is rounded down": (403, [("a", 101, False), ("a", 100, True)]),
            "what is refused is not held": (400, [("a", 60, True), ("a", 60, False), ("a", 40, True)]),
            "what is given back can be had again": (400, [*EACH_A_QUARTER, ("a", -50, True), ("a", 50, True)]),
            "by another, too": (400, [*EACH_A_QUARTER, ("a", -50, True), ("e", 51, False), ("e", 50, True)]),
            "there may be none at all": (0, [("a", 1, False)]),
        }
    ),
)
def test_a_budget(limit: int, asked: list[tuple[str, int, bool]]):
    """What all hold stays within the limit, and what one client holds within a quarter of it."""
    budget = Budget(limit)
    held: dict[str, int] = {}
    for client, amount, taken in asked:
        if amount < 0:
            budget.give_back(client, -amount)
        else:
            assert budget.take(client, amount) is taken
        held[client] = held.get(client, 0) + amount * taken

        assert budget.held == sum(held.values()) <= limit
    for client, amount in held.items():
        budget.give_back(client, amount)
    assert (budget.held, budget._of_client) == (0, {})


# --- where it is held


async def test_a_small_message_is_in_memory(open_space: Open, tmp_path: Path):
    """Up to a mebibyte; the next octet takes all of it to scratch, and gives the memory back."""
    space = open_space()
    content = await hold(space, b"x" * MEMORY_OF_ONE)
    assert (content.in_scratch, space.memory.held, space.scratch.held) == (False, MIB, 0)

    await content.append(b"y")

    assert (content.in_scratch, space.memory.held, space.scratch.held) == (True, 0, MIB + 1)
    assert await octets(content) == b"x" * MIB + b"y"
    assert [*tmp_path.iterdir()] == []  # noqa: ASYNC240 - nobody else sees it, and a crash leaves nothing
    content.close()


@pytest.mark.parametrize(
    "others",
    table(
        {
            "all memory is held by others": [(f"198.51.100.{number}", 4 * KIB) for number in range(4)],
            "this client holds a quarter": [(ANNA, 4 * KIB)],
        }
    ),
)
async def test_a_message_goes_to_scratch_where_memory_is_full(open_space: Open, others: list[tuple[str, int]]):
    """At once, however small it is; and the memory that comes free meanwhile serves it again."""
    space = open_space(memory=16 * KIB)
    waiting = [await hold(space, b"x" * amount, client) for client, amount in others]
    content = await hold(space, b"small", ANNA)
    assert (content.in_scratch, space.scratch.held) == (True, 5)

    for other in waiting:
        other.close()
    await content.append(b" and more")

    assert (space.memory.held, space.scratch.held) == (9, 5)
    assert await octets(content) == b"small and more"
    content.close()


async def test_a_large_message_waits_in_memory_for_a_piece(open_space: Open):
    """What is written to scratch is written in pieces of some size."""
    space = open_space()
    content = await hold(space, b"x" * (MIB + 1), piece=MIB + 1)
    for _ in range(4):
        await content.append(b"y" * (PIECE // 4))
    assert (space.memory.held, space.scratch.held) == (PIECE, MIB + 1)

    await content.append(b"z")

    assert (space.memory.held, space.scratch.held) == (0, MIB + 1 + PIECE + 1)
    assert await octets(content) == b"x" * (MIB + 1) + b"y" * PIECE + b"z"
    content.close()


@pytest.mark.parametrize(
    "others, octets_to_come, refusal",
    table(
        {
            "a quarter of scratch is this client's": ([], 101, NoSpace),
            "in several messages": ([(ANNA, 60)], 41, NoSpace),
            "others hold the rest": ([(f"198.51.100.{number}", 100) for number in range(4)], 1, NoSpace),
            "more than all of scratch, whoever holds it": ([(BERT, 100)], 401, TooLarge),
        }
    ),
)
async def test_scratch_is_bounded(
    open_space: Open, others: list[tuple[str, int]], octets_to_come: int, refusal: type[Exception]
):
    """What does not fit is said so; what came before it is still there, until the content is closed."""
    space = open_space(memory=0, scratch_limit=400)
    holding = [await hold(space, b"x" * amount, client) for client, amount in others]
    before = space.scratch.held
    content = Content(space, ANNA)

    with pytest.raises(refusal):
        await content.append(b"y" * octets_to_come)

    assert (space.scratch.held, content.size) == (before, 0)
    for held in (*holding, content):
        held.close()


async def test_one_clients_messages_leave_room_for_others(open_space: Open):
    """However many connections it opens: another's message finds room in memory, and in scratch."""
    space = open_space(memory=16 * KIB, scratch_limit=64 * KIB)
    mine = [Content(space, ANNA) for _ in range(50)]
    refused = 0
    for content in mine:
        try:
            await content.append(b"x" * KIB)
        except NoSpace:
            refused += 1
    assert (space.memory.held, space.scratch.held, refused) == (4 * KIB, 16 * KIB, 30)

    others = [await hold(space, b"y" * 4 * KIB, BERT), await hold(space, b"z" * 16 * KIB, BERT)]

    assert [other.in_scratch for other in others] == [False, True]
    for content in (*mine, *others):
        content.close()


@needs_root
async def test_a_disk_that_is_full_says_so(open_space: Open, tmp_path: Path):
    """Where scratch is smaller than its limit: the error goes up, all is given back, and there is room again."""
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        space = open_space(disk, memory=0)
        content = await hold(space, b"x" * 700 * KIB)
        with pytest.raises(OSError, match="No space left") as full:
            await content.append(b"y" * 700 * KIB)
        content.close()
        await given_back(space)

        assert full.value.errno == errno.ENOSPC
        assert os.statvfs(disk).f_bfree == os.statvfs(disk).f_blocks
        content = await hold(space, b"z" * 700 * KIB)
        assert await octets(content) == b"z" * 700 * KIB
        content.close()
        await given_back(space)


async def test_a_scratch_folder_may_be_missing(open_space: Open, tmp_path: Path):
    """The error goes up, and nothing is held."""
    space = open_space(tmp_path / "missing", memory=0)
    content = Content(space, ANNA)

    with pytest.raises(FileNotFoundError):
        await content.append(b"x")
    content.close()


# --- what is read


whole = st.binary(max_size=200)
places = st.lists(st.integers(0, 200), max_size=6)


@pytest.mark.parametrize("memory", table({"in memory": 100 * KIB, "in both": 400, "in scratch": 0}))
@given(whole, places, places)
async def test_what_was_appended_is_read(memory: int, whole: bytes, cuts: list[int], starts: list[int]):
    """In whatever pieces it came and wherever it is held: from any octet on, as often as asked, also between pieces."""
    space = Space(memory=memory)
    content = Content(space, ANNA)
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    for begin, end in itertools.pairwise(places):
        await content.append(whole[begin:end])
        assert await octets(content) == whole[:end]
        assert content.size == end

    for start in [*starts, 0]:
        assert await octets(content, start) == whole[start:]
        assert b"".join(content.chunks(start)) == whole[start:]
        assert (await content.head(start))[:start] == whole[:start]
    assert content.in_scratch == (memory == 0 and whole != b"") or memory == 400
    content.close()
    await given_back(space)
    space.close()


async def test_a_head_is_no_more_than_need_be(open_space: Open):
    """Of a large message the first piece is read, and not all of it."""
    content = await hold(open_space(), b"x" * 3 * MIB)

    assert len(await content.head(64 * KIB)) == PIECE
    assert len(await content.head(PIECE + 1)) == 2 * PIECE
    assert len(await content.head(10 * MIB)) == 3 * MIB
    content.close()


async def test_the_digest_is_of_the_octets_alone(open_space: Open):
    """Not of how they came, nor of where they are; one octet more, less or other is another."""
    text = b"0123456789abcde\r\n" * 10_000
    spaces = [open_space(), open_space(memory=0), open_space(memory=100 * KIB)]
    alike = [await hold(space, text, piece=piece) for space, piece in zip(spaces, (64 * KIB, 50_000, 777), strict=True)]
    others = [await hold(spaces[0], other) for other in (b"", text[:-1], text + b"\n", text[:-1] + b"x", text[::-1])]
    digests = [await content.digest() for content in alike]

    assert len(set(digests)) == 1
    assert len({*digests, *[await other.digest() for other in others]}) == 1 + len(others)
    assert {len(digest) for digest in digests} == {32}
    for content in (*alike, *others):
        content.close()


@pytest.mark.parametrize("memory", table({"in memory": MIB, "in scratch": 0}))
async def test_what_has_not_grown_is_hashed_once(open_space: Open, monkeypatch: pytest.MonkeyPatch, memory: int):
    """Each subject of a message to NATS asks for it, and so does what remembers who has it."""
    hashed = 0
    hashing = Content._digest

    def counted(content: Content) -> bytes:
        nonlocal hashed
        hashed += 1
        return hashing(content)

    monkeypatch.setattr(Content, "_digest", counted)
    content = await hold(open_space(memory=memory), b"x" * 100 * KIB)
    first = [await content.digest() for _ in range(3)]
    await content.append(b"y")
    last = await content.digest()

    assert len(set(first)) == 1
    assert last != first[0]
    assert hashed == 2
    content.close()


async def test_a_scratch_file_that_lost_octets_is_an_error(open_space: Open):
    """What was taken is given out whole, or not at all."""
    content = await hold(open_space(memory=0), b"x" * KIB)
    os.ftruncate(content._file.fileno(), KIB // 2)

    with pytest.raises(OSError, match="shorter"):
        await octets(content)
    with pytest.raises(OSError, match="shorter"):
        await content.digest()
    content.close()


# --- how much memory it takes


@contextmanager
def traced() -> Generator[Callable[[], tuple[int, int]]]:
    """Give what Python has allocated since then: now, and at most."""
    tracemalloc.start()
    try:
        yield tracemalloc.get_traced_memory
    finally:
        tracemalloc.stop()


async def test_two_octets_at_a_time_take_little_more_than_their_length(open_space: Open):
    """A client may send them so; an object each would take twenty times as much."""
    space = open_space()
    with traced() as memory:
        content = await hold(space, b"ab" * 50_000, piece=2)
        held, _ = memory()

    assert space.memory.held == 100_000
    assert held < 130_000
    assert await octets(content) == b"ab" * 50_000
    content.close()


@pytest.mark.parametrize(
    "pieces",
    table(
        {
            "a few octets, two at a time": [2] * 10,
            "a small message": [1500],
            "what a packet holds, and two octets more": [1460, 2],
            "what is read at once, and two octets more": [4096, 2],
            "more than the budget": [4096] * 2,
            "more than the budget, in small pieces": [1024] * 8,
            "more than the budget, in pieces of any size": [1, 4096, 100, 2000, 3000],
        }
    ),
)
async def test_ten_thousand_that_hold_little_stay_within_the_budget(open_space: Open, pieces: list[int]):
    """Each from a client of its own. What is counted is what they take, but for some hundred octets each."""
    space = open_space(scratch_limit=0)
    contents = []
    with traced() as memory:
        for client in range(10_000):
            content = Content(space, client)
            contents.append(content)
            try:
                for octets_of_one in pieces:
                    await content.append(bytes(octets_of_one))
            except TooLarge:  # there is no scratch at all
                content.close()
        held, peak = memory()

    assert space.memory.held <= MEMORY
    if 10_000 * sum(pieces) <= MEMORY:
        assert space.memory.held == 10_000 * sum(pieces)
        assert peak < MEMORY
    assert held <= peak < space.memory.held * 9 // 8 + 10_000 * 600
    for content in contents:
        content.close()


# --- when it is over


@pytest.mark.parametrize("memory", table({"in memory": 100 * KIB, "in both": 4 * KIB, "in scratch": 0}))
async def test_what_is_closed_cannot_be_used(open_space: Open, memory: int):
    """Reading, looking and appending end in an OSError, and hold nothing; closing again does no harm."""
    space = open_space(memory=memory)
    content = await hold(space, b"x" * KIB + b"y" * 100)
    await content.append(b"z")
    content.close()
    content.close()
    await given_back(space)

    with pytest.raises(OSError, match="the message is over"):
        await octets(content)
    with pytest.raises(OSError, match="the message is over"):
        await content.head(1)
    with pytest.raises(OSError, match="the message is over"):
        await content.digest()
    with pytest.raises(OSError, match="the message is over"):
        await content.append(b"more")
    assert (space.memory.held, space.scratch.held) == (0, 0)


class HangingDisk:
    """Scratch files whose writes, or reads, wait to be let on: a disk that hangs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        make, pread = tempfile.TemporaryFile, os.pread
        self.writes = False

        def hang() -> None:
            self.reached.set()
            assert self.opened.wait(10)

        class File:
            def __init__(self, **options: Any) -> None:
                self._file = make(**options)
                self.fileno, self.close = self._file.fileno, self._file.close

            def write(inner, data: bytes) -> int:  # noqa: N805 - `self` is the disk
                if self.writes:
                    hang()
                return inner._file.write(data)

        def read(*args: Any) -> bytes:
            if not self.writes:
                hang()
            return pread(*args)

        monkeypatch.setattr(tempfile, "TemporaryFile", File)
        monkeypatch.setattr(os, "pread", read)

    async def wait(self) -> None:
        """Wait until somebody is held up."""
        assert await asyncio.to_thread(self.reached.wait, 10)


@pytest.fixture
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> HangingDisk:
    return HangingDisk(monkeypatch)


@pytest.mark.both_loops
async def test_closed_while_a_thread_reads(open_space: Open, hanging_disk: HangingDisk):
    """Closing does not wait, and the space is given back at once: the next message may count on it."""
    space = open_space(memory=0)
    content = await hold(space, b"x" * 2 * PIECE)
    reading = asyncio.create_task(octets(content))
    await hanging_disk.wait()
    content.close()
    assert space.scratch.held == 0
    hanging_disk.opened.set()

    with pytest.raises(OSError, match="the message is over"):
        await reading
    await given_back(space)


@pytest.mark.both_loops
@pytest.mark.parametrize("first", table({"the first octets": True, "later ones": False}))
@pytest.mark.parametrize("cancelled", table({"its append was cancelled": True, "its append goes on": False}))
async def test_closed_while_a_thread_writes(open_space: Open, hanging_disk: HangingDisk, cancelled: bool, first: bool):
    """All is given back, whoever comes to an end first: who appends, who closes, or the disk."""
    space = open_space(memory=0)
    content = Content(space, ANNA)
    if not first:
        await content.append(b"w" * KIB)
    hanging_disk.writes = True
    appending = asyncio.create_task(content.append(b"x" * KIB))
    await hanging_disk.wait()
    if cancelled:
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
    content.close()
    hanging_disk.opened.set()

    if not cancelled:
        with pytest.raises(OSError, match="the message is over"):
            await appending
    await given_back(space)


async def test_closed_before_a_thread_writes(open_space: Open, hanging_disk: HangingDisk):
    """What waits for a thread is not written any more."""
    space = open_space(memory=0)
    hanging_disk.writes = True
    others = [Content(space, client) for client in (ANNA, BERT)]
    held_up = [asyncio.create_task(content.append(b"x")) for content in others]
    await hanging_disk.wait()
    content = Content(space, "192.0.2.3")
    waiting = asyncio.create_task(content.append(b"y" * KIB))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    content.close()
    hanging_disk.opened.set()
    await asyncio.gather(*held_up)
    for other in others:
        other.close()

    await given_back(space)
    assert content._file is None


@pytest.mark.parametrize("memory", table({"in memory": 100 * KIB, "in both": 4 * KIB, "in scratch": 0}))
async def test_a_thread_reads_all_or_hears_that_it_is_over(open_space: Open, memory: int):
    """Closed between any two lines of what a thread does, a content never looks like a shorter one."""
    whole = b"x" * KIB + b"y" * 2 * KIB
    for line in itertools.count():
        space = open_space(memory=memory)
        content = await hold(space, whole, piece=KIB)
        lines = itertools.count()

        def close_at(frame: FrameType, event: str, _: Any) -> Any:
            if frame.f_code.co_filename != module.__file__ or content.closed:  # noqa: B023 - called before the next
                return None
            if event == "line" and next(lines) == line:  # noqa: B023
                content.close()  # noqa: B023
            return close_at

        before = sys.gettrace()
        sys.settrace(close_at)
        try:
            read = b"".join(content.chunks())
        except OSError as error:
            read = str(error).encode()
        finally:
            sys.settrace(before)

        assert read in (whole, b"the message is over")
        if not content.closed:
            assert line > 5
            content.close()
            return
        await given_back(space)


async def test_a_scratch_that_hangs_leaves_small_messages_alone(open_space: Open, hanging_disk: HangingDisk):
    """What is in memory needs no thread."""
    space = open_space()
    hanging_disk.writes = True
    content = Content(space, ANNA)
    appending = asyncio.create_task(content.append(b"x" * 2 * MIB))
    await hanging_disk.wait()
    small = await hold(space, b"small")

    assert await asyncio.wait_for(octets(small), 5) == b"small"
    assert await asyncio.wait_for(small.digest(), 5)
    hanging_disk.opened.set()
    await appending
    for held in (small, content):
        held.close()
