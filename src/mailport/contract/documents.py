"""PURE. Files of YAML or JSON, read into one InboundSmtp and the Secrets and ConfigMaps beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mailport.contract import rules, yaml_text
from mailport.contract.core_v1 import ConfigMap, Secret
from mailport.contract.faults import Fault, Invalid
from mailport.contract.model import InboundSmtp, Model

_KINDS: dict[str, type[Model]] = {"InboundSmtp": InboundSmtp, "Secret": Secret, "ConfigMap": ConfigMap}

Contents = dict[str, dict[str, bytes]]  # of Secrets or ConfigMaps: name -> key -> value


@dataclass(frozen=True, slots=True)
class Documents:
    """What a set of files says: one gateway, and the Secrets and ConfigMaps that it may refer to."""

    gateway: InboundSmtp
    source: str  # the file that the gateway stands in
    secrets: Contents = field(repr=False)
    config_maps: Contents = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What of a set of files can be used, and what is wrong with the rest."""

    documents: Documents | None  # None where there is no gateway, or it cannot be served
    secrets: Contents = field(repr=False)
    config_maps: Contents = field(repr=False)
    faults: tuple[Fault, ...]


def load(files: Iterable[tuple[str, bytes]]) -> Documents:
    """Read files, as (name, content). Raises Invalid with all that is wrong with them."""
    found = read(files)
    if found.faults or found.documents is None:
        raise Invalid(found.faults)
    return found.documents


def read(files: Iterable[tuple[str, bytes]], unreadable: Iterable[Fault] = ()) -> Found:
    """Read files, as (name, content); a fault of one object keeps no other from being found.

    `unreadable` are the faults of files that could not even be read.
    """
    files = tuple(files)
    items = [(source, item) for source, content in files for item in _items(content)]
    gateways = [(source, item) for source, item in items if isinstance(item, InboundSmtp)]
    objects = [(source, item) for source, item in items if isinstance(item, Secret | ConfigMap)]
    broken = [(source, item) for source, item in items if isinstance(item, _Broken)]
    faults = [*unreadable, *(fault.within(source) for source, item in broken for fault in item.faults)]
    faults += _repeated(objects)
    faults += (Fault("", f"a second InboundSmtp; one is in {gateways[0][0]}", source) for source, _ in gateways[1:])
    if not gateways and not faults:
        faults.append(Fault("", "no InboundSmtp in it", ", ".join(source for source, _ in files)))

    secrets = {item.metadata.name: item.content() for _, item in objects if isinstance(item, Secret)}
    config_maps = {item.metadata.name: item.content() for _, item in objects if isinstance(item, ConfigMap)}
    documents = None
    if len(gateways) == 1 and not any(item.is_gateway for _, item in broken):
        ((source, gateway),) = gateways
        against_rules = [fault.within(source) for fault in rules.check(gateway.spec)]
        documents = None if against_rules else Documents(gateway, source, secrets, config_maps)
        faults += against_rules
    return Found(documents, secrets, config_maps, tuple(faults))


@dataclass(frozen=True, slots=True)
class _Broken:
    """A document, or a whole file, that cannot be used."""

    faults: tuple[Fault, ...]
    is_gateway: bool = False


def _items(content: bytes) -> Iterator[Model | _Broken]:
    """Read the objects of one file."""
    try:
        documents = yaml_text.read(content)
    except Invalid as invalid:
        yield _Broken(invalid.faults)
        return
    for document in documents:
        try:
            yield _parse(document)
        except Invalid as invalid:
            yield _Broken(invalid.faults, isinstance(document, dict) and document.get("kind") == "InboundSmtp")


def _parse(document: Any) -> Model:
    if not isinstance(document, dict):
        raise Invalid([Fault("", "must be an object with apiVersion, kind and metadata")])
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        expected = ", ".join(f'"{kind}"' for kind in _KINDS)
        raise Invalid([Fault("kind", f"must be one of {expected}" if "kind" in document else "required")])
    try:
        return _KINDS[kind].parse_json(json.dumps(document))
    except Invalid as invalid:
        if kind == "InboundSmtp":
            raise
        # One of several: which one is not told by the path alone
        raise Invalid(
            replace(fault, path=": ".join(filter(None, (_name(kind, document), fault.path))))
            for fault in invalid.faults
        ) from None


def _name(kind: str, document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{kind} {name}" if isinstance(name, str) and name.isprintable() and len(name) < 254 else kind


def _repeated(objects: Iterable[tuple[str, Secret | ConfigMap]]) -> Iterator[Fault]:
    """Name the objects that stand there twice. Which one is meant cannot be told; the last one is found."""
    first: dict[tuple[str, str], str] = {}
    for source, item in objects:
        key = (item.kind, item.metadata.name)
        if key in first:
            yield Fault(" ".join(key), f"is in {first[key]} already", source)
        first.setdefault(key, source)
