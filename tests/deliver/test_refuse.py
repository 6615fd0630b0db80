"""The destination `refuse`."""

import pytest

from mailport import model
from mailport.address import Address
from mailport.deliver.delivery import Refused
from mailport.deliver.refuse import Refuse
from tests.deliver.conftest import ENVELOPE


async def test_every_recipient_is_refused_with_the_text_of_the_document():
    """RCPT is 550 5.1.1, for good, and says what the administrator wrote."""
    delivery = await Refuse(model.Refuse(text="this mailbox has moved")).open(ENVELOPE)

    with pytest.raises(Refused) as refused:
        await delivery.rcpt(Address.parse("old@example.org"))

    assert (refused.value.code, refused.value.enhanced) == (550, "5.1.1")
    assert refused.value.text == "this mailbox has moved"
    assert refused.value.reason == "no_such_recipient"
