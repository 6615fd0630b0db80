"""Clients that send all the while, and keep account of what they were told."""

import hashlib
import itertools
import smtplib
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

RECIPIENT = "load@example.org"
_PAUSE = 0.05  # seconds between two messages of one sender
_AGAIN = 0.2  # seconds before a message that was put off is tried again
_SIZE = 20_000  # octets


class Senders:
    """Some senders, each with a message at a time, each message tried until it is taken.

    `outcomes` counts each answer: the code of the reply that ended an attempt, or what happened to the connection.
    """

    def __init__(self, place: tuple[str, int], number: int = 4) -> None:
        self._place = place
        self._over = threading.Event()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.outcomes: Counter[str] = Counter()
        self.taken: set[str] = set()  # the digests of the contents that got 250
        self.given_up: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(_PAUSE):
            content = _content(next(self._numbers))
            outcome = ""
            deadline = time.monotonic() + 60
            while outcome != "250" and time.monotonic() < deadline:
                outcome = self._attempt(content)
                with self._lock:
                    self.outcomes[outcome] += 1
                if outcome != "250":
                    time.sleep(_AGAIN)
            with self._lock:
                if outcome == "250":
                    self.taken.add(digest(content))
                else:
                    self.given_up.append(outcome)

    def _attempt(self, content: bytes) -> str:
        try:
            with smtplib.SMTP(*self._place, timeout=30) as server:
                server.sendmail("sender@example.net", [RECIPIENT], content)
                return "250"
        except smtplib.SMTPRecipientsRefused as error:
            return str(error.recipients[RECIPIENT][0])
        except smtplib.SMTPServerDisconnected:
            return "closed"
        except smtplib.SMTPResponseException as error:
            return "closed" if error.smtp_code == -1 else str(error.smtp_code)
        except OSError as error:
            return type(error).__name__


def _content(number: int) -> bytes:
    line = f"message {number} " + "x" * 60 + "\r\n"
    return b"Subject: load\r\n\r\n" + (line * (_SIZE // len(line))).encode()


def digest(content: bytes) -> str:
    """Return what tells a message's body from another's, whatever headers were put before it and its line ends."""
    body = content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    return hashlib.sha256(body).hexdigest()


def lying(folder: Path) -> Counter[str]:
    """Return the digests of what lies in the mailbox, with how often."""
    local, _, domain = RECIPIENT.rpartition("@")
    new = folder / domain / local / "new"
    return Counter(digest(path.read_bytes()) for path in new.glob("*"))
