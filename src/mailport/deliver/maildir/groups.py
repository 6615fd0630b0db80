"""Group commit: deliveries that are ready at the same time are made durable together.

Nobody waits for company. One delivery alone goes at once; those that come while a group is under way are the next one.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

from mailport.deliver.maildir.delivery import Delivery
from mailport.deliver.maildir.sync import Commit, Sync
from mailport.process.threads import Helpers, Threads

SYNCS_AT_ONCE = 8  # files or folders of a group, where each is synced by itself
MOST_FILES = 64  # of a group; so many are open at once
MOST_OCTETS = 16 * 1024 * 1024  # of a group: the first of it waits until the last is written


class Groups:
    """The deliveries into one claim, of all routes that lead there. Its thread is its own."""

    def __init__(self, root: Path, commit: Commit) -> None:
        """`root` is the claim's folder."""
        self.threads = Threads(1, 1, "maildir")
        self.commit = commit
        self._root = root
        self._helpers = Helpers(SYNCS_AT_ONCE - 1, "maildir")
        self._users = 0
        self._lock = Lock()
        self._next: _Group | None = None  # which waits for the thread

    @classmethod
    def of(cls, root: Path, commit: Commit) -> Groups:
        """Return those that others have in use already, or new ones. Each who asks closes them in the end."""
        with _lock:
            groups = _in_use.get((root, commit))
            if groups is None:
                groups = _in_use[root, commit] = cls(root, commit)
            groups._users += 1
            return groups

    def add(self, delivery: Delivery, *, written: bool = False) -> asyncio.Future[None]:
        """Have a delivery in every recipient's `new`, durably, when this is done; or it has its error.

        `written` says that its files are in `tmp`, durably. Raises NoThread.
        """
        with self._lock:
            group = self._next
            if group is None or not group.has_room_for(delivery, written=written):
                group = _Group()
                group.done = self._run(group)
                self._next = group
            group.add(delivery, written=written)
            assert group.done is not None  # noqa: S101 - for mypy: it was set with the group
            return asyncio.shield(group.done)  # from those who are cancelled, for the others

    def remove(self, delivery: Delivery) -> None:
        """Have what is left of a delivery removed, behind the group that it is in. Raises NoThread."""
        self.threads.run(delivery.remove)

    def close(self) -> None:
        """Let the threads go, when all that was asked of them is done, and nobody else has use for them."""
        with _lock:
            self._users -= 1
            if self._users > 0:
                return
        self.threads.close()
        self._helpers.close()

    def _run(self, group: _Group) -> asyncio.Future[None]:
        return self.threads.run(lambda: self._commit(group))

    def _commit(self, group: _Group) -> None:
        with self._lock:
            if self._next is group:
                self._next = None
        try:
            with self.commit.begin(self._root, self._helpers) as sync:
                group.commit(sync)
        except OSError as error:
            for delivery in group.deliveries:
                delivery.fail(error)


_lock = Lock()  # a configuration is loaded in a thread
_in_use: WeakValueDictionary[tuple[Path, Commit], Groups] = WeakValueDictionary()


class _Group:
    """Deliveries that are committed together."""

    __slots__ = ("_files", "_octets", "_to_write", "deliveries", "done")

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.done: asyncio.Future[None] | None = None
        self._to_write: list[Delivery] = []
        self._files = self._octets = 0

    def has_room_for(self, delivery: Delivery, *, written: bool) -> bool:
        if written:
            return len(self.deliveries) < MOST_FILES
        return self._files + len(delivery.files) <= MOST_FILES and self._octets + delivery.octets <= MOST_OCTETS

    def add(self, delivery: Delivery, *, written: bool) -> None:
        self.deliveries.append(delivery)
        if not written:
            self._to_write.append(delivery)
            self._files += len(delivery.files)
            self._octets += delivery.octets

    def commit(self, sync: Sync) -> None:
        """Go each step with all of them, so that the file system makes as few of each as it can."""
        for delivery in self._to_write:
            delivery.prepare()
        sync.write(self._to_write)
        sync.show(self.deliveries)
