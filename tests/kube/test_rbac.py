"""What the chart grants the operator, against what the API server's audit log shows that it did.

A verb is judged by use: here the operator does whatever it ever does. That nothing is refused is checked when the
control plane ends (fixtures.py), of all tests that ran on it.
"""

import time

import pytest
import yaml

from mailport.operator import kinds
from tests.kube.cluster import ROOT
from tests.kube.gateways import ALL, NAMES, Gateways
from tests.kube.operating import OPERATOR, Node, Operator, helm, stopped_at_the_end
from tests.kube.rights import asked, refused, used

ELECTION = ("--leader-elect", "--lease-namespace=mailport-system")


@pytest.fixture(scope="module")
def gateways(rights, controllers, tmp_path_factory):
    """After an operator has done all that it does."""
    gateways = Gateways(controllers, controllers.new_namespace())
    operator = Operator(
        controllers, OPERATOR, *ELECTION, "--allow=serviceAccount", folder=tmp_path_factory.mktemp("operator")
    )
    # One that an earlier test has left would be taken, and not created
    controllers.ask("DELETE", kinds.LEASE.path("mailport-system", "mailport-operator"))
    with stopped_at_the_end(operator):
        operator.start()
        with Node(controllers, gateways.namespace) as node:
            wonder(gateways, node)
            make_all(gateways)
            tamper(gateways)
            leave_something(gateways)
            give_up(gateways)
        gateways.delete_all()
        assert operator.stop() == 0
    return gateways


def wonder(gateways, node):
    """A pod that does not start: what Kubernetes says of it is looked up."""
    node.starts = False
    gateways.apply()
    gateways.cluster.wait_for("there is a pod", lambda: len(gateways.pods()) == 1)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    name = gateways.pods()[0]["metadata"]["name"]
    gateways.patch("Pod", name, {"status": {"conditions": [scheduled]}}, subresource="status")
    listed = ("list", "", "events")
    gateways.cluster.wait_for("events are listed", lambda: listed in used(asked(gateways.cluster)), 60)
    node.starts = True


def make_all(gateways):
    """A child of each kind, a pod, and a configuration that is poked into it."""
    gateways.apply(**ALL)
    gateways.until("Available", "MinimumReplicasAvailable", seconds=40)
    gateways.apply(**ALL, limits={"maxErrors": 7})
    gateways.until("ConfigLive", "Live", seconds=40)


def tamper(gateways):
    """What is changed is patched, and what is deleted is created."""
    gateways.patch("ConfigMap", "mx-c2", {"data": {"foreign": "1"}})
    for kind, name in NAMES.items():
        gateways.kubectl("delete", kind, name, "--wait=false", "--cascade=orphan")
    gateways.until_rendered(seconds=40, live_replicas=2)


def leave_something(gateways):
    """A configuration that is no longer rendered, as an operator of another version may have left it."""
    uid = gateways.get()["metadata"]["uid"]
    controller = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "name": "mx", "controller": True}
    left = gateways.child("ConfigMap", NAMES["ConfigMap"]).body
    left["metadata"] = {
        "name": "mx-c0",
        "labels": {"mailport.dev/inboundsmtp": "mx"},
        "ownerReferences": [{**controller, "uid": uid}],
    }
    gateways.cluster.ask("POST", gateways.path("ConfigMap"), left).expect_accepted()
    gateways.until_gone("ConfigMap", "mx-c0")


def give_up(gateways):
    """Every child that a gateway need not have."""
    gateways.kubectl("create", "serviceaccount", "workload")
    gateways.apply(pod={"serviceAccountName": "workload"})
    for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceAccount"):
        gateways.until_gone(kind, NAMES[kind])


def granted():
    """What the chart grants: (verb, group, resource or resource/subresource)."""
    chart = ("template", "mailport", str(ROOT / "helm/mailport"), "--show-only=templates/rbac.yaml")
    roles = [
        each
        for each in yaml.safe_load_all(helm(*chart, "--set=image.registry="))
        if each["kind"] in ("ClusterRole", "Role")
    ]
    return {
        (verb, group, resource)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def lines(permissions):
    return [f"{verb} {f'{resource}.{group}' if group else resource}" for verb, group, resource in sorted(permissions)]


def test_all_that_is_granted_is_used(gateways):
    """An unused verb is one more thing that a stolen token could do."""
    assert lines(granted() - used(asked(gateways.cluster))) == []


def test_nothing_was_refused(gateways):
    """Of all that an operator ever does; what a quota refuses is another matter."""
    assert refused(asked(gateways.cluster)) == set()


SECRETS = {"verb": "list", "objectRef": {"resource": "secrets", "namespace": "mail"}}
FORBIDDEN = {
    "code": 403,
    "message": 'secrets is forbidden: User "x" cannot list resource "secrets" in API group "" in the namespace "mail"',
}


def test_a_refusal_is_found():
    """Unless the same was granted a moment later."""
    once = SECRETS | {"responseStatus": FORBIDDEN}
    later = SECRETS | {"responseStatus": {"code": 200}}
    elsewhere = {
        "verb": "list",
        "objectRef": {"resource": "secrets", "namespace": "other"},
        "responseStatus": {"code": 200},
    }

    assert refused([once]) == refused([once, elsewhere]) == {("list", "", "secrets", "mail")}
    assert refused([once, later]) == set()
    assert used([once, later]) == {("list", "", "secrets")}


def test_what_is_watched_is_listed_and_watched(gateways):
    """The audit log shows each: the comparisons above are of something."""
    wanted = {(verb, kind.group, kind.plural) for kind in kinds.WATCHED for verb in ("list", "watch")}

    assert lines(wanted - used(asked(gateways.cluster))) == []
