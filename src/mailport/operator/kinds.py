"""PURE. The kinds of objects that the operator knows, and where the API server has them."""

from __future__ import annotations

from typing import NamedTuple

from mailport.operator.metadata import SELECTOR_LABEL, Manifest


class Kind(NamedTuple):
    """A namespaced resource of the Kubernetes API."""

    api_version: str
    name: str  # Service
    plural: str  # services
    selector: str = SELECTOR_LABEL  # of labels; what is not selected is not looked at

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the path of an object, or without a name of the collection; in all namespaces where that is None."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        within = f"/namespaces/{namespace}" if namespace is not None else ""
        return "/".join(part for part in (f"{root}{within}/{self.plural}", name, subresource) if part)

    @property
    def group(self) -> str:
        """Return the API group; the core group's is empty."""
        return self.api_version.rpartition("/")[0]


class Place(NamedTuple):
    """Where an object is, or would be."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.name}"


INBOUND_SMTP = Kind("mailport.dev/v1alpha1", "InboundSmtp", "inboundsmtps", selector="")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE = Kind("v1", "Service", "services")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
POD = Kind("v1", "Pod", "pods")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", selector="")
EVENT = Kind("v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")

# Written by us, in the order in which manifests.children applies them
CHILDREN = (SERVICE_ACCOUNT, CONFIG_MAP, SERVICE, DEPLOYMENT, DISRUPTION_BUDGET, AUTOSCALER, NETWORK_POLICY)
WATCHED = (INBOUND_SMTP, *CHILDREN, REPLICA_SET, POD, CLAIM)

_BY_NAME = {kind.name: kind for kind in WATCHED}


def kind_of(manifest: Manifest) -> Kind:
    """Return the kind of an object that says what it is."""
    return _BY_NAME[manifest["kind"]]
