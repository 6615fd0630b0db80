"""PURE. spec.service, spec.pod and their siblings: what only Kubernetes asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract import quantity
from mailport.contract.formats import (
    Annotations,
    Between,
    Cidr,
    ImageReference,
    JsonObject,
    Labels,
    Maybe,
    ObjectName,
    PodCount,
    PodLabels,
    Port,
    PosixId,
    QualifiedName,
    VolumeSize,
)
from mailport.contract.model.base import Model
from mailport.contract.model.pod_additions import DnsConfig, DnsPolicy, EnvVar, Volume, VolumeMount
from mailport.contract.model.references import SecretRef


class ServiceType(StrEnum):
    """Kubernetes' types of Service, and none at all."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"
    NONE = "None"


class TrafficPolicy(StrEnum):
    """Whether a node hands connections on to other nodes, and so hides the client's address."""

    LOCAL = "Local"
    CLUSTER = "Cluster"


class Service(Model):
    """The Service in front of the pods. Kubernetes only."""

    type: ServiceType = ServiceType.CLUSTER_IP
    """`ClusterIP`, `NodePort`, `LoadBalancer`, or `None`: no Service, as with hostNetwork, or where you make one
    yourself that selects `mailport.dev/inboundsmtp`. A Gateway's TCPRoute leads to a Service: `ClusterIP`. Nothing
    opens to the world unasked."""

    external_traffic_policy: Maybe[TrafficPolicy] = None
    """`Local` or `Cluster`. Default: `Local` for LoadBalancer and NodePort, so that the client's address survives."""

    annotations: Annotations = {}
    """Annotations of the Service; many load balancers are set up by these. Other keys than load balancers' own need the
    operator's `--allow serviceAnnotations=KEY`."""

    load_balancer_class: Maybe[QualifiedName] = None
    """Which implementation serves it. Default: the cluster's."""

    load_balancer_source_ranges: Annotated[tuple[Cidr, ...], Field(max_length=256)] = ()
    """CIDRs that the load balancer lets in; none listed is all."""

    allocate_load_balancer_node_ports: Maybe[bool] = None
    """Whether a LoadBalancer gets node ports too. Default: Kubernetes' own, true."""


class Pod(Model):
    """What the pods get beyond the defaults. Kubernetes only."""

    image: Maybe[ImageReference] = None
    """Listener image; pins this gateway's version. Needs the operator's `--allow image`. Default: the operator's
    `--listener-image`."""

    config_format: Maybe[Annotated[int, Between(1, 1000)]] = None
    """Format of the configuration that this image reads. Default: the operator's `--listener-format`."""

    image_pull_secrets: Annotated[tuple[SecretRef, ...], Field(max_length=16)] = ()
    """Secrets to pull the image with."""

    service_account_name: Maybe[ObjectName] = None
    """ServiceAccount, for a workload identity. Needs the operator's `--allow serviceAccount`. Default: one of its own,
    without a token."""

    admin_port: Port = 8080
    """TCP port of health and metrics, never one of the listeners'."""

    scratch_size: VolumeSize = quantity.GI
    """Size of the emptyDir for messages while they come in; a quantity. Past nine tenths of it, further mail is 452.
    Nothing in it is worth keeping."""

    mailbox_size: VolumeSize = quantity.GI
    """Size of the emptyDir for mailboxes without a claim; a quantity. Past nine tenths of it, mail for them is 452: at
    the whole, Kubernetes would evict the pod and the mail with it."""

    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = ()
    """Environment variables. Needs the operator's `--allow env`."""

    volumes: Annotated[tuple[Volume, ...], Field(max_length=32)] = ()
    """Further volumes. Needs the operator's `--allow volumes`."""

    volume_mounts: Annotated[tuple[VolumeMount, ...], Field(max_length=32)] = ()
    """Where these volumes are seen. Needs the operator's `--allow volumeMounts`."""

    dns_policy: Maybe[DnsPolicy] = None
    """`ClusterFirst`, `ClusterFirstWithHostNet`, `Default` or `None`, which needs `dnsConfig.nameservers`. Needs the
    operator's `--allow dnsPolicy`. Default: `ClusterFirst`, with hostNetwork `ClusterFirstWithHostNet`."""

    dns_config: Maybe[DnsConfig] = None
    """What is added to resolv.conf. Needs the operator's `--allow dnsConfig`. Default: none."""

    runtime_class_name: Maybe[ObjectName] = None
    """RuntimeClass, such as gVisor's. Needs the operator's `--allow runtimeClassName`. Default: the cluster's."""

    run_as_user: Maybe[PosixId] = None
    """User id of the listener. Default: 10001, or the platform's choice with the operator's
    `--security-context=Platform`; with hostNetwork, root without capabilities but one."""

    fs_group: Maybe[PosixId] = None
    """Group id that owns the mail. Default: 10001, or the platform's choice likewise."""

    resources: JsonObject = {"requests": {"cpu": "100m", "memory": "128Mi"}}
    """Kubernetes' ResourceRequirements. Requests that an idle gateway needs; no limit, which would cut off mail."""

    node_selector: Labels = {}
    """Labels that the node must have."""

    affinity: JsonObject = {}
    """Kubernetes' Affinity."""

    tolerations: Annotated[tuple[JsonObject, ...], Field(max_length=64)] = ()
    """Kubernetes' Tolerations. Needs the operator's `--allow tolerations`."""

    topology_spread_constraints: Maybe[Annotated[tuple[JsonObject, ...], Field(max_length=16)]] = None
    """Kubernetes' TopologySpreadConstraints. Default: spread over nodes, ScheduleAnyway."""

    priority_class_name: Maybe[ObjectName] = None
    """PriorityClass. Needs the operator's `--allow priorityClass`. Default: the cluster's."""

    labels: PodLabels = {}
    """Further labels; keys of mailport.dev and app.kubernetes.io are the operator's own and refused. Each needs the
    operator's `--allow labels=KEY`."""

    annotations: Annotations = {}
    """Further annotations. Each needs the operator's `--allow annotations=KEY`."""

    @property
    def scratch_limit(self) -> int:
        """Bytes that messages may take of the scratch volume: files are not all that counts as its use."""
        return self.scratch_size * 9 // 10

    @property
    def mailbox_limit(self) -> int:
        """Bytes that mailboxes without a claim may take of their volume, likewise."""
        return self.mailbox_size * 9 // 10


class Autoscaling(Model):
    """An autoscaling/v2 HorizontalPodAutoscaler on the Deployment; `spec.replicas` is then left alone."""

    min_replicas: Annotated[int, Between(1, 1000)] = 1
    """Fewest replicas."""

    max_replicas: Annotated[int, Between(1, 1000)]
    """Most replicas; not below minReplicas."""

    metrics: Annotated[tuple[JsonObject, ...], Field(max_length=16)] = ()
    """Kubernetes' MetricSpecs; none listed is CPU at 70 % of its request."""


class DisruptionBudget(Model):
    """How many pods a drain of nodes may take at once."""

    max_unavailable: PodCount = 1
    """A number of pods, or a percentage, and not 0: a drain would never end. One, so that the others carry on."""


class NetworkPolicyMode(StrEnum):
    """Whether the operator keeps a NetworkPolicy."""

    UNMANAGED = "Unmanaged"
    MANAGED = "Managed"


class Management(StrEnum):
    """Whether the operator acts."""

    MANAGED = "Managed"
    SUSPENDED = "Suspended"
