"""How many errors a session has made, held against limits.maxErrors."""

from __future__ import annotations

from mailport.contract.model import Limits
from mailport.policy import limits
from mailport.policy.replies import Reply

MAX_UNCOUNTED = 1000  # in a session; as many as Postfix lets pass (smtpd_recipient_overshoot_limit)


class Errors:
    """One session's errors."""

    __slots__ = ("_counted", "_uncounted")

    def __init__(self) -> None:
        self._counted = self._uncounted = 0

    def add(
        self, reply: Reply, configured: Limits, *, to_rcpt: bool, recipients: int, behind_refused_mail: bool
    ) -> bool:
        """Take note of a refusal; return whether it is the one that exceeds maxErrors.

        What does not count is bounded too: from so many on, each counts. A message may have as many refused recipients
        as it may have recipients, so that a sender who is within maxRecipients always gets through.
        """
        if not limits.counts_as_error(
            reply, to_rcpt=to_rcpt, recipients=recipients, behind_refused_mail=behind_refused_mail
        ):
            self._uncounted += 1
            if self._uncounted <= max(MAX_UNCOUNTED, configured.max_recipients):
                return False
        self._counted += 1
        return 0 < configured.max_errors < self._counted
