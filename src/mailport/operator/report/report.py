"""Writes a gateway's status where it has changed, and posts the Events that a change calls for."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime

from mailport.contract.model import InboundSmtp, ServiceType
from mailport.operator import kinds
from mailport.operator.cluster import Cluster
from mailport.operator.metadata import Manifest
from mailport.operator.pods.observed import ObservedPod
from mailport.operator.pods.running import applied_hash
from mailport.operator.reason import FALSE, Reason
from mailport.operator.report import metrics
from mailport.operator.report.events import Events
from mailport.operator.report.observed import Observed
from mailport.operator.report.status import status
from mailport.operator.report.transitions import Event, transitions
from mailport.operator.report.written import Written
from mailport.operator.watch.observe import Seen, is_exclusive
from mailport.operator.watch.store import Key, Store


class Reporter:
    """Writes the status."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._events = Events(cluster)
        self._written: defaultdict[Key, Written] = defaultdict(Written)  # of those that were reported

    def is_said(self, seen: Seen) -> bool:
        """Whether the status is of this generation, and of an operator before this one.

        Then it stands until this one has asked the pods. Else each start would say of all gateways, for a moment, that
        nothing is known of their pods.
        """
        said: bool = seen.status.get("observedGeneration") == seen.body["metadata"]["generation"]
        return said and seen.key not in self._written

    async def report(
        self,
        seen: Seen,
        gateway: InboundSmtp | None,
        accepted: Reason,
        programmed: Reason,
        pods: tuple[ObservedPod, ...] = (),
    ) -> float | None:
        """Write the status where it differs from the one that is there. Raises ApiError, NotOurTurnError.

        Return the seconds until it is tried again, where another operator replaces it each time.
        """
        body, before = seen.body, seen.status
        written = self._written[seen.key]
        after = status(_observed(seen, gateway, accepted, programmed, pods), _now())
        metrics.ready(*seen.key, after)
        if after != before:
            seconds = written.contested_for(before, after, time.monotonic())
            if seconds is not None:
                await self._events.post_once(body, _contested(seen.key), about=f"{seen.uid} status")
                return seconds
            answer = await self._cluster.apply(
                {
                    "apiVersion": body["apiVersion"],
                    "kind": body["kind"],
                    "metadata": {
                        name: body["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")
                    },
                    "status": after,
                },
                subresource="status",
            )
            self._store.put(kinds.INBOUND_SMTP, answer)
            for event in () if written.says(after) else transitions(before, after):
                await self._events.post(body, event)
            written.note(answer["status"])
        if programmed.status != FALSE and (left := _service_that_stays(seen, gateway)) is not None:
            await self._events.post_once(body, _left(seen), about=left["metadata"]["uid"])
        return None

    async def report_other_operator(self, seen: Seen, other: str) -> None:
        """Say that another operator looks after a gateway, which we leave to it; its status too."""
        deployment = f"Deployment {seen.key.name}"
        message = (
            f"the operator {other} has taken over the objects of this InboundSmtp, and this one leaves them to it. Two "
            f"operators manage namespace {seen.key.namespace}: stop one of them. Where {other} is gone, this one takes "
            f"them back within minutes, or when the annotation mailport.dev/operator of {deployment} is removed"
        )
        self.forget(seen.key)
        metrics.of_another_operator(*seen.key)
        await self._events.post_once(seen.body, Event("Warning", "OtherOperator", message), about=f"{seen.uid} {other}")

    def forget(self, key: Key) -> None:
        """Say nothing more of a gateway, which is gone or another's."""
        metrics.forget(*key)
        self._written.pop(key, None)


def _observed(
    seen: Seen, gateway: InboundSmtp | None, accepted: Reason, programmed: Reason, pods: tuple[ObservedPod, ...]
) -> Observed:
    return Observed(
        metadata=seen.body["metadata"],
        spec=seen.body["spec"],
        before=seen.status,
        gateway=gateway,
        accepted=accepted,
        programmed=programmed,
        config_hash=applied_hash(seen),
        missing_claims=tuple(_missing_claims(seen, gateway)),
        shared_claims=tuple(
            f"claim {name}, which one node alone can mount, is also of InboundSmtp {', '.join(others)}"
            for name, others in sorted(seen.sharing.items())
            if others and is_exclusive(seen.claims.get(name))
        ),
        service=seen.ours(kinds.SERVICE, seen.key.name),
        deployment=seen.deployment,
        pods=pods,
    )


def _missing_claims(seen: Seen, gateway: InboundSmtp | None) -> list[Manifest]:
    if gateway is None:
        return []
    return [
        {
            "kind": kinds.CLAIM.name,
            "name": route.deliver.maildir.claim_name,
            "field": f"spec.routes[{index}].deliver.maildir.claimName",
        }
        for index, route in enumerate(gateway.spec.routes)
        if route.deliver.maildir is not None
        and route.deliver.maildir.claim_name is not None
        and route.deliver.maildir.claim_name not in seen.claims
    ]


def _service_that_stays(seen: Seen, gateway: InboundSmtp | None) -> Manifest | None:
    """Return the Service that is no longer asked for: it is never deleted, as its address would be lost."""
    if gateway is None or gateway.spec.service.type is not ServiceType.NONE:
        return None
    return seen.ours(kinds.SERVICE, seen.key.name)


def _contested(key: Key) -> Event:
    message = (
        "another mailport-operator keeps overwriting the status of this InboundSmtp, and this one leaves it alone for "
        f"some minutes. Two operators manage namespace {key.namespace}: stop one of them"
    )
    return Event("Warning", "OtherOperator", message)


def _left(seen: Seen) -> Event:
    key = seen.key
    command = f"kubectl delete service {key.name} --namespace {key.namespace}"
    message = f"Service {key.name} is no longer managed, and keeps its address. To give that up: {command}"
    return Event("Normal", "ServiceLeft", message)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
