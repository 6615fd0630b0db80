"""One JSON object a line on stderr; a form for people on a terminal. The one door to structlog.

Lines are gathered and written by a thread a few times a second: a reader of our stderr that has stopped must not stop
the mail. What is gathered is bounded; what is lost is counted in the next line that gets through.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import orjson
import structlog

_MAX_LINES = 10_000
_PATIENCE = 1.0  # seconds that an end waits for its last lines to be written
_PAUSE = 0.05  # seconds: a line is seen by people and collectors, who do not notice


_streams: list[Lines] = []


class Log(Protocol):
    """What listener and operator use of a logger: an event, which is a short phrase, and fields."""

    def bind(self, **fields: Any) -> Log:
        """Return a logger whose every line has these fields."""

    def debug(self, event: str, **fields: Any) -> None:
        """Say what only a developer wants to know."""

    def info(self, event: str, **fields: Any) -> None:
        """Say what happened."""

    def warning(self, event: str, **fields: Any) -> None:
        """Say what a person should look at some day."""

    def error(self, event: str, **fields: Any) -> None:
        """Say what a person should look at now."""

    def exception(self, event: str, **fields: Any) -> None:
        """Say what went wrong in our own code, with the traceback."""


class Lines:
    """A stream that takes lines without ever blocking its caller."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._filled = threading.Event()
        self._writing = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """Take a line. structlog calls its loggers by the names of levels, each of which does the same."""
        self.write(f"{line}\n".encode("utf-8", "backslashreplace"))

    debug = info = warning = error = critical = exception = msg

    def write(self, line: bytes) -> None:
        """Take a line with its newline."""
        if len(self._lines) >= _MAX_LINES:
            self._lost += 1
            return
        self._lines.append(line)
        if not self._filled.is_set():
            self._filled.set()

    def close(self) -> None:
        """Write what is left, at the end of the process; not for ever."""
        self._closed.set()
        self._filled.set()
        self._thread.join(_PATIENCE)

    def wait_until_written(self) -> None:
        """Wait a moment for what has been logged, before something else is written to the same place. Blocks."""
        deadline = time.monotonic() + _PATIENCE
        while (self._lines or self._writing) and time.monotonic() < deadline:
            time.sleep(_PAUSE / 10)

    def _run(self) -> None:
        while not self._closed.is_set() or self._lines:
            self._filled.wait()
            self._closed.wait(_PAUSE)
            self._filled.clear()
            self._write_out()

    def _write_out(self) -> None:
        """Write what there is, by this thread alone: the others must not wait for a reader that has stopped."""
        self._writing = True
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        lost, self._lost = self._lost, 0
        if lost:
            lines.append(b'{"event": "log lines lost", "level": "warning", "count": %d}\n' % lost)
        data = b"".join(lines)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:  # nobody reads: mail goes on
            self._lost += data.count(b"\n")
        self._writing = False


def _as_json(level: str, fields: MutableMapping[str, Any]) -> bytes:
    """Return one line of JSON. All of structlog's steps in one, and by orjson: a line a message is no small cost."""
    fields["level"] = level
    fields["time"] = datetime.now(UTC)
    try:
        line = orjson.dumps(fields, default=str, option=orjson.OPT_UTC_Z)
    except TypeError:  # a path or a name with octets that are no text
        line = json.dumps(fields, default=str).encode()
    return line + b"\n"  # a copy: orjson's own is in a kibibyte that it has cut, and those many pieces cost page faults


def _render(_logger: object, level: str, fields: MutableMapping[str, Any]) -> str:
    return _as_json(level, fields).decode().rstrip("\n")


_Bound: Any = structlog.make_filtering_bound_logger("info")


class _ForMachines(_Bound):  # type: ignore[misc] # structlog makes its class at run time
    """structlog's, but for the one method that is called for each message: there its detours take half of the time."""

    def info(self, event: str, **fields: Any) -> None:
        self._logger.write(_as_json("info", {**self._context, **fields, "event": event}))


def configure(*, fd: int = 2, console: bool | None = None) -> None:
    """Set logging up for the whole process; `console` None: as a terminal is there or not."""
    stream = Lines(fd)
    atexit.register(stream.close)
    _streams.append(stream)
    on_terminal = os.isatty(fd) if console is None else console
    for_people: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(colors=True),
    ]
    for_machines: list[Any] = [structlog.processors.format_exc_info, _render]
    structlog.configure(
        processors=for_people if on_terminal else for_machines,
        wrapper_class=_Bound if on_terminal else _ForMachines,
        logger_factory=lambda *_: stream,
        cache_logger_on_first_use=True,
    )


def flush() -> None:
    """Wait a moment for what has been logged, before something else is written to the same place. Blocks."""
    for stream in _streams:
        stream.wait_until_written()


def get() -> Log:
    """Return the logger."""
    return cast("Log", structlog.get_logger())
