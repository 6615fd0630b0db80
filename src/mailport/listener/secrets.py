"""Where the values of Secrets and ConfigMaps come from: served documents, else directories as Kubernetes mounts them.

Everything that reads here blocks: call it in a thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mailport.contract.names import DATA_KEY, OBJECT_NAME
from mailport.listener.files import open_without_waiting

Kind = Literal["Secret", "ConfigMap"]
Values = Mapping[str, bytes]

MAX_VALUE_BYTES = 1024 * 1024  # Kubernetes holds a whole Secret or ConfigMap to 1 MiB


class Unreadable(Exception):  # noqa: N818 - what is wrong with it
    """A value that is there and cannot be had. The message names it and the reason, never a value."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where objects of one kind are looked up. All keys of an object come from the first place that has any of them."""

    documents: Mapping[str, Values] = field(default_factory=dict, repr=False)  # by the object's name
    directories: tuple[Path, ...] = ()  # each DIR/<name>/<key>


class Secrets:
    """The values that a configuration refers to."""

    __slots__ = ("_sources",)

    def __init__(self, *, secrets: Sources | None = None, config_maps: Sources | None = None) -> None:
        self._sources: dict[Kind, Sources] = {"Secret": secrets or Sources(), "ConfigMap": config_maps or Sources()}

    def __repr__(self) -> str:
        return f"Secrets({self._sources})"

    def also_below(self, directory: Path) -> Secrets:
        """Return the same with one more directory, the last, to look for Secrets in."""
        secrets = self._sources["Secret"]
        return Secrets(
            secrets=replace(secrets, directories=(*secrets.directories, directory)),
            config_maps=self._sources["ConfigMap"],
        )

    def get(self, kind: Kind, name: str, key: str) -> bytes | None:
        """Return one value; None where there is none. Raises Unreadable."""
        return self.get_all(kind, name, (key,)).get(key)

    def get_all(self, kind: Kind, name: str, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of those keys that exist, all of one moment: a certificate goes with its key.

        Raises Unreadable.
        """
        keys = tuple(keys)
        _check(kind, name, keys)
        sources = self._sources[kind]
        document = sources.documents.get(name, {})
        if found := {key: document[key] for key in keys if key in document}:
            return found
        for directory in sources.directories:
            if found := _read_all(directory / name, keys):
                return found
        return {}

    def paths(self, kind: Kind, name: str, keys: Iterable[str]) -> list[Path]:
        """Return the files to watch for these values, also those that do not exist yet."""
        keys = tuple(keys)
        _check(kind, name, keys)
        sources = self._sources[kind]
        if not sources.documents.get(name, {}).keys().isdisjoint(keys):
            return []  # they change when their document does
        return [directory / name / key for directory in sources.directories for key in keys]


def _check(kind: Kind, name: str, keys: tuple[str, ...]) -> None:
    """Check that no name leads out of its directory. The model takes no such name: one that comes here is our fault."""
    if not OBJECT_NAME.fullmatch(name):
        raise ValueError(f"not the name of a {kind}: {name!r}")
    for key in keys:
        if not DATA_KEY.fullmatch(key):
            raise ValueError(f"not a key of a {kind}: {key!r}")


def _read_all(folder: Path, keys: tuple[str, ...]) -> dict[str, bytes]:
    """Read the values of one moment.

    In a mounted volume every key is a symlink into `..data`, itself a symlink that the kubelet swaps for a whole new
    generation. Where it was swapped while we read, we read again. A plain folder has no `..data`, and always the same.
    """
    generation = os.path.realpath(folder / "..data")
    while True:
        values = {key: value for key in keys if (value := _read(folder / key)) is not None}
        before, generation = generation, os.path.realpath(folder / "..data")
        if generation == before:
            return values


def _read(path: Path) -> bytes | None:
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable(f"{path}: not a file")
            value = file.read(MAX_VALUE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    if len(value) > MAX_VALUE_BYTES:
        raise Unreadable(f"{path}: over {MAX_VALUE_BYTES} octets")
    return value
