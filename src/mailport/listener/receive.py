"""DATA and BDAT: a message's content, from the wire into what holds it."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

from mailport.contract.model import BareNewlines, Limits
from mailport.listener.config import Config
from mailport.listener.framing import DotStuffed, Newlines
from mailport.listener.wire import TimedOut, Wire
from mailport.message.content import Content, NoSpace, TooLarge
from mailport.policy import limits, replies
from mailport.policy.replies import Reply
from mailport.process import log

LookAhead = Callable[[Content], Awaitable[None]]

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_MOMENT = 0.001  # seconds: a deadline of 0 would be none
_WORTH_A_LOOK = 16 * 1024  # octets: what is shorter is mostly there in one piece

_LARGER_THAN_SCRATCH = "larger than all of the scratch space"

_log = log.get()


class TooSlow(Exception):  # noqa: N818 - what the client is
    """Message data comes slower than minDataRate."""


class DropLimit(Exception):  # noqa: N818 - the reply's words
    """More of a message was read and dropped than a client may send for nothing."""


class Incoming:
    """The content of one message while it comes in, and the first thing that is wrong with it.

    What goes wrong is the reply at the end: until then the rest is read and dropped, and nothing is held.
    """

    __slots__ = (
        "_config",
        "_look_ahead",
        "_looked_at",
        "_newlines",
        "content",
        "detail",
        "dropped",
        "failure",
        "size",
    )

    def __init__(self, config: Config, content: Content, look_ahead: LookAhead | None = None) -> None:
        """`look_ahead` may look at a content that is not short, now and then while it comes in."""
        self._config = config
        self._look_ahead = look_ahead
        self._looked_at = _WORTH_A_LOOK // 2  # octets that there were the last time
        self._newlines = Newlines()
        self.dropped = 0  # octets that were read and not held, of a message that is larger than it may be
        self.content = content
        self.size = 0  # octets as RFC 1870 §5 counts them, those that were dropped too
        self.failure: Reply | None = None
        self.detail = ""  # of the failure, for the log

    async def take(self, data: bytes) -> None:
        """Take content as it came off the frame. Raises DropLimit, and nothing else."""
        if self.failure is not None:
            self.size += len(data)
            if self.failure is replies.NO_SPACE:
                if 0 < self._config.size_limit < self.size:
                    self.failure, self.detail = replies.TOO_LARGE, ""
                elif self.size > self.content.most:
                    self.failure, self.detail = replies.TOO_LARGE, _LARGER_THAN_SCRATCH
            self._drop(len(data))
            return
        await self._hold(self._newlines.feed(data))

    async def end(self) -> None:
        """Take what waited for the octet behind it."""
        if self.failure is None:
            await self._hold(self._newlines.finish())

    def fail(self, reply: Reply, detail: str = "") -> None:
        """Make this the reply at the end, and hold nothing any more."""
        self.failure, self.detail = reply, detail
        self.content.close()

    async def _hold(self, data: bytes) -> None:
        if self._newlines.bare and self._config.spec.content.bare_newlines is BareNewlines.REJECT:
            self.fail(replies.BARE_NEWLINE)
            return
        if not data:
            return
        self.size += len(data)
        if 0 < self._config.size_limit < self.size:
            self.fail(replies.TOO_LARGE)
            self._drop(self.size)
            return
        try:
            await self.content.append(data)
            if self._look_ahead is not None and self.size >= 2 * self._looked_at:
                self._looked_at = self.size  # at twice as many each time: what it costs stays in proportion
                await self._look_ahead(self.content)
        except NoSpace:
            self.fail(replies.NO_SPACE)
        except TooLarge:
            self.fail(replies.TOO_LARGE, _LARGER_THAN_SCRATCH)
        except OSError as error:
            self.fail(replies.NO_SPACE if error.errno in _FULL else replies.INTERNAL, f"scratch: {error}")
        except Exception as fault:  # noqa: BLE001 - a fault of ours is a 451 at the end, not in the middle
            _log.exception("internal error")
            self.fail(replies.INTERNAL, str(fault))

    def _drop(self, octets: int) -> None:
        """Count what is dropped. Without a size limit there is no bound: cut off, the client would come again."""
        self.dropped += octets
        if self._config.size_limit and self.dropped > self._config.drop_limit:
            raise DropLimit


class Reader:
    """Reads one message, in however many chunks, and times it: only the time in which we wait for the client counts."""

    __slots__ = ("_clock", "_limits", "_octets", "_seconds", "_wire")

    def __init__(self, wire: Wire, settings: Limits, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._limits = settings
        self._clock = clock
        self._octets = 0
        self._seconds = 0.0

    async def data(self, incoming: Incoming) -> None:
        """Read to the end of DATA. Raises Closed, TimedOut, TooSlow, DropLimit."""
        frame = DotStuffed()
        rest: bytes | None = None
        while rest is None:
            content, rest = frame.feed(await self._read())
            if content:
                await incoming.take(content)
        self._wire.unread(rest)

    async def chunk(self, octets: int, incoming: Incoming) -> None:
        """Read a chunk of BDAT. Raises Closed, TimedOut, TooSlow, DropLimit."""
        while octets > 0:
            data = await self._read(octets)
            octets -= len(data)
            await incoming.take(data)

    async def drop(self, octets: int, most: int) -> None:
        """Read a chunk that is refused. Raises Closed, TimedOut, TooSlow; DropLimit where it has more than `most`."""
        if octets > most:
            raise DropLimit
        while octets > 0:
            octets -= len(await self._read(octets))

    def waited(self, seconds: float) -> None:
        """Count the time that the client took for its next BDAT. Raises TooSlow."""
        self._seconds += seconds
        self._judge()

    async def _read(self, most: int = 0) -> bytes:
        """Return the next octets: one at least, `most` at most where that is given."""
        wire = self._wire
        if wire.pending:
            data = await wire.read(most)
        else:
            began = self._clock()
            data = await self._wait(most)
            self._seconds += self._clock() - began
        self._octets += len(data)
        self._judge()
        return data

    async def _wait(self, most: int) -> bytes:
        """Wait for octets for dataTimeoutSeconds. Without that, for as long as minDataRate lets the message take."""
        configured = self._limits.data_timeout_seconds
        self._wire.set_deadline(self.patience(configured))
        try:
            return await self._wire.read(most)
        except TimedOut as error:
            if configured or not self._limits.min_data_rate:
                raise
            raise TooSlow from error

    def patience(self, configured: float) -> float:
        """Return for how many seconds the client's next octets are waited for; 0 is without end.

        That is what is configured. Where that is 0, it is as long as minDataRate lets the message take.
        """
        if configured or not self._limits.min_data_rate:
            return configured
        left = limits.seconds_for(self._octets, self._limits.min_data_rate) - self._seconds
        return max(left, 0) + _MOMENT

    def _judge(self) -> None:
        if limits.too_slow(self._octets, self._seconds, self._limits.min_data_rate):
            raise TooSlow
