"""PURE. What the other side says, as it may stand in a log and in a reply."""

from __future__ import annotations

import re

_NOT_PRINTABLE = re.compile(r"[^ -~]+")


def printable(text: str) -> str:
    """Return a text in printable ASCII, with one blank for each run of anything else."""
    return _NOT_PRINTABLE.sub(" ", text)
