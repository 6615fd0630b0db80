"""What is known of the file system below a folder: whether it keeps order, and whether it may be synced as a whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mailport.deliver.maildir import disk

# Those of which it is known that syncfs keeps the promise. FUSE's, say, returns without having asked its server.
KNOWN = frozenset(("btrfs", "ext4", "xfs"))
# The first Linux whose syncfs reports errors (syncfs(2)); sync_file_range waits for all of a file since 5.2.
SINCE = (5, 8)
IN_ORDER = frozenset(("data=ordered", "data=journal"))  # ext4(5): octets before the journal says that they are there


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo (proc(5))."""

    file_system: str  # major:minor: the same for all mounts of one file system, subvolumes of btrfs too
    root: str  # the folder of the file system that is mounted; `/` is all of it
    kind: str


def mount_of(folder: Path) -> Mount:
    """Return the mount on which a folder lies. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        about = Path(f"/proc/self/fdinfo/{fd}").read_text()
    finally:
        os.close(fd)
    mount_id = re.search(r"^mnt_id:\s*(\d+)$", about, re.MULTILINE)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, file_system = line.partition(" - ")
        number, _, device, root, *_ = mount.split(" ")
        if mount_id is not None and number == mount_id[1]:
            return Mount(device, root, file_system.split(" ")[0])
    raise OSError(f"/proc/self/mountinfo does not have the mount of {folder}")


def why_not_as_a_whole(folder: Path, others: Iterable[Path], release: str | None = None) -> str:
    """Say why the file system of a folder is not to be synced as a whole; empty where it may be.

    It must be known to keep the promise, and to make nobody else wait: it is the claim's own, and the `others`, such as
    the root of the machine, lie elsewhere. A folder that is not there yet will be made in the nearest that is.
    """
    if not disk.has_syncfs:
        return "this host has no syncfs"
    release = release if release is not None else os.uname().release
    if not _new_enough(release):
        return f"syncfs of Linux {release} does not report errors"
    try:
        mount = mount_of(_nearest(folder))
        elsewhere = {other: mount_of(_nearest(other)) for other in others}
    except OSError as error:
        return f"its file system cannot be told: {error}"
    if mount.kind not in KNOWN:
        return f"its file system is {mount.kind}"
    if mount.root != "/":
        return f"it is the folder {mount.root} of a larger file system"
    for other, mount_of_other in elsewhere.items():
        if mount.file_system == mount_of_other.file_system:
            return f"{other} is on the same file system"
    return ""


def why_not_in_order(folder: Path, release: str | None = None) -> str:
    """Say why the file system of a folder cannot be relied on to keep octets and names in order; empty where it can.

    In order: a file that is written out and then renamed is never found under the new name without its octets, whenever
    the machine crashes; and what makes one name durable makes durable all that was done before. XFS and ext4 do so:
    that a file has these octets is noted in the journal when they have been written, before the rename, and the
    journal is written in that order. Not btrfs, which notes it later, nor ext4 without a journal or with fast commits.
    """
    if not disk.has_write_out:
        return "this host has no sync_file_range"
    release = release if release is not None else os.uname().release
    if not _new_enough(release):
        return f"sync_file_range of Linux {release} does not report errors"
    try:
        mount = mount_of(_nearest(folder))
        if mount.kind == "xfs":
            return ""
        if mount.kind == "ext4":
            return "" if _journals_in_order(mount.file_system) else "its ext4 has no journal that keeps order"
    except OSError as error:
        return f"its file system cannot be told: {error}"
    return f"its file system is {mount.kind}"


def device_of(folder: Path) -> int:
    """Return the device (st_dev) of a folder, which may be made one day. Raises OSError."""
    return _nearest(folder).stat().st_dev


def _journals_in_order(device: str) -> bool:
    """Look at the options with which an ext4 is mounted, those by default too. Raises OSError."""
    name = Path(f"/sys/dev/block/{device}").resolve(strict=True).name
    options = Path(f"/proc/fs/ext4/{name}/options").read_text().split()
    return not IN_ORDER.isdisjoint(options) and "fast_commit" not in options


def _new_enough(release: str) -> bool:
    version = re.match(r"(\d+)\.(\d+)", release)
    return version is not None and (int(version[1]), int(version[2])) >= SINCE


def _nearest(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
