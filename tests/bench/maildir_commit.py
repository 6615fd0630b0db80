"""How many messages a second the Maildir destination makes durable, without SMTP around it.

    python tests/bench/maildir_commit.py [--sessions N] [--messages N] [--size OCTETS] [--mailboxes N] [--directory DIR]

It prints the rate, and the CPU time of the event loop's thread and of the whole process for each message.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from mailport import model
from mailport.address import Address
from mailport.deliver.delivery import Envelope
from mailport.deliver.maildir import Maildir

ENVELOPE = Envelope(
    id="bench",
    sender=None,
    smtputf8=False,
    body_8bitmime=False,
    size=None,
    user=None,
    client="192.0.2.1",
    helo="client.example",
    hostname="mx.example.org",
)
LINE = b"x" * 76 + b"\r\n"
CHUNK = 64 * 1024


def content(size: int) -> list[bytes]:
    whole = LINE * (size // len(LINE) + 1)
    return [whole[at : at + CHUNK] for at in range(0, len(whole), CHUNK)]


async def session(maildir: Maildir, numbers: Iterator[int], chunks: list[bytes], recipients: list[Address]) -> None:
    for number in numbers:
        delivery = await maildir.open(ENVELOPE)
        await delivery.rcpt(recipients[number % len(recipients)])
        for chunk in chunks:
            await delivery.write(chunk)
        await delivery.commit()


async def measure(options: argparse.Namespace, folder: str) -> None:
    maildir = Maildir(model.Maildir(), Path(folder))
    recipients = [Address.parse(f"user{number}@example.org") for number in range(options.mailboxes)]
    chunks = content(options.size)
    await asyncio.gather(*(session(maildir, iter([number]), chunks, recipients) for number in range(options.mailboxes)))

    numbers = iter(range(options.messages))
    start, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
    await asyncio.gather(*(session(maildir, numbers, chunks, recipients) for _ in range(options.sessions)))
    seconds = time.perf_counter() - start
    loop_time = (time.thread_time() - thread) / options.messages * 1e6
    cpu_time = (time.process_time() - process) / options.messages * 1e6

    await maildir.close()
    rate = options.messages / seconds
    print(f"{rate:.0f} messages/s; each takes {loop_time:.0f} us in the loop, {cpu_time:.0f} us of CPU")  # noqa: T201 - that is what it is for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--size", type=int, default=1500)
    parser.add_argument("--mailboxes", type=int, default=1)
    parser.add_argument("--directory", help="where to write: it should be a disk, and not a tmpfs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        uvloop.run(measure(options, folder))


if __name__ == "__main__":
    main()
