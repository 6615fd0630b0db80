"""Reading the files that a command names, bounded. Blocks: call it in a thread."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from mailport.faults import Fault, Invalid
from mailport.yaml_text import MAX_BYTES


def read_files(paths: Iterable[Path]) -> list[tuple[str, bytes]]:
    """Read files for `documents.load`, `-` from stdin; raises Invalid with those that cannot be read."""
    files: list[tuple[str, bytes]] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
                files.append((str(path), file.read(MAX_BYTES + 1)))  # one more: enough to know that it is too large
        except OSError as error:
            faults.append(Fault("", error.strerror or "cannot be read", str(path)))
    if faults:
        raise Invalid(faults)
    return files
