"""PURE. A bounded cache for what is read out of texts. Strangers choose their length: long ones are not kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

MAX_OCTETS = 2048
"""Octets or characters of a text whose result is kept. Longer ones are rare, and read again each time."""

P = ParamSpec("P")
T = TypeVar("T")
Text = TypeVar("Text", bytes, str)


def kept(entries: int) -> Callable[[Callable[Concatenate[Text, P], T]], Callable[Concatenate[Text, P], T]]:
    """Keep so many results of a function whose first argument is a text, those used last; none of a long text."""

    def decorate(function: Callable[Concatenate[Text, P], T]) -> Callable[Concatenate[Text, P], T]:
        cached = cast("Callable[Concatenate[Text, P], T]", lru_cache(entries)(function))

        @wraps(function)
        def wrapper(text: Text, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return (cached if len(text) <= MAX_OCTETS else function)(text, *args, **kwargs)

        return wrapper

    return decorate
