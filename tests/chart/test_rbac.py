"""Who may do what: the operator, and people. The operator's own tests show that it is enough for it."""

import pytest

from mailport.operator.kinds import CHILDREN, DEPLOYMENT, LEASE, SERVICE, WATCHED
from tests.chart.charts import NAMESPACE, VALUES, find
from tests.kube.cluster import ROOT

NAMESPACED = ROOT / "tests/chart/values/namespaced.yaml"
READ_ALL, WATCH = {"get", "list", "watch"}, {"list", "watch"}


def granted(rules):
    """Verbs by group and resource, of rules that are not bound to names."""
    found = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                if "resourceNames" not in rule:
                    found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def of_watched():
    """What the operator's kinds need, as all rooms use them."""
    needed = {(kind.group, kind.plural): set(WATCH) for kind in WATCHED}
    for kind in CHILDREN:
        needed[kind.group, kind.plural] |= {"get", "create", "patch", "delete"}
    for kept in (SERVICE, DEPLOYMENT):
        needed[kept.group, kept.plural] -= {"delete"}
    needed["", "pods"] |= {"patch"}
    return needed | {("mailport.dev", "inboundsmtps/status"): {"patch"}, ("", "events"): {"create", "list"}}


def test_the_operator_may_do_what_its_kinds_need_and_no_more(helm):
    """Everywhere; and hear of the definition of InboundSmtps."""
    role = find(helm.render(), "ClusterRole", f"mailport-operator.{NAMESPACE}")
    around = {("apiextensions.k8s.io", "customresourcedefinitions"): WATCH}

    assert granted(role["rules"]) == of_watched() | around


def test_in_some_namespaces_it_may_do_the_same_there(helm):
    """With a Role in each, and nothing in the whole cluster."""
    manifests = helm.render(f"--values={NAMESPACED}")
    roles = {
        each["metadata"]["namespace"]: granted(each["rules"])
        for each in manifests
        if each["kind"] == "Role" and each["metadata"]["name"] == "mailport-operator"
    }
    bound = {
        each["metadata"]["namespace"]: each["subjects"]
        for each in manifests
        if each["kind"] == "RoleBinding" and each["metadata"]["name"] == "mailport-operator"
    }
    account = [{"kind": "ServiceAccount", "name": "mailport-operator", "namespace": NAMESPACE}]

    assert roles == {"mail": of_watched(), "lists": of_watched()}
    assert bound == {"mail": account, "lists": account}
    assert [each for each in manifests if "namespace" not in each["metadata"]] == []


def test_the_lease_is_its_own(helm):
    """By name, in its own namespace; only creating it cannot be bound to a name."""
    role = find(helm.render(), "Role", "mailport-operator-lease")
    (named,) = (rule for rule in role["rules"] if "resourceNames" in rule)

    assert role["metadata"]["namespace"] == NAMESPACE
    assert granted(role["rules"]) == {(LEASE.group, LEASE.plural): {"create"}}
    assert (named["resourceNames"], set(named["verbs"])) == (["mailport-operator"], {"get", "update"})


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_no_role_is_generous(helm, values):
    """No wildcard, no Secret, no way to more rights."""
    rules = [
        rule
        for each in helm.render(f"--values={values}", "--set=rbac.create=true")
        if each["kind"] in {"Role", "ClusterRole"}
        for rule in each["rules"]
    ]
    words = {word for rule in rules for field in ("apiGroups", "resources", "verbs") for word in rule[field]}

    assert rules
    assert words & {"*", "secrets", "pods/exec", "serviceaccounts/token", "impersonate", "bind", "escalate"} == set()


def test_people_may_read_or_write_inboundsmtps_and_nothing_else(helm):
    """And never their status, which is the operator's."""
    manifests = helm.render()
    view = granted(find(manifests, "ClusterRole", "mailport-inboundsmtps-view")["rules"])
    edit = granted(find(manifests, "ClusterRole", "mailport-inboundsmtps-edit")["rules"])
    group = "mailport.dev"

    assert view == {
        (group, "inboundsmtps"): READ_ALL,
        (group, "inboundsmtps/status"): {"get"},
        (group, "inboundsmtps/scale"): {"get"},
    }
    assert edit == {
        (group, "inboundsmtps"): READ_ALL | {"create", "update", "patch", "delete", "deletecollection"},
        (group, "inboundsmtps/status"): {"get"},
        (group, "inboundsmtps/scale"): {"get", "update", "patch"},
    }
