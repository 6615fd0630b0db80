"""The exchanges of AUTH, without a connection: what is asked, and what comes out."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mailport.listener.login import MECHANISMS, Credentials, ExchangeFailed, initial_response, response
from mailport.policy import auth, replies
from tests.tables import table

ANNA = Credentials(b"anna", b"correct horse")
NOBODY = Credentials(b"", b"correct horse")


def test_ehlo_offers_what_there_is():
    """Neither a mechanism that is not there, nor too few."""
    assert tuple(MECHANISMS) == auth.MECHANISMS


@pytest.mark.parametrize(
    "mechanism, initial, exchange, outcome",
    table(
        {
            "PLAIN at once": ("PLAIN", b"\0anna\0correct horse", [], ANNA),
            "PLAIN, asked": ("PLAIN", None, [(b"", b"\0anna\0correct horse")], ANNA),
            "PLAIN for oneself": ("PLAIN", b"anna\0anna\0correct horse", [], ANNA),
            "PLAIN for somebody else": ("PLAIN", b"bert\0anna\0correct horse", [], NOBODY),
            "PLAIN without a NUL": ("PLAIN", b"anna", [], replies.AUTH_NOT_PLAIN),
            "PLAIN with a NUL too many": ("PLAIN", b"\0anna\0correct\0horse", [], replies.AUTH_NOT_PLAIN),
            "an empty PLAIN is not asked for again": ("PLAIN", b"", [], replies.AUTH_NOT_PLAIN),
            "LOGIN": ("LOGIN", None, [(b"Username:", b"anna"), (b"Password:", b"correct horse")], ANNA),
            "LOGIN with the user at once": ("LOGIN", b"anna", [(b"Password:", b"correct horse")], ANNA),
            "an empty user is not asked for again": ("LOGIN", b"", [(b"Password:", b"correct horse")], NOBODY),
        }
    ),
)
async def test_exchanges(
    mechanism: str, initial: bytes | None, exchange: list[tuple[bytes, bytes]], outcome: Credentials | replies.Reply
):
    """Each challenge as written here, in this order, and no others."""
    left = list(exchange)

    async def ask(challenge: bytes) -> bytes:
        expected, answer = left.pop(0)
        assert challenge == expected
        return answer

    try:
        result: Credentials | replies.Reply = await MECHANISMS[mechanism](initial, ask)
    except ExchangeFailed as failure:
        result = failure.reply

    assert result == outcome
    assert left == []


@pytest.mark.parametrize(
    "word, decoded",
    table(
        {
            "none": (None, None),
            "the sign for an empty one (RFC 4954 §4)": ("=", b""),
            "base64": (b64encode(b"anna").decode(), b"anna"),
            "padding in front": ("=AAA", replies.AUTH_NOT_BASE64),
            "padding in the middle": ("AAA=AAAA", replies.AUTH_NOT_BASE64),
            "padding that is missing": ("YW5uYQ", replies.AUTH_NOT_BASE64),
            "another character": ("YW5u?Q==", replies.AUTH_NOT_BASE64),
            "not ASCII": ("\ufffd", replies.AUTH_NOT_BASE64),
        }
    ),
)
def test_the_initial_response(word: str | None, decoded: bytes | replies.Reply | None):
    """One parser for both mechanisms."""
    try:
        result: bytes | replies.Reply | None = initial_response(word)
    except ExchangeFailed as failure:
        result = failure.reply

    assert result == decoded


@pytest.mark.parametrize(
    "line, decoded",
    table(
        {
            "base64": (b64encode(b"anna") + b"\r\n", b"anna"),
            "nothing": (b"\r\n", b""),
            "cancelled": (b"*\r\n", replies.AUTH_CANCELLED),
            "not base64": (b"=\r\n", replies.AUTH_NOT_BASE64),
            "octets that are not ASCII": (b"\xff\r\n", replies.AUTH_NOT_BASE64),
        }
    ),
)
def test_responses(line: bytes, decoded: bytes | replies.Reply):
    """What answers a challenge. `=` is for initial responses only."""
    try:
        result: bytes | replies.Reply = response(line)
    except ExchangeFailed as failure:
        result = failure.reply

    assert result == decoded


def test_a_password_is_not_shown():
    """Neither by a log line nor by a traceback that shows values."""
    assert "horse" not in repr(ANNA)
    assert "anna" in repr(ANNA)
