"""What a library alone does, and what Mailport's destination does that stands on it, over 20 tasks, on uvloop.

    python -m tests.bench.bare nats|s3 bare|destination URL MESSAGES OCTETS

Each message is acknowledged, with the headers or metadata and the checksum that Mailport asks for too. No SMTP is
spoken. Writes messages a second.
"""

from __future__ import annotations

import asyncio
import copy
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count

import nats
import obstore
import uvloop
from obstore.store import S3Store
from tests.deliver.conftest import held
from tests.deliver.nats.streams import stream
from tests.deliver.s3.buckets import bucket

from mailport.address.mail_address import Address
from mailport.deliver.destination import Receipt

TASKS = 20
VALUES = {
    "Mailport-Id": "0123456789abcdef.1",
    "Mailport-Mail-From": "sender@example.org",
    "Mailport-Rcpt-To": "user@example.org",
    "Mailport-Client": "127.0.0.1:40025",
    "Mailport-Time": "2026-11-28T12:00:00+00:00",
    "Mailport-Disposition": "deliver",
    "Content-Type": "message/rfc822",
}


async def through(send: Callable[[int], Awaitable[object]], messages: int) -> float:
    numbers = count()

    async def work() -> None:
        while (number := next(numbers)) < messages:
            await send(number)

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    return messages / (time.perf_counter() - start)


async def destination(kind: str, url: str, messages: int, octets: int) -> float:
    """Deliver the same message again and again; it has no Message-ID, and is another one each time."""
    recipients = [Address.parse("user@example.org")]
    opened = stream(url) if kind == "nats" else bucket(url, timeoutSeconds=60)
    async with opened as queue, held(b"Subject: a test\r\n\r\n" + b"x" * octets) as message:
        numbers = count(time.time_ns())

        async def deliver(_: int) -> object:
            mine = copy.copy(message)
            mine.envelope = message.envelope._replace(id=f"{next(numbers)}.1")
            (outcome,) = await queue.deliver(mine, recipients)
            assert isinstance(outcome, Receipt), outcome
            return outcome

        return await through(deliver, messages)


async def main(kind: str, what: str, url: str, messages: int, octets: int) -> None:
    content, run = b"x" * octets, time.time_ns()
    if what == "destination":
        sys.stdout.write(f"{await destination(kind, url, messages, octets)}\n")
    elif kind == "nats":
        client = await nats.connect(url)
        jetstream = client.jetstream(timeout=30)

        async def publish(number: int) -> object:
            headers = {**VALUES, "Nats-Msg-Id": f"{run}-{number}"}
            return await jetstream.publish("mail.user", content, stream="MAIL", headers=headers)

        sys.stdout.write(f"{await through(publish, messages)}\n")
        await client.close()
    else:
        keys = {"access_key_id": "mailport", "secret_access_key": "correct-horse", "checksum_algorithm": "SHA256"}
        store = S3Store("mail", endpoint=url, client_options={"allow_http": True}, config=keys)

        async def put(number: int) -> object:
            return await obstore.put_async(store, f"bare/{run}/{number}.eml", content, attributes=VALUES)

        sys.stdout.write(f"{await through(put, messages)}\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
