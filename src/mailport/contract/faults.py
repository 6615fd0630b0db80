"""PURE. What is wrong with a document: where, and what, in words for the person who wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong, or for `unwise.warnings` legal and unwise."""

    path: str  # Kubernetes style: spec.listeners[1].tls.mode; empty where it is the document itself
    message: str
    source: str = ""  # the file it stands in, where there is one

    def within(self, source: str) -> Fault:
        """Return the same fault, of that file."""
        return replace(self, source=source)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.path, self.message) if part)


class Invalid(Exception):  # noqa: N818 - an invalid document, said in one word
    """The document cannot be served; `faults` has every reason found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def repeated(path: str, field: str, values: Iterable[object]) -> Iterator[Fault]:
    """Name each item of a list that says again what an earlier one says; None says nothing.

    `path` is the list's, `field` what is compared of its items, empty where it is the items themselves.
    """
    first: dict[object, int] = {}
    for index, value in enumerate(values):
        if value is None:
            continue
        if first.setdefault(value, index) != index:
            yield Fault(f"{path}[{index}]{field and '.' + field}", f"{value} stands in {path}[{first[value]}] already")
