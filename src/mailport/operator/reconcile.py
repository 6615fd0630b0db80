"""Brings one InboundSmtp to what its spec says, and says in its status how far that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailport.model import InboundSmtp, Management, ServiceType
from mailport.operator import configuration, drift, kinds, metrics, volumes
from mailport.operator.accepted import Refusal, refusals
from mailport.operator.circumstances import Circumstances
from mailport.operator.cluster import ApiError, Cluster
from mailport.operator.events import Events
from mailport.operator.live import Live
from mailport.operator.manifests import children
from mailport.operator.metadata import Manifest
from mailport.operator.observed import Observed, Verdict
from mailport.operator.permitted import not_permitted
from mailport.operator.programming import NamespaceGoneError, Owner, Problem, Programmer, is_ours
from mailport.operator.reading import Refused, read
from mailport.operator.status import status
from mailport.operator.store import Key, Store
from mailport.operator.transitions import Transition, transitions

_PENDING = Verdict("Pending", "not applied yet")
_PROGRAMMED = Verdict("Programmed", "all objects are as they should be")
_NOT_ACCEPTED = Verdict("Pending", "nothing is applied until the spec is accepted")


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator was started with that decides about every gateway."""

    listener_image: str
    listener_format: int = configuration.FORMAT
    allow: frozenset[str] = frozenset()

    def circumstances(self, **known: Any) -> Circumstances:
        """Return these with what is known from the cluster."""
        return Circumstances(self.listener_image, self.listener_format, **known)


class Reconciler:
    """Looks at one gateway at a time; two for different gateways may run beside each other."""

    def __init__(self, cluster: Cluster, store: Store, live: Live, options: Options) -> None:
        self._cluster = cluster
        self._store = store
        self._live = live
        self._options = options
        self._programmer = Programmer(cluster, store)
        self._events = Events(cluster)

    async def reconcile(self, key: Key) -> float | None:
        """Do what is to be done now; return the seconds until the next look, or None for when something changes.

        Raises ApiError where the whole is to be tried again.
        """
        body = self._store.get(kinds.INBOUND_SMTP, *key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._programmer.forget(key)
            self._live.forget(key)
            metrics.forget(*key)
            return None
        try:
            return await self._reconcile(key, body)
        except NamespaceGoneError:
            return None
        except ApiError as error:
            if error.status == 404:  # of the InboundSmtp itself: deleted a moment ago, and the news is on its way
                return None
            raise

    async def _reconcile(self, key: Key, body: Manifest) -> float | None:
        gateway, accepted = self._judge(key, body)
        if not body.get("status"):  # without one, GitOps tools take it for done
            body = await self._write_status(key, body, gateway, accepted, _PENDING)
        if gateway is None:
            programmed, again_in = _NOT_ACCEPTED, None
        else:
            programmed, again_in = await self._program(key, body, gateway)
        suspended = body["spec"].get("management") == Management.SUSPENDED
        next_look = await self._live.look(key, may_poke=not suspended)
        await self._write_status(key, body, gateway, accepted, programmed)
        return min((seconds for seconds in (again_in, next_look) if seconds is not None), default=None)

    # --- may it be served

    def _judge(self, key: Key, body: Manifest) -> tuple[InboundSmtp | None, Verdict]:
        """Return the gateway where it can be served, and the verdict in any case."""
        try:
            gateway = read(body)
        except Refused as refused:
            return None, _verdict(refused.refusal)
        if (fault := next(not_permitted(gateway.spec, self._options.allow), None)) is not None:
            return None, Verdict("NotPermitted", str(fault))
        if (refusal := next(refusals(gateway, self._circumstances(key, body, gateway)), None)) is not None:
            return None, _verdict(refusal)
        return gateway, Verdict("Accepted", "the spec can be served")

    def _circumstances(self, key: Key, body: Manifest, gateway: InboundSmtp) -> Circumstances:
        return self._options.circumstances(
            owner_uid=body["metadata"]["uid"],
            exclusive_claims=frozenset(
                name
                for name in volumes.claims(gateway.spec)
                if _is_exclusive(self._store.get(kinds.CLAIM, key.namespace, name))
            ),
            live_replicas=self._live_replicas(key, gateway),
        )

    def _live_replicas(self, key: Key, gateway: InboundSmtp) -> int | None:
        """Return the replicas to go on applying until the HorizontalPodAutoscaler owns the field."""
        if gateway.spec.autoscaling is None:
            return None
        deployment = self._store.get(kinds.DEPLOYMENT, *key)
        if deployment is None:
            return gateway.spec.autoscaling.min_replicas
        if drift.replicas_owned_by_others(deployment):
            return None
        # An autoscaler leaves a Deployment without replicas alone for ever
        return int(deployment["spec"].get("replicas", 1)) or gateway.spec.autoscaling.min_replicas

    # --- children

    async def _program(self, key: Key, body: Manifest, gateway: InboundSmtp) -> tuple[Verdict, float | None]:
        """Return how far it came, and after how many seconds to try again where time alone may help."""
        owner = Owner(key, body["metadata"]["uid"])
        given = self._circumstances(key, body, gateway)
        if gateway.spec.management is Management.SUSPENDED:
            as_applied = _of_generation(gateway, self._live.applied_generation(key))
            return _suspended(self._programmer.pending(children(as_applied, given), owner)), None
        rendered = children(gateway, given)
        try:
            await self._programmer.program(rendered, owner)
            await self._programmer.remove(rendered, owner)
        except Problem as problem:
            return problem.verdict, problem.again_in
        await self._mention_a_service_that_stays(key, body, gateway)
        return _PROGRAMMED, None

    async def _mention_a_service_that_stays(self, key: Key, body: Manifest, gateway: InboundSmtp) -> None:
        service = self._store.get(kinds.SERVICE, *key)
        if gateway.spec.service.type is not ServiceType.NONE or service is None:
            return
        if is_ours(service, body["metadata"]["uid"]):
            command = f"kubectl delete service {key.name} --namespace {key.namespace}"
            message = f"Service {key.name} is no longer managed, and keeps its address. To give that up: {command}"
            left = Transition("Normal", "ServiceLeft", message)
            await self._events.post_once(body, left, about=service["metadata"]["uid"])

    # --- status

    async def _write_status(
        self, key: Key, body: Manifest, gateway: InboundSmtp | None, accepted: Verdict, programmed: Verdict
    ) -> Manifest:
        """Write the status where it differs from the one that is there; return the InboundSmtp as it is then."""
        before = body.get("status") or {}
        after = status(self._observed(key, body, gateway, accepted, programmed), _now())
        metrics.ready(*key, after)
        if after == before:
            return body
        written = await self._cluster.apply(
            {
                "apiVersion": body["apiVersion"],
                "kind": body["kind"],
                "metadata": {name: body["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")},
                "status": after,
            },
            subresource="status",
        )
        self._store.put(kinds.INBOUND_SMTP, written)
        for transition in transitions(before, after):
            await self._events.post(body, transition)
        return written

    def _observed(
        self, key: Key, body: Manifest, gateway: InboundSmtp | None, accepted: Verdict, programmed: Verdict
    ) -> Observed:
        uid = body["metadata"]["uid"]
        return Observed(
            metadata=body["metadata"],
            spec=body["spec"],
            before=body.get("status") or {},
            gateway=gateway,
            accepted=accepted,
            programmed=programmed,
            config_hash=self._live.applied_hash(key),
            missing_claims=tuple(self._missing_claims(key, gateway)),
            service=self._ours(kinds.SERVICE, key, uid) if _has_service(gateway) else None,
            deployment=self._ours(kinds.DEPLOYMENT, key, uid),
            pods=self._live.pods(key),
        )

    def _ours(self, kind: kinds.Kind, key: Key, uid: str) -> Manifest | None:
        found = self._store.get(kind, *key)
        return found if found is not None and is_ours(found, uid) else None

    def _missing_claims(self, key: Key, gateway: InboundSmtp | None) -> list[dict[str, Any]]:
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
            and self._store.get(kinds.CLAIM, key.namespace, route.deliver.maildir.claim_name) is None
        ]


def _has_service(gateway: InboundSmtp | None) -> bool:
    return gateway is None or gateway.spec.service.type is not ServiceType.NONE


def _verdict(refusal: Refusal) -> Verdict:
    return Verdict(refusal.reason, str(refusal.fault))


def _suspended(pending: list[str]) -> Verdict:
    if not pending:
        return _PROGRAMMED
    return Verdict("Suspended", f"held back by spec.management Suspended: {', '.join(pending)}")


def _of_generation(gateway: InboundSmtp, generation: int | None) -> InboundSmtp:
    """Return the gateway as it was rendered then: that it was suspended since is no difference to hold back."""
    if generation is None:
        return gateway
    return gateway.model_copy(update={"metadata": gateway.metadata.model_copy(update={"generation": generation})})


def _is_exclusive(claim: Manifest | None) -> bool:
    """Whether one node alone can mount a claim; one that is not there yet is not known to be."""
    modes = (claim or {}).get("spec", {}).get("accessModes") or ()
    return bool(modes) and all(mode in ("ReadWriteOnce", "ReadWriteOncePod") for mode in modes)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
