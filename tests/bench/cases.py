"""What is sent, over 20 sessions: by Postfix's smtp-source; over STARTTLS or to many mailboxes, by tools/smtp-load."""

from __future__ import annotations

import shutil
import subprocess
import time
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
    """Send so many messages; each gets its 250, or the bench ends here."""
    command = _command(case, contender.port, messages)
    cpu, start = contender.cpu, time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    contender.rest(messages)  # Postfix works on for a moment: that is its CPU, but nobody waits for it
    return Round(messages / seconds, (contender.cpu - cpu) / messages)


def _command(case: Case, port: int, messages: int) -> list[str]:
    """Return what sends. smtp-source knows neither STARTTLS nor more than one recipient of a message each."""
    sender, recipient = f"sender@{DOMAIN}", f"user@{DOMAIN}"
    if case.key or case.mailboxes > 1:
        options = [f"-address=127.0.0.1:{port}", f"-sessions={SESSIONS}", f"-messages={messages}", f"-size={case.size}"]
        options += [f"-from={sender}", f"-to={recipient}", f"-mailboxes={case.mailboxes}"]
        return [built("smtp-load"), *options, *["-starttls"] * bool(case.key), *["-reuse"] * case.reuse]
    program = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    options = ["-s", f"{SESSIONS}", "-m", f"{messages}", "-f", sender, "-t", recipient, "-l", str(case.size)]
    return [program, *options, *["-d"] * case.reuse, f"127.0.0.1:{port}"]
