"""PURE. What a next hop's answer means for the client: replies.md, "Next hops: smtp and lmtp"."""

from __future__ import annotations

from mailport.address.mail_address import Address
from mailport.deliver.destination import MISCONFIGURED, Refused, Unavailable
from mailport.deliver.next_hop.answers import Answer
from mailport.deliver.next_hop.session import Offers, Step

_RECIPIENT = ("5.1.", "5.2.")  # of the address, of the mailbox (RFC 3463 §3.2, §3.3)
_SENDER = ("5.1.7", "5.1.8", "5.3.4")
# The refusals of a recipient that go without an enhanced code (RFC 5321 §4.2.2, §4.3.2; RFC 7504 §4). A 503, a 530 or a
# 535 says nothing of the recipient: it would be ours.
_OF_RECIPIENTS = frozenset((501, 550, 551, 552, 553, 554, 555, 556))
# Refusals of a command, whatever it was for: of BDAT that is not known or not let through, or of us
_OF_COMMANDS = frozenset((500, 501, 502, 503, 504, 530, 535, 538))


class Closing(Unavailable):
    """421: the next hop takes nothing now, whatever it is."""


def refused(step: Step, answer: Answer) -> Refused | Unavailable:
    """Return what a 4yz or 5yz to a step comes to."""
    if answer.code >= 500:
        if step is Step.RCPT and _is_of_recipient(answer):
            return _passed_on(answer, "no_such_recipient")
        of_content = step is Step.CONTENT and answer.code not in _OF_COMMANDS and answer.enhanced != "5.5.1"
        if of_content or (step is Step.MAIL and answer.enhanced in _SENDER):
            return _passed_on(answer, "destination_refused")
        return Unavailable(f"{step}: {answer}", reason=MISCONFIGURED)
    return (Closing if answer.code == 421 else Unavailable)(f"{step}: {answer}")


def not_offered(offers: Offers, sender: Address | None, recipient: Address, size: int | None) -> Refused | None:
    """Return why a recipient cannot be handed on to a server that offers no more than this."""
    if "SMTPUTF8" not in offers:
        for address, code in ((sender, 550), (recipient, 553)):  # RFC 6531 §3.5
            if address is not None and not address.is_ascii:
                text = "a non-ASCII address, and the next hop does not take any"
                return Refused(text, code=code, enhanced="5.6.7", reason="smtputf8")
    if size is not None and 0 < offers.size < size:
        return Refused("message is larger than the limit", code=552, enhanced="5.3.4", reason="size_declared")
    return None


def _is_of_recipient(answer: Answer) -> bool:
    if answer.enhanced:
        return answer.enhanced.startswith(_RECIPIENT)
    return answer.code in _OF_RECIPIENTS


def _passed_on(answer: Answer, reason: str) -> Refused:
    return Refused(
        answer.text, code=answer.code, enhanced=answer.enhanced or "5.0.0", reason=reason, detail=f"next hop: {answer}"
    )
