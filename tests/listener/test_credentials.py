"""Users come from an htpasswd file, and checking them stops nobody else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mailport.listener import credentials
from mailport.listener.credentials import (
    CHECKS_AT_ONCE,
    MAX_FILE_BYTES,
    MAX_WAITING,
    MAX_WAITING_OF_CLIENT,
    BadHtpasswd,
    Busy,
    PasswordChecks,
    Users,
)
from tests.listener.test_hashes import argon2, bcrypt_of
from tests.tables import table

pytestmark = pytest.mark.both_loops

RIGHT, OTHER = argon2(b"right").encode(), argon2(b"other").encode()


def test_a_file_of_users_is_read() -> None:
    """Comments, empty lines, CRLF and a byte order mark are as people write them."""
    users = Users.parse(b"\xef\xbb\xbf# staff\r\nanna:%b\r\n\r\n   \nbob@example.org:%b \n" % (RIGHT, OTHER))

    assert len(users) == 2
    assert users.warnings == ()
    assert users.verify("anna", b"right")
    assert users.verify("bob@example.org", b"other")
    assert not users.verify("bob@example.org", b"right")
    assert not users.verify("# staff", b"right")


@pytest.mark.parametrize(
    "user, known",
    table(
        {
            "as written": ("Ren\N{LATIN SMALL LETTER E WITH ACUTE}e", True),
            "an accent composed otherwise": ("Rene\N{COMBINING ACUTE ACCENT}e", True),
            "in another case": ("ren\N{LATIN SMALL LETTER E WITH ACUTE}e", False),
            "without the accent": ("Renee", False),
            "with a space behind": ("Ren\N{LATIN SMALL LETTER E WITH ACUTE}e ", False),
            "no name": ("", False),
            "10,000 letters": ("e\N{COMBINING ACUTE ACCENT}" * 5000, False),
        }
    ),
)
def test_names_are_compared_letter_by_letter(user: str, known: bool) -> None:
    """In NFC, and upper case is not lower case."""
    users = Users.parse("Ren\N{LATIN SMALL LETTER E WITH ACUTE}e:".encode() + RIGHT)

    assert users.verify(user, b"right") is known


@pytest.mark.parametrize(
    "line, fault",
    table(
        {
            "no colon": (b"anna", "line 2: not of the form user:hash"),
            "no user": (b":%b" % RIGHT, "line 2: not of the form user:hash"),
            "no hash": (b"anna:", "line 2: no hash of argon2id or bcrypt"),
            "a password in place of the hash": (b"anna:hunter2", "line 2: no hash of argon2id or bcrypt"),
            "another kind of hash": (b"anna:{SHA}abc", "line 2: the hash is SHA-1: must be argon2id or bcrypt"),
            "too dear a hash": (
                b"anna:$2b$15$" + b"a" * 21 + b"e" + b"a" * 31,
                "line 2: the cost of bcrypt must be between 4 and 14",
            ),
            "hash and user exchanged": (b"%b:anna" % RIGHT, "line 2: not the name of a user"),
            "a control character": (b"an\x1bna:%b" % RIGHT, "line 2: not the name of a user"),
            "a name too long": (b"a" * 256 + b":" + RIGHT, "line 2: not the name of a user"),
            "not UTF-8": (b"\xff:%b" % RIGHT, "line 2: not UTF-8"),
            "a user twice": (b"bob:%b" % OTHER, "line 2: the same user as in line 1"),
        }
    ),
)
def test_a_bad_line_is_named(line: bytes, fault: str) -> None:
    """By its number, and what is wrong with it: nothing of it is in the message, not even what may be a user."""
    with pytest.raises(BadHtpasswd) as raised:
        Users.parse(b"bob:%b\n%b\n" % (RIGHT, line))
    assert str(raised.value) == fault


@pytest.mark.parametrize(
    "content",
    table(
        {
            "a webhook's key": b"correct: horse\ncorrect:horse\n",
            "a PEM key": b"-----BEGIN CORRECT-----\nhorse: correct\n\nhorse\n-----END CORRECT-----\n",
            "JSON": b'{"correct": "horse"}',
            "one password": b"correct horse",
            "a file of another kind of hashes": b"correct:$apr1$horse\ncorrect:$y$horse\n",
            "hashes in front": b"$2b$15$correct:horse\n",
            "the same twice": b"correct:%b\ncorrect:%b\n" % (RIGHT, RIGHT),
        }
    ),
)
def test_another_secret_is_not_quoted(content: bytes) -> None:
    """A reference may name the wrong Secret: its content goes nowhere, not even what stands left of a colon."""
    with pytest.raises(BadHtpasswd) as raised:
        Users.parse(content)
    assert not [word for word in (b"correct", b"horse") if word.decode() in str(raised.value).lower()]


def test_every_fault_is_told_at_once() -> None:
    """Up to twenty: as many as somebody reads."""
    with pytest.raises(BadHtpasswd) as raised:
        Users.parse(b"anna\n" * 100)
    assert [fault.line for fault in raised.value.faults] == list(range(1, 21))


def test_a_file_is_bounded() -> None:
    """1 MiB is what a Secret can hold."""
    with pytest.raises(BadHtpasswd, match="over 1048576 octets"):
        Users.parse(b"#" * (MAX_FILE_BYTES + 1))


def test_ten_thousand_users_are_read_quickly() -> None:
    """A full Secret is read in well under the second that a reload has."""
    lines = b"".join(b"user%d:%b\n" % (number, RIGHT) for number in range(9_000))
    start = time.process_time()
    users = Users.parse(lines)

    assert len(users) == 9_000
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "htpasswd, warning",
    table(
        {
            "no users": (b"# nobody yet\n", "has no users: nobody can log in"),
            "two costs": (
                b"anna:%b\nbob:%b\n" % (RIGHT, bcrypt_of(b"right").encode()),
                "has hashes of 2 different costs: how long an answer takes tells who is a user",
            ),
        }
    ),
)
def test_what_is_unwise_is_warned_of(htpasswd: bytes, warning: str) -> None:
    """Such a file is used all the same."""
    assert Users.parse(htpasswd).warnings == (warning,)


def test_nobody_is_in_an_empty_file() -> None:
    """And a check still takes as long as one with a hash of hash-password."""
    assert not Users.parse(b"").verify("anna", b"right")


def test_users_are_not_shown() -> None:
    """Neither names nor hashes are printed."""
    assert repr(Users.parse(b"anna:%b" % RIGHT)) == "Users(1)"


@pytest.mark.slow
@pytest.mark.parametrize(
    "hashed",
    table({"argon2id": argon2(b"right", memory=19456, passes=2), "bcrypt": bcrypt_of(b"right", cost=8)}),
)
def test_no_clock_tells_unknown_from_wrong(hashed: str) -> None:
    """Nor a password too long for bcrypt from a wrong one."""
    users = Users.parse(f"anna:{hashed}".encode())
    cases = {"wrong": ("anna", b"wrong"), "unknown": ("bob", b"wrong"), "long": ("bob", b"x" * 1025)}
    taken: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(15):
        for case, (user, password) in cases.items():  # in turn, so that what else the machine does falls on all
            start = time.thread_time()
            users.verify(user, password)
            taken[case].append(time.thread_time() - start)
    wrong, unknown, long = (min(taken[case]) for case in cases)

    assert unknown == pytest.approx(wrong, rel=0.25)
    assert long == pytest.approx(wrong, rel=0.25)


# --- PasswordChecks


class Gate:
    """Users whose checks wait until they are let go, and who tell in which order they came."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.running = self.most_running = 0
        self._lock = threading.Lock()
        self._open = threading.Event()

    def verify(self, user: str, password: bytes) -> bool:
        with self._lock:
            self.came.append(user)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self._open.wait(30)
        with self._lock:
            self.running -= 1
        if password == b"too much":
            raise MemoryError
        return password == b"right"

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def passwords() -> Iterator[PasswordChecks]:
    passwords = PasswordChecks()
    yield passwords
    passwords.close()


def ask(
    passwords: PasswordChecks, gate: Gate, client: str, number: int = 0, password: bytes = b"right"
) -> asyncio.Task[bool]:
    return asyncio.ensure_future(passwords.check(gate, client, f"{client}{number}", password))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a thread brings it about, which knows no event of the loop
            await asyncio.sleep(0.001)


async def test_answers_are_what_the_users_say(passwords: PasswordChecks) -> None:
    """True for the right password and False for others."""
    users = Users.parse(b"anna:%b" % RIGHT)

    assert await passwords.check(users, "client", "anna", b"right")
    assert not await passwords.check(users, "client", "anna", b"wrong")
    assert not await passwords.check(users, "client", "bob", b"right")


async def test_the_event_loop_goes_on_meanwhile(passwords: PasswordChecks, gate: Gate) -> None:
    """A check blocks a thread and nothing else."""
    check = ask(passwords, gate, "a")
    await until(lambda: gate.running == 1)

    assert not check.done()
    gate.open()
    assert await check


async def test_two_are_checked_at_once(passwords: PasswordChecks, gate: Gate) -> None:
    """The others wait."""
    checks = [ask(passwords, gate, client) for client in "abcdef"]
    await until(lambda: gate.running == CHECKS_AT_ONCE)
    gate.open()

    assert all(await asyncio.gather(*checks))
    assert gate.most_running == CHECKS_AT_ONCE == 2


async def test_clients_take_turns(passwords: PasswordChecks, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks once is not kept waiting by one that asks ten times."""
    monkeypatch.setattr(credentials, "CHECKS_AT_ONCE", 1)
    checks = [ask(passwords, gate, "a", number) for number in range(5)]
    await until(lambda: gate.running == 1)
    checks += [ask(passwords, gate, "b", number) for number in range(2)]
    checks += [ask(passwords, gate, "c")]
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(*checks)

    assert gate.came == ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4"]


async def test_a_client_has_ten_waiting_and_no_more(passwords: PasswordChecks, gate: Gate) -> None:
    """The next is Busy at once, and others still come in."""
    checks = [ask(passwords, gate, "a", number) for number in range(CHECKS_AT_ONCE + MAX_WAITING_OF_CLIENT)]
    await until(lambda: gate.running == CHECKS_AT_ONCE)

    with pytest.raises(Busy, match="of this client"):
        await ask(passwords, gate, "a")
    checks.append(ask(passwords, gate, "b"))
    gate.open()
    assert all(await asyncio.gather(*checks))


async def test_few_clients_with_many_do_not_shut_out_another(passwords: PasswordChecks, gate: Gate) -> None:
    """When a hundred wait, a client who has none gets the place of one who has most."""
    running = [ask(passwords, gate, "x", number) for number in range(CHECKS_AT_ONCE)]
    crowd = [
        ask(passwords, gate, f"crowd{client}-", number)
        for client in range(MAX_WAITING // MAX_WAITING_OF_CLIENT)
        for number in range(MAX_WAITING_OF_CLIENT)
    ]
    await until(lambda: gate.running == CHECKS_AT_ONCE)
    late = ask(passwords, gate, "late")
    await asyncio.sleep(0)
    gate.open()
    answers = await asyncio.gather(*crowd, return_exceptions=True)

    assert await late
    assert all(await asyncio.gather(*running))
    assert [type(answer) for answer in answers].count(Busy) == 1


async def test_a_hundred_wait_and_no_more(passwords: PasswordChecks, gate: Gate) -> None:
    """Where each client has one, the next is Busy."""
    checks = [ask(passwords, gate, f"client{number}") for number in range(CHECKS_AT_ONCE + MAX_WAITING)]
    await until(lambda: gate.running == CHECKS_AT_ONCE)

    with pytest.raises(Busy, match="too many passwords wait"):
        await ask(passwords, gate, "late")
    gate.open()
    assert all(await asyncio.gather(*checks))


async def test_clients_that_leave_are_not_checked(passwords: PasswordChecks, gate: Gate) -> None:
    """Those whose check runs hold their place until it ends: leaving early buys no third thread."""
    checks = [ask(passwords, gate, "a", number) for number in range(6)]
    await until(lambda: gate.running == CHECKS_AT_ONCE)
    for check in checks[:4]:
        check.cancel()
    await asyncio.sleep(0.05)
    assert gate.running == CHECKS_AT_ONCE
    gate.open()

    assert await asyncio.gather(*checks[4:]) == [True, True]
    assert sorted(gate.came) == ["a0", "a1", "a4", "a5"]
    assert gate.most_running == CHECKS_AT_ONCE


async def test_no_memory_for_a_hash_is_busy(passwords: PasswordChecks, gate: Gate) -> None:
    """The client may try again; the next check goes on."""
    gate.open()

    with pytest.raises(Busy, match="no memory"):
        await ask(passwords, gate, "a", password=b"too much")
    assert await ask(passwords, gate, "a")


async def test_what_waits_at_the_end_is_cancelled(gate: Gate) -> None:
    """Closing waits for nothing and leaves nothing waiting."""
    passwords = PasswordChecks()
    checks = [ask(passwords, gate, "a", number) for number in range(4)]
    await until(lambda: gate.running == CHECKS_AT_ONCE)
    passwords.close()
    gate.open()

    answers = await asyncio.gather(*checks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [bool, bool, asyncio.CancelledError, asyncio.CancelledError]
