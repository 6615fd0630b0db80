"""The steps of many files: each file's outcome is its own, in C as in Python."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailport.deliver.maildir.file_steps import NOWHERE, File, InC, InPython, Steps
from tests.disks import needs_root, open_descriptors, tmpfs
from tests.tables import table

LINES = b"Subject: x\r\n\r\nline\r\n"


@pytest.fixture
def steps(each_way_of_steps: Steps) -> Steps:
    """Each test here is two."""
    return each_way_of_steps


def to_make(path: Path, message: bytes = LINES, mode: int = 0o640) -> File:
    file = File()
    file.path, file.message, file.mode = bytes(path), message, mode
    return file


@pytest.fixture
def made(steps: Steps, tmp_path: Path) -> Iterator[list[File]]:
    """Three files that are open."""
    there = [to_make(tmp_path / name) for name in "abc"]
    steps.create(there)
    yield there
    for file in there:
        if file.fd >= 0:
            os.close(file.fd)


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let this process have so many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = os.open("/", os.O_RDONLY)
    os.close(next_one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def errors(files: list[File]) -> list[int | None]:
    return [file.error.errno if file.error else None for file in files]


@pytest.mark.parametrize(
    "message",
    table(
        {
            "nothing": (b"",),
            "one line": (b"a\r\n",),
            "no line end at the end": (b"a\r\nb",),
            "empty lines": (b"\r\n\r\n\r\n",),
            "NUL, and what is not ASCII": (b"a\0b\xff\xfe\r\n\0\r\n",),
            "a line as long as a piece": (b"x" * 64 * 1024 + b"\r\n",),
            "a CR that ends a piece": (b"x" * (64 * 1024 - 1) + b"\r\n" + b"y",),
            "an LF that ends a piece": (b"x" * (64 * 1024 - 2) + b"\r\n" + b"y",),
            "several pieces": ((b"z" * 71 + b"\r\n") * 5000,),
        }
    ),
)
def test_lines_end_in_lf_on_disk(steps: Steps, tmp_path: Path, message: bytes):
    """Whether it is made with them or they come later."""
    first, later = to_make(tmp_path / "first", message), to_make(tmp_path / "later", b"")
    steps.create([first, later])
    for half in (message[: len(message) // 2], bytearray(message[len(message) // 2 :])):
        steps.append(later, half)
    steps.close([first, later])

    wanted = message.replace(b"\r\n", b"\n")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "later").read_bytes() == wanted
    assert first.octets == later.octets == len(wanted)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_has_its_mode_whatever_the_umask(steps: Steps, tmp_path: Path, mode: int):
    """The umask of the process is not what the document says."""
    file = to_make(tmp_path / "file", mode=mode)
    steps.create([file])
    about = os.fstat(file.fd)
    steps.close([file])

    assert stat.S_IMODE(about.st_mode) == mode
    assert file.device == about.st_dev


def test_what_cannot_be_made_is_nowhere(steps: Steps, tmp_path: Path):
    """A folder that is gone, a name that somebody else has: the others are made, and nothing of others is touched."""
    (tmp_path / "taken").write_bytes(b"somebody else's")
    files = [to_make(tmp_path / name) for name in ("a", "gone/b", "taken", "d")]
    before = open_descriptors()
    steps.create(files)

    assert errors(files) == [None, errno.ENOENT, errno.EEXIST, None]
    assert [file.path for file in files] == [bytes(tmp_path / "a"), b"", b"", bytes(tmp_path / "d")]
    assert [file.device == NOWHERE for file in files] == [False, True, True, False]
    assert open_descriptors() - before == 2
    steps.close([files[0], files[3]])
    assert open_descriptors() == before
    assert (tmp_path / "taken").read_bytes() == b"somebody else's"
    assert "gone/b" in str(files[1].error)


@needs_root
def test_one_that_finds_no_space_can_be_removed(steps: Steps, tmp_path: Path):
    """It is there, though not whole: who made it knows its path."""
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        files = [to_make(disk / "a"), to_make(disk / "large", LINES * 10_000), to_make(disk / "c")]
        steps.create(files)
        assert errors(files)[:2] == [None, errno.ENOSPC]
        assert files[1].path == bytes(disk / "large")
        with pytest.raises(OSError, match="No space left"):
            steps.append(files[1], LINES * 10_000)
        steps.close(files)


def test_who_has_no_descriptors_left_is_told(steps: Steps, tmp_path: Path):
    """EMFILE is each file's own, and those that were open before are closed as ever."""
    files = [to_make(tmp_path / name) for name in "abc"]
    with descriptors_left(1):
        steps.create(files)
    steps.close(files[:1])

    assert errors(files) == [None, errno.EMFILE, errno.EMFILE]


def test_what_is_written_out_stays_open(steps: Steps, made: list[File]):
    """Closing is a step of its own."""
    steps.begin_write_out(made)
    steps.write_out(made)

    assert errors(made) == [None] * 3
    assert [os.fstat(file.fd).st_size for file in made] == [len(LINES) - 3] * 3


@pytest.mark.parametrize("step", ["write_out", "close"])
def test_a_descriptor_that_is_none_fails_alone(steps: Steps, made: list[File], step: str):
    """The kernel's answer is its own file's. (EBADF stands for EIO, which no disk gives when asked.)"""
    os.close(made[1].fd)
    getattr(steps, step)(made)
    made[1].fd = -1

    assert errors(made) == [None, errno.EBADF, None]


def test_what_is_closed_is_not_closed_again(steps: Steps, made: list[File]):
    """Its number may be another file's by then."""
    steps.close(made)

    assert [file.fd for file in made] == [-1] * 3


def test_what_cannot_be_renamed_stays_where_it_is(steps: Steps, made: list[File], tmp_path: Path):
    """The others are where they were to be."""
    (tmp_path / "new").mkdir()
    for file, target in zip(made, ("new/a", "gone/b", "new/c"), strict=True):
        file.target = bytes(tmp_path / target)
    steps.rename(made)

    assert errors(made) == [None, errno.ENOENT, None]
    assert [file.path for file in made] == [bytes(tmp_path / path) for path in ("new/a", "b", "new/c")]
    assert all(Path(os.fsdecode(file.path)).exists() for file in made)


@pytest.mark.parametrize("step", ["create", "begin_write_out", "write_out", "close", "rename"])
def test_a_step_of_none_is_none(steps: Steps, step: str):
    """A group whose deliveries have all failed goes on with no file."""
    getattr(steps, step)([])


# The steps of a group in one call.


def test_what_is_put_on_disk_is_whole_and_closed(steps: Steps, tmp_path: Path):
    """Those that were open already too."""
    before = open_descriptors()
    files = [to_make(tmp_path / name) for name in "abc"]
    steps.create(files[1:2])

    assert steps.put_on_disk(files, tmp_path.stat().st_dev)
    assert errors(files) == [None] * 3
    assert open_descriptors() == before
    assert [(file.fd, file.device, file.octets) for file in files] == [(-1, tmp_path.stat().st_dev, len(LINES) - 3)] * 3
    assert all((tmp_path / name).read_bytes() == LINES.replace(b"\r\n", b"\n") for name in "abc")


def test_what_lies_elsewhere_stays_open(steps: Steps, tmp_path: Path):
    """All have been made: who asked goes on with them in another way."""
    files = [to_make(tmp_path / name) for name in "ab"]

    assert not steps.put_on_disk(files, tmp_path.stat().st_dev + 1)
    assert errors(files) == [None] * 2
    assert all(file.fd >= 0 and file.octets for file in files)
    steps.close(files)


def test_nothing_goes_on_without_a_folder(steps: Steps, tmp_path: Path):
    """A mailbox that was removed is to be made again; what has a fault of another kind fails alone."""
    (tmp_path / "taken").touch()
    files = [to_make(tmp_path / name) for name in ("a", "gone/b", "taken")]

    assert not steps.put_on_disk(files, tmp_path.stat().st_dev)
    assert errors(files) == [None, errno.ENOENT, errno.EEXIST]
    assert [file.fd >= 0 for file in files] == [True, False, False]
    assert [file.path for file in files] == [bytes(tmp_path / "a"), b"", b""]
    steps.close(files[:1])


def test_what_cannot_be_made_keeps_nobody_from_the_disk(steps: Steps, tmp_path: Path):
    """Only a folder that is gone stops the others."""
    (tmp_path / "taken").touch()
    files = [to_make(tmp_path / name) for name in ("a", "taken", "c")]

    assert steps.put_on_disk(files, tmp_path.stat().st_dev)
    assert errors(files) == [None, errno.EEXIST, None]
    assert [file.fd for file in files] == [-1] * 3


def test_none_of_none_is_put_on_disk(steps: Steps):
    """Where all deliveries of a group have failed, or are large and on disk already."""
    assert steps.put_on_disk([], 0)


def test_a_folder_is_synced_and_closed(steps: Steps, tmp_path: Path):
    """And one that is not there, is no folder, or cannot be opened is told."""
    (tmp_path / "file").touch()
    before = open_descriptors()
    steps.sync_folder(bytes(tmp_path))
    for name, kind in (("gone", FileNotFoundError), ("file", NotADirectoryError)):
        with pytest.raises(kind, match=name):
            steps.sync_folder(bytes(tmp_path / name))
    with descriptors_left(0), pytest.raises(OSError, match="Too many open files"):
        steps.sync_folder(bytes(tmp_path))

    assert open_descriptors() == before


def test_both_have_the_same_steps():
    """What one of them could do, and the other not, would show in the image alone."""
    public = [{name for name in vars(way) if not name.startswith("_")} for way in (InC, InPython)]

    assert public[0] == public[1]
