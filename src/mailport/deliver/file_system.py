"""Whether the file system below a folder may be synced as a whole, for a group of messages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mailport.deliver import disk

# Those of which it is known that syncfs keeps the promise. FUSE's, say, returns without having asked its server.
KNOWN = frozenset(("btrfs", "ext4", "xfs"))
REPORTS_ERRORS = (5, 8)  # the first Linux whose syncfs does (syncfs(2))


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
    version = re.match(r"(\d+)\.(\d+)", release)
    if version is None or (int(version[1]), int(version[2])) < REPORTS_ERRORS:
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


def _nearest(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
