"""Pages over HTTP on a port of their own: health, metrics, status. The one door to aiohttp's server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from aiohttp import web

Running = web.AppRunner


class Answer(NamedTuple):
    """What a page answers to GET."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


Page = Callable[[], Awaitable[Answer]]


def plain(text: str, status: int = 200) -> Answer:
    """Return an answer of one line."""
    return Answer(f"{text}\n".encode(), status)


def health(why_not: str) -> Answer:
    """Return what a probe is told: 200, or 503 with why not."""
    return plain(why_not or "ok", 503 if why_not else 200)


async def start(pages: Mapping[str, Page], host: str, port: int) -> Running:
    """Serve pages by their path, on all addresses where `host` is empty.

    The caller calls `cleanup` on what is returned. Raises OSError where the address is not to be had.
    """
    app = web.Application(client_max_size=1024)
    for path, page in pages.items():
        app.router.add_get(path, _handler(page))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or None, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _handler(page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answered(_: web.Request) -> web.Response:
        answer = await page()
        return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": answer.content_type})

    return answered
