"""The event loop that the listener runs on. The one door to uvloop.

The operator runs on asyncio's own: docs/decisions/2026-11-28-operator.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's where it is installed: about twice the connections for the same CPU. None is asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - it may be absent
    except ImportError:
        return None
    return uvloop.new_event_loop
