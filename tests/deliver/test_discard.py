"""The destination `discard`."""

from mailport.deliver.discard import Discard
from tests.deliver.conftest import deliver


async def test_any_mail_is_taken():
    """Whatever comes is accepted, whoever it is for."""
    receipt = await deliver(Discard(), "anna@example.org", "nobody@example.net", content=bytes(1_000_000))

    assert receipt.text == "discarded"


async def test_it_can_be_prepared_and_aborted():
    """A transaction that goes elsewhere too, and fails there, ends without a trace."""
    destination = Discard()
    delivery = await destination.open(None)
    await delivery.prepare()
    await delivery.abort()
    await destination.close()
