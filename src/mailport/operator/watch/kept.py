"""PURE. What is kept of an object: what is ours whole, and of the rest the fields that the other rooms read.

Of a pod that is a tenth. What changes beside it is no news: a HorizontalPodAutoscaler's status does every 15 s.
"""

from __future__ import annotations

import orjson

from mailport.operator.kinds import (
    CHILDREN,
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    INBOUND_SMTP,
    POD,
    REPLICA_SET,
    SERVICE,
    Kind,
)
from mailport.operator.managed_fields import compact, entries, is_our_apply
from mailport.operator.metadata import POKE, Manifest
from mailport.operator.ownership import controller, is_applied_by_us

_IDENTITY = ("name", "namespace", "uid")
_GATEWAY = INBOUND_SMTP.name
_CONDITION = ("type", "status", "reason", "message")
_STATUS_IS_READ = (INBOUND_SMTP, SERVICE, DEPLOYMENT)


def kept(kind: Kind, body: Manifest) -> Manifest:
    """Return what is kept of an object; its resourceVersion is kept apart."""
    if kind == CLAIM:
        return {"metadata": _some(body["metadata"], _IDENTITY), "spec": _some(body.get("spec"), ("accessModes",))}
    if kind == REPLICA_SET:
        return _replica_set(body)
    if kind == POD:
        return _pod(body)
    if kind in CHILDREN and not _is_kept_whole(kind, body):
        return _of_others(kind, body)
    whole = compact(body)
    whole["metadata"] = {field: value for field, value in whole["metadata"].items() if field != "resourceVersion"}
    if kind not in _STATUS_IS_READ:
        whole.pop("status", None)
    return whole


# Anybody may put our label on what they make, wherever they may make anything, and an object may have 1.5 MB. What an
# InboundSmtp controls is kept whole: where there is none of that uid, Kubernetes' garbage collector deletes it. (Not so
# where there is no such API version, of which it cannot tell.) What may be ours in another way, as after
# `delete --cascade=orphan`, is kept where it is as small as ours are; the data of a ConfigMap not even then, as we
# apply that again. Of all else there is what ChildConflict says.
_OCTETS = 64 * 1024  # of ours the largest but ConfigMaps are Deployments, of some kilobytes


def _is_kept_whole(kind: Kind, body: Manifest) -> bool:
    owning = controller(body)
    if owning is not None and (owning.get("apiVersion"), owning["kind"]) == (INBOUND_SMTP.api_version, _GATEWAY):
        return True
    may_be_ours = is_applied_by_us(body) if owning is None else owning["kind"] == _GATEWAY
    return kind != CONFIG_MAP and may_be_ours and len(orjson.dumps(body)) <= _OCTETS


def _of_others(kind: Kind, body: Manifest) -> Manifest:
    """Keep what identifies the owner, which is all that ChildConflict needs; of a ConfigMap also who applied it."""
    metadata = _some(body["metadata"], (*_IDENTITY, "deletionTimestamp"))
    owning = controller(body)
    if owning is not None and (kind == CONFIG_MAP or owning["kind"] != _GATEWAY):
        metadata["ownerReferences"] = [owning]
    if kind == CONFIG_MAP:
        metadata["managedFields"] = [{**entry, "fieldsV1": {}} for entry in entries(body) if is_our_apply(entry)]
    return {**_some(body, ("apiVersion", "kind")), "metadata": metadata}


def _replica_set(body: Manifest) -> Manifest:
    spec = body.get("spec") or {}
    template = spec.get("template") or {}
    return {
        "metadata": _some(body["metadata"], (*_IDENTITY, "ownerReferences", "deletionTimestamp")),
        "spec": {**_some(spec, ("replicas",)), "template": {"spec": _pod_spec(template.get("spec"))}},
    }


def _pod(body: Manifest) -> Manifest:
    metadata, status = body["metadata"], body.get("status") or {}
    return {
        "metadata": {
            **_some(metadata, (*_IDENTITY, "ownerReferences", "deletionTimestamp")),
            "annotations": _some(metadata.get("annotations"), (POKE,)),
        },
        "spec": _pod_spec(body.get("spec")),
        "status": {
            **_some(status, ("phase", "podIP", "hostIP", "hostIPs")),
            "conditions": [_some(condition, _CONDITION) for condition in status.get("conditions", ())],
            "containerStatuses": [
                _some(container, ("name", "state", "lastState")) for container in status.get("containerStatuses", ())
            ],
        },
    }


def _pod_spec(spec: Manifest | None) -> Manifest:
    spec = spec or {}
    volumes = [volume for volume in spec.get("volumes", ()) if "configMap" in volume or "emptyDir" in volume]
    return {
        **_some(spec, ("serviceAccountName",)),
        "containers": [_some(container, ("name", "ports")) for container in spec.get("containers", ())],
        "volumes": [_some(volume, ("name", "configMap", "emptyDir")) for volume in volumes],
    }


def _some(fields: Manifest | None, names: tuple[str, ...]) -> Manifest:
    return {name: fields[name] for name in names if name in fields} if fields else {}
