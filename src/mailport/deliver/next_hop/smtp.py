"""To another mail server, by SMTP (RFC 5321): its 250 is ours. `host` is one host, MX records are not looked up."""

from __future__ import annotations

from typing import ClassVar

from mailport.deliver.next_hop.destination import NextHop


class Smtp(NextHop):
    """The destination `smtp`."""

    kind: ClassVar = "smtp"
    rank: ClassVar = 10
    lmtp: ClassVar = False
