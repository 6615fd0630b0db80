"""The clock of what runs."""

from __future__ import annotations

import asyncio


def now() -> float:
    """Return the clock of the running event loop: seconds, monotonic."""
    return asyncio.get_running_loop().time()
