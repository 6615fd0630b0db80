"""The order of what is done on disk, as the kernel sees it: a kill does not empty the page cache, a power cut does."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mailport.deliver import sync
from mailport.deliver.sync import FolderSync
from mailport.deliver.threads import Threads

DELIVER = """
import asyncio, os, sys
from pathlib import Path
from mailport import model
from mailport.deliver.maildir import Maildir
from tests.deliver.conftest import begin

async def main(mail_root, *recipients):
    maildir = Maildir(model.Maildir(), Path(mail_root))
    for _ in range(2):
        delivery = await begin(maildir, *recipients)
        await delivery.commit()
        os.write(1, b"250 ")
    await maildir.close()

asyncio.run(main(*sys.argv[1:]))
"""
CALLS = "mkdir,mkdirat,fsync,fdatasync,rename,renameat,renameat2,write"
LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (\d+)", re.MULTILINE)
RESUMED = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>\n((?:.*\n)*?)\1 +<\.\.\. \w+ resumed>", re.MULTILINE)


def calls(tmp_path: Path, *recipients: str) -> list[str]:
    """Deliver a message twice under strace. Return what was done, in the order of its completion, one line a call.

    Paths are relative to tmp_path; `250` is what the listener would say.
    """
    log = tmp_path / "strace"
    strace = [shutil.which("strace") or "strace", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", log]
    python = [sys.executable, "-c", DELIVER, tmp_path / "mail", *recipients]
    subprocess.run([*strace, *python], check=True, capture_output=True, cwd=Path(__file__).parent.parent.parent)

    text = log.read_text()
    while RESUMED.search(text):  # a call that ended in another place than it began in: where it ended counts
        text = RESUMED.sub(r"\3\1 \2", text)
    done = []
    for name, arguments, _ in LINE.findall(text):
        paths = re.findall(rf'{tmp_path}/?([^">]*)', arguments)
        paths = [re.sub(r"\d+\.M\d+P\d+Q(\d+)[^/]*", r"\1", path) or "." for path in paths]  # a message is its number
        if '"250 "' in arguments:
            done.append("250")
        elif paths:
            done.append(" ".join((name, *paths)))
    return done


def test_a_new_mailbox_is_durable_before_its_first_message_is_acknowledged(tmp_path: Path):
    """Each folder's parent is synced after the folder was made; then the file, then its name in new, then 250."""
    done = calls(tmp_path, "anna@example.org")
    first = done[: done.index("250")]

    assert first == [
        "mkdir mail",
        "fsync .",
        "mkdir mail/default",
        "fsync mail",
        "mkdir mail/default/example.org",
        "fsync mail/default",
        "mkdir mail/default/example.org/anna",
        "fsync mail/default/example.org",
        "mkdir mail/default/example.org/anna/tmp",
        "mkdir mail/default/example.org/anna/new",
        "mkdir mail/default/example.org/anna/cur",
        "fsync mail/default/example.org/anna",
        "write mail/default/example.org/anna/tmp/1",
        "fsync mail/default/example.org/anna/tmp/1",
        "rename mail/default/example.org/anna/tmp/1 mail/default/example.org/anna/new/1",
        "fsync mail/default/example.org/anna/new",
    ]


def test_a_known_mailbox_costs_two_syncs(tmp_path: Path):
    """The second message is written, synced and moved, and its folder synced; no more."""
    done = calls(tmp_path, "anna@example.org")
    second = done[done.index("250") + 1 :]

    assert second == [
        "write mail/default/example.org/anna/tmp/2",
        "fsync mail/default/example.org/anna/tmp/2",
        "rename mail/default/example.org/anna/tmp/2 mail/default/example.org/anna/new/2",
        "fsync mail/default/example.org/anna/new",
        "250",
    ]


def test_no_file_is_shown_before_all_are_durable(tmp_path: Path):
    """With two recipients: both files synced, both moved, both folders synced, and then 250."""
    done = calls(tmp_path, "anna@example.org", "bert@example.org")
    second = done[done.index("250") + 1 :]
    kinds = [call.split()[0] for call in second if not call.startswith("write")]

    assert kinds == ["fsync", "fsync", "rename", "rename", "fsync", "fsync", "250"]
    assert sorted(call for call in second if call.endswith("/new")) == [
        "fsync mail/default/example.org/anna/new",
        "fsync mail/default/example.org/bert/new",
    ]


@pytest.mark.both_loops
async def test_those_who_come_while_a_sync_waits_share_it(monkeypatch: pytest.MonkeyPatch):
    """A sync that has begun may have missed a rename: who comes then waits for the next one, with all the others."""
    begun, go_on, synced = threading.Event(), threading.Event(), []

    def slow(folder: bytes) -> None:
        begun.set()
        assert go_on.wait(10)
        synced.append(folder)

    monkeypatch.setattr(sync, "sync_folder", slow)
    threads = Threads(1, 1, "test")
    folders = FolderSync(threads)
    waiting = [folders.sync(b"new")]
    assert await asyncio.to_thread(begun.wait, 10)
    waiting += [folders.sync(folder) for folder in (b"new", b"other", b"new", b"other", b"new")]
    given_up = folders.sync(b"new")
    given_up.cancel()
    go_on.set()
    await asyncio.gather(*waiting)
    threads.close()

    assert synced == [b"new", b"new", b"other"]
