"""PURE. What is mounted into a listener's pod, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from mailport.contract import quantity
from mailport.contract.model import InboundSmtp, Spec
from mailport.contract.references import references
from mailport.operator import metadata
from mailport.operator.children import format_1
from mailport.operator.metadata import Manifest

CONFIG = "/etc/mailport/config"
CONFIG_VOLUME = "config"
SECRETS = "/etc/mailport/secrets"
CONFIG_MAPS = "/etc/mailport/configmaps"
DATA = "/var/lib/mailport"
SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod's own

# Root owns a mounted Secret; the listener reads it by its group, which is fsGroup, and nobody else does.
_SECRET_MODE = 0o440

_MAIL_VOLUME = "mail"  # of mail without a claim

_NAME_LENGTH = 63  # a volume's name is a DNS label
_HASH_LENGTH = 10


class Volume(NamedTuple):
    """A volume of the pod, and its place in the container."""

    source: Manifest
    mount: Manifest


def volumes(gateway: InboundSmtp, version: int) -> Iterator[Volume]:
    """Return the configuration, Secrets, CA certificates, mail and scratch space, in this order.

    `version` is the format of the configuration that the pod's listener reads.
    """
    spec = gateway.spec
    # The directory, never a subPath: that would keep the file of the pod's first day
    yield _read_only(CONFIG_VOLUME, CONFIG, {"configMap": {"name": metadata.config_map_name(gateway, version)}})
    yield from _referred_to(spec)
    # A listener of FORMAT 1 would not refuse mail before Kubernetes evicts the pod, and all its mail with it
    yield from _mail(spec, {} if version == format_1.NUMBER else _up_to(spec.pod.mailbox_size))
    scratch = {"emptyDir": _up_to(spec.pod.scratch_size)}
    yield Volume({"name": "scratch", **scratch}, {"name": "scratch", "mountPath": SCRATCH})


def claims(spec: Spec) -> frozenset[str]:
    """Return the PersistentVolumeClaims that hold mail."""
    return frozenset(name for name in _claim_names(spec) if name is not None)


def has_mailboxes_without_claim(spec: Spec) -> bool:
    """Whether mail lies on an emptyDir, and is lost with its pod."""
    return None in _claim_names(spec)


def is_mail_lost_with(pod: Manifest) -> bool:
    """Whether a pod of this spec, as it is in the cluster, keeps mail on an emptyDir."""
    return any(volume["name"] == _MAIL_VOLUME and "emptyDir" in volume for volume in pod.get("volumes", ()))


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


def _mail(spec: Spec, empty_dir: Manifest) -> Iterator[Volume]:
    for claim in sorted(_claim_names(spec), key=lambda name: name or ""):
        if claim is None:
            source: Manifest = {"name": _MAIL_VOLUME, "emptyDir": empty_dir}
        else:
            source = {"name": volume_name("claim", claim), "persistentVolumeClaim": {"claimName": claim}}
        yield Volume(source, {"name": source["name"], "mountPath": f"{DATA}/mail/{claim or 'default'}"})


def _claim_names(spec: Spec) -> set[str | None]:
    """Return the claims of mailboxes; None is mail without one."""
    return {route.deliver.maildir.claim_name for route in spec.routes if route.deliver.maildir is not None}


def _up_to(size: int) -> Manifest:
    """Return an emptyDir that cannot fill the node's disk: past this size the kubelet evicts the pod."""
    return {"sizeLimit": quantity.render(size)}


def _read_only(name: str, path: str, source: Manifest) -> Volume:
    return Volume({"name": name, **source}, {"name": name, "mountPath": path, "readOnly": True})


def volume_name(kind: str, name: str) -> str:
    """Return a DNS label for an object whose name may have dots and 253 characters: its beginning, and a hash of it.

    Always with the hash, so that no name can be that of another made short.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    room = _NAME_LENGTH - len(f"{kind}--{digest}")
    return f"{kind}-{name[:room].replace('.', '-')}-{digest}"
