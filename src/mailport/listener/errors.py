"""How many errors a session has made, held against limits.maxErrors."""

from __future__ import annotations

from mailport.contract.model import Limits
from mailport.policy import limits
from mailport.policy.replies import Reply

MAX_UNCOUNTED = 1000  # 5yz in a session; as many as Postfix lets pass (smtpd_recipient_overshoot_limit)


class Errors:
    """One session's errors."""

    __slots__ = ("_counted", "_uncounted")

    def __init__(self) -> None:
        self._counted = self._uncounted = 0

    def add(
        self, reply: Reply, configured: Limits, *, to_rcpt: bool, recipients: int, behind_refused_mail: bool
    ) -> bool:
        """Take note of a refusal; return whether it is the one that exceeds maxErrors.

        A 4yz never counts. Some 5yz do not count either (limits.counts_as_error), up to a bound for the session; from
        then on each one does. The bound is maxRecipients at least, so that a sender within it always gets through.
        """
        if reply.code < 500:
            return False
        if not limits.counts_as_error(
            reply, to_rcpt=to_rcpt, recipients=recipients, behind_refused_mail=behind_refused_mail
        ):
            self._uncounted += 1
            if self._uncounted <= max(MAX_UNCOUNTED, configured.max_recipients):
                return False
        self._counted += 1
        return 0 < configured.max_errors < self._counted
