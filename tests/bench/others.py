"""What else used the machine meanwhile: figures from a machine that was busy with other work say less."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_NAMED = 3  # processes
_WORTH_NAMING = 0.02  # cores

_Process = tuple[int, int]  # pid, and when it began


class Others:
    """From here on. `str` of it says what they have used so far."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._busy, self._stolen = _machine()
        self._own = sum(os.times()[:4])
        self._running = _processes()

    def except_for(self, seconds: float) -> None:
        """Count CPU as ours that no child of ours has used, as Postfix's master and its children are none."""
        self._own -= seconds

    def __str__(self) -> str:
        took = time.monotonic() - self._begin
        busy, stolen = _machine()
        others = busy - self._busy - (sum(os.times()[:4]) - self._own)  # children count when they have ended
        used: Counter[str] = Counter()
        for process, (name, seconds, is_ours) in _processes().items():
            if process in self._running and not is_ours:
                used[name] += (seconds - self._running[process][1]) / took
        named = [f"{name} {cores:.2f}" for name, cores in used.most_common(_NAMED) if cores >= _WORTH_NAMING]
        who = f" ({', '.join(named)})" if named else ""
        theirs, stolen = max(others / took, 0), (stolen - self._stolen) / took
        return f"Others used {theirs:.2f} of {os.cpu_count()} cores meanwhile{who}; the host kept {stolen:.2f} back."


def _machine() -> tuple[float, float]:
    """Return for how many seconds the cores were busy, whoever used them, and were not given to us (proc_stat(5))."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / _TICKS, steal / _TICKS


def _processes() -> dict[_Process, tuple[str, float, bool]]:
    """Return the name of each, its seconds of CPU, and whether it is this process or comes from it."""
    found: dict[int, tuple[_Process, str, float, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            before, _, rest = path.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid, fields = int(path.parent.name), rest.split()
        name, seconds = before.partition("(")[2], (int(fields[11]) + int(fields[12])) / _TICKS
        found[pid] = ((pid, int(fields[19])), name, seconds, int(fields[1]))
    return {process: (name, seconds, _is_ours(pid, found)) for pid, (process, name, seconds, _) in found.items()}


def _is_ours(pid: int, found: dict[int, tuple[_Process, str, float, int]]) -> bool:
    while pid in found:
        if pid == os.getpid():
            return True
        pid = found[pid][3]
    return False
