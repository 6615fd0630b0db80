"""PURE. What follows from who sent this? Refused, put off, quarantined or delivered; in replies.md's order."""

from __future__ import annotations

from typing import NamedTuple

from mailport.authentication.dmarc import DmarcResult
from mailport.authentication.dmarc_record import Policy
from mailport.authentication.result import Disposition, Result
from mailport.contract.model import DmarcMode, RejectMode
from mailport.policy import replies
from mailport.policy.replies import Reply

_FAILURES = (Result.FAIL, Result.PERMERROR)


class VerdictFacts(NamedTuple):
    """What is known at the end of the content."""

    spf_mode: RejectMode
    dmarc_mode: DmarcMode
    spf: Result | None  # None: not asked
    dmarc: DmarcResult | None
    trusted_forwarder: bool  # what it brings fails, and is honest


def domain_does_not_say_reject(facts: VerdictFacts) -> Reply | None:
    """dmarc.mode Reject: what fails is refused where the author's domain says so (RFC 9989 §5.4)."""
    if facts.dmarc_mode is not DmarcMode.REJECT or facts.trusted_forwarder or facts.dmarc is None:
        return None
    dmarc = facts.dmarc
    if dmarc.result is Result.FAIL and dmarc.policy is Policy.REJECT:
        return replies.DMARC_FAILED
    might_be_refused = not dmarc.aligned_by and (dmarc.policy is Policy.REJECT or not dmarc.policy_domain)
    return replies.DMARC_UNKNOWN if dmarc.result is Result.TEMPERROR and might_be_refused else None


def client_may_send(facts: VerdictFacts) -> Reply | None:
    """spf.mode Reject: what fails is refused, unless DMARC passes, as a signature does behind a forwarder."""
    if facts.spf_mode is not RejectMode.REJECT or facts.trusted_forwarder:
        return None
    if facts.spf not in (Result.FAIL, Result.TEMPERROR):
        return None
    dmarc = facts.dmarc
    if dmarc is not None and dmarc.aligned_by:  # it passes, or could not be asked for its policy alone
        return None
    if facts.spf is Result.TEMPERROR:
        return replies.SPF_UNKNOWN
    might_pass = dmarc is not None and dmarc.result is Result.TEMPERROR
    return replies.DMARC_UNKNOWN if might_pass else replies.SPF_FAILED


ON_VERDICT = (
    domain_does_not_say_reject,  # 550 or 451
    client_may_send,  # 550 or 451
)


def disposition(facts: VerdictFacts) -> Disposition:
    """Decide what becomes of a message that is not refused.

    Under Quarantine p=reject is quarantined too: RFC 9989 §7.4 warns of what refusing does to mailing lists. Under
    both, so is mail whose author cannot be told.
    """
    if facts.dmarc_mode not in (DmarcMode.QUARANTINE, DmarcMode.REJECT) or facts.trusted_forwarder:
        return Disposition.DELIVER
    dmarc = facts.dmarc
    fails = dmarc is not None and dmarc.result in _FAILURES and dmarc.policy is not Policy.NONE
    return Disposition.QUARANTINE if fails else Disposition.DELIVER
