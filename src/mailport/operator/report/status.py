"""PURE. What was observed becomes the status of an InboundSmtp; docs/conditions.md has the conditions.

The same facts give the same status, in whatever order pods come: where nothing changed, there is nothing to write.
What pods say is not trusted to fit: an author may run any image, and one bad word would have the whole status refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from mailport.contract.model import ServiceType
from mailport.contract.names import DATA_KEY, OBJECT_NAME
from mailport.contract.references import references
from mailport.operator.metadata import SELECTOR_LABEL, Manifest
from mailport.operator.pods.observed import Report
from mailport.operator.report.conditions import conditions
from mailport.operator.report.observed import Observed

_MAX_ADDRESSES = 16
_MAX_CERTIFICATES = 16
_MAX_MISSING = 256
_REFERRED_TO = ("Secret", "ConfigMap")  # kinds that pods look for themselves
_FIELD = re.compile(r"[][.A-Za-z0-9]{1,512}")
_SERIAL_NUMBER = re.compile(r"[0-9A-Fa-f]{1,64}")
_DIGITS = re.compile(r"([0-9]+)")


def status(seen: Observed, now: str) -> Manifest:
    """Return the whole status. `now` is RFC 3339, in UTC and of whole seconds."""
    seen = replace(seen, pods=tuple(sorted(seen.pods, key=lambda pod: pod.name)))
    seen = replace(seen, service=None if seen.has_no_service else seen.service)
    listeners = _listeners(seen)
    missing = _missing(seen)
    made = {
        "observedGeneration": seen.metadata["generation"],
        "replicas": max(seen.of_deployment("replicas"), len(seen.ready)),  # which is watched apart from pods
        "readyReplicas": len(seen.ready),
        "selector": f"{SELECTOR_LABEL}={seen.metadata['name']}",
        "configHash": seen.config_hash or seen.before.get("configHash"),
        "ports": ",".join(str(listener["port"]) for listener in listeners) or None,
        "addresses": _addresses(seen),
        "listeners": listeners,
        "certificates": _certificates(seen),
        "missing": missing,
        "conditions": conditions(seen, missing, now),
    }
    return {field: value for field, value in made.items() if value is not None}


def _reports(seen: Observed) -> list[Report]:
    """Return what the pods say that run the current configuration; where none does, what the others say."""
    live = [pod.report for pod in seen.pods if pod.report and pod.is_live]
    return live or [pod.report for pod in seen.pods if pod.report]


def _listeners(seen: Observed) -> list[Manifest]:
    """Return the ports; where the spec is not accepted those from before, which serve on."""
    if seen.gateway is not None:
        ports = [(listener.name, listener.port) for listener in seen.gateway.spec.listeners]
    else:
        ports = [(listener["name"], listener["port"]) for listener in seen.before.get("listeners", ())]
    of_service = _service_spec(seen).get("ports") or ()
    node_ports = {port.get("name"): port["nodePort"] for port in of_service if port.get("nodePort")}
    open_ports = {port for pod in seen.ready for port in pod.ports}
    return [
        {
            "name": name,
            "port": port,
            **({"nodePort": node_ports[name]} if name in node_ports else {}),
            "ready": port in open_ports,
        }
        for name, port in ports
    ]


def _addresses(seen: Observed) -> list[Manifest]:
    """Return where clients come to: the load balancer's, which may have none yet, else the cluster's or the nodes'."""
    found = {*seen.addresses_of_load_balancer}
    if not found and _service_spec(seen).get("type") != str(ServiceType.LOAD_BALANCER):
        found = {*_of_cluster(seen)} or {*_of_nodes(seen)}
    addresses = [{"type": kind, "value": value} for value, kind in sorted(found)]
    return addresses[:_MAX_ADDRESSES]


def _service_spec(seen: Observed) -> Manifest:
    return (seen.service or {}).get("spec") or {}


def _of_cluster(seen: Observed) -> Iterator[tuple[str, str]]:
    for ip in _service_spec(seen).get("clusterIPs") or ():
        if ip != "None":
            yield ip, "IPAddress"


def _of_nodes(seen: Observed) -> Iterator[tuple[str, str]]:
    if seen.deployment is not None and seen.deployment["spec"]["template"]["spec"].get("hostNetwork"):
        for pod in seen.ready:
            for ip in pod.host_ips:
                yield ip, "IPAddress"


def _certificates(seen: Observed) -> list[Manifest]:
    """Return what one pod serves with: of all, a ready one with the current configuration, and the first by name."""
    asked = sorted(
        (pod for pod in seen.pods if pod.report),
        key=lambda pod: (not pod.is_up_to_date, not pod.is_live, not pod.ready, pod.name),
    )
    if not asked or asked[0].report is None:
        return []
    reported = {str(one.get("secretName")): one for one in asked[0].report.certificates}
    if seen.gateway is not None:
        tls = seen.gateway.spec.tls
        names = list(dict.fromkeys(ref.name for ref in tls.certificate_refs)) if tls is not None else []
    else:
        names = [name for name in reported if OBJECT_NAME.fullmatch(name)]
    return [_certificate(name, reported[name]) for name in names if name in reported][:_MAX_CERTIFICATES]


def _certificate(name: str, reported: dict[str, Any]) -> Manifest:
    serial_number, not_after = reported.get("serialNumber"), reported.get("notAfter")
    return {
        "secretName": name,
        **({"serialNumber": serial_number} if _fits(_SERIAL_NUMBER, serial_number) else {}),
        **({"notAfter": not_after} if _is_time(not_after) else {}),
    }


def _is_time(value: Any) -> bool:
    try:
        time = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z")
    except (TypeError, ValueError):
        return False
    return bool(time.strftime("%Y-%m-%dT%H:%M:%SZ") == value)


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _missing(seen: Observed) -> list[Manifest]:
    """Return claims, and what pods do not find of that which the spec refers to; an old pod may miss other things."""
    found: list[Manifest] = list(seen.missing_claims)
    spec = seen.gateway.spec if seen.gateway is not None else None
    named = {(reference.kind, reference.name) for reference in references(spec)} if spec is not None else None
    for report in _reports(seen):
        for missing in report.missing:
            kind, name, key, field = (missing.get(part) for part in ("kind", "name", "key", "field"))
            if kind not in _REFERRED_TO or not _fits(OBJECT_NAME, name):
                continue
            if named is None or (kind, name) in named:
                entry = {"kind": kind, "name": name}
                entry |= {"key": key} if _fits(DATA_KEY, key) else {}
                entry |= {"field": field} if _fits(_FIELD, field) else {}
                found.append(entry)
    unique = {tuple(entry.get(part, "") for part in ("field", "kind", "name", "key")): entry for entry in found}
    in_order = sorted(unique.items(), key=lambda item: (_natural(item[0][0]), item[0]))
    return [entry for _, entry in in_order][:_MAX_MISSING]


def _natural(field: str) -> list[int | str]:
    """Make routes[10] come after routes[2]. Every second item is a number, so that like meets like."""
    return [int(part) if part.isdigit() else part for part in _DIGITS.split(field)]
