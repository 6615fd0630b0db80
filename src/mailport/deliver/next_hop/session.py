"""PURE. SMTP and LMTP as a client: commands and content out as octets, octets in, answers out.

No socket, no clock. Who drives it sends what the methods return and hands on what comes back. What the server may not
say is ProtocolError; what we may not say now is Misuse, a fault of ours.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mailport.deliver.next_hop.answers import Answer, AnswerReader, ProtocolError
from mailport.deliver.next_hop.dots import Dots

_MAX_COMMAND = 512  # octets with CRLF (RFC 5321 §4.5.3.1.4)


class Misuse(Exception):  # noqa: N818 - what it is
    """A command out of its place."""


class Step(StrEnum):
    """What a server answers."""

    GREETING = "the connection"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    RSET = "RSET"
    DATA = "DATA"
    CONTENT = "the content"
    QUIT = "QUIT"


# The positive codes that each may have; a 4yz or 5yz it may always.
_POSITIVE = {
    Step.GREETING: {220},
    Step.EHLO: {250},
    Step.STARTTLS: {220},
    Step.AUTH: {235, 334},
    Step.MAIL: {250},
    Step.RCPT: {250, 251},
    Step.RSET: {250},
    Step.DATA: {354},
    Step.CONTENT: {250},
    Step.QUIT: {221},
}


class Answered(NamedTuple):
    """An answer, and to what."""

    step: Step
    answer: Answer

    @property
    def ok(self) -> bool:
        """Whether the server did it."""
        return self.answer.code < 400

    @property
    def closing(self) -> bool:
        """Whether it is the last answer on this connection (RFC 5321 §3.8)."""
        return self.answer.code == 421


@dataclass(frozen=True, slots=True)
class Offers:
    """What a server offered in its answer to EHLO."""

    keywords: dict[str, str]  # in upper case, with their parameters

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int:
        """The largest message that it takes, in octets (RFC 1870); 0 where it says none."""
        text = self.keywords.get("SIZE", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

    @property
    def mechanism(self) -> str:
        """The mechanism of AUTH that we speak, too; else empty."""
        offered = self.keywords.get("AUTH", "").upper().split()
        return next((mechanism for mechanism in ("PLAIN", "LOGIN") if mechanism in offered), "")


class Session:
    """One connection's conversation."""

    def __init__(self, *, lmtp: bool, encrypted: bool) -> None:
        """`lmtp` is RFC 2033; `encrypted`: TLS began with the connection."""
        self._lmtp = lmtp
        self._encrypted = encrypted
        self._answers = AnswerReader()
        self._awaited: deque[Step] = deque([Step.GREETING])
        self._handshake = False  # STARTTLS was consented to
        self._responses: deque[bytes] = deque()  # of AUTH, not asked for yet
        self._accepted = 0  # recipients of this transaction
        self._dots: Dots | None = None  # while content goes out
        self.offers = Offers({})
        self.closing = False  # the server has said 421, or QUIT was

    @property
    def idle(self) -> bool:
        """Whether everything sent is answered, no more has come, and the next transaction can begin."""
        busy = self._awaited or self._handshake or self._dots or self._accepted or self.closing
        return not busy and self._answers.empty

    @property
    def answered_by_half(self) -> bool:
        """Whether a part of a reply has come, and not its end."""
        return not self._answers.empty

    # In.

    def receive(self, octets: bytes) -> Iterator[Answered]:
        """Take in what came, and yield what it answers. Raises ProtocolError; then the connection is of no use."""
        self._answers.feed(octets)
        while (answer := self._answers.next()) is not None:
            if answer.code == 421:
                self.closing = True
            if not self._awaited:
                raise ProtocolError(f"not asked for: {answer}")
            step = self._awaited.popleft()
            if answer.code < 400 and answer.code not in _POSITIVE[step]:
                raise ProtocolError(f"to {step}: {answer}")
            self._take(step, answer)
            yield Answered(step, answer)

    def _take(self, step: Step, answer: Answer) -> None:
        ok = answer.code < 400
        if step is Step.EHLO and ok:
            words = [line.split(maxsplit=1) for line in answer.lines[1:]]
            self.offers = Offers({word[0].upper(): " ".join(word[1:]) for word in words if word})
        elif step is Step.STARTTLS and ok:
            if not self._answers.empty:  # whoever is between us would speak with the server's voice (CVE-2011-0411)
                raise ProtocolError("octets in clear behind the answer to STARTTLS")
            self._handshake = True
        elif step is Step.RCPT and ok:
            self._accepted += 1
        elif step is Step.DATA and ok:
            self._dots = Dots()
        elif step is Step.AUTH and answer.code == 334 and not self._responses:
            raise ProtocolError("AUTH asks for more than there is to say")
        elif step in (Step.RSET, Step.CONTENT) and not self._awaited:
            self._accepted = 0

    # Out.

    def ehlo(self, hostname: str) -> bytes:
        """Greet."""
        return self._command(Step.EHLO, f"{'LHLO' if self._lmtp else 'EHLO'} {hostname}".encode("ascii"))

    def starttls(self) -> bytes:
        """Ask for TLS; when it is consented to, `encrypted` has to follow the handshake."""
        if self._awaited or self._encrypted:
            raise Misuse("STARTTLS")
        return self._command(Step.STARTTLS, b"STARTTLS")

    def encrypted(self) -> None:
        """Go on behind the handshake: what the server offered in clear is forgotten (RFC 3207 §4.2)."""
        if not self._handshake:
            raise Misuse("no STARTTLS before it")
        self._handshake, self._encrypted, self.offers = False, True, Offers({})

    def auth(self, username: bytes, password: bytes) -> bytes:
        """Log in, by a mechanism that is offered; each 334 asks for `auth_response`."""
        if not self._encrypted or self._awaited or not self.offers.mechanism:
            raise Misuse("AUTH without TLS, out of its place, or not offered")
        if self.offers.mechanism == "LOGIN":
            self._responses.extend((username, password))
            return self._command(Step.AUTH, b"AUTH LOGIN")
        response = b"\0" + username + b"\0" + password  # RFC 4616 §2
        line = b"AUTH PLAIN " + base64.b64encode(response)
        if len(line) + 2 <= _MAX_COMMAND:
            return self._command(Step.AUTH, line)
        self._responses.append(response)
        return self._command(Step.AUTH, b"AUTH PLAIN")

    def auth_response(self) -> bytes:
        """Answer a 334."""
        if not self._responses:
            raise Misuse("there is no more to say")
        return self._command(Step.AUTH, base64.b64encode(self._responses.popleft()))

    def mail(self, sender: str, *, smtputf8: bool, body_8bitmime: bool, size: int | None) -> bytes:
        """Begin a transaction; `sender` is empty for the null sender. Parameters are used where they are offered."""
        if self._accepted:
            raise Misuse("MAIL in a transaction")
        line = f"MAIL FROM:<{sender}>"
        if size is not None and "SIZE" in self.offers:
            line += f" SIZE={size}"
        if body_8bitmime and "8BITMIME" in self.offers:
            line += " BODY=8BITMIME"
        if smtputf8 and "SMTPUTF8" in self.offers:
            line += " SMTPUTF8"
        return self._command(Step.MAIL, line.encode())

    def rcpt(self, recipient: str) -> bytes:
        """Name a recipient."""
        return self._command(Step.RCPT, f"RCPT TO:<{recipient}>".encode())

    def rset(self) -> bytes:
        """Give the transaction up."""
        return self._command(Step.RSET, b"RSET")

    def quit(self) -> bytes:
        """Say good-bye."""
        octets = self._command(Step.QUIT, b"QUIT")
        self.closing = True
        return octets

    def data(self) -> bytes:
        """Ask to send the content; after 354 it goes out by `content` and `end`."""
        if self._awaited or not self._accepted:
            raise Misuse("DATA")
        return self._command(Step.DATA, b"DATA")

    def content(self, piece: bytes | bytearray) -> bytes | bytearray:
        """Send a piece of the content."""
        if self._dots is None:
            raise Misuse("content before 354")
        return self._dots.piece(piece)

    def end(self) -> bytes:
        """End the content: one answer follows, with LMTP one for each recipient accepted (RFC 2033 §4.2)."""
        if self._dots is None:
            raise Misuse("no content to end")
        end, self._dots = self._dots.end(), None
        self._await_outcome()
        return end

    def bdat(self, octets: int) -> bytes:
        """Begin the whole content as one chunk, the last, whose octets follow as they are (RFC 3030 §2)."""
        if self._awaited or not self._accepted or "CHUNKING" not in self.offers:
            raise Misuse("BDAT")
        self._await_outcome()
        return b"BDAT %d LAST\r\n" % octets

    def _await_outcome(self) -> None:
        self._awaited.extend([Step.CONTENT] * (self._accepted if self._lmtp else 1))

    def _command(self, step: Step, line: bytes) -> bytes:
        if self._dots is not None or self._handshake or (self._awaited and "PIPELINING" not in self.offers):
            raise Misuse(f"{step} out of its place")
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Misuse(f"{step} of more than one line")
        self._awaited.append(step)
        return line + b"\r\n"
