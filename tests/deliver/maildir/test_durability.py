"""The order of what is done on disk, as the kernel sees it: a kill does not empty the page cache, a power cut does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disks import bound, disk_on_a_file, needs_root
from tests.operator.making import ROOT
from tests.tables import table

DELIVER = """
import asyncio, os, sys
from pathlib import Path
from mailport.contract import model
from mailport.deliver.maildir import file_steps
from mailport.deliver.maildir.destination import Maildir
from tests.deliver.conftest import deliver

async def main(library, commit, mail_root, *recipients):
    if library:
        file_steps.STEPS = file_steps.InC(Path(library))
    maildir = Maildir(model.Maildir(commit=model.MaildirCommit(commit)), Path(mail_root))
    for _ in range(2):
        await deliver(maildir, *recipients)
        os.write(1, b"250 ")
    await maildir.close()

asyncio.run(main(*sys.argv[1:]))
"""
# One message that makes the mailboxes, and then one for each recipient, which come while the thread has something to do
DELIVER_TOGETHER = """
import asyncio, os, sys, threading
from pathlib import Path
from mailport.contract import model
from mailport.deliver.maildir import file_steps
from mailport.deliver.maildir.destination import Maildir
from tests.deliver.conftest import deliver

async def main(library, commit, mail_root, *recipients):
    if library:
        file_steps.STEPS = file_steps.InC(Path(library))
    maildir = Maildir(model.Maildir(commit=model.MaildirCommit(commit)), Path(mail_root))
    await deliver(maildir, *sorted(set(recipients)))
    os.write(1, b"250 ")
    others = threading.Event()
    maildir.groups.threads.run(others.wait)

    async def one(recipient):
        await deliver(maildir, recipient)
        os.write(1, b"250 ")

    delivering = [asyncio.create_task(one(recipient)) for recipient in recipients]
    while maildir.groups._next is None or len(maildir.groups._next.deliveries) < len(recipients):
        await asyncio.sleep(0)
    others.set()
    await asyncio.gather(*delivering)
    await maildir.close()

asyncio.run(main(*sys.argv[1:]))
"""
CALLS = "mkdir,mkdirat,fsync,fdatasync,sync_file_range,syncfs,rename,renameat,renameat2,write"
LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (\d+)", re.MULTILINE)
RESUMED = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>\n((?:.*\n)*?)\1 +<\.\.\. \w+ resumed>", re.MULTILINE)


def _name(called: str, arguments: str) -> str:
    if called != "sync_file_range":
        return called
    return "wait" if "SYNC_FILE_RANGE_WAIT_AFTER" in arguments else "begin"


def calls(
    tmp_path: Path,
    *recipients: str,
    script: str = DELIVER,
    commit: str = "FileSync",
    library: Path | str = "",
) -> list[str]:
    """Deliver a message twice under strace. Return what was done, in the order of its completion, one line a call.

    Steps of files are taken in C where a `library` is given. Paths are relative to tmp_path; `250` is what the listener
    would say; `begin` and `wait` are sync_file_range.
    """
    log = tmp_path / "strace"
    strace = [shutil.which("strace") or "strace", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", log]
    python = [sys.executable, "-c", script, library, commit, tmp_path / "mail", *recipients]
    subprocess.run([*strace, *python], check=True, capture_output=True, cwd=ROOT)

    text = log.read_text()
    while RESUMED.search(text):  # a call that ended in another place than it began in: where it ended counts
        text = RESUMED.sub(r"\3\1 \2", text)
    done = []
    for called, arguments, _ in LINE.findall(text):
        name = _name(called, arguments)
        where = arguments.partition(",")[0] if name == "write" else arguments  # what is written may name a path too
        paths = re.findall(rf'{tmp_path}/?([^">]*)', where)
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
        "fdatasync mail/default/example.org/anna/tmp/1",
        "rename mail/default/example.org/anna/tmp/1 mail/default/example.org/anna/new/1",
        "fsync mail/default/example.org/anna/new",
    ]


def test_a_known_mailbox_costs_two_syncs(tmp_path: Path):
    """The second message is written, synced and moved, and its folder synced; no more."""
    done = calls(tmp_path, "anna@example.org")
    second = done[done.index("250") + 1 :]

    assert second == [
        "write mail/default/example.org/anna/tmp/2",
        "fdatasync mail/default/example.org/anna/tmp/2",
        "rename mail/default/example.org/anna/tmp/2 mail/default/example.org/anna/new/2",
        "fsync mail/default/example.org/anna/new",
        "250",
    ]


def test_no_file_is_shown_before_all_are_durable(tmp_path: Path):
    """With two recipients: both files synced, both moved, both folders synced, and then 250."""
    done = calls(tmp_path, "anna@example.org", "bert@example.org")
    second = done[done.index("250") + 1 :]
    kinds = [call.split()[0] for call in second if not call.startswith("write")]

    assert kinds == ["fdatasync", "fdatasync", "rename", "rename", "fsync", "fsync", "250"]
    assert sorted(call for call in second if call.endswith("/new")) == [
        "fsync mail/default/example.org/anna/new",
        "fsync mail/default/example.org/bert/new",
    ]


in_c = pytest.mark.parametrize("in_c", table({"in Python": (False,), "in C": (True,)}))

WRITTEN, SHOWN = ["write"] * 5 + ["begin"] * 5, ["rename"] * 5
TOGETHER = ("anna@example.org", "bert@example.org", "anna@example.org", "bert@example.org", "anna@example.org")


@in_c
def test_a_group_is_made_durable_together(tmp_path: Path, compiled_steps: Path, in_c: bool):
    """All are written before one is waited for, all are durable before one is shown; each folder is synced once."""
    done = calls(tmp_path, *TOGETHER, script=DELIVER_TOGETHER, library=compiled_steps if in_c else "")
    together = done[done.index("250") + 1 :]
    kinds = [call.split()[0] for call in together]

    assert kinds == [*WRITTEN, *["fdatasync"] * 5, *SHOWN, *["fsync"] * 2, *["250"] * 5]
    assert len(set(together)) == 5 + 5 + 5 + 5 + 2 + 1
    assert {call for call in together if call.startswith("fsync")} == {
        "fsync mail/default/example.org/anna/new",
        "fsync mail/default/example.org/bert/new",
    }


IN_ORDER = [*WRITTEN, *["wait"] * 5, *SHOWN, "fsync"]


@needs_root
@pytest.mark.slow
@in_c
@pytest.mark.parametrize(
    "kind, how",
    table(
        {
            "ext4: the journal, once": ("ext4", IN_ORDER),
            "XFS, likewise": ("xfs", IN_ORDER),
            "ext4 without a journal: all of it, twice": (
                "ext4 without a journal",
                [*["write"] * 5, "syncfs", *SHOWN, "syncfs"],
            ),
        }
    ),
)
def test_a_group_on_a_volume_of_its_own(tmp_path: Path, compiled_steps: Path, kind: str, how: list[str], in_c: bool):
    """The files are written out, shown, and the folder that was changed last is synced."""
    library = compiled_steps if in_c else ""
    with disk_on_a_file(tmp_path / "mail", kind):
        done = calls(tmp_path, *TOGETHER, script=DELIVER_TOGETHER, commit="Auto", library=library)
    together = done[done.index("250") + 1 :]

    assert [call.split()[0] for call in together] == [*how, *["250"] * 5]
    syncs = {call for call in together if call.startswith(("syncfs", "fsync"))}
    assert syncs == {"fsync mail/default/example.org/anna/new" if how is IN_ORDER else "syncfs mail/default"}


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_group_in_a_folder_of_a_larger_file_system(tmp_path: Path, kind: str):
    """It is the same there: who else writes to that file system has no part in it."""
    with disk_on_a_file(tmp_path / "disk", kind):
        (tmp_path / "disk/local-path/mail").mkdir(parents=True)
        with bound(tmp_path / "disk/local-path/mail", tmp_path / "mail"):
            done = calls(tmp_path, *TOGETHER, script=DELIVER_TOGETHER, commit="Auto")
    together = done[done.index("250") + 1 :]

    assert [call.split()[0] for call in together] == [*IN_ORDER, *["250"] * 5]
    assert "fsync mail/default/example.org/anna/new" in together
