"""PURE. Files of YAML or JSON, read into one InboundSmtp and the Secrets and ConfigMaps beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mailport import rules, yaml_text
from mailport.core_v1 import ConfigMap, Secret
from mailport.faults import Fault, Invalid
from mailport.model import InboundSmtp, Model

__all__ = ["Contents", "Documents", "Fault", "Invalid", "load"]

_KINDS: dict[str, type[Model]] = {"InboundSmtp": InboundSmtp, "Secret": Secret, "ConfigMap": ConfigMap}

Contents = dict[str, dict[str, bytes]]  # of Secrets or ConfigMaps: name -> key -> value


@dataclass(frozen=True, slots=True)
class Documents:
    """What a set of files says: one gateway, and the Secrets and ConfigMaps that it may refer to."""

    gateway: InboundSmtp
    source: str  # the file that the gateway stands in
    secrets: Contents = field(repr=False)
    config_maps: Contents = field(repr=False)


def load(files: Iterable[tuple[str, bytes]]) -> Documents:
    """Read files, as (name, content). Raises Invalid with all that is wrong with their shape, or else with rules."""
    files = tuple(files)
    found = [(source, item) for source, content in files for item in _items(content)]
    gateways = [(source, item) for source, item in found if isinstance(item, InboundSmtp)]
    objects = [(source, item) for source, item in found if isinstance(item, Secret | ConfigMap)]
    faults = [item.within(source) for source, item in found if isinstance(item, Fault)]
    faults += _repeated(objects)
    faults += (Fault("", f"a second InboundSmtp; one is in {gateways[0][0]}", source) for source, _ in gateways[1:])
    if not gateways and not faults:
        faults.append(Fault("", "no InboundSmtp in it", ", ".join(source for source, _ in files)))
    if faults:
        raise Invalid(faults)

    source, gateway = gateways[0]
    if faults := [fault.within(source) for fault in rules.check(gateway.spec)]:
        raise Invalid(faults)
    return Documents(
        gateway,
        source,
        secrets={item.metadata.name: item.content() for _, item in objects if isinstance(item, Secret)},
        config_maps={item.metadata.name: item.content() for _, item in objects if isinstance(item, ConfigMap)},
    )


def _items(content: bytes) -> Iterator[Model | Fault]:
    """Read the objects of one file, and what is wrong with those that cannot be read."""
    try:
        documents = yaml_text.read(content)
    except Invalid as invalid:
        yield from invalid.faults
        return
    for document in documents:
        try:
            yield _parse(document)
        except Invalid as invalid:
            yield from invalid.faults


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
            replace(fault, path=f"{_name(kind, document)}: {fault.path}") for fault in invalid.faults
        ) from None


def _name(kind: str, document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{kind} {name}" if isinstance(name, str) and name.isprintable() and len(name) < 254 else kind


def _repeated(objects: Iterable[tuple[str, Secret | ConfigMap]]) -> Iterator[Fault]:
    first: dict[tuple[str, str], str] = {}
    for source, item in objects:
        key = (item.kind, item.metadata.name)
        if key in first:
            yield Fault(" ".join(key), f"is in {first[key]} already", source)
        first.setdefault(key, source)
