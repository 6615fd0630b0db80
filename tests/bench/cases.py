"""What is sent, by Postfix's smtp-source over 20 sessions."""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contenders import DOMAIN, SESSIONS, Contender

SMALL, LARGE = 1000, 1_000_000  # octets of content


@dataclass(frozen=True)
class Case:
    title: str
    size: int
    reuse: bool  # one connection a session, or one a message
    mailboxes: int = 1
    only: tuple[str, ...] = ()  # contenders; none: all

    @property
    def first(self) -> int:
        """Messages of the round that warms up, and tells how many a longer one takes."""
        return 100 if self.size == LARGE else 400


NEW = Case("small, new connections", SMALL, reuse=False)
REUSED = Case("small, reused connections", SMALL, reuse=True)
BIG = Case("1 MB, reused connections", LARGE, reuse=True)
HUNDRED = Case("small, reused, a hundred mailboxes", SMALL, True, 100, ("Postfix", "Mailport maildir"))
CASES = (NEW, REUSED, BIG, HUNDRED)


@dataclass(frozen=True)
class Round:
    rate: float  # messages a second
    cpu: float  # seconds of the server's, a message


def send(case: Case, contender: Contender, messages: int) -> Round:
    """Send about so many messages; each gets its 250, or the bench ends here."""
    commands = _commands(case, contender.port, messages)
    sent = sum(count for count, _ in commands)
    cpu, start = contender.cpu, time.perf_counter()
    with ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(lambda command: subprocess.run(command, check=True), [command for _, command in commands]))
    seconds = time.perf_counter() - start
    contender.rest(sent)  # Postfix works on for a moment: that is its CPU, but nobody waits for it
    return Round(sent / seconds, (contender.cpu - cpu) / sent)


def _commands(case: Case, port: int, messages: int) -> list[tuple[int, list[str]]]:
    """Return (messages, command)s. smtp-source has one recipient: a hundred take a hundred of it, 20 at once."""
    program = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    options = ["-f", f"sender@{DOMAIN}", "-l", str(case.size), *(["-d"] if case.reuse else [])]
    if case.mailboxes == 1:
        spread = [(messages, SESSIONS, "user")]
    else:
        spread = [(-(-messages // case.mailboxes), 1, f"user{number}") for number in range(case.mailboxes)]
    return [
        (
            count,
            [program, "-s", f"{sessions}", "-m", f"{count}", *options, "-t", f"{user}@{DOMAIN}", f"127.0.0.1:{port}"],
        )
        for count, sessions, user in spread
    ]
