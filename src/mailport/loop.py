"""The event loop that listener and operator run on. The one door to uvloop."""

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
