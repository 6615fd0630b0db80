"""PURE. What was seen of one gateway, at one moment: where a look begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailport.operator.kinds import (
    CHILDREN,
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    INBOUND_SMTP,
    POD,
    REPLICA_SET,
    SERVICE_ACCOUNT,
    Kind,
)
from mailport.operator.metadata import Manifest
from mailport.operator.ownership import is_ours
from mailport.operator.watch.store import Key, Store


@dataclass(frozen=True, slots=True)
class Seen:
    """An InboundSmtp, and all that has to do with it."""

    key: Key
    body: Manifest
    """The InboundSmtp as the API server has it."""

    children: Mapping[tuple[Kind, str], Manifest]
    """What carries its label, by kind and name: ours, and what others have made."""

    replica_sets: tuple[Manifest, ...]
    pods: tuple[Manifest, ...]
    """Both as they carry the label: whose they are the owner says."""

    claims: Mapping[str, Manifest]
    """The PersistentVolumeClaims that its spec names, and that there are."""

    sharing: Mapping[str, tuple[str, ...]]
    """The other InboundSmtps that name these claims too."""

    @property
    def uid(self) -> str:
        """Return the uid of the InboundSmtp."""
        uid: str = self.body["metadata"]["uid"]
        return uid

    @property
    def status(self) -> Manifest:
        """Return the status so far; empty at the first visit."""
        return self.body.get("status") or {}

    def child(self, kind: Kind, name: str) -> Manifest | None:
        """Return an object with our label, whosever it is."""
        return self.children.get((kind, name))

    def ours(self, kind: Kind, name: str) -> Manifest | None:
        """Return an object that is ours."""
        found = self.child(kind, name)
        return found if found is not None and is_ours(found, self.uid) else None

    @property
    def deployment(self) -> Manifest | None:
        """Return our Deployment."""
        return self.ours(DEPLOYMENT, self.key.name)

    @property
    def running(self) -> Iterator[Manifest]:
        """Yield the pods that are not on their way out and are our Deployment's: by owner, not by label alone."""
        sets = {found["metadata"]["uid"] for found in self._our_replica_sets}
        for found in self.pods:
            over = "deletionTimestamp" in found["metadata"] or found["status"].get("phase") in ("Succeeded", "Failed")
            if not over and not sets.isdisjoint(_controllers(found)):
                yield found

    @property
    def served_by(self) -> Iterator[Manifest]:
        """Yield the specs of these pods, and of those that take their place where one of them ends."""
        yield from (found["spec"] for found in self.running)
        for found in self._our_replica_sets:
            if found["spec"].get("replicas"):
                yield found["spec"]["template"]["spec"]

    @property
    def _our_replica_sets(self) -> Iterator[Manifest]:
        uid = None if self.deployment is None else self.deployment["metadata"]["uid"]
        return (found for found in self.replica_sets if uid in _controllers(found))

    def mounted(self, spec: Manifest, volume: str, key: str) -> str | None:
        """Return what a pod of this spec has mounted in a volume under a ConfigMap's key; None where there is none."""
        for found in spec.get("volumes", ()):
            if found["name"] == volume and "configMap" in found:
                config_map = self.child(CONFIG_MAP, found["configMap"]["name"]) or {}
                content: str | None = (config_map.get("data") or {}).get(key)
                return content
        return None

    def is_needed(self, kind: Kind, name: str) -> bool:
        """Whether a pod that runs, or that could be started again, needs a ConfigMap or ServiceAccount."""
        if kind not in (CONFIG_MAP, SERVICE_ACCOUNT):
            return False
        sets = [found for found in self.replica_sets if found["spec"].get("replicas")]
        # Of others' the store does not keep it
        deployments = [child for (of, _), child in self.children.items() if of == DEPLOYMENT and "spec" in child]
        specs = [found["spec"]["template"]["spec"] for found in (*sets, *deployments)]
        return any(name in _needs(spec, kind) for spec in (*(pod["spec"] for pod in self.pods), *specs))


def _controllers(found: Manifest) -> set[str]:
    return {owner["uid"] for owner in found["metadata"].get("ownerReferences", ()) if owner.get("controller")}


def _needs(spec: Manifest, kind: Kind) -> set[str]:
    if kind == SERVICE_ACCOUNT:
        return {spec.get("serviceAccountName", "")}
    return {volume["configMap"]["name"] for volume in spec.get("volumes", ()) if "configMap" in volume}


def is_exclusive(claim: Manifest | None) -> bool:
    """Whether one node alone can mount a claim; one that is not there yet is not known to be."""
    modes = (claim or {}).get("spec", {}).get("accessModes") or ()
    return bool(modes) and all(mode in ("ReadWriteOnce", "ReadWriteOncePod") for mode in modes)


def observe(store: Store, key: Key) -> Seen | None:
    """Return what there is of a gateway; None where it is gone, or on its way out."""
    body = store.get(INBOUND_SMTP, *key)
    if body is None or "deletionTimestamp" in body["metadata"]:
        return None
    claims = {name: store.get(CLAIM, key.namespace, name) for name in store.claims(key)}
    return Seen(
        key=key,
        body=body,
        children={(kind, child["metadata"]["name"]): child for kind in CHILDREN for child in store.children(key, kind)},
        replica_sets=tuple(store.children(key, REPLICA_SET)),
        pods=tuple(store.children(key, POD)),
        claims={name: claim for name, claim in claims.items() if claim is not None},
        sharing={name: _others(store.users(key.namespace, name), key) for name in claims},
    )


def _others(users: Iterable[Key], key: Key) -> tuple[str, ...]:
    return tuple(sorted(user.name for user in users if user != key))
