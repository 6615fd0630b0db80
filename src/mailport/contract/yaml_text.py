"""PURE. Text of YAML or JSON into plain values: objects, lists, texts, numbers, booleans, null; and back into YAML.

A fault names a line and quotes nothing of it: it may be a Secret's, and nobody knows yet where one begins.

Of YAML only the events are used. So nothing is built that was not asked for: no aliases that unfold, no tags, no `on`,
`yes`, dates or base-60 numbers of YAML 1.1; and a duplicate key is found where it stands.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import yaml

from mailport.contract import quantity
from mailport.contract.faults import Fault, Invalid

MAX_BYTES = 4 * quantity.MI  # of a file; etcd holds objects of 1.5 MiB, and a file may hold several
MAX_DEPTH = 64  # of lists and objects within each other; an affinity is some ten deep
MAX_VALUES = 100_000  # of a file; the largest spec that the bounds of model/ allow has some 20,000

_TOO_DEEP = f"lists and objects within each other more than {MAX_DEPTH} times"
_QUOTE_STARS = 'aliases (*) are not read; a text that begins with * needs quotes, as in "*@example.org"'

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where it was built: twenty times as fast


def read(content: bytes) -> list[Any]:
    """Read the documents of a file; empty ones are left out. Raises Invalid."""
    if len(content) > MAX_BYTES:
        _fail(f"larger than {quantity.render(MAX_BYTES)}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _fail(f"not UTF-8, at octet {error.start}")
    if text.lstrip().startswith("{"):
        try:
            return [_read_json(text)]
        except ValueError:
            pass  # flow style of YAML begins so too; and YAML's reader knows the line of what is wrong
    return [document for document in _Yaml(text).documents() if document is not None]


def dump(documents: Iterable[Any]) -> str:
    """Write documents as YAML that kubectl, Helm and `read` take for the same values, keys in their own order."""
    return yaml.dump_all(documents, Dumper=_Dumper, explicit_start=True, sort_keys=False, width=math.inf)


# Plain texts that some YAML reader takes for a number or a boolean, and PyYAML does not: 1e3, 0o17, y
_AMBIGUOUS = re.compile(r"[-+.]*[0-9].*|[yYnN]")


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, no anchors, and quotes rather once too often."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own signature
        return True

    def text(self, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else '"' if _AMBIGUOUS.fullmatch(value) else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _Dumper.text)


def _fail(message: str) -> NoReturn:
    raise Invalid([Fault("", message)]) from None


def _read_json(text: str) -> Any:
    """Read what YAML's reader does not take of JSON: tabs, and characters escaped as two surrogates."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs):
            raise ValueError("duplicate key")
        return document

    def finite(number: str) -> float:
        if not math.isfinite(value := float(number)):
            raise ValueError("NaN, Infinity or 1e999")
        return value

    try:
        document = json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_constant=finite)
    except RecursionError:
        _fail(_TOO_DEEP)
    if _depth(document) > MAX_DEPTH:
        _fail(_TOO_DEEP)
    return document


def _depth(value: Any) -> int:
    """Return how many lists and objects lie within each other."""
    depth, level = 0, [value]
    while level := [value for value in level if isinstance(value, dict | list)]:
        depth += 1
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
    return depth


# YAML 1.2's core schema, and the octal numbers that kubectl reads
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})")
_BASED = re.compile(r"0x[0-9A-Fa-f]{1,99}|0o?[0-7]{1,99}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def _plain_value(text: str) -> Any:
    """Return what a scalar without quotes stands for."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 16) if text[1] == "x" else int(text.replace("o", ""), 8)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


class _Yaml:
    """The documents of one YAML text."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=_PARSER)
        self._values = 0

    def documents(self) -> Iterator[Any]:
        try:
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    yield self._value(next(self._events), depth=0)
        except yaml.MarkedYAMLError as error:
            if error.context == "while scanning an alias":
                self._fail(error, _QUOTE_STARS)
            quotes = _PARSER is yaml.SafeLoader  # PyYAML's own scanner does, libyaml never
            self._fail(error, "not YAML" if quotes or not error.problem else error.problem)
        except yaml.YAMLError:  # a reader's, which quotes it too
            _fail("not YAML: a character that YAML does not allow")

    def _value(self, event: yaml.Event, depth: int) -> Any:
        self._check(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.style else _plain_value(event.value)  # a style is quotes, | or >
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        return self._mapping(depth + 1)

    def _check(self, event: yaml.Event, depth: int) -> None:
        self._values += 1
        match event:
            case _ if self._values > MAX_VALUES:
                self._fail(event, f"more than {MAX_VALUES} values")
            case yaml.AliasEvent():
                self._fail(event, _QUOTE_STARS)
            case yaml.NodeEvent(anchor=str()):
                self._fail(event, "anchors (&) are not read; write the value out where it is used")
            case yaml.ScalarEvent(tag=str()) | yaml.CollectionStartEvent(tag=str()):
                self._fail(event, "tags (!) are not read")
            case yaml.CollectionStartEvent() if depth == MAX_DEPTH:
                self._fail(event, _TOO_DEEP)

    def _mapping(self, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key in self._until(yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                self._fail(key, "a key must be a string")
            if key.value in lines:
                self._fail(key, f"duplicate key: it stands in line {lines[key.value]} already")
            lines[key.value] = _line(key.start_mark)
            mapping[key.value] = self._value(next(self._events), depth)
        return mapping

    def _until(self, end: type[yaml.Event]) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _fail(self, at: Any, message: str) -> NoReturn:
        mark = getattr(at, "problem_mark", None) or getattr(at, "start_mark", None)
        _fail(f"line {_line(mark)}: {message}" if mark else message)


def _line(mark: Any) -> int:
    return int(mark.line) + 1
