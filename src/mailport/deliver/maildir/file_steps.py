"""The steps that a group's files take on disk, each for all of them in one call. All of it is for threads.

In C where that was compiled (hatch_build.py), by the calls of Python's `os` where not: the same for more CPU. Why in C:
docs/decisions/2026-11-30-file-steps.md.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mailport.deliver.maildir import disk

NOWHERE = -1  # no device has this number
_CLOSED = -1
_NO_DEVICE = ctypes.c_uint64(NOWHERE).value


class File:
    """One file, and what became of it."""

    __slots__ = ("device", "error", "fd", "message", "mode", "octets", "path", "target")

    def __init__(self) -> None:
        self.path = b""  # where it is, or is to be made; empty while it is nowhere
        self.target = b""  # where it is to be shown
        self.mode = 0  # its permissions, whatever the umask
        self.message = b""  # what it is made with; lines end in CRLF
        self.octets = 0  # that it has on disk, where lines end in LF
        self.fd = _CLOSED
        self.device = NOWHERE  # st_dev: on which file system it is
        self.error: OSError | None = None  # of the step that failed

    def take(self, code: int) -> None:
        """Note an errno, which is 0 where the step succeeded."""
        if code:
            self.error = OSError(code, os.strerror(code), os.fsdecode(self.path or self.target))


class Steps(Protocol):
    """What can be done with many files in one call. A file that fails has its error afterwards."""

    def create(self, files: Sequence[File]) -> None:
        """Make each file, which must not be there, and write its message into it. It stays open."""

    def append(self, file: File, lines: bytes | bytearray) -> None:
        """Write more lines of a message. Raises OSError."""

    def begin_write_out(self, files: Sequence[File]) -> None:
        """Do what disk.begin_write_out does."""

    def write_out(self, files: Sequence[File]) -> None:
        """Do what disk.write_out does."""

    def close(self, files: Sequence[File]) -> None:
        """Close them. On NFS that may be the first to hear that the disk is full."""

    def rename(self, files: Sequence[File]) -> None:
        """Move each from its path to its target."""

    def put_on_disk(self, files: Sequence[File], device: int) -> bool:
        """Make those that are not open, write all of them out, and close them.

        False where it has stopped behind the making: a folder is not there, or a file is on another device.
        """

    def sync_folder(self, folder: bytes) -> None:
        """Do what disk.sync_folder does. Raises OSError."""


class InPython:
    """The steps by Python's `os`."""

    def create(self, files: Sequence[File]) -> None:
        """Make and write one after the other."""
        for file in files:
            _try(self._create, file)

    def append(self, file: File, lines: bytes | bytearray) -> None:
        """Take the CRs out: each that a message has is followed by its LF."""
        data = lines.translate(None, b"\r")
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file.fd, rest) :]
        file.octets += len(data)

    def begin_write_out(self, files: Sequence[File]) -> None:
        """Begin with one after the other."""
        for file in files:
            disk.begin_write_out(file.fd)

    def write_out(self, files: Sequence[File]) -> None:
        """Wait for one after the other."""
        for file in files:
            _try(self._write_out, file)

    def close(self, files: Sequence[File]) -> None:
        """Close one after the other."""
        for file in files:
            _try(self._close, file)

    def rename(self, files: Sequence[File]) -> None:
        """Rename one after the other."""
        for file in files:
            _try(self._rename, file)

    def put_on_disk(self, files: Sequence[File], device: int) -> bool:
        """Take one step with all of them, and then the next."""
        self.create([file for file in files if file.fd < 0])
        if any(isinstance(file.error, FileNotFoundError) or file.device not in (device, NOWHERE) for file in files):
            return False
        if len(files) > 1:
            self.begin_write_out([file for file in files if file.fd >= 0])
        self.write_out([file for file in files if file.error is None])
        self.close([file for file in files if file.error is None])
        return True

    def sync_folder(self, folder: bytes) -> None:
        """Open it, sync it, close it."""
        disk.sync_folder(folder)

    def _create(self, file: File) -> None:
        path, file.path = file.path, b""
        file.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file.mode)
        file.path = path
        about = os.fstat(file.fd)
        file.device = about.st_dev
        if stat.S_IMODE(about.st_mode) != file.mode:  # the umask took some of it
            os.fchmod(file.fd, file.mode)
        self.append(file, file.message)

    def _write_out(self, file: File) -> None:
        disk.write_out(file.fd)

    def _close(self, file: File) -> None:
        fd, file.fd = file.fd, _CLOSED  # first: a close that fails has closed all the same
        os.close(fd)

    def _rename(self, file: File) -> None:
        os.rename(file.path, file.target)
        file.path = file.target


class InC:
    """The steps by the library that file_steps.c is compiled to. ctypes lets go of Python's lock around each call."""

    def __init__(self, library: Path) -> None:
        """Load it. Raises OSError."""
        self._library = ctypes.CDLL(str(library))

    def create(self, files: Sequence[File]) -> None:
        """Make and write all of them."""
        open_files = _OpenFiles(files)
        self._go(self._library.mailport_create, files, *_contents(files), *open_files.arrays)
        open_files.note(files)

    def append(self, file: File, lines: bytes | bytearray) -> None:
        """Write what is there."""
        octets = ctypes.c_uint64()
        data = ctypes.c_char_p(bytes(lines))
        error = self._library.mailport_append(file.fd, data, ctypes.c_size_t(len(lines)), ctypes.byref(octets))
        if error:
            raise OSError(error, os.strerror(error))
        file.octets += octets.value

    def begin_write_out(self, files: Sequence[File]) -> None:
        """Begin with all of them."""
        self._library.mailport_begin_write_out(ctypes.c_size_t(len(files)), _fds(files))

    def write_out(self, files: Sequence[File]) -> None:
        """Wait for all of them."""
        self._go(self._library.mailport_write_out, files, _fds(files))

    def close(self, files: Sequence[File]) -> None:
        """Close all of them."""
        fds = _fds(files)
        for file in files:
            file.fd = _CLOSED
        self._go(self._library.mailport_close, files, fds)

    def rename(self, files: Sequence[File]) -> None:
        """Rename all of them."""
        paths, targets = _strings([file.path for file in files]), _strings([file.target for file in files])
        self._go(self._library.mailport_rename, files, paths, targets)
        for file in files:
            if file.error is None:
                file.path = file.target

    def put_on_disk(self, files: Sequence[File], device: int) -> bool:
        """Take all steps with all of them."""
        open_files = _OpenFiles(files)
        step = self._library.mailport_put_on_disk
        goes_on = self._go(step, files, *_contents(files), ctypes.c_uint64(device), *open_files.arrays)
        open_files.note(files)
        return bool(goes_on)

    def sync_folder(self, folder: bytes) -> None:
        """Open it, sync it, close it."""
        error = self._library.mailport_sync_folder(ctypes.c_char_p(folder))
        if error:
            raise OSError(error, os.strerror(error), os.fsdecode(folder))

    def _go(self, step: Callable[..., Any], files: Sequence[File], *arguments: Any) -> Any:
        errors = (ctypes.c_int * len(files))()
        result = step(ctypes.c_size_t(len(files)), *arguments, errors)
        for file, code in zip(files, errors, strict=True):
            file.take(code)
        return result


class _OpenFiles:
    """What is known of files that are to be made, or are open already, and what becomes of them."""

    def __init__(self, files: Sequence[File]) -> None:
        count = len(files)
        self.arrays = (
            _fds(files),
            (ctypes.c_uint64 * count)(*[file.device for file in files]),
            (ctypes.c_uint64 * count)(*[file.octets for file in files]),
        )

    def note(self, files: Sequence[File]) -> None:
        for file, fd, device, octets in zip(files, *self.arrays, strict=True):
            file.fd = fd
            if device != _NO_DEVICE:
                file.device, file.octets = device, octets
            elif fd < 0:
                file.path = b""


def _contents(files: Sequence[File]) -> tuple[ctypes.Array[Any], ...]:
    """Return where files are to be made, with which modes, messages, and octets of these."""
    count = len(files)
    return (
        _strings([file.path for file in files]),
        (ctypes.c_uint32 * count)(*[file.mode for file in files]),
        _strings([file.message for file in files]),
        (ctypes.c_size_t * count)(*[len(file.message) for file in files]),
    )


def _fds(files: Sequence[File]) -> ctypes.Array[ctypes.c_int]:
    return (ctypes.c_int * len(files))(*[file.fd for file in files])


def _strings(strings: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * len(strings))(*strings)


def _try(step: Callable[[File], None], file: File) -> None:
    try:
        step(file)
    except OSError as error:
        file.error = error


def _compiled() -> Path | None:
    """Return the library, where it was built beside this module."""
    path = Path(__file__).with_name("file_steps.so.1")
    return path if path.exists() else None


_library = _compiled()
STEPS: Steps = InC(_library) if _library is not None else InPython()
