"""To a mailbox server, by LMTP (RFC 2033): one answer for each recipient, once the mailbox has the message."""

from __future__ import annotations

from typing import ClassVar

from mailport.deliver.next_hop.destination import NextHop


class Lmtp(NextHop):
    """The destination `lmtp`."""

    kind: ClassVar = "lmtp"
    rank: ClassVar = 20
    lmtp: ClassVar = True
