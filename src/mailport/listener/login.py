"""The exchanges of AUTH that this server knows: PLAIN (RFC 4616), and LOGIN, which no RFC describes.

A mechanism learns which user name and password the client gives. Whether they are right is credentials.py's question.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from mailport.policy import replies
from mailport.policy.replies import Reply

# Sends a challenge, returns the client's response to it. Raises ExchangeFailed.
Ask = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client gives to prove who it is, as octets: nothing of it has been checked."""

    user: bytes
    password: bytes = field(repr=False)


class ExchangeFailed(Exception):  # noqa: N818 - one of its reasons is that the client cancelled
    """The exchange ended before there were credentials to check; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


async def plain(initial: bytes | None, ask: Ask) -> Credentials:
    """Authorization identity, user and password in one message, NUL between them (RFC 4616 §2)."""
    message = initial if initial is not None else await ask(b"")
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise ExchangeFailed(replies.AUTH_NOT_PLAIN)
    authorization, user, password = parts
    if authorization not in (b"", user):
        # Nobody may act as another user. No user has an empty name: refused as a wrong password is, in the same time.
        user = b""
    return Credentials(user, password)


async def login(initial: bytes | None, ask: Ask) -> Credentials:
    """User and password, each asked for.

    Clients compare the prompts letter by letter, with these, and not with those of draft-murchison-sasl-login.
    """
    user = initial if initial is not None else await ask(b"Username:")
    return Credentials(user, await ask(b"Password:"))


MECHANISMS: Mapping[str, Callable[[bytes | None, Ask], Awaitable[Credentials]]] = {"PLAIN": plain, "LOGIN": login}


async def exchange(argument: bytes, ask: Ask) -> Credentials:
    """Go through with an AUTH command: its argument names the mechanism. Raises ExchangeFailed, or what `ask` does."""
    words = argument.decode("ascii", "replace").split()
    if not 1 <= len(words) <= 2:
        raise ExchangeFailed(replies.AUTH_SYNTAX)
    mechanism = MECHANISMS.get(words[0].upper())
    if mechanism is None:
        raise ExchangeFailed(replies.AUTH_MECHANISM)
    return await mechanism(initial_response(words[1] if len(words) == 2 else None), ask)


def initial_response(word: str | None) -> bytes | None:
    """Decode the initial response of an AUTH command; None where there is none. Raises ExchangeFailed.

    `=` stands for a response without any octets, which cannot be written otherwise (RFC 4954 §4).
    """
    if word is None:
        return None
    return b"" if word == "=" else _decoded(word.encode("ascii", "replace"))


def response(line: bytes) -> bytes:
    """Decode the line that answers a challenge. Raises ExchangeFailed, also where it is the `*` that cancels."""
    text = line.strip()
    if text == b"*":
        raise ExchangeFailed(replies.AUTH_CANCELLED)
    return _decoded(text)


def _decoded(text: bytes) -> bytes:
    """Decode base64 as strictly as RFC 4954 §4 asks: no other characters, and padding at the end only."""
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise ExchangeFailed(replies.AUTH_NOT_BASE64) from None
