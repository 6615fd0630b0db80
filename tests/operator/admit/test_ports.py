"""Pods of before are reached while they serve: by what the Service leads, and what the NetworkPolicy lets in."""

import pytest

from mailport.operator.admit.admit import admit
from mailport.operator.kinds import DEPLOYMENT, NETWORK_POLICY, POD, REPLICA_SET, SERVICE
from tests.operator.admit.test_admit import OPTIONS, child, seen
from tests.tables import table

LABELS = {"mailport.dev/inboundsmtp": "mx"}
HERE = child(DEPLOYMENT, spec={"template": {"spec": {"containers": []}}})


def made(kind, name, owner, ports, **fields):
    """A pod or ReplicaSet whose listener has these ports, by name."""
    container = {
        "name": "listener",
        "ports": [{"name": port, "containerPort": number} for port, number in ports.items()],
    }
    owners = [{"controller": True, "uid": owner}]
    metadata = {"name": name, "namespace": "mail", "uid": name, "resourceVersion": "2", "labels": LABELS}
    spec = {"containers": [{"name": "mesh", "ports": [{"containerPort": 15090}]}, container]}
    if kind == REPLICA_SET:
        spec = {"replicas": fields.pop("replicas", 1), "template": {"spec": spec}}
    metadata |= {"ownerReferences": owners, **fields.pop("metadata", {})}
    return kind, {"metadata": metadata, "spec": spec, "status": {"phase": "Running", **fields}}


def replica_set(name="mx-1", owner="2", replicas=0, **ports):
    return made(REPLICA_SET, name, owner, ports, replicas=replicas)


def pod(name="mx-1-a", owner="mx-1", *, phase="Running", metadata=None, **ports):
    return made(POD, name, owner, ports, phase=phase, metadata=metadata or {})


OLD = [replica_set(), pod(smtp=25, admin=8080)]
SMTP, MX, MOVED = ([{"name": name, "port": port}] for name, port in (("smtp", 25), ("mx", 25), ("smtp", 2525)))
GOING = {"deletionTimestamp": "2026-11-29T10:00:00Z"}

FOUND = {
    "nothing runs yet": ([], MX, set()),
    "nothing changes": (OLD, SMTP, set()),
    "the name changes": (OLD, MX, {25}),
    "the number changes": (OLD, MOVED, set()),
    "both change, and it is another listener": (OLD, [{"name": "mx", "port": 2525}], set()),
    "while new pods come": ([*OLD, pod("mx-2-a", mx=25, admin=8080)], MX, {25}),
    "when old ones go": ([replica_set(), pod(smtp=25, metadata=GOING), pod("mx-1-b", mx=25)], MX, set()),
    "or have ended": ([replica_set(), pod(smtp=25, phase="Failed")], MX, set()),
    "a pod of somebody else": ([replica_set(), pod(owner="other", smtp=25)], MX, set()),
    "of another Deployment": ([replica_set(owner="other"), pod(smtp=25)], MX, set()),
    "one that its ReplicaSet makes again": ([replica_set(replicas=1, smtp=25)], MX, {25}),
    "by number one would be lost that the name reaches": ([*OLD, pod("mx-1-b", mx=2525)], MX, set()),
    "two that change their names with each other": (
        [replica_set(), pod(a=25, b=587)],
        [{"name": "b", "port": 25}, {"name": "a", "port": 587}],
        {25, 587},
    ),
    "one that gets the name of another": (
        [replica_set(), pod(a=25, b=587)],
        [{"name": "b", "port": 25}, {"name": "c", "port": 587}],
        {25, 587},
    ),
    "one that gets another number, and its number another name": (
        [replica_set(), pod(a=25)],
        [{"name": "a", "port": 2525}, {"name": "b", "port": 25}],
        {25},
    ),
    "where a pod has neither": ([*OLD, pod("mx-1-b", other=465)], MX, {25}),
    "where the name would lead some to another listener": (
        [replica_set(), pod(a=25, b=587), pod("mx-1-b", b=587)],
        [{"name": "b", "port": 25}],
        {25},
    ),
    "where the number was the admin port's": (OLD, [{"name": "smtp", "port": 25}, {"name": "b", "port": 8080}], set()),
    "one of two": ([replica_set(), pod(a=25, b=26)], [{"name": "a", "port": 25}, {"name": "c", "port": 26}], {26}),
}


@pytest.mark.parametrize("others, listeners, by_number", table(FOUND))
def test_the_service_leads_to_old_pods_too(others, listeners, by_number):
    """By name where pods have the port under another number, by number where they have it under another name."""
    given = admit(seen(HERE, *others, listeners=listeners, pod={"adminPort": 9090}), OPTIONS).inputs

    assert given.numeric_target_ports == by_number


@pytest.mark.parametrize(
    "others, open_ports",
    table(
        {
            "nothing runs yet": ([], set()),
            "the admin port too": (OLD, {25, 8080}),
            "of pods of before and new ones": ([*OLD, pod("mx-2-a", smtp=2525, admin=9090)], {25, 8080, 2525, 9090}),
            "not of those that go": ([replica_set(), pod(smtp=25, metadata=GOING)], set()),
            "of one that its ReplicaSet makes again": ([replica_set(replicas=1, smtp=25)], {25}),
            "not of somebody else's": ([replica_set(), pod(owner="other", smtp=25)], set()),
        }
    ),
)
def test_what_pods_have_is_let_in(others, open_ports):
    assert admit(seen(HERE, *others, listeners=MOVED), OPTIONS).inputs.ports_of_running_pods == open_ports


def test_nothing_follows_the_pods_of_a_suspended_gateway():
    """Else what is rendered would differ when they are gone, and Programmed would say that this is held back."""
    ports = [{"name": "mx", "port": 25, "targetPort": 25}, {"name": "b", "port": 26, "targetPort": "b"}]
    ingress = [{"ports": [{"port": port, "protocol": "TCP"} for port in (25, 2525, 8080)]}]
    others = child(SERVICE, spec={"ports": ports}), child(NETWORK_POLICY, spec={"ingress": ingress})
    listeners = [*MX, {"name": "b", "port": 26}]
    given = admit(seen(HERE, *others, *OLD, management="Suspended", listeners=listeners), OPTIONS).inputs

    assert (given.numeric_target_ports, given.ports_of_running_pods) == ({25}, {25, 2525, 8080})
