"""What the admin port of the operator answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mailport.operator.report import metrics
from mailport.process.web import Answer, Page, health

WhyNot = Callable[[], str]


def pages(alive: WhyNot, ready: WhyNot) -> dict[str, Page]:
    """Make the pages. `alive` and `ready` say why not, or nothing."""

    async def livez() -> Answer:
        return health(alive())

    async def readyz() -> Answer:
        return health(ready())

    async def metrics_page() -> Answer:
        body, content_type = await asyncio.to_thread(metrics.exposition)
        return Answer(body, content_type=content_type)

    return {"/livez": livez, "/readyz": readyz, "/metrics": metrics_page}
