"""The names of messages, and what becomes of those that were never finished."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

import pytest

from mailport.address.mail_address import Address
from mailport.deliver.maildir.destination import Maildir
from mailport.deliver.maildir.message_file import (
    ABANDONED,
    HOST,
    MARK,
    PID,
    MessageFile,
    create,
    escape_host,
    sweep,
    unique_name,
)
from tests.deliver.conftest import deliver, files
from tests.tables import table

STARTED = 1_800_000_000.5


async def test_a_message_is_named_as_maildir_plus_plus_wants(maildir: Maildir, tmp_path: Path):
    """Its name says when, who, where, its size on disk, and its size with CRLF."""
    before = int(time.time())
    await deliver(maildir, "anna@example.org")
    [path] = files(tmp_path)

    name = re.fullmatch(r"(\d+)\.M\d+P(\d+)Q\d+\.(.+),S=(\d+),W=(\d+)", path.name)
    content = path.read_bytes()
    assert name is not None
    assert before <= int(name[1]) <= time.time()
    assert (int(name[2]), name[3]) == (os.getpid(), escape_host(socket.gethostname()))
    assert int(name[4]) == len(content)
    assert int(name[5]) == len(content.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    "host, escaped",
    table(
        {
            "a name": ("mx-7d4b9c-x2x8q", "mx-7d4b9c-x2x8q"),
            "a slash would be a folder": ("a/b", r"a\057b"),
            "a colon would begin flags": ("a:b", r"a\072b"),
        }
    ),
)
def test_a_host_is_escaped(host: str, escaped: str):
    """The two characters that mean something to a reader of Maildir are written in octal."""
    assert escape_host(host) == escaped


def test_names_differ_within_a_microsecond():
    """Two messages of the same microsecond differ by their numbers."""
    assert unique_name(1_800_000_000_000_000_999, 1) == f"1800000000.M0P{PID}Q1.{HOST}"
    assert unique_name(1_800_000_000_000_000_999, 2) == f"1800000000.M0P{PID}Q2.{HOST}"


@pytest.mark.parametrize(
    "name, age, swept",
    table(
        {
            "one of ours, that nobody wrote to for long": (f"1700000000.M1P99Q1.other{MARK}", ABANDONED + 1, True),
            "one of ours, that another pod may be writing": (f"1700000000.M1P99Q1.other{MARK}", ABANDONED - 1, False),
            "one of the container before us in this pod": (f"1799999999.M1P{PID}Q1.{HOST}{MARK}", 1, True),
            "one that we write": (f"1800000000.M9P{PID}Q1.{HOST}{MARK}", 0, False),
            "of this host, by another process": (f"1799999999.M1P{PID + 1}Q1.{HOST}{MARK}", 1, False),
            "another program's": ("1700000000.M1P99.other", ABANDONED + 1, False),
            "what only looks like ours": (f"notes{MARK}", ABANDONED + 1, False),
        }
    ),
)
def test_only_what_is_dead_and_ours_is_swept(tmp_path: Path, name: str, age: float, swept: bool):
    """Other processes write into the same folders: what may be alive is left alone, and so is what is not ours."""
    path = tmp_path / "mail/default/example.org/anna/tmp" / name
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (STARTED - age, STARTED - age))

    assert sweep(tmp_path / "mail", STARTED) == swept
    assert path.exists() != swept


async def test_what_a_crash_leaves_is_recognised(maildir: Maildir, tmp_path: Path):
    """A file in tmp bears the mark that the sweep goes by, and one in new does not."""
    await deliver(maildir, "anna@example.org")
    anna = Address.parse("anna@example.org")
    MessageFile(maildir.mailboxes, maildir.mailboxes.path(anna), anna).write_durably([b"Subject: hello\r\n"])

    assert sweep(tmp_path, time.time() + ABANDONED + 60) == 1
    assert [path.parent.name for path in files(tmp_path)] == ["new"]


def test_a_message_is_not_held_when_it_is_on_disk(maildir: Maildir):
    """Nor where its file could not be made: what waits for a disk, perhaps for long, holds no content."""
    anna = Address.parse("anna@example.org")
    there, gone = [MessageFile(maildir.mailboxes, maildir.mailboxes.path(anna), anna) for _ in range(2)]
    there.prepare(b"Subject: hello\r\n")
    gone.prepare(b"Subject: gone\r\n")
    gone.path = there.path  # which is somebody else's by then
    create([there, gone])

    assert (there.error, type(gone.error)) == (None, FileExistsError)
    assert (there.message, gone.message) == (b"", b"")
    there.remove()


def test_there_may_be_nothing_to_sweep(tmp_path: Path):
    """A mail root that is not there yet has nothing in it."""
    assert sweep(tmp_path / "mail", STARTED) == 0
