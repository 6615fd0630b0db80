"""The destination `discard`."""

from mailport.deliver.destination import Receipt
from mailport.deliver.discard import Discard
from tests.deliver.conftest import deliver, verify

RECIPIENTS = ("anna@example.org", "nobody@example.net")


async def test_any_mail_is_taken():
    """Whatever comes is accepted, whoever it is for."""
    destination = Discard()
    for recipient in RECIPIENTS:
        await verify(destination, recipient)
    outcomes = await deliver(destination, *RECIPIENTS, content=bytes(1_000_000))
    await destination.close()

    assert outcomes == [Receipt("discarded")] * 2


async def test_there_is_nothing_to_try():
    """Nobody is to be reached."""
    await Discard().check()
