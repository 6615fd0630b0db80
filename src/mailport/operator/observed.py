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

    @property
    def is_live(self) -> bool:
        """Whether it says that it runs what it is given now."""
        return self.report is not None and self.report.hash == self.expected_hash


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

    @property
    def ready(self) -> list[ObservedPod]:
        """Return the pods that take mail."""
        return [pod for pod in self.pods if pod.ready]

    @property
    def wanted(self) -> int:
        """Return how many pods there are to be: as the Deployment has it, which an autoscaler may have changed."""
        if self.deployment is not None:
            replicas: int = self.deployment["spec"].get("replicas", 1)
            return replicas
        return self.gateway.spec.replicas if self.gateway is not None else 0

    @property
    def is_scaled_to_zero(self) -> bool:
        """Whether no pod is to run."""
        if self.gateway is None:
            return self.deployment is not None and self.wanted == 0
        return self.gateway.spec.replicas == 0 and self.gateway.spec.autoscaling is None

    def of_deployment(self, field: str) -> int:
        """Return a number of the Deployment's status, which leaves out those that are 0."""
        count: int = ((self.deployment or {}).get("status") or {}).get(field) or 0
        return count
