"""What others added where nobody may, and the patch that takes it out; tests/kube/test_drift.py has the API server."""

from dataclasses import replace

import pytest

from mailport.operator.apply.additions import added, named
from mailport.operator.managed_fields import compact
from tests.operator.apply.test_drift import (
    CHILDREN,
    CONFIG_MAP,
    CONTAINER,
    DEPLOYMENT,
    POD,
    SERVICE,
    UPDATE,
    applied,
    nested,
    owned_by,
    seen,
    without,
)
from tests.operator.making import GIVEN, by_kind, gateway
from tests.tables import table


def removals(*paths):
    return [{"op": "remove", "path": path} for path in paths]


EMPTY_DIR = {"name": "x", "emptyDir": {}}
SIDECAR = {"name": "x", "image": "x", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}


@pytest.mark.parametrize(
    "manifest, changes, paths",
    table(
        {
            "keys of a ConfigMap": (
                CONFIG_MAP,
                [("data/x.json", "{}"), ("binaryData", {"y": "AA=="})],
                ["/data/x.json", "/binaryData/y"],
            ),
            "ports, the last first": (
                SERVICE,
                [("spec/ports/-", {"port": 99}), ("spec/ports/-", {"port": 25, "protocol": "UDP"})],
                ["/spec/ports/3", "/spec/ports/2"],
            ),
            "containers and volumes": (
                DEPLOYMENT,
                [
                    (f"{POD}/containers/-", SIDECAR),
                    (f"{POD}/containers/-", SIDECAR | {"name": "y"}),
                    (f"{POD}/initContainers", [SIDECAR, SIDECAR | {"name": "y"}]),
                    (f"{POD}/volumes/-", EMPTY_DIR),
                ],
                [
                    f"/{POD}/containers/2",
                    f"/{POD}/containers/1",
                    f"/{POD}/initContainers/1",
                    f"/{POD}/initContainers/0",
                    f"/{POD}/volumes/2",
                ],
            ),
            "addresses for which nodes would take what is sent there": (
                SERVICE,
                [("spec/externalIPs", ["192.0.2.1"])],
                ["/spec/externalIPs"],
            ),
            "a rollout that somebody paused": (DEPLOYMENT, [("spec/paused", True)], ["/spec/paused"]),
            "the node's processes, and its network": (
                DEPLOYMENT,
                [(f"{POD}/hostPID", True), (f"{POD}/hostIPC", True), (f"{POD}/hostNetwork", True)],
                [f"/{POD}/hostPID", f"/{POD}/hostIPC", f"/{POD}/hostNetwork"],
            ),
            "what lets a container do more than it may": (
                DEPLOYMENT,
                [
                    (f"{CONTAINER}/securityContext/privileged", True),
                    (f"{CONTAINER}/securityContext/runAsUser", 0),
                    (f"{CONTAINER}/securityContext/runAsNonRoot", False),
                    (f"{CONTAINER}/securityContext/capabilities/add", ["SYS_ADMIN"]),
                ],
                [
                    f"/{CONTAINER}/securityContext/privileged",
                    f"/{CONTAINER}/securityContext/runAsUser",
                    f"/{CONTAINER}/securityContext/runAsNonRoot",
                    f"/{CONTAINER}/securityContext/capabilities/add",
                ],
            ),
            "another port of ours with another number, where one of ours is left": (
                SERVICE,
                [("spec/ports/0/port", 2525)],
                ["/spec/ports/0"],
            ),
        }
    ),
)
def test_what_others_added_is_taken_out(manifest, changes, paths):
    """Whoever owns it; nothing else is in the patch."""
    assert added(manifest, seen(manifest, *changes)) == removals(*paths)


def test_an_owner_of_before_gives_way_where_applying_would_leave_it():
    """As in what was restored without managedFields. Where we own the reference, applying drops it."""
    ours, before = (by_kind(gateway(), replace(GIVEN, owner_uid=uid))["ConfigMap"] for uid in ("now", "before"))
    restored, edited = applied(before), applied(before)
    del restored["metadata"]["managedFields"]
    edited["metadata"]["managedFields"] = [UPDATE]
    (owner,) = ours["metadata"]["ownerReferences"]

    replaced = [{"op": "replace", "path": "/metadata/ownerReferences/0", "value": owner}]
    assert added(ours, restored) == added(ours, edited) == replaced
    assert added(ours, applied(before)) == []


def test_a_right_that_was_asked_for_once_goes_by_applying():
    """We own it still: there is nothing to take out."""
    on_the_node = by_kind(gateway(network={"hostNetwork": True}))["Deployment"]

    assert added(DEPLOYMENT, seen(on_the_node)) == []
    assert added(on_the_node, seen(on_the_node)) == []


def test_rights_go_first_where_a_part_is_put_back_whole():
    """And those inside of that part are gone with it."""
    observed = seen(
        DEPLOYMENT,
        ("spec/paused", True),
        (f"{POD}/hostPID", True),
        (f"{CONTAINER}/livenessProbe/exec", {"command": ["x"]}),
    )
    operations = added(DEPLOYMENT, observed)

    assert [(one["op"], one["path"]) for one in operations] == [("remove", "/spec/paused"), ("replace", f"/{POD}")]
    assert named(DEPLOYMENT, observed) == [".spec.paused", ".spec.template.spec"]


def test_what_we_have_dropped_and_someone_else_owns_too_is_taken_out():
    """As applying would leave it to them."""
    port = 'k:{"port":25,"protocol":"TCP"}'
    observed = seen(SERVICE, owned_by("kubectl", nested("f:spec", "f:ports", port, "f:name")))
    less = without(SERVICE, "spec/ports/0")

    assert added(less, observed) == added(less, compact(observed)) == removals("/spec/ports/0")


ONE_PORT = by_kind(gateway())["Service"]
LIMITED = {"requests": {"cpu": "10m"}, "limits": {"cpu": "20m"}}
WHOLE_POD = (f"/{POD}", DEPLOYMENT["spec"]["template"]["spec"])


@pytest.mark.parametrize(
    "manifest, changes, whole",
    table(
        {
            "the only port has another number": (
                ONE_PORT,
                [("spec/ports/0/port", 2525)],
                ("/spec/ports", ONE_PORT["spec"]["ports"]),
            ),
            "the container has another name": (DEPLOYMENT, [(f"{CONTAINER}/name", "x")], WHOLE_POD),
            "our container mounts the volume that has to go": (
                DEPLOYMENT,
                [
                    (f"{POD}/volumes/-", EMPTY_DIR),
                    (f"{CONTAINER}/volumeMounts/-", {"name": "x", "mountPath": "/x"}),
                ],
                WHOLE_POD,
            ),
            "or has it as a device": (
                DEPLOYMENT,
                [
                    (f"{POD}/volumes/-", {"name": "x", "persistentVolumeClaim": {"claimName": "x"}}),
                    (f"{CONTAINER}/volumeDevices", [{"name": "x", "devicePath": "/x"}]),
                ],
                WHOLE_POD,
            ),
            "a volume of ours has another source": (
                DEPLOYMENT,
                [(f"{POD}/volumes/0", {"name": "config", "emptyDir": {}})],
                WHOLE_POD,
            ),
            "a probe of another way": (
                DEPLOYMENT,
                [(f"{CONTAINER}/livenessProbe", {"tcpSocket": {"port": 25}})],
                WHOLE_POD,
            ),
            "a variable from elsewhere": (
                DEPLOYMENT,
                [(f"{CONTAINER}/env/0", {"name": "POD_IP", "value": "::"})],
                WHOLE_POD,
            ),
            "and from another source": (
                DEPLOYMENT,
                [(f"{CONTAINER}/env/0/valueFrom", {"secretKeyRef": {"name": "x", "key": "x"}})],
                WHOLE_POD,
            ),
            "a limit below what we request": (DEPLOYMENT, [(f"{CONTAINER}/resources", LIMITED)], WHOLE_POD),
            "the name of our port on another": (
                DEPLOYMENT,
                [(f"{CONTAINER}/ports/0/containerPort", 26)],
                WHOLE_POD,
            ),
            "a budget by the other of its two fields": (
                CHILDREN["PodDisruptionBudget"],
                [("spec/maxUnavailable", None), ("spec/minAvailable", 1)],
                ("/spec", CHILDREN["PodDisruptionBudget"]["spec"]),
            ),
        }
    ),
)
def test_where_taking_out_is_not_enough_ours_is_put_back_whole(manifest, changes, whole):
    """The API server would refuse the object without it, or refuse ours beside theirs."""
    path, value = whole
    observed = seen(manifest, *changes)

    assert added(manifest, observed) == [{"op": "replace", "path": path, "value": value}]


def test_a_port_of_ours_that_gets_another_number_needs_no_patch():
    """Applying takes the old one away and brings the new one, in one."""
    before = by_kind(gateway())
    after = by_kind(gateway(listeners=[{"name": "smtp", "port": 2525}]))

    assert [added(after[kind], applied(before[kind])) for kind in ("Service", "Deployment")] == [[], []]


def test_an_entry_of_ours_that_is_no_apply_is_taken_out_of_managed_fields():
    """The last first; those of a subresource stay."""
    field = nested("f:spec", "f:type")
    observed = seen(
        SERVICE,
        owned_by("mailport-operator", field),
        owned_by("kubectl", field),
        owned_by("mailport-operator", field, apiVersion="v2"),
        owned_by("mailport-operator", nested("f:status"), subresource="status"),
    )
    paths = ["/metadata/managedFields/3", "/metadata/managedFields/1"]

    assert added(SERVICE, observed) == added(SERVICE, compact(observed)) == removals(*paths)
