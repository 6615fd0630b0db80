"""PURE. What is mounted into a listener's pod, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from mailport import quantity
from mailport.model import Spec
from mailport.operator.metadata import Manifest
from mailport.operator.references import references

CONFIG = "/etc/mailport/config"
CONFIG_VOLUME = "config"
SECRETS = "/etc/mailport/secrets"
CONFIG_MAPS = "/etc/mailport/configmaps"
DATA = "/var/lib/mailport"
SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod's own

# Root owns a mounted Secret; the listener reads it by its group, which is fsGroup, and nobody else does.
_SECRET_MODE = 0o440

_NAME_LENGTH = 63  # a volume's name is a DNS label
_HASH_LENGTH = 10


class Volume(NamedTuple):
    """A volume of the pod, and its place in the container."""

    source: Manifest
    mount: Manifest


def volumes(spec: Spec, config_map: str) -> Iterator[Volume]:
    """Return the configuration, Secrets, CA certificates, mail and scratch space, in this order."""
    # The directory, never a subPath: that would keep the file of the pod's first day
    yield _read_only(CONFIG_VOLUME, CONFIG, {"configMap": {"name": config_map}})
    yield from _referred_to(spec)
    yield from _mail(spec)
    scratch = {"emptyDir": {"sizeLimit": quantity.render(spec.pod.scratch_size)}}
    yield Volume({"name": "scratch", **scratch}, {"name": "scratch", "mountPath": SCRATCH})


def claims(spec: Spec) -> frozenset[str]:
    """Return the PersistentVolumeClaims that hold mail."""
    return frozenset(name for name in _claim_names(spec) if name is not None)


def _referred_to(spec: Spec) -> Iterator[Volume]:
    """Mount the keys that are referred to and no others; a pod starts without them, and heals when they appear."""
    keys: dict[tuple[str, str], set[str]] = {}
    for reference in references(spec):
        keys.setdefault((reference.kind, reference.name), set()).update(reference.keys)
    # Sorted, so that the order of routes is not the pod's: it would roll for nothing
    for (kind, name), wanted in sorted(keys.items(), key=lambda item: (item[0][0] != "Secret", item[0][1])):
        items = [{"key": key, "path": key} for key in sorted(wanted)]
        if kind == "Secret":
            source: Manifest = {"secretName": name, "items": items, "defaultMode": _SECRET_MODE, "optional": True}
            yield _read_only(volume_name("secret", name), f"{SECRETS}/{name}", {"secret": source})
        else:
            source = {"name": name, "items": items, "optional": True}
            yield _read_only(volume_name("configmap", name), f"{CONFIG_MAPS}/{name}", {"configMap": source})


def _mail(spec: Spec) -> Iterator[Volume]:
    for claim in sorted(_claim_names(spec), key=lambda name: name or ""):
        if claim is None:
            source: Manifest = {"name": "mail", "emptyDir": {}}
        else:
            source = {"name": volume_name("claim", claim), "persistentVolumeClaim": {"claimName": claim}}
        yield Volume(source, {"name": source["name"], "mountPath": f"{DATA}/mail/{claim or 'default'}"})


def _claim_names(spec: Spec) -> set[str | None]:
    """Return the claims of mailboxes; None is mail without one."""
    return {route.deliver.maildir.claim_name for route in spec.routes if route.deliver.maildir is not None}


def _read_only(name: str, path: str, source: Manifest) -> Volume:
    return Volume({"name": name, **source}, {"name": name, "mountPath": path, "readOnly": True})


def volume_name(kind: str, name: str) -> str:
    """Return a DNS label for an object whose own name may have dots and 253 characters: its begin, and a hash of all.

    Always with the hash, so that no name can be that of another made short.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    room = _NAME_LENGTH - len(f"{kind}--{digest}")
    return f"{kind}-{name[:room].replace('.', '-')}-{digest}"
