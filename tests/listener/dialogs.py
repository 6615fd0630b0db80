"""The form of tests/dialogs/*.txt, which tests/dialogs/README.md describes, and how it is read."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parents[1] / "dialogs"

# ruff: noqa: RUF001, RUF002 - the sign of multiplication is what people read most easily
_STEP = re.compile(r"(S|LOG|MAIL)(?:×(\d+))?:(?: (.*))?|--- (.+)")
_SENT = re.compile(r"C(?:: (.*)|:|> (.*))")
_HEAD = {"spec", "secrets", "folders", "faults", "slow", "space", "hurry", "dns"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|(.))|«base64 ((?:«[^»]*»|[^»])*)»|«(.*?) × (\d+)»")
_LETTERS = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


class Step(NamedTuple):
    """One line of a dialog; what the client sends in one go is one step."""

    line: int  # in the file
    kind: str  # C, S, LOG, MAIL, or --- for what is done to the connection or to the server
    text: str
    times: int = 1
    following: tuple[str, ...] = ()  # C: all that goes out; MAIL: the message's lines

    @property
    def data(self) -> bytes:
        """What the client sends. Made when it is needed: some of it is long."""
        return b"".join(map(octets, self.following))


@dataclass(frozen=True)
class Dialog:
    """One file."""

    name: str
    shows: str  # in a sentence or two
    steps: tuple[Step, ...]
    spec: dict[str, Any] = field(default_factory=dict)  # what differs from base.yaml
    secrets: dict[str, str] = field(default_factory=dict)  # by name: "missing"
    folders: dict[str, str] = field(default_factory=dict)  # below the mail root: "there", or "broken"
    faults: dict[str, str] = field(default_factory=dict)  # by route: what its destination fails at, unexpectedly
    space: dict[str, int] = field(default_factory=dict)  # octets of `memory` and `scratch` for all messages
    slow: dict[str, float] = field(default_factory=dict)  # by route: seconds that each delivery takes longer
    dns: dict[str, list[Any]] = field(default_factory=dict)  # a zone, and `spec.checks.dns` asks who serves it
    hurry: dict[str, float] = field(default_factory=dict)  # seconds in place of those that nobody can configure


def load(path: Path) -> Dialog:
    """Read a file. ValueError names the line that is not understood."""
    return parse(path.stem, path.read_text())


def parse(name: str, text: str) -> Dialog:
    """Read a dialog."""
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if _STEP.fullmatch(line) or _SENT.fullmatch(line)), len(lines))
    shows: list[str] = []
    for line in lines[:start]:
        if not line.startswith("#"):
            break
        shows.append(line.removeprefix("#").strip())
    head = yaml.safe_load("\n".join(lines[:start])) or {}
    if unknown := set(head) - _HEAD:
        raise ValueError(f"{name}: {', '.join(sorted(unknown))} is none of {', '.join(sorted(_HEAD))}")
    return Dialog(name, " ".join(shows), tuple(_steps(name, lines, start)), **head)


def _steps(name: str, lines: list[str], start: int) -> list[Step]:
    steps: list[Step] = []
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line or line.startswith("#"):
            continue
        last = steps[-1] if steps else None
        if sent := _SENT.fullmatch(line):
            text = sent[2] if sent[2] is not None else (sent[1] or "") + r"\r\n"
            if last is not None and last.kind == "C":
                steps[-1] = last._replace(following=(*last.following, text))
            else:
                steps.append(Step(number, "C", line, following=(text,)))
        elif line.startswith("|") and last is not None and last.kind == "MAIL":
            steps[-1] = last._replace(following=(*last.following, line[1:].removeprefix(" ")))
        elif step := _STEP.fullmatch(line):
            kind, times, text, action = step.groups()
            steps.append(Step(number, kind or "---", action or text or "", int(times or 1)))
        else:
            raise ValueError(f"{name}:{number}: {line!r} is no step of a dialog")
    return steps


def octets(text: str) -> bytes:
    r"""Return what a text stands for: `\r`, `\x00`, `«a × 600»`, `«base64 …»`, and UTF-8 for the rest."""
    result, position = b"", 0
    for match in _ESCAPE.finditer(text):
        result += text[position : match.start()].encode()
        position = match.end()
        number, letter, plain, unit, times = match.groups()
        if number is not None:
            result += bytes.fromhex(number)
        elif letter is not None:
            result += _LETTERS[letter]
        elif plain is not None:
            result += base64.b64encode(octets(plain))
        else:
            result += octets(unit) * int(times)
    return result + text[position:].encode()


def pattern(text: str) -> bytes:
    """Return the expression for a line, in which `…` stands for anything."""
    return b"[^\r\n]*".join(re.escape(octets(part)) for part in text.split("…"))


def patterns(lines: tuple[str, ...]) -> re.Pattern[bytes]:
    """Return the expression for whole lines that end in LF; a line that is `…` stands for any number of lines."""
    return re.compile(b"".join(b"(?:[^\n]*\n)*?" if line == "…" else pattern(line) + b"\n" for line in lines))
