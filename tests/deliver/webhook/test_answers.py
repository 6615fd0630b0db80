"""What an answer means: replies.md, "Webhook, S3, NATS"."""

from datetime import UTC, datetime

import pytest

from mailport.deliver.destination import NotDelivered, Receipt
from mailport.deliver.webhook.answers import outcome, pause
from tests.tables import table

NOW = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
MISCONFIGURED, UNAVAILABLE = "destination_misconfigured", "destination_unavailable"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_a_receipt(status: int):
    assert outcome(status, "ticket 7") == Receipt(f"HTTP {status}: ticket 7")


@pytest.mark.parametrize(
    "statuses, reply, reason",
    table(
        {
            "the message is not wanted": ([406], (554, "5.3.0"), "destination_refused"),
            "the message is too large": ([413], (552, "5.3.4"), "destination_refused"),
            "login, address or format are wrong": ([401, 403, 404, 410, 415, 422], (451, "4.3.0"), MISCONFIGURED),
            "a redirect is not followed": ([300, 301, 302, 303, 304, 307, 308], (451, "4.3.0"), MISCONFIGURED),
            "the receiver cannot now": ([429, 500, 502, 503, 504, 507], (451, "4.3.0"), UNAVAILABLE),
            "anything else is nobody's 5yz": (
                [100, 199, 400, 402, 405, 408, 409, 421, 431, 499, 600, 999],
                (451, "4.3.0"),
                UNAVAILABLE,
            ),
        }
    ),
)
def test_every_other_class_of_status(statuses: list[int], reply: tuple[int, str], reason: str):
    """And what was said is for the log alone."""
    for status in statuses:
        no = outcome(status, "secret words")

        assert isinstance(no, NotDelivered)
        assert (no.reply.code, no.reply.enhanced, no.reply.reason) == (*reply, reason)
        assert "secret words" in str(no)
        assert "secret words" not in no.reply.text


@pytest.mark.parametrize(
    "status, retry_after, seconds",
    table(
        {
            "seconds": (503, "120", 120),
            "of too many requests": (429, "7", 7),
            "a date": (503, "Sat, 28 Nov 2026 22:01:30 GMT", 90),
            "a date without a zone": (503, "Sat, 28 Nov 2026 22:01:30 -0000", 90),
            "a date that is over": (503, "Sat, 28 Nov 2026 21:00:00 GMT", 0),
            "for ever is five minutes": (503, "999999999", 300),
            "a number that no float holds": (503, "9" * 400, 0),
            "a date in the next century": (503, "Sat, 28 Nov 2126 21:00:00 GMT", 300),
            "a year that no calendar has": (503, "Fri, 31 Dec 99999999999 23:59:59 GMT", 0),
            "nothing": (503, "", 0),
            "nonsense": (503, "soon", 0),
            "a negative number": (503, "-1", 0),
            "of another status": (500, "120", 0),
        }
    ),
)
def test_retry_after(status: int, retry_after: str, seconds: float):
    assert pause(status, retry_after, NOW) == seconds
