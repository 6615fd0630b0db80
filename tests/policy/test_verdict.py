"""What follows from who sent a message: replies.md's "Sender authentication" as tables."""

from __future__ import annotations

import pytest

from mailport.authentication.dmarc import DmarcResult
from mailport.authentication.dmarc_record import Policy
from mailport.authentication.result import Disposition, Result
from mailport.contract.model import DmarcMode, RejectMode
from mailport.policy import replies
from mailport.policy.chain import first_refusal
from mailport.policy.sender import ON_SENDER, SenderFacts
from mailport.policy.verdict import ON_VERDICT, VerdictFacts, disposition
from tests.tables import table

QUARANTINE, REJECT = DmarcMode.QUARANTINE, DmarcMode.REJECT
REPORT = RejectMode.REPORT


def dmarc(result: str, policy: Policy = Policy.REJECT, *, known: bool = True) -> DmarcResult:
    aligned_by = "dkim" if result == "pass" else ""
    return DmarcResult(Result(result), "example.org", "example.org" if known else "", policy, aligned_by, "")


def unclear(policy: Policy) -> DmarcResult:
    """What DMARC says of a From field without one author."""
    return DmarcResult(Result.PERMERROR, "", "", policy, "", "")


def facts(
    spf: str | None = None,
    found: DmarcResult | None = None,
    *,
    spf_mode: RejectMode = RejectMode.REPORT,
    mode: DmarcMode = DmarcMode.REPORT,
    trusted: bool = False,
) -> VerdictFacts:
    return VerdictFacts(spf_mode, mode, Result(spf) if spf else None, found, trusted)


@pytest.mark.parametrize(
    ("known", "reply"),
    table(
        {
            "nothing was asked": (facts(), None),
            "Report refuses nothing": (facts("fail", dmarc("fail")), None),
            "DMARC fails, and its domain says reject": (facts(None, dmarc("fail"), mode=REJECT), replies.DMARC_FAILED),
            "… and says quarantine": (facts(None, dmarc("fail", Policy.QUARANTINE), mode=REJECT), None),
            "… and says none": (facts(None, dmarc("fail", Policy.NONE), mode=REJECT), None),
            "… and only Quarantine is on": (facts(None, dmarc("fail"), mode=QUARANTINE), None),
            "… by a trusted forwarder": (facts(None, dmarc("fail"), mode=REJECT, trusted=True), None),
            "DMARC passes": (facts(None, dmarc("pass"), mode=REJECT), None),
            "there is no DMARC record": (facts(None, dmarc("none", known=False), mode=REJECT), None),
            "From has no address": (facts(None, unclear(Policy.NONE), mode=REJECT), None),
            "From has several": (facts(None, unclear(Policy.QUARANTINE), mode=REJECT), None),
            "DMARC could not be asked, and SPF passes for the author's own domain": (
                facts(None, dmarc("temperror")._replace(aligned_by="spf"), mode=REJECT),
                None,
            ),
            "DMARC could not be asked, under reject": (
                facts(None, dmarc("temperror"), mode=REJECT),
                replies.DMARC_UNKNOWN,
            ),
            "… and not even its policy": (
                facts(None, dmarc("temperror", Policy.NONE, known=False), mode=REJECT),
                replies.DMARC_UNKNOWN,
            ),
            "… under quarantine: no refusal would follow": (
                facts(None, dmarc("temperror", Policy.QUARANTINE), mode=REJECT),
                None,
            ),
            "… under none": (facts(None, dmarc("temperror", Policy.NONE), mode=REJECT), None),
            "… and only Quarantine is on: none would follow": (facts(None, dmarc("temperror"), mode=QUARANTINE), None),
            "SPF fails": (facts("fail", dmarc("fail"), spf_mode=RejectMode.REJECT), replies.SPF_FAILED),
            "SPF fails, and there is no DMARC record": (
                facts("fail", dmarc("none", known=False), spf_mode=RejectMode.REJECT),
                replies.SPF_FAILED,
            ),
            "SPF fails, and DMARC is not looked at": (
                facts("fail", spf_mode=RejectMode.REJECT),
                replies.SPF_FAILED,
            ),
            "SPF fails, and DMARC passes": (facts("fail", dmarc("pass"), spf_mode=RejectMode.REJECT), None),
            "SPF fails, DMARC could not be asked, and a signature passes for the author's own domain": (
                facts("fail", dmarc("temperror")._replace(aligned_by="dkim"), spf_mode=RejectMode.REJECT),
                None,
            ),
            "SPF fails, and whether DMARC passes could not be asked": (
                facts("fail", dmarc("temperror"), spf_mode=RejectMode.REJECT),
                replies.DMARC_UNKNOWN,
            ),
            "SPF fails, by a trusted forwarder": (
                facts("fail", dmarc("fail"), spf_mode=RejectMode.REJECT, trusted=True),
                None,
            ),
            "softfail is no fail": (facts("softfail", dmarc("fail"), spf_mode=RejectMode.REJECT), None),
            "permerror is no fail": (facts("permerror", dmarc("fail"), spf_mode=RejectMode.REJECT), None),
            "SPF could not be asked": (
                facts("temperror", dmarc("none", known=False), spf_mode=RejectMode.REJECT),
                replies.SPF_UNKNOWN,
            ),
            "SPF could not be asked, and DMARC passes": (
                facts("temperror", dmarc("pass"), spf_mode=RejectMode.REJECT),
                None,
            ),
            "both fail: DMARC's reply wins": (
                facts("fail", dmarc("fail"), spf_mode=RejectMode.REJECT, mode=REJECT),
                replies.DMARC_FAILED,
            ),
        }
    ),
)
def test_reply(known, reply):
    """At the end of the content."""
    assert first_refusal(ON_VERDICT, known) is reply


@pytest.mark.parametrize(
    ("known", "expected"),
    table(
        {
            "Quarantine, p=reject": (facts(None, dmarc("fail"), mode=QUARANTINE), "quarantine"),
            "Quarantine, p=quarantine": (facts(None, dmarc("fail", Policy.QUARANTINE), mode=QUARANTINE), "quarantine"),
            "Quarantine, p=none": (facts(None, dmarc("fail", Policy.NONE), mode=QUARANTINE), "deliver"),
            "Reject, p=quarantine": (facts(None, dmarc("fail", Policy.QUARANTINE), mode=REJECT), "quarantine"),
            "Report": (facts(None, dmarc("fail")), "deliver"),
            "what could not be asked": (facts(None, dmarc("temperror"), mode=QUARANTINE), "deliver"),
            "what passes": (facts(None, dmarc("pass"), mode=QUARANTINE), "deliver"),
            "no author": (facts(None, unclear(Policy.NONE), mode=QUARANTINE), "deliver"),
            "an author who cannot be told": (facts(None, unclear(Policy.QUARANTINE), mode=QUARANTINE), "quarantine"),
            "… under Reject": (facts(None, unclear(Policy.QUARANTINE), mode=REJECT), "quarantine"),
            "… under Report": (facts(None, unclear(Policy.QUARANTINE)), "deliver"),
            "… of a trusted forwarder": (
                facts(None, unclear(Policy.QUARANTINE), mode=QUARANTINE, trusted=True),
                "deliver",
            ),
            "a trusted forwarder's": (facts(None, dmarc("fail"), mode=QUARANTINE, trusted=True), "deliver"),
            "nothing was asked": (facts(mode=QUARANTINE), "deliver"),
        }
    ),
)
def test_disposition(known, expected):
    """Of a message that is taken."""
    assert disposition(known) is Disposition(expected)


@pytest.mark.parametrize(
    ("mode", "iprev", "null_mx", "reply"),
    table(
        {
            "a name leads back": (RejectMode.REJECT, "pass", False, None),
            "none leads back": (RejectMode.REJECT, "fail", False, replies.NO_REVERSE_DNS),
            "there is no name": (RejectMode.REJECT, "permerror", False, replies.NO_REVERSE_DNS),
            "it could not be asked": (RejectMode.REJECT, "temperror", False, replies.IPREV_UNKNOWN),
            "a private address": (RejectMode.REJECT, "none", False, None),
            "Report refuses nothing": (RejectMode.REPORT, "fail", False, None),
            "a domain that takes no mail": (RejectMode.REPORT, None, True, replies.NULL_MX),
            "both: iprev's reply wins": (RejectMode.REJECT, "fail", True, replies.NO_REVERSE_DNS),
        }
    ),
)
def test_at_rcpt(mode, iprev, null_mx, reply):
    """Of client and sender."""
    assert first_refusal(ON_SENDER, SenderFacts(mode, Result(iprev) if iprev else None, null_mx)) is reply
