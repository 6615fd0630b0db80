"""PURE. What the operator has seen and done: the facts that status.py judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mailport.model import InboundSmtp
from mailport.operator.metadata import Manifest


class Verdict(NamedTuple):
    """How far something has come: a reason of contract/conditions.md, and a message for a person."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a pod's `/status` said."""

    hash: str
    generation: int
    restart_required: bool = False
    draining: bool = False
    certificates: tuple[dict[str, Any], ...] = ()  # secretName, serialNumber, notAfter
    missing: tuple[dict[str, Any], ...] = ()  # kind, name, key, field
    reload_error: str | None = None


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """A pod of this gateway: of a ReplicaSet of its Deployment."""

    name: str
    ready: bool  # and not on its way out
    host_ips: tuple[str, ...]
    expected_hash: str | None  # of the ConfigMap that it mounts; None where that is of no format that we write
    report: Report | None  # None: it could not be asked
    ports: frozenset[int] = frozenset()  # of the container
    trouble: str = ""  # why it does not start: the waiting or termination reason and message of its container


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a status is made of."""

    metadata: Manifest  # of the InboundSmtp
    spec: Manifest  # as the API server has it, valid or not
    before: Manifest  # the status so far; empty at the first visit
    gateway: InboundSmtp | None  # None where the spec is not accepted
    accepted: Verdict  # reason Accepted, or why not
    programmed: Verdict  # reason Programmed, or why not; Pending while it is on its way
    config_hash: str | None = None  # of the configuration applied last
    missing_claims: tuple[dict[str, Any], ...] = ()  # as status.missing has them
    service: Manifest | None = None  # ours, as it is in the cluster
    deployment: Manifest | None = None  # ours, as it is in the cluster
    pods: tuple[ObservedPod, ...] = field(default=())
