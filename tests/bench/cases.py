"""What is sent, over 20 sessions: by Postfix's smtp-source, and by tools/smtp-load where it goes over STARTTLS."""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contenders import DOMAIN, SESSIONS, Contender, built

SMALL, LARGE = 1000, 1_000_000  # octets of content


@dataclass(frozen=True)
class Case:
    title: str
    size: int
    reuse: bool  # one connection a session, or one a message
    mailboxes: int = 1
    only: tuple[str, ...] = ()  # contenders; none: all
    key: str = ""  # STARTTLS with a certificate of this kind of key; empty: in clear
    shared: bool = False  # the durable ones have a folder each of one disk, and no volumes of their own

    @property
    def first(self) -> int:
        """Messages of the round that warms up, and tells how many a longer one takes."""
        return 100 if self.size == LARGE else 400


NEW = Case("small, new connections", SMALL, reuse=False)
REUSED = Case("small, reused connections", SMALL, reuse=True)
BIG = Case("1 MB, reused connections", LARGE, reuse=True)
WITH_TLS = ("go-smtp", "Postfix", "Mailport discard", "Mailport maildir")
RSA = Case("small, new connections, STARTTLS, RSA 2048", SMALL, reuse=False, only=WITH_TLS, key="RSA")
ECDSA = Case("small, new connections, STARTTLS, ECDSA P-256", SMALL, reuse=False, only=WITH_TLS, key="ECDSA")
DURABLE = ("Postfix", "Mailport maildir")
HUNDRED = Case("small, reused, a hundred mailboxes", SMALL, reuse=True, mailboxes=100, only=DURABLE)
SHARED = Case("small, reused, on a shared disk", SMALL, reuse=True, only=DURABLE, shared=True)
SHARED_HUNDRED = Case("small, reused, a hundred mailboxes on a shared disk", SMALL, True, 100, DURABLE, shared=True)
CASES = (NEW, REUSED, BIG, HUNDRED, RSA, ECDSA, SHARED, SHARED_HUNDRED)
SETUPS = tuple(dict.fromkeys((case.key, case.shared) for case in CASES))  # each has servers of its own


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
        list(pool.map(_run, [command for _, command in commands]))
    seconds = time.perf_counter() - start
    contender.rest(sent)  # Postfix works on for a moment: that is its CPU, but nobody waits for it
    return Round(sent / seconds, (contender.cpu - cpu) / sent)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _commands(case: Case, port: int, messages: int) -> list[tuple[int, list[str]]]:
    """Return (messages, command)s. smtp-source has one recipient: a hundred take a hundred of it, 20 at once."""
    if case.key:
        load = [built("smtp-load"), "-starttls", f"-address=127.0.0.1:{port}", f"-sessions={SESSIONS}"]
        return [(messages, [*load, f"-messages={messages}", f"-size={case.size}", f"-to=user@{DOMAIN}"])]
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
