"""Notices changed files, by polling them.

Polling, and not inotify: a mounted Secret is a symlink (`..data`) that Kubernetes swaps for another, editors
rename a new file over the old, bind mounts and NFS change on another machine. inotify watches inodes, so each of these
needs a case of its own, and one forgotten means serving an expired certificate (ionfury/homelab#904). A `stat` of some
forty files four times a second costs a quarter of a per cent of one core, and sees them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from mailport.process.threads import Threads

INTERVAL_SECONDS = 0.25  # seen after one, settled after another: well within the second that is promised
MAX_UNSETTLED = 3  # intervals: a file that is written all the time is reported all the same

# What stat says of a path: device, inode, size, mtime, ctime; or the errno, for a missing file is a state too. The
# ctime shows changes that `cp --preserve` and `touch -r` hide.
Look = dict[Path, tuple[int, ...]]


def look(paths: Iterable[Path]) -> Look:
    """Return what these files and directories look like now. Blocks: call it in a thread."""
    return {path: _signature(path) for path in paths}


async def changes(
    paths: Callable[[], Iterable[Path]],
    seen: Look,
    threads: Threads,
    *,
    interval: float = INTERVAL_SECONDS,
    is_due: Callable[[], bool] = lambda: False,
) -> AsyncIterator[None]:
    """Yield whenever something differs from what was seen, once it has settled, and whenever `is_due` says so.

    The files are looked at in `threads`.

    `paths` is asked each time, as a new configuration refers to other files: one not seen before counts as changed.
    `seen` is a `look` from before the files were first read. So no change is missed, and now and then one is reported
    that is none: compare what you read.
    """
    while True:
        await asyncio.sleep(interval)
        now = await threads.run(lambda: look(paths()))
        if not _differs(now, seen):
            if is_due():
                yield
            continue
        for _ in range(MAX_UNSETTLED):  # a file that is written in place, or a pair of files, gets time to be complete
            await asyncio.sleep(interval)
            before, now = now, await threads.run(lambda: look(paths()))
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
