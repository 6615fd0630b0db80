"""PURE. What service, pod and their siblings say together: rules.py's rules about what only Kubernetes asks for."""

from __future__ import annotations

from collections.abc import Iterator

from mailport.contract.faults import Fault, repeated
from mailport.contract.model import DnsPolicy, Model, NetworkPolicyMode, ServiceType, Spec

_REACHED_FROM_OUTSIDE = frozenset({ServiceType.NODE_PORT, ServiceType.LOAD_BALANCER})
_FIRST_UNPRIVILEGED_PORT = 1024  # net.ipv4.ip_unprivileged_port_start, where nobody has changed it


def service_fits_its_type(spec: Spec) -> Iterator[Fault]:
    """What the API server would refuse to set on a Service of this type."""
    service = spec.service
    if service.type not in _REACHED_FROM_OUTSIDE:
        needed = 'needs spec.service.type "NodePort" or "LoadBalancer"'
        for index, listener in enumerate(spec.listeners):
            if listener.node_port is not None:
                yield Fault(f"spec.listeners[{index}].nodePort", needed)
        if service.external_traffic_policy is not None:
            yield Fault("spec.service.externalTrafficPolicy", needed)
    if service.type is not ServiceType.LOAD_BALANCER:
        for name, is_set in (
            ("loadBalancerClass", service.load_balancer_class is not None),
            ("loadBalancerSourceRanges", bool(service.load_balancer_source_ranges)),
            ("allocateLoadBalancerNodePorts", service.allocate_load_balancer_node_ports is not None),
        ):
            if is_set:
                yield Fault(f"spec.service.{name}", 'needs spec.service.type "LoadBalancer"')


def replicas_have_room(spec: Spec) -> Iterator[Fault]:
    """The field minReplicas is not above maxReplicas."""
    scaling = spec.autoscaling
    if scaling and scaling.min_replicas > scaling.max_replicas:
        yield Fault("spec.autoscaling.minReplicas", f"must not be above maxReplicas, {scaling.max_replicas}")


def network_policy_has_effect(spec: Spec) -> Iterator[Fault]:
    """Network plugins see a pod on its node's network as the node, to which no NetworkPolicy applies."""
    if spec.network_policy is NetworkPolicyMode.MANAGED and spec.network.host_network:
        yield Fault(
            "spec.networkPolicy", '"Managed" has no effect with spec.network.hostNetwork: use a firewall of the node'
        )


def user_can_bind_ports_of_a_node(spec: Spec) -> Iterator[Fault]:
    """Only root gets to use the capability that the container has there.

    To anybody else it would have to come by the program's file, which `allowPrivilegeEscalation: false` rules out
    (no_new_privs, execve(2)), or as an ambient one, which Kubernetes has no field for. The sysctl that frees these
    ports belongs to a network namespace, and here that is the node's: the kubelet refuses it.
    """
    if not spec.network.host_network or spec.pod.run_as_user is None:
        return
    ports = [*(listener.port for listener in spec.listeners), spec.pod.admin_port]
    low = [port for port in ports if port < _FIRST_UNPRIVILEGED_PORT]
    if low:
        yield Fault(
            "spec.pod.runAsUser",
            f"with spec.network.hostNetwork only root can bind port {', '.join(map(str, low))}: "
            f"leave it out, or use ports from {_FIRST_UNPRIVILEGED_PORT} on",
        )


def pod_names_are_unique(spec: Spec) -> Iterator[Fault]:
    """A variable has one value, a volume one source, and a folder shows one volume."""
    pod = spec.pod
    yield from repeated("spec.pod.env", "name", [variable.name for variable in pod.env])
    yield from repeated("spec.pod.volumes", "name", [volume.name for volume in pod.volumes])
    yield from repeated("spec.pod.volumeMounts", "mountPath", [mount.mount_path for mount in pod.volume_mounts])


def one_source(spec: Spec) -> Iterator[Fault]:
    """Kubernetes' unions: exactly one of a variable's value and valueFrom, and of the kinds of each source."""
    for index, variable in enumerate(spec.pod.env):
        path = f"spec.pod.env[{index}]"
        yield from _one_of(path, variable, without="name")
        if variable.value_from is not None:
            yield from _one_of(f"{path}.valueFrom", variable.value_from)
    for index, volume in enumerate(spec.pod.volumes):
        path = f"spec.pod.volumes[{index}]"
        yield from _one_of(path, volume, without="name")
        for number, source in enumerate(volume.projected.sources if volume.projected else ()):
            yield from _one_of(f"{path}.projected.sources[{number}]", source)


def mounts_have_volumes(spec: Spec) -> Iterator[Fault]:
    """A mount is of a volume beside it, never of one that the listener has."""
    names = {volume.name for volume in spec.pod.volumes}
    for index, mount in enumerate(spec.pod.volume_mounts):
        if mount.name not in names:
            yield Fault(f"spec.pod.volumeMounts[{index}].name", f"{mount.name} is not in spec.pod.volumes")


def dns_has_servers(spec: Spec) -> Iterator[Fault]:
    """With the policy None nothing comes from the node or the cluster."""
    config = spec.pod.dns_config
    if spec.pod.dns_policy is DnsPolicy.NONE and not (config and config.nameservers):
        yield Fault("spec.pod.dnsPolicy", '"None" needs spec.pod.dnsConfig.nameservers')


def _one_of(path: str, given: Model, *, without: str = "") -> Iterator[Fault]:
    kinds = {field.alias or name: name for name, field in type(given).model_fields.items() if name != without}
    present = [kind for kind, name in kinds.items() if getattr(given, name) is not None]
    if len(present) != 1:
        has = " and ".join(present) or "none"
        yield Fault(path, f"must have exactly one of {', '.join(kinds)}; has {has}")
