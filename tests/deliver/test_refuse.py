"""The destination `refuse`."""

import pytest

from mailport.contract import model
from mailport.deliver.destination import Refused
from mailport.deliver.refuse import Refuse
from mailport.policy.replies import Reply
from tests.deliver.conftest import deliver, verify

MOVED = Reply(550, "5.1.1", "this mailbox has moved", "no_such_recipient")


async def test_every_recipient_is_refused_with_the_text_of_the_document():
    """RCPT is 550 5.1.1, for good, and says what the administrator wrote."""
    with pytest.raises(Refused) as refused:
        await verify(Refuse(model.Refuse(text="this mailbox has moved")), "old@example.org")

    assert refused.value.reply == MOVED


async def test_a_message_for_one_would_be_refused_too():
    """No recipient gets as far as that; if one did, it would hear the same."""
    outcomes = await deliver(Refuse(model.Refuse(text="this mailbox has moved")), "old@example.org", "x@example.org")

    assert [outcome.reply for outcome in outcomes if isinstance(outcome, Refused)] == [MOVED, MOVED]


async def test_there_is_nothing_to_try():
    """Nobody is to be reached."""
    await Refuse(model.Refuse(text="no")).check()
