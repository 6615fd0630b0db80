"""PURE. What stands beside a message in a request, an object store or a stream: all that is not in the message.

The values are percent-encoded UTF-8, so that they are printable ASCII wherever they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from mailport.address.mail_address import Address
from mailport.message.envelope import Envelope

CONTENT_TYPE = "message/rfc822"

# All of printable ASCII but what separates or quotes: the same octets that CloudEvents' HTTP binding leaves (§3.1.3.2)
_PLAIN = "!#$&'()*+-./:;<=>?@[]^_`{|}~"


def values(envelope: Envelope, recipients: Sequence[Address], disposition: str) -> dict[str, str]:
    """Return the envelope by name; the recipients are a list with `, ` between them."""
    found = {
        "Mailport-Id": envelope.id,  # ours: letters, digits and a dot
        "Mailport-Mail-From": encoded(str(envelope.sender or "")),
        "Mailport-Rcpt-To": ", ".join(encoded(str(one)) for one in recipients),
        "Mailport-Client": _client(envelope),
        "Mailport-Time": envelope.time.isoformat(timespec="seconds"),
        "Mailport-Disposition": str(disposition),
    }
    if envelope.user is not None:
        found["Mailport-User"] = encoded(envelope.user)
    return found


@lru_cache(maxsize=4096)  # addresses come again and again
def encoded(text: str) -> str:
    """Percent-encode all but printable ASCII without blanks, quotes, commas, backslashes and the percent sign."""
    return quote(text, safe=_PLAIN)


def _client(envelope: Envelope) -> str:
    address = f"[{envelope.client}]" if envelope.client.version == 6 else str(envelope.client)
    return f"{address}:{envelope.client_port}"
