"""Noticing that files changed, by looking at them.

By looking, and not by inotify: a mounted Secret is a symlink (`..data`) that Kubernetes swaps for another, editors
rename a new file over the old, bind mounts and NFS change on another machine. inotify watches inodes, so each of these
needs a case of its own, and one forgotten means serving an expired certificate (ionfury/homelab#904). A `stat` of some
forty files four times a second costs a quarter of a per cent of one core, and sees them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

INTERVAL_SECONDS = 0.25  # seen after one, settled after another: well within the second that is promised
MAX_UNSETTLED = 3  # intervals: a file that is written all the time is reported all the same

# What a path looked like: device, inode, size, mtime, ctime of what it leads to; or why it leads nowhere (errno), for a
# missing file is a state too. The ctime tells of what `cp --preserve` and `touch -r` hide.
Look = dict[Path, tuple[int, ...]]


def look(paths: Iterable[Path]) -> Look:
    """Return what these files and directories look like now. Blocks: call it in a thread."""
    return {path: _signature(path) for path in paths}


async def changes(
    paths: Callable[[], Iterable[Path]], seen: Look, *, interval: float = INTERVAL_SECONDS
) -> AsyncIterator[None]:
    """Yield whenever something differs from what was seen, once it has settled.

    `paths` is asked each time, as a new configuration refers to other files: one not seen before counts as changed.
    `seen` is a `look` from before the files were first read. So no change is missed, and now and then one is reported
    that is none: compare what you read.
    """
    while True:
        await asyncio.sleep(interval)
        now = await asyncio.to_thread(look, paths())
        if not _differs(now, seen):
            continue
        for _ in range(MAX_UNSETTLED):  # who writes a file in place, or two that belong together, is given time to end
            await asyncio.sleep(interval)
            before, now = now, await asyncio.to_thread(look, paths())
            if now == before:
                break
        seen = now
        yield


def _differs(now: Look, seen: Look) -> bool:
    """Whether something changed; a path that nobody asks for any more does not count."""
    return any(seen.get(path) != signature for path, signature in now.items())


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or -1,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
