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

from mailport.deliver import disk

NOWHERE = -1  # no device has this number
_CLOSED = -1


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
        count = len(files)
        fds, devices, octets = (ctypes.c_int * count)(), (ctypes.c_uint64 * count)(), (ctypes.c_uint64 * count)()
        self._go(
            self._library.mailport_create,
            files,
            _strings([file.path for file in files]),
            (ctypes.c_uint32 * count)(*[file.mode for file in files]),
            _strings([file.message for file in files]),
            (ctypes.c_size_t * count)(*[len(file.message) for file in files]),
            fds,
            devices,
            octets,
        )
        for file, fd, device, octets_of_it in zip(files, fds, devices, octets, strict=True):
            if fd < 0:
                file.path = b""
            else:
                file.fd, file.device, file.octets = fd, device, octets_of_it

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
        self._go(
            self._library.mailport_rename,
            files,
            _strings([file.path for file in files]),
            _strings([file.target for file in files]),
        )
        for file in files:
            if file.error is None:
                file.path = file.target

    def _go(self, step: Callable[..., Any], files: Sequence[File], *arrays: ctypes.Array[Any]) -> None:
        errors = (ctypes.c_int * len(files))()
        step(ctypes.c_size_t(len(files)), *arrays, errors)
        for file, code in zip(files, errors, strict=True):
            file.take(code)


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
