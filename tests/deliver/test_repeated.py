"""What a message is known by when it comes again, and that no two deliveries are taken for one."""

from __future__ import annotations

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.repeated import Repeated
from tests.deliver.conftest import held
from tests.tables import table

ANNA, BERT = Address.parse("anna@example.org"), Address.parse("bert@example.org")


@pytest.mark.parametrize(
    "head, known",
    table(
        {
            "a Message-ID": (b"Message-ID: <1@example.net>", True),
            "in other letters, with blanks": (b"MESSAGE-Id \t: \t<1@example.net>", True),
            "folded, as long ones are": (b"Message-ID:\r\n <1@example.net>", True),
            "folded twice": (b"Message-ID: \r\n\t\r\n <1@example.net>", True),
            "behind a large field": (b"X: " + b"x" * 100_000 + b"\r\nMessage-ID: <1@example.net>", True),
            "none": (b"Subject: hello", False),
            "an empty one": (b"Message-ID: \r\nSubject: hello", False),
            "an empty one, folded": (b"Message-ID: \r\n \r\nSubject: hello", False),
            "in another field": (b"References: Message-ID: <1@example.net>", False),
        }
    ),
)
async def test_only_a_message_with_an_id_is_known_again(head: bytes, known: bool):
    """The id is that of content and recipients; else that of the delivery."""
    content = head + b"\r\n\r\nhello\r\n"
    async with held(content) as one, held(content) as other:
        first, again = await Repeated.of(one), await Repeated.of(other.for_route(1))

        assert (first.id([ANNA]) == again.id([ANNA])) is known
        assert (first.id([ANNA]) == first.id([BERT])) is not known
        assert first.id([ANNA, BERT]) == first.id([BERT, ANNA])


async def test_a_message_has_an_id_for_each_route():
    """Two routes may lead to one place: they name the message by different ids."""
    async with held(b"Subject: hello\r\n\r\n") as message:
        ids = [message.for_route(number).id for number in range(3)]

        assert ids == ["4bXyZ1", "4bXyZ1.2", "4bXyZ1.3"]
        assert message.for_route(1).head(final=True) == message.head(final=True)
