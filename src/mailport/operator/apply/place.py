"""PURE. Where a child is, and how it is named to a person."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mailport.operator.kinds import Place, kind_of
from mailport.operator.metadata import Manifest
from mailport.operator.reason import Reason


def place_of(manifest: Manifest) -> Place:
    """Return where a rendered child belongs."""
    return Place(kind_of(manifest), manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def digest(content: Any) -> str:
    """Return a hash of a manifest, or a part of one."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def not_programmed(reason: str, message: str, again_in: float | None = None, *, hopeless: bool = False) -> Reason:
    """Return a reason why a child is not as rendered."""
    return Reason("Programmed", reason, message, again_in, hopeless)
