"""PURE. The pod template: one container that runs `mailport serve` on what is mounted into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mailport.contract.model import InboundSmtp, Spec
from mailport.contract.references import references
from mailport.operator import metadata
from mailport.operator.children import format_1, pod_additions, volumes
from mailport.operator.children.configuration import KEY
from mailport.operator.children.inputs import Inputs, SecurityContext
from mailport.operator.children.volumes import Volume
from mailport.operator.metadata import Manifest

CONTAINER = "listener"
ADMIN = "admin"  # the port's name, which no listener may have
SOCKETS = "mailport.dev/sockets"  # an annotation: what the listener binds that is nowhere else in the template

USER_ID = GROUP_ID = 10001
_ROOT = 0
_BEYOND_DRAIN = 5  # seconds, to close files and say goodbye after the last transaction

# What users may set and is Kubernetes' own, under Kubernetes' own names.
_AS_GIVEN = ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName")


def template(gateway: InboundSmtp, given: Inputs) -> Manifest:
    """Return the Deployment's pod template. Whatever changes in it rolls the pods, so no version of ours is in it."""
    spec = gateway.spec
    annotations = spec.pod.annotations | _sockets(spec)
    return {
        "metadata": {
            "labels": {**spec.pod.labels, **metadata.labels(gateway)},
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": _pod(gateway, given),
    }


def grace_seconds(spec: Spec, version: int) -> int:
    """Seconds from SIGTERM to SIGKILL for a listener of this format: serving on, draining, and the end."""
    drain = format_1.drain_seconds(spec) if version == format_1.NUMBER else spec.drain_seconds
    return spec.limits.shutdown_delay_seconds + drain + _BEYOND_DRAIN


def _pod(gateway: InboundSmtp, given: Inputs) -> Manifest:
    spec = gateway.spec
    theirs = spec.pod.model_dump(mode="json", by_alias=True, exclude_none=True)
    version = given.format_of(gateway)
    mounted = list(volumes.volumes(gateway, version))
    return {
        "serviceAccountName": metadata.service_account_name(gateway),
        "automountServiceAccountToken": False,  # a workload identity brings a token of its own
        "enableServiceLinks": False,  # a Service called mailport would set MAILPORT_…, where our options are looked for
        "terminationGracePeriodSeconds": grace_seconds(spec, version),
        **({"hostNetwork": True} if spec.network.host_network else {}),
        **pod_additions.of_pod(spec.pod, on_node=spec.network.host_network),
        "securityContext": _pod_security(spec, given),
        **{field: theirs[field] for field in _AS_GIVEN if theirs.get(field)},
        **_placement(gateway, theirs),
        "containers": [_container(spec, theirs, given.listener_image, _arguments(spec, given, version), mounted)],
        "volumes": [*(volume.source for volume in mounted), *pod_additions.volumes(spec.pod)],
    }


def _arguments(spec: Spec, given: Inputs, version: int) -> Iterator[str]:
    yield "serve"
    yield f"--file={volumes.CONFIG}/{KEY}"
    yield f"--secrets={volumes.SECRETS}"
    yield f"--configmaps={volumes.CONFIG_MAPS}"
    yield f"--data={volumes.DATA}"
    # The pod's own address is right in a pod of either family, and on a node's network the only one to use
    yield f"--admin=$(POD_IP):{spec.pod.admin_port}"
    yield f"--shutdown-delay={spec.limits.shutdown_delay_seconds}"
    if version == format_1.NUMBER:
        return  # the others are unknown to that listener, which connects to nothing
    yield f"--mounted={','.join(sorted({key for reference in references(spec) for key in reference.mounts}))}"
    yield f"--scratch={volumes.SCRATCH}"
    yield f"--scratch-limit={spec.pod.scratch_limit}"
    if volumes.has_mailboxes_without_claim(spec):
        yield f"--mailbox-limit={spec.pod.mailbox_limit}"
    if given.local_destinations:
        yield "--allow-local-destinations"
    if given.denied_destinations:
        yield f"--deny-destinations={','.join(given.denied_destinations)}"


def _container(
    spec: Spec, theirs: dict[str, Any], image: str, arguments: Iterable[str], mounted: Iterable[Volume]
) -> Manifest:
    return {
        "name": CONTAINER,
        "image": spec.pod.image or image,
        "command": ["mailport"],  # itself process 1, which gets the signals
        "args": list(arguments),
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            *pod_additions.env(spec.pod),
        ],
        # By number: listeners in another order are the same pod
        "ports": [
            *(
                {"name": listener.name, "containerPort": listener.port, "protocol": "TCP"}
                for listener in sorted(spec.listeners, key=lambda listener: listener.port)
            ),
            {"name": ADMIN, "containerPort": spec.pod.admin_port, "protocol": "TCP"},
        ],
        **({"resources": theirs["resources"]} if theirs["resources"] else {}),
        **_probes(),
        "securityContext": _container_security(spec),
        "terminationMessagePolicy": "FallbackToLogsOnError",  # why it did not start, for the operator
        "volumeMounts": [*(volume.mount for volume in mounted), *pod_additions.mounts(spec.pod)],
    }


def _probes() -> Manifest:
    """Probe the admin port, so that no probe shows up as a mail client."""
    alive = {"httpGet": {"path": "/livez", "port": ADMIN}}
    return {
        # Two minutes for a slow node; asked each second, for a pod that is up at once to take mail at once
        "startupProbe": {**alive, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 120},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": ADMIN},
            "periodSeconds": 5,
            "timeoutSeconds": 3,
            "failureThreshold": 2,
        },
    }


# --- what it may do


def _pod_security(spec: Spec, given: Inputs) -> Manifest:
    user, group = _user_id(spec, given), spec.pod.fs_group
    if group is None and given.security_context is SecurityContext.FIXED:
        group = GROUP_ID
    security: Manifest = {
        "runAsNonRoot": user != _ROOT,
        **({"runAsUser": user} if user is not None else {}),
        # else an image's own, or root's: mail belongs to this group on every kind of volume
        **({"runAsGroup": group, "fsGroup": group} if group is not None else {}),
        "fsGroupChangePolicy": "OnRootMismatch",  # else each start waits for a chown of all the mail
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if not spec.network.host_network and given.security_context is SecurityContext.FIXED:
        # Safe, and within `restricted`: ports below 1024 without any capability
        security["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    return security


def _user_id(spec: Spec, given: Inputs) -> int | None:
    """Root only on a node's network, where the kubelet refuses the sysctl that lets others bind port 25.

    So it is there whoever says as which user pods run: with that network comes an exception of the platform's anyway.
    """
    if spec.pod.run_as_user is not None:
        return spec.pod.run_as_user
    if spec.network.host_network:
        return _ROOT
    return USER_ID if given.security_context is SecurityContext.FIXED else None


def _container_security(spec: Spec) -> Manifest:
    capabilities = {"drop": ["ALL"]}
    if spec.network.host_network:
        capabilities["add"] = ["NET_BIND_SERVICE"]
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": capabilities,
    }


# --- where it runs


def _sockets(spec: Spec) -> dict[str, str]:
    """Name families and addresses: a change of theirs needs new sockets, and must roll the pods as one of ports does.

    As text, and not as a hash of the model: a later version's new field may not roll anything.
    """
    network = spec.network
    families = ",".join(network.ip_families or ())
    addresses = ",".join(network.bind_addresses)
    value = " on ".join(part for part in (families or "any family", addresses) if part)
    return {SOCKETS: value} if families or addresses else {}


def _placement(gateway: InboundSmtp, theirs: dict[str, Any]) -> Manifest:
    selected = {"matchLabels": metadata.selector(gateway)}
    affinity = theirs["affinity"]
    if gateway.spec.network.host_network:
        affinity = _apart(affinity, {"topologyKey": _NODE, "labelSelector": selected})
    spread = theirs.get("topologySpreadConstraints")
    if spread is None:
        spread = [
            {"maxSkew": 1, "topologyKey": _NODE, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selected}
        ]
    return {
        **({"affinity": affinity} if affinity else {}),
        **({"topologySpreadConstraints": spread} if spread else {}),
    }


def _apart(affinity: Manifest, term: Manifest) -> Manifest:
    """Add a required anti-affinity to the author's own rules: a node has each port once."""
    apart = affinity.get("podAntiAffinity") or {}
    terms = apart.get(_REQUIRED) or [] if isinstance(apart, dict) else None
    if not isinstance(terms, list):
        return affinity  # not Kubernetes' type: that is for the API server to say
    return {**affinity, "podAntiAffinity": {**apart, _REQUIRED: [*terms, term]}}


_NODE = "kubernetes.io/hostname"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
