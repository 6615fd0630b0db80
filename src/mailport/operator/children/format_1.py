"""PURE. FORMAT 1, for listener images from before FORMAT 2: what it carries, and what their pods are like.

Their pods stay to the letter as the operator of their time rendered them, so that its successor rolls none. This file
goes with the version that no longer writes FORMAT 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from mailport.contract.faults import Fault
from mailport.contract.model import InboundSmtp, Spec

NUMBER = 1

_DRAIN_SECONDS = 40  # what such a listener takes where the document says nothing, whatever its routes are

_Fields: TypeAlias = "dict[str, _Fields | None]"  # None: a value, or a list of values


def _values(*names: str) -> _Fields:
    return dict.fromkeys(names)


# Below spec. A listener of FORMAT 1 knows the other destinations' names too, and serves none of them.
FIELDS: _Fields = {
    **_values("hostname", "postmaster"),
    "listeners": {
        **_values("name", "port"),
        "tls": _values("mode"),
        "auth": _values("mode", "required"),
        "proxyProtocol": _values("trustedCIDRs"),
    },
    "tls": {"certificateRefs": _values("name"), **_values("minVersion")},
    "auth": {"htpasswd": {"secretRef": _values("name", "key")}, **_values("senderMatch")},
    "limits": _values(
        "maxConnections",
        "maxConnectionsPerClient",
        "maxRecipients",
        "maxErrors",
        "maxAuthFailures",
        "commandTimeoutSeconds",
        "dataTimeoutSeconds",
        "minDataRate",
        "drainSeconds",
        "shutdownDelaySeconds",
    ),
    "messageSize": _values("advertised", "enforce"),
    "content": _values("bareNewlines"),
    "access": _values("policy", "addresses"),
    "network": _values("ipFamilies", "bindAddresses", "hostNetwork"),
    "routes": {
        **_values("name", "recipients", "clients", "maxConcurrent"),
        "deliver": {
            "maildir": _values("claimName", "createMailboxes", "stripSubaddress", "fileMode", "directoryMode"),
            "discard": {},
            "refuse": _values("text"),
        },
    },
    "pod": _values("adminPort"),
}


def carried(spec: dict[str, Any]) -> dict[str, Any]:
    """Return what FORMAT 1 has of a spec, given as a document has it. Its listener loads no field that is new."""
    kept: dict[str, Any] = _known(spec, FIELDS)
    return kept


def not_carried(gateway: InboundSmtp, spec: dict[str, Any]) -> Iterator[Fault]:
    """Yield what would be lost of a gateway, given the fields of its spec that are not as by default."""
    if "mailbox_size" in gateway.spec.pod.model_fields_set:
        # The volume alone would be bounded, and Kubernetes would evict the pod when it is full
        yield Fault("spec.pod.mailboxSize", "a listener of configFormat 1 does not hold mail to it")
    for path in _unknown(spec, FIELDS, "spec"):
        yield Fault(path, "the configuration of configFormat 1 does not carry it")


def drain_seconds(spec: Spec) -> int:
    """Seconds that open transactions get when such a listener stops."""
    return spec.limits.drain_seconds or _DRAIN_SECONDS


def _known(value: Any, fields: _Fields | None) -> Any:
    if fields is None:
        return value
    if isinstance(value, list):
        return [_known(item, fields) for item in value]
    return {field: _known(below, fields[field]) for field, below in value.items() if field in fields}


def _unknown(value: Any, fields: _Fields | None, path: str) -> Iterator[str]:
    if fields is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, fields, f"{path}[{index}]")
        return
    for field, below in value.items():
        if field in fields:
            yield from _unknown(below, fields[field], f"{path}.{field}")
        else:
            yield f"{path}.{field}"
