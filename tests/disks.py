"""Disks of a size of the test's choosing, and what is open on any."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@contextmanager
def tmpfs(folder: Path, options: str) -> Generator[Path]:
    """Mount a tmpfs at a folder that is made for it; `options` are mount's."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


# What makes a file system, and mebibytes that are enough for it.
MAKE = {
    "ext4": (256, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),  # not later, beside tests
    "ext4 without a journal": (256, ["mkfs.ext4", "-q", "-F", "-O", "^has_journal"]),
    "xfs": (300, ["mkfs.xfs", "-q", "-f"]),
}


@contextmanager
def disk_on_a_file(folder: Path, kind: str, mebibytes: int = 0, *, holes: bool = True) -> Generator[Path]:
    """Mount a new file system of this kind at a folder that is made for it; yield the file that it is on.

    Without `holes` the file has all its blocks from the start, as a disk has.
    """
    least, make = MAKE[kind]
    image = folder.with_name(f"{folder.name}.{kind.partition(' ')[0]}")
    size = max(mebibytes, least)
    with image.open("wb") as file:
        for _ in range(0 if holes else size):
            file.write(bytes(1 << 20))
        file.truncate(size << 20)
        os.fsync(file.fileno())
    subprocess.run([*make, image], check=True, capture_output=True)
    # Nothing is durable by ext4's own timer, of 5 s, where a test takes longer than that
    with mounted_file(image, folder, "loop,commit=300" if kind == "ext4" else "loop"):
        yield image


@contextmanager
def mounted_file(image: Path, folder: Path, options: str = "loop") -> Generator[Path]:
    """Mount a file system that is on a file. What its journal has is taken up, as after a crash of the machine."""
    folder.mkdir()
    subprocess.run(["mount", "-o", options, image, folder], check=True)
    try:
        yield folder
    finally:
        if subprocess.run(["umount", folder], check=False).returncode:  # a test that failed may be writing still
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def bound(source: Path, folder: Path) -> Generator[Path]:
    """Mount a folder at another place too, as the kubelet does with a folder of the node's disk."""
    folder.mkdir()
    subprocess.run(["mount", "--bind", source, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def make_room(disk: Path) -> None:
    """Give such a disk space and inodes to spare."""
    subprocess.run(["mount", "-o", "remount,size=8m,nr_inodes=100", disk], check=True)


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len([*Path("/proc/self/fd").iterdir()])
