"""PURE. What an author adds to the pod: variables, volumes and DNS, as Kubernetes has them.

Written as the API server keeps it, default by default, where it keeps a list or map whole: else what it fills in would
differ from what is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailport.contract import quantity
from mailport.contract.model import EmptyDir, EnvVar, Pod, Volume, VolumeMount
from mailport.operator.metadata import Manifest


def env(pod: Pod) -> list[Manifest]:
    """Return the container's further variables."""
    return [_variable(variable) for variable in pod.env]


def volumes(pod: Pod) -> list[Manifest]:
    """Return the pod's further volumes."""
    return [_volume(volume) for volume in pod.volumes]


def mounts(pod: Pod) -> list[Manifest]:
    """Return where the container sees them."""
    return [_mount(mount) for mount in pod.volume_mounts]


def of_pod(pod: Pod, *, on_node: bool) -> Manifest:
    """Return further fields of the pod. A pod on its node's network has the node's DNS unless it asks for another."""
    dns_policy = pod.dns_policy or ("ClusterFirstWithHostNet" if on_node else None)
    return dict(_of_pod(pod, dns_policy and str(dns_policy)))


def _of_pod(pod: Pod, dns_policy: str | None) -> Iterator[tuple[str, object]]:
    if dns_policy is not None:
        yield "dnsPolicy", dns_policy
    if pod.dns_config is not None:
        config = pod.dns_config.model_dump(mode="json", by_alias=True, exclude_none=True)
        yield "dnsConfig", {field: value for field, value in config.items() if value}
    if pod.runtime_class_name is not None:
        yield "runtimeClassName", pod.runtime_class_name


def _variable(variable: EnvVar) -> Manifest:
    made = variable.model_dump(mode="json", by_alias=True, exclude_none=True)
    if not variable.value:
        made.pop("value", None)  # as the API server keeps an empty one
    if "fieldRef" in made.get("valueFrom", ()):
        made["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
    return made


def _volume(volume: Volume) -> Manifest:
    made = volume.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"empty_dir"})
    if volume.empty_dir is not None:
        made["emptyDir"] = _empty_dir(volume.empty_dir)
    return made


def _empty_dir(given: EmptyDir) -> Manifest:
    medium = {} if given.medium is None else {"medium": str(given.medium)}
    return {"sizeLimit": quantity.render(given.size_limit), **medium}


def _mount(mount: VolumeMount) -> Manifest:
    read_only = {"readOnly": True} if mount.read_only else {}
    return {"name": mount.name, "mountPath": mount.mount_path, **read_only}
