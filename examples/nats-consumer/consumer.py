"""Takes mail from a stream of NATS JetStream: python3 consumer.py URL [prepare | once]. Needs nats-py.

What `handle` cannot do is tried again after 1, 5, 30 and 120 s, here or by another consumer, and in the end goes to the
subject dead.<subject>, which a stream of its own keeps. A message is acknowledged when it is done: one may come twice.
"""

import asyncio
import sys
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from urllib.parse import unquote

import nats
from nats.js.api import AckPolicy, ConsumerConfig

STREAM, STORE, DURABLE = "MAIL", "MAILBODIES", "worker"
BACKOFF = (1, 5, 30, 120)  # seconds


async def handle(mail: EmailMessage, sender: str, recipients: list[str]) -> None:
    """Do what is to be done with a message. Whatever it raises, the message comes again."""
    if mail["Subject"] == "cannot be done":
        raise ValueError("cannot be done")
    print(f"from <{sender}> to {', '.join(recipients)}: {mail['Subject']} ({len(mail.as_bytes())} octets)", flush=True)


async def content(message, jetstream) -> bytes:
    """Return the mail: of the message, or of the object that it names. The library compares the digest."""
    name = message.headers.get("Mailport-Object")
    if name is None:
        return message.data
    store = await jetstream.object_store(message.headers["Mailport-Object-Store"])
    return (await store.get(name)).data


async def work(message, jetstream) -> None:
    attempt = message.metadata.num_delivered
    try:
        mail = BytesParser(policy=default).parsebytes(await content(message, jetstream))
        recipients = [unquote(one) for one in message.headers["Mailport-Rcpt-To"].split(", ")]
        await handle(mail, unquote(message.headers["Mailport-Mail-From"]), recipients)
    except Exception as error:
        if attempt <= len(BACKOFF):
            await message.nak(delay=BACKOFF[attempt - 1])
            return
        reason = {**message.headers, "Nats-Msg-Id": f"dead-{message.metadata.sequence.stream}", "Failure": repr(error)}
        reason.pop("Nats-Expected-Stream", None)  # of the stream that it came through
        await jetstream.publish(f"dead.{message.subject}", message.data, headers=reason)
    await message.ack()


async def main(url: str, how: str) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    if how == "prepare":  # in a cluster: num_replicas=3
        await jetstream.add_stream(name=STREAM, subjects=["mail.>"], storage="file", discard="new", max_bytes=1 << 30)
        await jetstream.add_stream(name="DEAD", subjects=["dead.>"], storage="file")
        await jetstream.create_object_store(STORE, ttl=30 * 86400)  # longer than mail waits in the stream
    else:
        config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=60, max_ack_pending=100)
        consumer = await jetstream.pull_subscribe("mail.>", DURABLE, STREAM, config)
        while True:
            try:
                batch = await consumer.fetch(20, timeout=1)
            except TimeoutError:  # of which the library's own is one
                if how == "once":
                    break
                continue
            await asyncio.gather(*(work(message, jetstream) for message in batch))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
