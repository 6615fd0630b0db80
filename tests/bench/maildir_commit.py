"""How many messages a second the Maildir destination makes durable, without SMTP around it.

    python -m tests.bench.maildir_commit [--sessions N] [--messages N] [--size OCTETS] [--large OCTETS] [--mailboxes N]
                                         [--rate MESSAGES] [--routes N] [--commit HOW]
                                         [--directory DIR]

It prints the rate, the CPU time of the event loop's thread and of the whole process for each message, and how long
they took. With --large another session delivers messages of that size meanwhile, which are not counted. With --rate
messages come at that rate, each when its time is there; without, the next comes when a session's last is there. Several
routes deliver into the same volume, each with groups of its own.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import uvloop
from tests.messages import hold, message

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver.destination import Receipt
from mailport.deliver.maildir.destination import Maildir
from mailport.message.content import Space

LINE = b"x" * 76 + b"\r\n"


def content(size: int) -> bytes:
    return b"Subject: bench\r\n\r\n" + LINE * (size // len(LINE) + 1)


async def session(
    maildirs: list[Maildir],
    space: Space,
    numbers: Iterator[int],
    octets: bytes,
    recipients: list[Address],
    rate: float = 0,
) -> list[float]:
    seconds, start = [], time.perf_counter()
    for number in numbers:
        if rate:
            await asyncio.sleep(start + number / rate - time.perf_counter())
        recipient = recipients[number % len(recipients)]
        held = await hold(space, octets, client=str(number % 20))
        whole = await message(held, recipient)
        begin = time.perf_counter()
        [outcome] = await maildirs[number % len(maildirs)].deliver(whole, [recipient])
        seconds.append(time.perf_counter() - begin)
        held.close()
        assert isinstance(outcome, Receipt)
    return seconds


async def measure(options: argparse.Namespace, folder: str) -> None:
    settings = model.Maildir(commit=model.MaildirCommit(options.commit))
    maildirs, space = [Maildir(settings, Path(folder)) for _ in range(options.routes)], Space()
    recipients = [Address.parse(f"user{number}@example.org") for number in range(options.mailboxes)]
    octets = content(options.size)

    async def run(numbers: Iterator[int], sessions: int) -> list[float]:
        sending = [session(maildirs, space, numbers, octets, recipients, options.rate) for _ in range(sessions)]
        seconds = await asyncio.gather(*sending)
        return sorted(one for of_session in seconds for one in of_session)

    await run(iter(range(options.mailboxes)), 1)  # each mailbox is there
    beside = None
    if options.large:
        beside = asyncio.create_task(session(maildirs, space, count(), content(options.large), recipients[:1]))

    start, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
    took = await run(iter(range(options.messages)), options.sessions)
    seconds = time.perf_counter() - start
    loop_time = (time.thread_time() - thread) / options.messages * 1e6
    cpu_time = (time.process_time() - process) / options.messages * 1e6

    if beside is not None:
        beside.cancel()
        await asyncio.wait([beside])
    for maildir in maildirs:
        await maildir.close()
    space.close()
    p50, p99 = took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000
    rate = options.messages / seconds
    cost = f"each takes {loop_time:.0f} us in the loop, {cpu_time:.0f} us of CPU"
    print(f"{rate:.0f} messages/s; {cost}; p50 {p50:.1f} ms, p99 {p99:.1f} ms")  # noqa: T201 - that is what it is for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--size", type=int, default=1500)
    parser.add_argument("--large", type=int, default=0, metavar="OCTETS")
    parser.add_argument("--mailboxes", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, metavar="MESSAGES", help="a second")
    parser.add_argument("--routes", type=int, default=1)
    parser.add_argument("--commit", default="Auto", choices=["Auto", "FileSync"])
    parser.add_argument("--directory", help="where to write: it should be a disk, and not a tmpfs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        uvloop.run(measure(options, folder))


if __name__ == "__main__":
    main()
