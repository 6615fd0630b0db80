"""What the chart grants the operator, against what the API server's audit log shows that it did.

A verb is judged by use: here the operator does whatever it ever does, and the tests that ran before, on the same
control plane, count too. So that it comes last, this file is called as it is.
"""

import re

import pytest
import yaml

from mailport.operator import kinds
from tests.kube.cluster import ROOT
from tests.kube.gateways import ALL, NAMES, Gateways
from tests.kube.operating import OPERATOR, Node, Operator, helm, stopped_at_the_end

ELECTION = ("--leader-elect", "--lease-namespace=mailport-system")
AGENTS = ("mailport-operator/", "kopf/")  # other tests ask as the operator's user too: what it may not do
DONE = {*range(200, 300), 404, 409}  # what was not there, or not as it was seen, was asked for all the same
_REFUSED = re.compile(r'cannot (\w+) resource "([\w./-]+)" in API group "([\w.-]*)"')  # of RBAC, not of an admission


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
        with Node(controllers, gateways.namespace):
            make_all(gateways)
            tamper(gateways)
            leave_something(gateways)
            give_up(gateways)
        gateways.delete_all()
        assert operator.stop() == 0
    return gateways


def make_all(gateways):
    """A child of each kind, a pod, and a configuration that is poked into it."""
    gateways.apply(**ALL)
    gateways.until("Available", "MinimumReplicasAvailable", seconds=40)
    gateways.apply(**ALL, limits={"maxErrors": 7})
    gateways.until("ConfigLive", "Live", seconds=40)


def tamper(gateways):
    """What is changed is patched, and what is deleted is created."""
    gateways.patch("ConfigMap", "mx-c1", {"data": {"foreign": "1"}})
    for kind, name in NAMES.items():
        gateways.kubectl("delete", kind, name, "--wait=false", "--cascade=orphan")
    gateways.until_rendered(seconds=40, live_replicas=2)


def leave_something(gateways):
    """Children that are no longer rendered, as an operator of another version may have left them."""
    uid = gateways.get()["metadata"]["uid"]
    controller = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "name": "mx", "controller": True}
    for kind, name in (("ConfigMap", "mx-c0"), ("Deployment", "mx-old")):
        left = gateways.child(kind, NAMES[kind]).body
        left["metadata"] = {
            "name": name,
            "labels": {"mailport.dev/inboundsmtp": "mx"},
            "ownerReferences": [{**controller, "uid": uid}],
        }
        gateways.cluster.ask("POST", gateways.path(kind), left).expect_accepted()
        gateways.until_gone(kind, name)


def give_up(gateways):
    """Every child that a gateway need not have."""
    gateways.kubectl("create", "serviceaccount", "workload")
    gateways.apply(pod={"serviceAccountName": "workload"})
    for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceAccount"):
        gateways.until_gone(kind, NAMES[kind])


def granted():
    """What the chart grants: (verb, group, resource or resource/subresource)."""
    chart = ("template", "mailport", str(ROOT / "helm/mailport"), "--show-only=templates/rbac.yaml")
    roles = [each for each in yaml.safe_load_all(helm(*chart)) if each["kind"] in ("ClusterRole", "Role")]
    return {
        (verb, group, resource)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(cluster):
    """What the operator asked about objects so far."""
    for event in cluster.audit():
        by_operator = event["user"]["username"] == OPERATOR and event["userAgent"].startswith(AGENTS)
        if by_operator and "resource" in event.get("objectRef", {}):
            yield event


def done(event):
    """Which permissions were needed for what was done."""
    about, status = event["objectRef"], event.get("responseStatus", {}).get("code")
    what = (about.get("apiGroup", ""), "/".join(about[part] for part in ("resource", "subresource") if part in about))
    if status in DONE:
        yield (event["verb"], *what)
    if (event["verb"], status) == ("patch", 201):  # an apply of what was not there needs both
        yield ("create", *what)


def used(cluster):
    return {permission for event in asked(cluster) for permission in done(event)}


def refused(cluster):
    """Which were not given, and where; an API server learns of a role a moment after it is made."""
    found = set()
    for event in asked(cluster):
        namespace = event["objectRef"].get("namespace", "")
        if words := _REFUSED.search(event.get("responseStatus", {}).get("message", "")):
            verb, resource, group = words.groups()
            found.add((verb, group, resource, namespace))
        found -= {(*permission, namespace) for permission in done(event)}
    return found


def lines(permissions):
    return [f"{verb} {f'{resource}.{group}' if group else resource}" for verb, group, resource in sorted(permissions)]


def test_all_that_is_granted_is_used(gateways):
    """An unused verb is one more thing that a stolen token could do."""
    assert lines(granted() - used(gateways.cluster)) == []


def test_nothing_more_is_used_than_is_granted(gateways):
    """By no other role either."""
    assert lines(used(gateways.cluster) - granted()) == []


def test_nothing_was_refused(gateways):
    """Anywhere since the control plane started, by its roles; what a quota refuses is another matter."""
    assert refused(gateways.cluster) == set()


def test_what_is_watched_is_listed_and_watched(gateways):
    """The audit log shows each: the comparisons above are of something."""
    wanted = {(verb, kind.group, kind.plural) for kind in kinds.WATCHED for verb in ("list", "watch")}

    assert lines(wanted - used(gateways.cluster)) == []
