"""What makes durable that which is on disk. All of it is for threads."""

from __future__ import annotations

import ctypes
import errno
import os

# <linux/fs.h>: begin to write what is dirty, and wait for nothing; begin, and wait until it is written
_SYNC_FILE_RANGE_WRITE, _SYNC_FILE_RANGE_WRITE_AND_WAIT = 2, 7
_NOT_LET = frozenset((errno.ENOSYS, errno.EPERM))  # by the runtime of a container

# Python's `os` has neither of these two. ctypes lets go of the interpreter's lock while they run.
_libc = ctypes.CDLL(None, use_errno=True)
_sync_file_range = getattr(_libc, "sync_file_range", None)
_syncfs = getattr(_libc, "syncfs", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

has_syncfs = _syncfs is not None
has_write_out = _sync_file_range is not None


def sync_folder(folder: bytes) -> None:
    """Make what was created, renamed or removed in a folder so far survive a crash of the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def begin_write_out(fd: int) -> None:
    """Begin to write a file to the disk, and do not wait: a hint, which makes the sync that follows quicker.

    An error of the disk is not lost: the sync reports it (sync_file_range(2)).
    """
    if _sync_file_range is not None:
        _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def write_out(fd: int) -> None:
    """Write a file to the disk, and wait until the disk has taken it, perhaps into a cache of its own. Raises OSError.

    That alone survives no crash of the machine: neither is the disk's cache flushed, nor what the file system has noted
    of the file written (sync_file_range(2)). The next commit of its journal does both.
    """
    assert _sync_file_range is not None  # noqa: S101 - has_write_out was asked
    if _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE_AND_WAIT):
        code = ctypes.get_errno()
        if code not in _NOT_LET:
            raise OSError(code, os.strerror(code))
        os.fdatasync(fd)


def syncfs(fd: int) -> None:
    """Make all of the file system on which `fd` is open survive a crash of the machine. Raises OSError.

    From Linux 5.8 on, that includes every error in writing since `fd` was opened (syncfs(2)).
    """
    assert _syncfs is not None  # noqa: S101 - has_syncfs was asked
    if _syncfs(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
