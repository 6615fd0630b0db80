"""Mailport with a webhook, beside a bare aiohttp client that posts the same messages to the same receiver.

    python tests/bench/webhook.py [--quick]

The receiver answers at once: aiohttp's server, in a process of its own, on one core. Postfix's smtp-source sends by 20
sessions, over connections that are kept; the bare client posts by 20 tasks, with the same header fields, and so does
Mailport's destination without SMTP in front of it. They take turns, round by round. The time to the 250 is what
Mailport's log has for each message: from the last octet of its content to the reply. Prints a table; a whole run also
writes it to docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median, quantiles

import aiohttp
import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2]))

from cases import Round
from contenders import DOMAIN, SESSIONS, Contender, free_port, serving, until
from others import Others
from report import machine
from tests.deliver.conftest import held
from tests.deliver.webhook.receivers import webhook

from mailport.address.mail_address import Address
from mailport.deliver.destination import Receipt

PAGE = Path(__file__).parents[2] / "docs/performance.md"
BEGIN, END = "<!-- bench-webhook: begin -->", "<!-- bench-webhook: end -->"
SIZE = 1000  # octets of content
RATE, LATENCY, SHARE = 1200, 30, 0.6  # to reach: messages a second, ms of p99, and of what the bare client posts

# --- the receiver


def receive(port: int) -> None:
    """Answer 200 to whatever is posted."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    async def serve() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


@contextmanager
def receiver() -> Iterator[int]:
    port = free_port()
    running = subprocess.Popen([sys.executable, __file__, "--receive", str(port)])

    def answers() -> bool:
        try:
            asyncio.run(post(port, 1))
        except aiohttp.ClientError:
            return False
        return True

    try:
        until(answers, "the receiver answers")
        yield port
    finally:
        running.terminate()
        running.wait()


# --- those that are measured

CONTENT = b"Subject: x\r\nMessage-ID: <x@client.example>\r\n\r\n" + b"x" * SIZE
FIELDS = {
    "Content-Type": "message/rfc822",
    "Mailport-Id": "0123456789abcdef.1",
    "Mailport-Mail-From": "sender@example.org",
    "Mailport-Rcpt-To": "user@example.org",
    "Mailport-Client": "127.0.0.1:40025",
    "Mailport-Time": "2026-11-28T12:00:00+00:00",
    "Mailport-Disposition": "deliver",
    "webhook-id": "msg_0123456789abcdef_1",
    "webhook-timestamp": "1795867200",
}


async def post(port: int, messages: int) -> None:
    """Post so many messages as a program would that has no gateway to be."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=SESSIONS)) as session:

        async def one() -> None:
            async with session.post(f"http://127.0.0.1:{port}/", data=CONTENT, headers=FIELDS) as response:
                await response.read()

        await again_and_again(one, messages)


async def deliver(port: int, messages: int) -> None:
    """Have Mailport's destination deliver so many, which nobody has sent."""
    recipients, numbers = [Address.parse(f"user@{DOMAIN}")], count()
    async with webhook(port, path="/") as hook, held(CONTENT) as message:

        async def one() -> None:
            mine = copy.copy(message)
            mine.envelope = message.envelope._replace(id=f"0123456789abcdef.{next(numbers)}")
            (outcome,) = await hook.deliver(mine, recipients)
            assert isinstance(outcome, Receipt), outcome

        await again_and_again(one, messages)


async def again_and_again(one: Callable[[], Awaitable[None]], messages: int) -> None:
    left = iter(range(messages))

    async def task() -> None:
        for _ in left:
            await one()

    await asyncio.gather(*[task() for _ in range(SESSIONS)])


def without_smtp(what: str, port: int, messages: int) -> Round:
    """Have so many posted in a process of its own: `post` by the bare client, `deliver` by the destination."""
    command = [sys.executable, __file__, f"--{what}", str(port), str(messages)]
    rate, cpu = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return Round(float(rate), float(cpu))


def mailport(folder: Path, port: int, kind: str) -> AbstractContextManager[Contender]:
    """Serve with one route to the receiver; `kind` is the format."""
    hook = {"url": f"http://127.0.0.1:{port}/", "format": kind}
    routes = [{"name": "hook", "recipients": [f"*@{DOMAIN}"], "deliver": {"webhook": hook}}]
    return serving(folder, f"Mailport {kind}", {"routes": routes}, "--allow-local-destinations")


def send(contender: Contender, messages: int) -> Round:
    """Have smtp-source send so many; each gets its 250, or the bench ends here."""
    program = shutil.which("smtp-source") or "/usr/sbin/smtp-source"
    options = ["-f", f"sender@{DOMAIN}", "-l", str(SIZE), "-d", "-t", f"user@{DOMAIN}"]
    command = [program, "-s", str(SESSIONS), "-m", str(messages), *options, f"127.0.0.1:{contender.port}"]
    begin, cpu = time.perf_counter(), contender.cpu
    subprocess.run(command, check=True)
    return Round(messages / (time.perf_counter() - begin), (contender.cpu - cpu) / messages)


def milliseconds(folder: Path, contender: Contender, since: int) -> list[float]:
    """Return what the log has of messages since a place: the time to the 250 of each."""
    with (folder / f"{contender.name}.log").open("rb") as log:
        log.seek(since)
        lines = [json.loads(line) for line in log if b'"message"' in line]
    return [line["duration"] * 1000 for line in lines if line.get("result") == "accepted"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round each")
    parser.add_argument("--receive", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--post", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--deliver", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive:
        receive(options.receive)
        return
    if options.post or options.deliver:
        port, messages = options.post or options.deliver
        begin, cpu = time.perf_counter(), time.process_time()
        uvloop.run((post if options.post else deliver)(port, messages))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        sys.stdout.write(f"{messages / seconds} {cpu / messages}")
        return
    rounds, seconds = (1, 1.0) if options.quick else (7, 3.0)
    with (
        tempfile.TemporaryDirectory(prefix="mailport-bench-", dir="/var/tmp") as name,
        receiver() as port,
        ExitStack() as stack,
    ):
        folder, others = Path(name), Others()
        running = {kind: stack.enter_context(mailport(folder, port, kind)) for kind in ("Raw", "JSON")}
        rates: dict[str, list[Round]] = {"post": [], "deliver": [], **{kind: [] for kind in running}}
        times: dict[str, list[float]] = {kind: [] for kind in running}
        for contender in running.values():
            send(contender, 500)
        for _ in range(rounds):
            for what in ("post", "deliver"):
                rates[what].append(without_smtp(what, port, int(1500 * seconds)))
            for kind, contender in running.items():
                log = folder / f"{contender.name}.log"
                since = log.stat().st_size
                rates[kind].append(send(contender, int(800 * seconds)))
                time.sleep(0.3)  # the log's last lines
                times[kind].append(quantiles(milliseconds(folder, contender, since), n=100)[98])
        where = machine(folder, "python tests/bench/webhook.py", rounds)
    text = f"{where}\n  {others}\n\n{table(rates, times)}"
    sys.stdout.write(text + "\n")
    if not options.quick:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


def table(rates: dict[str, list[Round]], times: dict[str, list[float]]) -> str:
    posted, delivered = (median(one.rate for one in rates[what]) for what in ("post", "deliver"))
    lines = [
        "| small messages, kept connections | messages/s | of the bare one's | CPU µs a message | p99 to the 250 | |",
        "|---|--:|--:|--:|--:|---|",
        f"| a bare aiohttp client, which posts and no more | {posted:,.0f} | | {_cpu(rates['post'])} | | |",
        f"| `Raw` without SMTP | {delivered:,.0f} | {delivered / posted:.0%} | {_cpu(rates['deliver'])} | | |",
    ]
    for kind, p99 in times.items():
        rate, late = median(one.rate for one in rates[kind]), median(p99)
        goals = {f"{RATE:,}/s": rate >= RATE, f"{LATENCY} ms": late <= LATENCY, f"{SHARE:.0%}": rate >= SHARE * posted}
        short = [goal for goal, is_reached in goals.items() if not is_reached]
        verdict = f"short of {', '.join(short)}" if short else f"{', '.join(goals)}: reached"
        row = (
            f"Mailport, `{kind}`",
            f"{rate:,.0f}",
            f"{rate / posted:.0%}",
            _cpu(rates[kind]),
            f"{late:.1f} ms",
            verdict,
        )
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _cpu(rounds: list[Round]) -> str:
    return f"{median(one.cpu for one in rounds) * 1e6:,.0f}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "default")
    main()
