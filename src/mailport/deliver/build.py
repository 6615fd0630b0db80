"""From a route's `deliver` to the destination that serves it."""

from __future__ import annotations

from pathlib import Path

from mailport import model
from mailport.deliver.delivery import Destination
from mailport.deliver.discard import Discard
from mailport.deliver.maildir import Maildir
from mailport.deliver.refuse import Refuse


class NotInThisVersion(ValueError):  # noqa: N818 - what it says
    """The document is right, and this version cannot serve it. The text begins with the field below `deliver`."""


def build(deliver: model.Deliver, mail_root: Path) -> Destination:
    """Build a route's destination. `mail_root` is where mailboxes lie, below a folder a claim."""
    match deliver.destination:
        case model.Maildir() as settings:
            return Maildir(settings, mail_root)
        case model.Discard():
            return Discard()
        case model.Refuse() as settings:
            return Refuse(settings)
        case _:
            raise NotInThisVersion(f"{deliver.kind}: not in this version")
