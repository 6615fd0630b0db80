"""PURE. Does a domain say that it takes no mail? The null MX (RFC 7505)."""

from __future__ import annotations

from mailport.authentication.dns import Asking, Question, RecordType, is_name


def takes_no_mail(domain: str) -> Asking[bool]:
    """Whether a domain says so. What cannot be asked does not."""
    if not is_name(domain):
        return False
    answer = yield Question(domain, RecordType.MX)
    return answer.names == ("",)
