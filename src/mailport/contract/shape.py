"""PURE. What pydantic finds wrong with a document, as faults: Kubernetes' paths, and words for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from mailport.contract.faults import Fault

_PLAIN = re.compile(r"[A-Za-z][-_A-Za-z0-9]*", re.ASCII)
# Maps, whose keys are the author's: labels[example.org/a]
_MAPS = frozenset({"labels", "annotations", "nodeSelector", "data", "stringData", "binaryData"})
_LONGEST = 80  # of an unknown name: it is the author's, and may be anything


def faults(error: ValidationError) -> Iterator[Fault]:
    """Translate each of pydantic's errors; values never appear in them."""
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_is_below(detail["loc"], other["loc"]) for other in details):
            continue  # pydantic counts only the items without fault
        message = _MESSAGES.get(detail["type"]) or detail["msg"]
        yield Fault(path(detail["loc"]), message if isinstance(message, str) else message(detail.get("ctx", {})))


def _is_below(place: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(other) > len(place) and other[: len(place)] == place


def path(location: tuple[int | str, ...]) -> str:
    """Write a place in a document as Kubernetes does: spec.listeners[1].tls.mode, spec.pod.labels[example.org/a]."""
    text, container = "", ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part == "[key]":  # pydantic's word for a map's key itself
            continue
        elif container in _MAPS:
            text += f"[{printable(part)[1:-1]}]"
        elif _PLAIN.fullmatch(part[:_LONGEST]):
            text += f".{part[:_LONGEST]}"
        else:
            text += f"[{printable(part)}]"
        container = str(part)
    return text.removeprefix(".")


def printable(name: str) -> str:
    """Quote what an author called something, shortened and safe for a terminal."""
    return json.dumps(name[:_LONGEST])


def _choices(context: dict[str, Any]) -> str:
    names = [f'"{name}"' for name in re.findall(r"'([^']*)'", context["expected"])]
    return f"must be {names[0]}" if len(names) == 1 else f"must be one of {', '.join(names)}"


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


def _characters(count: int) -> str:
    return f"{count} character" if count == 1 else f"{count} characters"


_MESSAGES: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "missing": "required",
    "extra_forbidden": "unknown field",
    "json_invalid": lambda context: f"not JSON: {context['error']}",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_parsing_size": "must be an integer",
    "int_from_float": "must be an integer",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "enum": _choices,
    "literal_error": _choices,
    "too_short": lambda context: f"must have at least {_items(context['min_length'])}",
    "too_long": lambda context: f"must have at most {_items(context['max_length'])}",
    "string_too_short": lambda context: (
        "must not be empty" if context["min_length"] == 1 else f"must be at least {_characters(context['min_length'])}"
    ),
    "string_too_long": lambda context: f"must be at most {_characters(context['max_length'])}",
    "value_error": lambda context: str(context["error"]),
}
