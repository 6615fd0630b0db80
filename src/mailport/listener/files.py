"""Reading the files that a command names, bounded. Blocks: call it in a thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from mailport.contract.faults import Fault, Invalid
from mailport.contract.yaml_text import MAX_BYTES

Files = list[tuple[str, bytes]]  # name and content


def read_files(paths: Iterable[Path]) -> Files:
    """Read files for `documents.load`, `-` from stdin; raises Invalid with those that cannot be read."""
    files, faults = read_what_is_there(paths)
    if faults:
        raise Invalid(faults)
    return files


def read_what_is_there(paths: Iterable[Path]) -> tuple[Files, list[Fault]]:
    """Read files, `-` from stdin; return those that can be read, and a fault for each other."""
    files: Files = []
    faults: list[Fault] = []
    for path in paths:
        try:
            with sys.stdin.buffer if str(path) == "-" else _opened(path) as file:
                files.append((str(path), file.read(MAX_BYTES + 1)))  # one more: enough to know that it is too large
        except OSError as error:
            faults.append(Fault("", error.strerror or "cannot be read", str(path)))
    return files, faults


def _opened(path: Path) -> BinaryIO:
    """Open a file. One that is a FIFO is not waited for where nobody writes to it: it is empty then."""
    file = open(path, "rb", opener=open_without_waiting)  # noqa: SIM115 - closed by the caller
    os.set_blocking(file.fileno(), True)  # for a shell's <(…), whose writer may take its time
    return file


def open_without_waiting(path: str, flags: int) -> int:
    """Open a file as `open` does, which would wait where the path is a FIFO that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)
