"""What the admin port of a listener answers: no probe shows up as a mail client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from mailport.listener import metrics
from mailport.web import Answer, Page, plain

Status = Callable[[], dict[str, Any]]
Ready = Callable[[], str]


def pages(ready: Ready, status: Status) -> dict[str, Page]:
    """Make the pages. `ready` says why not, or nothing; `status` is what /status shows."""

    async def livez() -> Answer:
        return plain("ok")  # to be answered at all, the loop must turn

    async def readyz() -> Answer:
        why_not = ready()
        return plain(why_not or "ok", 503 if why_not else 200)

    async def metrics_page() -> Answer:
        body, content_type = await asyncio.to_thread(metrics.exposition)
        return Answer(body, content_type=content_type)

    async def status_page() -> Answer:
        return Answer(json.dumps(status()).encode(), content_type="application/json; charset=utf-8")

    return {"/livez": livez, "/readyz": readyz, "/metrics": metrics_page, "/status": status_page}
