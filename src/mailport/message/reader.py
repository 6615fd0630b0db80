"""A whole message, read by the places of its octets: for who looks at it more than once. For a thread."""

from __future__ import annotations

from mailport.message.content import Content


class Reader:
    """A message's octets. Reading raises OSError, also where the transaction is over."""

    __slots__ = ("_content", "_head", "_start", "size")

    def __init__(self, head: bytes, content: Content, start: int) -> None:
        """`head` stands in place of the content up to `start`."""
        self._head = head
        self._content = content
        self._start = start
        self.size = len(head) + content.size - start

    @property
    def head(self) -> int:
        """How many octets the trace fields and the header section have."""
        return len(self._head)

    def read(self, start: int, stop: int) -> bytes:
        """Return the octets from `start` up to `stop`."""
        head = len(self._head)
        if stop <= head:
            return self._head[start:stop]
        octets = self._content.read(self._start + max(start - head, 0), self._start + stop - head)
        return self._head[start:] + octets if start < head else octets
