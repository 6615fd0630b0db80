"""What the tests of destinations share: mailboxes on disk, and a way to deliver."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver.destination import Destination, Outcome
from mailport.deliver.maildir import file_steps
from mailport.deliver.maildir.destination import Maildir
from mailport.message.content import Space
from mailport.message.message import Message
from tests.messages import ENVELOPE, hold, message, trace_of_mailbox

MESSAGE = b"Subject: hello\r\n\r\nfirst line\r\n\r\nlast line\r\n"

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


@pytest.fixture(scope="session")
def compiled_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of file_steps.c, as a wheel has it."""
    library = tmp_path_factory.mktemp("compiled") / "file_steps.so"
    strict = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    source = Path(file_steps.__file__).with_suffix(".c")
    subprocess.run(["cc", *strict, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


@pytest.fixture(params=["in Python", "in C"])
def each_way_of_steps(
    request: pytest.FixtureRequest, compiled_steps: Path, monkeypatch: pytest.MonkeyPatch
) -> file_steps.Steps:
    """Have the steps of files taken in Python, and in another test by the compiled library."""
    steps: file_steps.Steps = file_steps.InC(compiled_steps) if request.param == "in C" else file_steps.InPython()
    monkeypatch.setattr(file_steps, "STEPS", steps)
    return steps


async def verify(destination: Destination, recipient: str) -> None:
    """Ask for a recipient, as RCPT does."""
    await destination.verify(Address.parse(recipient), ENVELOPE)


@asynccontextmanager
async def held(content: bytes) -> AsyncGenerator[Message]:
    """Hold a message while it is delivered, and nothing of it afterwards, as a transaction does."""
    space = Space()
    holding = await hold(space, content)
    try:
        yield await message(holding)
    finally:
        holding.close()
        space.close()


async def deliver(destination: Destination, *recipients: str, content: bytes = MESSAGE) -> Sequence[Outcome]:
    """Deliver a message: the outcome of each recipient."""
    async with held(content) as whole:
        return await destination.deliver(whole, [Address.parse(recipient) for recipient in recipients])


def on_disk(recipient: str, content: bytes = MESSAGE) -> bytes:
    """What a recipient's file holds: our trace fields, the content, with the line ends of the disk."""
    return (trace_of_mailbox(recipient) + content).replace(b"\r\n", b"\n")


async def finished(maildir: Maildir) -> None:
    """Wait until the threads have done all they were asked for, whether or not anybody waits for it."""
    for owner in (maildir.threads, maildir.groups.threads):
        threads = list(owner._threads)
        owner.close()
        for thread in threads:
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


def everything(folder: Path) -> list[Path]:
    """All that is below a folder, in order."""
    return sorted(folder.rglob("*"))


def files(folder: Path) -> list[Path]:
    """All files below a folder, in order."""
    return [path for path in everything(folder) if path.is_file()]
