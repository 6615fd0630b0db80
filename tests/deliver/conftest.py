"""What the tests of destinations share: a message's envelope, mailboxes on disk, and a way to deliver."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mailport import model
from mailport.address import Address
from mailport.deliver.delivery import Delivery, Destination, Envelope, Receipt
from mailport.deliver.maildir import Maildir

ENVELOPE = Envelope(
    id="4bXyZ1",
    sender=Address.parse("sender@example.net"),
    smtputf8=False,
    body_8bitmime=False,
    size=None,
    user=None,
    client="192.0.2.1",
    helo="client.example.net",
    hostname="mx.example.org",
)
MESSAGE = b"Return-Path: <sender@example.net>\r\nSubject: hello\r\n\r\nfirst line\r\n\r\nlast line\r\n"

Open = Callable[..., Maildir]


@pytest_asyncio.fixture
async def open_maildir(tmp_path: Path) -> AsyncGenerator[Open]:
    """Open a destination below tmp_path with settings as in a document."""
    opened = []

    def open_one(mail_root: Path = tmp_path, **settings: Any) -> Maildir:
        opened.append(Maildir(model.Maildir.model_validate_json(json.dumps(settings)), mail_root))
        return opened[-1]

    yield open_one
    for maildir in opened:
        await maildir.close()


@pytest.fixture
def maildir(open_maildir: Open) -> Maildir:
    """A destination with the defaults."""
    return open_maildir()


async def begin(destination: Destination, *recipients: str, content: bytes = MESSAGE) -> Delivery:
    """Hand a message over, up to the end of its data."""
    delivery = await destination.open(ENVELOPE)
    for recipient in recipients:
        await delivery.rcpt(Address.parse(recipient))
    for start in range(0, len(content), 64 * 1024):
        await delivery.write(content[start : start + 64 * 1024])
    return delivery


async def deliver(destination: Destination, *recipients: str, content: bytes = MESSAGE) -> Receipt:
    """Deliver a message."""
    delivery = await begin(destination, *recipients, content=content)
    return await delivery.commit()


def everything(folder: Path) -> list[Path]:
    """All that is below a folder, in order."""
    return sorted(folder.rglob("*"))


def files(folder: Path) -> list[Path]:
    """All files below a folder, in order."""
    return [path for path in everything(folder) if path.is_file()]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
