"""Takes mail from a bucket: python3 consumer.py ENDPOINT [once]. Needs obstore; the keys are in AWS_….

An object is deleted when its mail is done, so one may come twice; what fails three times goes below failed/. One
consumer a bucket: several want a queue of notifications (SQS, or NATS), which the store fills.
"""

import json
import sys
import time
from collections import Counter
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from urllib.parse import unquote

import obstore
from obstore.store import S3Store

BUCKET, PREFIX, FAILED, TRIES = "mail", "in/", "failed/", 3


def handle(mail: EmailMessage, sender: str, recipients: list[str]) -> None:
    """Do what is to be done with a message. Whatever it raises, the message comes again."""
    if mail["Subject"] == "cannot be done":
        raise ValueError("cannot be done")
    print(f"from <{sender}> to {', '.join(recipients)}: {mail['Subject']} ({len(mail.as_bytes())} octets)", flush=True)


def envelope(store: S3Store, key: str, metadata: dict[str, str]) -> tuple[str, list[str]]:
    """Return sender and recipients: of the object's metadata, or of the object beside it where they did not fit."""
    if "mailport-envelope" in metadata:
        beside = json.loads(bytes(obstore.get(store, key.removesuffix(".eml") + ".json").bytes()))
        metadata = {name.lower(): value for name, value in beside.items()}
    recipients = metadata["mailport-rcpt-to"]
    recipients = recipients.split(", ") if isinstance(recipients, str) else recipients
    return unquote(metadata["mailport-mail-from"]), [unquote(one) for one in recipients]


def work(store: S3Store, key: str, failures: Counter[str]) -> None:
    found = obstore.get(store, key)
    try:
        mail = BytesParser(policy=default).parsebytes(bytes(found.bytes()))
        handle(mail, *envelope(store, key, {name.lower(): value for name, value in found.attributes.items()}))
    except Exception as error:
        failures[key] += 1
        print(f"{key}: {error!r}", file=sys.stderr)
        if failures[key] == TRIES:
            obstore.rename(store, key, FAILED + key)
        return
    obstore.delete(store, [key.removesuffix(".eml") + ".json", key])


def main(endpoint: str, how: str) -> None:
    store = S3Store(BUCKET, endpoint=endpoint, client_options={"allow_http": endpoint.startswith("http:")})
    failures: Counter[str] = Counter()
    for pause in range(10**9):
        keys = [one["path"] for page in obstore.list(store, PREFIX) for one in page]
        for key in sorted(key for key in keys if key.endswith(".eml")):  # by day, then by id
            work(store, key, failures)
        if how == "once" and pause + 1 == TRIES:
            break
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
