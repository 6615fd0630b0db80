"""PURE. What the operator has seen and done: the facts that status.py and conditions.py judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mailport.contract.model import InboundSmtp, ServiceType
from mailport.operator import rollout
from mailport.operator.children.volumes import is_mail_lost_with
from mailport.operator.metadata import Manifest
from mailport.operator.pods.observed import ObservedPod
from mailport.operator.reason import FALSE, Reason


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a status is made of."""

    metadata: Manifest  # of the InboundSmtp
    spec: Manifest  # as the API server has it, valid or not
    before: Manifest  # the status so far; empty at the first visit
    gateway: InboundSmtp | None  # None where the spec is not accepted
    accepted: Reason
    programmed: Reason
    config_hash: str | None = None  # of the configuration applied last
    missing_claims: tuple[dict[str, Any], ...] = ()  # as status.missing has them
    shared_claims: tuple[str, ...] = ()  # that one node alone can mount, and whose they are too, in words
    service: Manifest | None = None  # ours, as it is in the cluster
    deployment: Manifest | None = None  # ours, as it is in the cluster
    pods: tuple[ObservedPod, ...] = field(default=())

    @property
    def ready(self) -> list[ObservedPod]:
        """Return the pods that take mail."""
        return [pod for pod in self.pods if pod.ready]

    @property
    def witnesses(self) -> list[ObservedPod]:
        """Return the pods that can say of this spec that all is well: they run it, as they were started for it."""
        generation = self.metadata["generation"]
        return [
            pod
            for pod in self.pods
            if pod.is_up_to_date and (not self.is_held_back or (pod.report and pod.report.generation == generation))
        ]

    @property
    def wanted(self) -> int:
        """Return how many pods there are to be: as the Deployment has it, which an autoscaler may have changed."""
        if self.deployment is not None:
            replicas: int = self.deployment["spec"].get("replicas", 1)
            return replicas
        return self.gateway.spec.replicas if self.gateway is not None else 0

    @property
    def is_held_back(self) -> bool:
        """Whether what there is may be of an earlier spec: this one is not accepted, or could not be applied."""
        return self.gateway is None or self.programmed.status == FALSE

    def before_of(self, kind: str) -> Manifest | None:
        """Return a condition as it was said last."""
        return next((one for one in self.before.get("conditions", ()) if one["type"] == kind), None)

    @property
    def has_no_service(self) -> bool:
        """Whether none is asked for, so that one of ours that is left is no business of ours.

        Where that could not be applied, it is so if it was before.
        """
        if self.gateway is None or self.gateway.spec.service.type is not ServiceType.NONE:
            return False
        before = self.before_of("AddressAssigned")
        was = before is not None and before["reason"] == "NoService"
        return was or self.service is None or not self.is_held_back

    @property
    def loses_mail(self) -> bool:
        """Whether pods that serve, or those that come, keep mail on an emptyDir."""
        template = {} if self.deployment is None else self.deployment["spec"]["template"]["spec"]
        return is_mail_lost_with(template) or any(pod.loses_mail for pod in self.ready)

    @property
    def is_scaled_to_zero(self) -> bool:
        """Whether no pod is to run."""
        if self.gateway is None:
            return self.deployment is not None and self.wanted == 0
        if self.is_held_back and self.wanted:
            return False
        return self.gateway.spec.replicas == 0 and self.gateway.spec.autoscaling is None

    def of_deployment(self, field: str) -> int:
        """Return a number of the Deployment's status, which leaves out those that are 0."""
        return 0 if self.deployment is None else rollout.count(self.deployment, field)

    @property
    def is_stuck(self) -> bool:
        """Whether a rollout has not come further for longer than it may take; not the one before the last change."""
        if self.deployment is None or not rollout.is_seen_by_its_controller(self.deployment):
            return False
        conditions = (self.deployment.get("status") or {}).get("conditions") or ()
        return any(
            (one["type"], one["status"], one.get("reason")) == ("Progressing", "False", "ProgressDeadlineExceeded")
            for one in conditions
        )

    def condition_of_deployment(self, kind: str, status: str) -> str:
        """Return the message of a condition of the Deployment that has this status; empty where it has another."""
        for condition in ((self.deployment or {}).get("status") or {}).get("conditions") or ():
            if condition["type"] == kind and condition["status"] == status:
                return str(condition.get("message", ""))
        return ""

    @property
    def addresses_of_load_balancer(self) -> list[tuple[str, str]]:
        """Return value and type of each address that a load balancer has given us."""
        balancer = ((self.service or {}).get("status") or {}).get("loadBalancer") or {}
        found = []
        for ingress in balancer.get("ingress") or ():
            if ingress.get("ip"):
                found.append((ingress["ip"], "IPAddress"))
            elif ingress.get("hostname"):
                found.append((ingress["hostname"], "Hostname"))
        return found
