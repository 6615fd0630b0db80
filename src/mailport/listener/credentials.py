"""Who may log in: the users that an htpasswd file names, and their passwords checked off the event loop.

Names are compared in Unicode's NFC, letter by letter: `Anna` is not `anna`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Self

from mailport.listener.hashes import Cost, cost_of, decoy_like, hash_password, matches, nfc
from mailport.process.threads import NoThread, Threads

MAX_FILE_BYTES = 1024 * 1024  # what a Secret can hold: some 10,000 users
MAX_USER_LETTERS = 255  # an address has 254 octets (RFC 5321 §4.5.3.1.3)
MAX_FAULTS = 20  # in one error: nobody would read more

CHECKS_AT_ONCE = 2  # each may take 64 MiB and a core
MAX_WAITING = 100  # some 1.5 s of waiting, with the hashes that hash-password writes
MAX_WAITING_OF_CLIENT = 10


class Fault(NamedTuple):
    """What is wrong with a line; line 0 is the file as a whole."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class BadHtpasswd(ValueError):  # noqa: N818 - what it is
    """A file that is not taken, and all that is wrong with it: by line, and without a word of what stands there.

    It may be no file of users at all, but another Secret's content.
    """

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


class Busy(Exception):  # noqa: N818 - the reply's word
    """The password was not checked: too many are waiting, or there is no memory or thread for it (454 4.7.0)."""


class Users:
    """Who may log in. Immutable: a changed file makes another one, and checks that have begun go on with theirs."""

    __slots__ = ("_decoy", "_hashes", "warnings")

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """Take hashes that are known to be good, by user. Blocks for one hash where there are none."""
        self._hashes = hashes
        slowest = max(hashes.values(), key=cost_of, default=None)
        self._decoy = decoy_like(slowest) if slowest else hash_password(secrets.token_hex())
        self.warnings = tuple(_warnings(map(cost_of, hashes.values())))

    def __repr__(self) -> str:
        return f"Users({len(self)})"

    def __len__(self) -> int:
        return len(self._hashes)

    @classmethod
    def parse(cls, htpasswd: bytes) -> Self:
        """Read lines of `user:hash`; empty ones and those that begin with # are passed over. Blocks: up to 0.2 s.

        Raises BadHtpasswd with every fault. One bad line makes the whole file invalid: that some users are missing
        would be noticed by them alone.
        """
        if len(htpasswd) > MAX_FILE_BYTES:
            raise BadHtpasswd((Fault(0, f"over {MAX_FILE_BYTES} octets"),))
        faults: list[Fault] = []
        hashes: dict[str, str] = {}
        lines: dict[str, int] = {}
        for number, line in enumerate(htpasswd.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
            if not line.strip() or line.startswith(b"#"):
                continue
            try:
                user, password_hash = _entry(line)
            except ValueError as error:
                faults.append(Fault(number, str(error)))
                continue
            if (first := lines.setdefault(user, number)) != number:
                faults.append(Fault(number, f"the same user as in line {first}"))
            hashes[user] = password_hash
        if faults:
            raise BadHtpasswd(tuple(faults[:MAX_FAULTS]))
        return cls(hashes)

    def verify(self, user: str, password: bytes) -> bool:
        """Tell whether this is the user's password. Blocks for as long as the hash takes: call it in a thread.

        An unknown user is checked against a hash that no password matches and that takes as long as the slowest one in
        the file, so that the time of an answer does not tell who is a user. Raises MemoryError.
        """
        known = self._hashes.get(nfc(user)) if len(user) <= MAX_USER_LETTERS else None
        return matches(known or self._decoy, password) and known is not None


@dataclass(frozen=True, slots=True)
class _Check:
    users: Users
    user: str
    password: bytes = field(repr=False)
    answer: asyncio.Future[bool]

    def run(self) -> bool:
        try:
            return self.users.verify(self.user, self.password)
        except MemoryError as error:
            raise Busy("no memory to check a password") from error


class PasswordChecks:
    """Checks two passwords at a time; the clients take turns, however many checks each one has waiting."""

    def __init__(self) -> None:
        self._threads = Threads(CHECKS_AT_ONCE, CHECKS_AT_ONCE, "password")
        self._running = 0
        # By client, in the order of their turns. No queue in here is empty.
        self._waiting: OrderedDict[Hashable, deque[_Check]] = OrderedDict()

    async def check(self, users: Users, client: Hashable, user: str, password: bytes) -> bool:
        """Tell whether this is the user's password. Raises Busy where it was not checked."""
        self._make_room(client)
        check = _Check(users, user, password, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(client, deque()).append(check)
        self._start()
        return await check.answer

    def close(self) -> None:
        """Let the threads go; what waits is not checked any more."""
        for queue in self._waiting.values():
            for check in queue:
                check.answer.cancel()
        self._waiting.clear()
        self._threads.close()

    def _make_room(self, client: Hashable) -> None:
        """Make room for a check: where all places are taken, the client with most of them loses one. Raises Busy."""
        mine = len(self._waiting.get(client, ()))
        if mine >= MAX_WAITING_OF_CLIENT:
            raise Busy("too many passwords of this client wait to be checked")
        if sum(map(len, self._waiting.values())) < MAX_WAITING:
            return
        longest = max(self._waiting.values(), key=len)
        if len(longest) <= mine + 1:
            raise Busy("too many passwords wait to be checked")
        answer = longest.pop().answer
        if not answer.done():
            answer.set_exception(Busy("too many passwords wait to be checked, and most are this client's"))

    def _start(self) -> None:
        """Start as many checks as may run at once: one of each client in turn."""
        while self._running < CHECKS_AT_ONCE and self._waiting:
            client, queue = self._waiting.popitem(last=False)
            check = queue.popleft()
            if queue:
                self._waiting[client] = queue
            if check.answer.done():
                continue  # the client has left
            try:
                ending = self._threads.run(check.run)
            except NoThread as error:
                check.answer.set_exception(Busy(str(error)))
                continue
            self._running += 1
            ending.add_done_callback(partial(self._ended, check))

    def _ended(self, check: _Check, ending: asyncio.Future[bool]) -> None:
        """Pass the answer on and start the next check. The work of a client that has left went on until now."""
        self._running -= 1
        error = ending.exception()
        if not check.answer.done():
            if error:
                check.answer.set_exception(error)
            else:
                check.answer.set_result(ending.result())
        self._start()


def _entry(line: bytes) -> tuple[str, str]:
    """Return user and hash of a line. Raises ValueError, which quotes nothing of it."""
    try:
        text = line.strip().decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    user, colon, password_hash = text.partition(":")
    if not colon or not user:
        raise ValueError("not of the form user:hash")
    if not user.isprintable() or len(user) > MAX_USER_LETTERS or user.startswith("$"):  # $: hash and user exchanged
        raise ValueError("not the name of a user")
    cost_of(password_hash)
    return nfc(user), password_hash


def _warnings(costs: Iterable[Cost]) -> Iterator[str]:
    different = len(set(costs))
    if not different:
        yield "has no users: nobody can log in"
    if different > 1:
        yield f"has hashes of {different} different costs: how long an answer takes tells who is a user"
