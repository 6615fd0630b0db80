"""One message on its way into its recipients' mailboxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

from mailport.deliver.maildir.message_file import MessageFile
from mailport.message.message import Message

AT_ONCE = 64 * 1024  # octets of a file that is written in one step with the others of its group, whole


class Delivery:
    """A message and a file for each of its recipients: they arrive together, or none does.

    All but `give_up` is for threads, and waits where another thread is at it.
    """

    __slots__ = ("_lock", "_message", "error", "files", "octets")

    def __init__(self, message: Message, files: Sequence[MessageFile]) -> None:
        self.files = files
        self.octets = message.length(final=True) * len(files)
        self.error: BaseException | None = None  # what failed: then no file of it is left
        self._message: Message | None = message  # None once nobody waits for it
        self._lock = Lock()  # what is being written is removed behind that

    def prepare(self) -> None:
        """Have each file ready to be made with others of a group, or, where it is larger, in `tmp` already."""
        if (message := self._message) is None:
            return
        at_once = self.octets <= AT_ONCE * len(self.files)

        def ready(file: MessageFile) -> None:
            chunks = message.chunks(final=True, mailbox_of=file.recipient)
            if at_once:
                file.prepare(b"".join(chunks))
            else:
                file.write(chunks)

        self.each(ready)

    def write_durably(self) -> None:
        """Have every file in `tmp`, whole, durable, and closed, one after the other."""
        if (message := self._message) is not None:
            self.each(lambda file: file.write_durably(message.chunks(final=True, mailbox_of=file.recipient)))

    def each(self, step: Callable[[MessageFile], None]) -> None:
        """Go one step with every file, unless an earlier one has failed or nobody waits any more."""
        with self._lock:
            if self.error is not None:
                return
            try:
                for file in self.files:
                    if self._message is None:  # the caller gave up: nobody is shown what will be removed
                        return
                    step(file)
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                self.error = error
                self._remove()

    def fail(self, error: OSError) -> None:
        """Fail at a step that was taken for several deliveries at once."""
        with self._lock:
            if self.error is None:
                self.error = error
                self._remove()

    @property
    def goes_on(self) -> bool:
        """Whether it has not failed, and somebody waits for it."""
        return self.error is None and self._message is not None

    def folders(self) -> set[bytes]:
        """Return the folders in which it has been shown; none where it has failed or been given up."""
        return {file.new for file in self.files} if self.goes_on else set()

    def give_up(self) -> None:
        """Begin nothing any more. What waits for a thread, perhaps for long, does not hold the message meanwhile."""
        self._message = None

    def remove(self) -> None:
        """Leave nothing behind, wherever it is."""
        with self._lock:
            self._remove()

    def _remove(self) -> None:
        for file in self.files:
            file.remove()


def step(deliveries: Sequence[Delivery], of_files: Callable[[Sequence[MessageFile]], None]) -> None:
    """Go one step with the files of all deliveries that go on. A delivery fails with the first of its files that does.

    For the thread of a group: nobody else is at these files.
    """
    under_way = [delivery for delivery in deliveries if delivery.goes_on]
    of_files([file for delivery in under_way for file in delivery.files])
    for delivery in under_way:
        for file in delivery.files:
            if file.error is not None:
                delivery.fail(file.error)
