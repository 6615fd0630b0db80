"""PURE. spec.pod's variables, volumes and DNS: what a pod gets besides, where the administrator lets authors add it.

Each has bounds, so that what is added cannot become another program: the listener's own paths, and the variables that
decide what is loaded, are not to be had.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract import quantity
from mailport.contract.formats import Between, Bytes, DataKey, JsonObject, Maybe, ObjectName
from mailport.contract.model.base import Model
from mailport.contract.pod_formats import (
    DnsOptionName,
    EnvVarName,
    FieldPath,
    IpAddress,
    MountPath,
    SearchDomain,
    TokenAudience,
    TokenPath,
    VolumeName,
)


class KeySelector(Model):
    """One key of a Secret or ConfigMap in the gateway's own namespace."""

    name: ObjectName
    """Name of the object."""

    key: DataKey
    """Key within it."""

    optional: bool = False
    """Whether the pod starts without it, and the variable is then not set."""


class FieldSelector(Model):
    """A field of the pod."""

    field_path: FieldPath
    """`metadata.name`, `spec.nodeName`, `status.hostIP` and the like: Kubernetes' downward API."""


class EnvVarSource(Model):
    """Where a variable's value comes from: exactly one of these."""

    secret_key_ref: Maybe[KeySelector] = None
    """A key of a Secret. Default: none."""

    config_map_key_ref: Maybe[KeySelector] = None
    """A key of a ConfigMap. Default: none."""

    field_ref: Maybe[FieldSelector] = None
    """A field of the pod. Default: none."""


class EnvVar(Model):
    """An environment variable: `name`, and exactly one of `value` and `valueFrom`."""

    name: EnvVarName
    """Unique. Refused, in upper and lower case: `MAILPORT_*`, `PYTHON*`, `LD_*`, `*_PROXY`, `SSL_*`, `OPENSSL_*`,
    `AWS_*`, and `PATH`, `POD_IP`, `GCONV_PATH`, `LOCPATH`: they decide what runs, whom it trusts, and who it is."""

    value: Maybe[Annotated[str, Field(max_length=16_384)]] = None
    """Its value; Kubernetes puts other variables in for `$(NAME)`. Default: none."""

    value_from: Maybe[EnvVarSource] = None
    """Where its value comes from. Default: none."""


class Medium(StrEnum):
    """What an emptyDir lies on."""

    MEMORY = "Memory"


class EmptyDir(Model):
    """Room that goes with the pod."""

    size_limit: Annotated[Bytes, Between(1, quantity.TI)]
    """How much it may hold; a quantity. A pod that writes more is evicted."""

    medium: Maybe[Medium] = None
    """`Memory`: it counts as memory of the container. Default: the node's disk."""


class ServiceAccountToken(Model):
    """A token of the pod's ServiceAccount that is for somebody else than the API server."""

    audience: TokenAudience
    """Whom it is for: who gets it checks that. Must be given, as without it a token is the API server's."""

    path: TokenPath
    """Name of the file."""

    expiration_seconds: Annotated[int, Between(600, 86_400)] = 3600
    """Seconds that it is valid; the kubelet renews it in time."""


class VolumeProjection(Model):
    """What is put into a projected volume: exactly one of these."""

    config_map: Maybe[JsonObject] = None
    """Kubernetes' ConfigMapProjection. Default: none."""

    secret: Maybe[JsonObject] = None
    """Kubernetes' SecretProjection. Default: none."""

    downward_api: Annotated[Maybe[JsonObject], Field(alias="downwardAPI")] = None
    """Kubernetes' DownwardAPIProjection. Default: none."""

    service_account_token: Maybe[ServiceAccountToken] = None
    """A token for a workload identity. Default: none."""


class Projected(Model):
    """Several sources in one folder."""

    sources: Annotated[tuple[VolumeProjection, ...], Field(min_length=1, max_length=16)]
    """What is put into it."""

    default_mode: Maybe[Annotated[int, Between(0, 0o777)]] = None
    """Permissions of the files. Default: Kubernetes' own, 0644."""


class Volume(Model):
    """A volume: `name`, and exactly one source."""

    name: VolumeName
    """Unique, a DNS label; not `config`, `mail` or `scratch`, which the listener has."""

    config_map: Maybe[JsonObject] = None
    """Kubernetes' ConfigMapVolumeSource. Default: none."""

    secret: Maybe[JsonObject] = None
    """Kubernetes' SecretVolumeSource. Default: none."""

    projected: Maybe[Projected] = None
    """Several sources in one folder. Default: none."""

    csi: Maybe[JsonObject] = None
    """Kubernetes' CSIVolumeSource, as of the Secrets Store. Default: none."""

    empty_dir: Maybe[EmptyDir] = None
    """Room that goes with the pod. Default: none."""


class VolumeMount(Model):
    """Where a volume of `spec.pod.volumes` is seen in the container."""

    name: VolumeName
    """Name of the volume."""

    mount_path: MountPath
    """The folder, and unique. Refused: the listener's own paths (`/etc/mailport`, `/opt/mailport`, `/tmp`,
    `/var/lib/mailport`) and what programs and libraries are loaded from, what lies in these and what holds them."""

    read_only: bool = False
    """Whether it cannot be written."""


class DnsPolicy(StrEnum):
    """Where a pod's resolv.conf comes from."""

    CLUSTER_FIRST = "ClusterFirst"
    CLUSTER_FIRST_WITH_HOST_NET = "ClusterFirstWithHostNet"
    DEFAULT = "Default"
    NONE = "None"


class DnsOption(Model):
    """An option of resolv.conf."""

    name: DnsOptionName
    """As `ndots`."""

    value: Maybe[Annotated[str, Field(max_length=64)]] = None
    """As `"1"`. Default: none, it is a switch."""


class DnsConfig(Model):
    """What is added to a pod's resolv.conf, or with `dnsPolicy: None` all that is in it."""

    nameservers: Annotated[tuple[IpAddress, ...], Field(max_length=3)] = ()
    """Addresses of DNS servers."""

    searches: Annotated[tuple[SearchDomain, ...], Field(max_length=32)] = ()
    """Domains that are searched; Mailport itself asks for names as they are."""

    options: Annotated[tuple[DnsOption, ...], Field(max_length=16)] = ()
    """Options."""
