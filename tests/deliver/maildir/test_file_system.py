"""Which file systems are synced as a whole for a group of messages, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailport.deliver.maildir import file_system
from mailport.deliver.maildir.file_system import Mount, device_of, mount_of, why_not_as_a_whole, why_not_in_order
from tests.deliver.conftest import Open
from tests.disks import bound, disk_on_a_file, needs_root, tmpfs
from tests.tables import table

CLAIM, ROOT, SCRATCH = Path("/claim"), Path("/"), Path("/scratch")
OF_ITS_OWN = Mount("253:1", "/", "ext4")
ELSEWHERE = {ROOT: Mount("0:99", "/", "overlay"), SCRATCH: Mount("8:1", "/var/lib/kubelet/pods/1/scratch", "ext4")}


@pytest.mark.parametrize(
    "mount, others, release, why_not",
    table(
        {
            "a volume of its own, of ext4": (OF_ITS_OWN, ELSEWHERE, "6.1.0-18-amd64", ""),
            "a volume of its own, of xfs": (OF_ITS_OWN._replace(kind="xfs"), ELSEWHERE, "5.8", ""),
            "a volume of its own, of btrfs": (OF_ITS_OWN._replace(kind="btrfs"), ELSEWHERE, "6.18.44-fc", ""),
            "a server elsewhere": (OF_ITS_OWN._replace(kind="nfs4"), ELSEWHERE, "6.1", "its file system is nfs4"),
            "FUSE, which asks nobody": (
                OF_ITS_OWN._replace(kind="fuseblk"),
                ELSEWHERE,
                "6.1",
                "its file system is fuseblk",
            ),
            "a folder of the node's disk": (
                OF_ITS_OWN._replace(root="/var/local-path/pvc-1"),
                ELSEWHERE,
                "6.1",
                "it is the folder /var/local-path/pvc-1 of a larger file system",
            ),
            "the machine's own disk": (
                OF_ITS_OWN,
                {ROOT: OF_ITS_OWN},
                "6.1",
                "/ is on the same file system",
            ),
            "a subvolume of the machine's own disk": (
                OF_ITS_OWN,
                {ROOT: OF_ITS_OWN._replace(root="/@")},
                "6.1",
                "/ is on the same file system",
            ),
            "the disk that scratch is on": (
                OF_ITS_OWN,
                ELSEWHERE | {SCRATCH: OF_ITS_OWN._replace(root="/scratch")},
                "6.1",
                "/scratch is on the same file system",
            ),
            "a Linux that hides errors": (
                OF_ITS_OWN,
                ELSEWHERE,
                "5.7.19-generic",
                "syncfs of Linux 5.7.19-generic does not report errors",
            ),
            "something that is no Linux": (OF_ITS_OWN, ELSEWHERE, "x", "syncfs of Linux x does not report errors"),
        }
    ),
)
def test_which_are_synced_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, mount: Mount, others: dict[Path, Mount], release: str, why_not: str
):
    """Only where it keeps the promise and makes nobody else wait. The mounts are given: a stand-in for /proc."""
    mounts = others | {CLAIM: mount}
    monkeypatch.setattr(file_system, "mount_of", lambda folder: mounts[folder])
    monkeypatch.setattr(file_system, "_nearest", lambda folder: folder)

    assert why_not_as_a_whole(CLAIM, list(others), release) == why_not


def test_a_mount_that_cannot_be_told_is_not_synced_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A runtime that hides /proc is no reason not to start."""

    def hidden(folder: Path) -> Mount:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(file_system, "mount_of", hidden)

    assert why_not_as_a_whole(tmp_path, []).startswith("its file system cannot be told: ")


def test_this_machines_own_disk(tmp_path: Path):
    """What is below the root is on the root's file system, though it is not there yet."""
    assert mount_of(Path("/")).root == "/"
    assert why_not_as_a_whole(Path("/mail/default"), [Path("/")])


ORDERED = "rw delalloc barrier data=ordered"
UNORDERED = "its ext4 has no journal that keeps order"


@pytest.mark.parametrize(
    "mount, options, release, why_not",
    table(
        {
            "ext4": (OF_ITS_OWN, ORDERED, "6.1", ""),
            "ext4 that has the octets in its journal": (OF_ITS_OWN, "rw data=journal", "6.1", ""),
            "a folder of the node's disk": (OF_ITS_OWN._replace(root="/pvc-1"), ORDERED, "6.1", ""),
            "XFS": (OF_ITS_OWN._replace(kind="xfs"), None, "6.1", ""),
            "ext4 without a journal": (OF_ITS_OWN, "rw delalloc barrier", "6.1", UNORDERED),
            "ext4 that has names before octets": (OF_ITS_OWN, "rw data=writeback", "6.1", UNORDERED),
            "ext4 with fast commits": (OF_ITS_OWN, f"{ORDERED} fast_commit", "6.1", UNORDERED),
            "ext4 that does not say": (
                OF_ITS_OWN,
                None,
                "6.1",
                "its file system cannot be told: [Errno 2] No such file or directory",
            ),
            "btrfs, which notes octets late": (
                OF_ITS_OWN._replace(kind="btrfs"),
                None,
                "6.1",
                "its file system is btrfs",
            ),
            "a server elsewhere": (OF_ITS_OWN._replace(kind="nfs4"), None, "6.1", "its file system is nfs4"),
            "a Linux that hides errors": (
                OF_ITS_OWN,
                ORDERED,
                "5.7.19-generic",
                "sync_file_range of Linux 5.7.19-generic does not report errors",
            ),
        }
    ),
)
def test_which_keep_the_order(
    monkeypatch: pytest.MonkeyPatch, mount: Mount, options: str | None, release: str, why_not: str
):
    """A name is never durable before its octets. Mount and options are given: a stand-in for /proc and /sys."""

    def read_text(path: Path) -> str:
        assert path == Path("/proc/fs/ext4/sda1/options")
        if options is None:
            raise FileNotFoundError(2, "No such file or directory")
        return options.replace(" ", "\n")

    monkeypatch.setattr(file_system, "mount_of", lambda folder: mount)
    monkeypatch.setattr(file_system, "_nearest", lambda folder: folder)
    monkeypatch.setattr(Path, "resolve", lambda path, strict: Path("/sys/devices/virtual/block/sda1"))
    monkeypatch.setattr(Path, "read_text", read_text)

    assert why_not_in_order(CLAIM, release) == why_not


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, keeps_it",
    table({"ext4": ("ext4", True), "XFS": ("xfs", True), "no journal": ("ext4 without a journal", False)}),
)
def test_the_order_of_real_ones(tmp_path: Path, kind: str, keeps_it: bool):
    """As the kernel says it, for the whole disk and for a folder of it."""
    disk = tmp_path / "disk"
    with disk_on_a_file(disk, kind):
        (disk / "pvc-1").mkdir()
        with bound(disk / "pvc-1", tmp_path / "claim") as claim:
            for folder in (disk, claim, claim / "new"):
                assert (why_not_in_order(folder) == "") is keeps_it
                assert device_of(folder) == disk.stat().st_dev
    with tmpfs(tmp_path / "memory", "size=1m") as memory:
        assert why_not_in_order(memory) == "its file system is tmpfs"


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, whole, folder_of_it",
    table(
        {
            "ext4": ("ext4", "JournalSync", "JournalSync"),
            "XFS": ("xfs", "JournalSync", "JournalSync"),
            "no journal": ("ext4 without a journal", "VolumeSync", "FileSync"),
        }
    ),
)
def test_real_mounts(open_maildir: Open, tmp_path: Path, kind: str, whole: str, folder_of_it: str):
    """As the kernel mounts them: a disk of its own, a folder of it, memory, and what a document may say."""
    disk = tmp_path / "disk"
    with disk_on_a_file(disk, kind):
        assert mount_of(disk)[1:] == ("/", kind.partition(" ")[0])
        assert open_maildir(disk / "mail").commit == whole
        assert open_maildir(disk / "mail", commit="FileSync").commit == "FileSync"
        (disk / "pvc-1").mkdir()
        with bound(disk / "pvc-1", tmp_path / "claim") as claim:
            assert mount_of(claim) == Mount(mount_of(disk).file_system, "/pvc-1", kind.partition(" ")[0])
            assert open_maildir(claim).commit == folder_of_it
    with tmpfs(tmp_path / "memory", "size=1m") as memory:
        assert mount_of(memory).kind == "tmpfs"
        maildir = open_maildir(memory)
        assert (maildir.commit, maildir.why_commit) == ("FileSync", "its file system is tmpfs")
