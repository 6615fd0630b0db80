"""What Kubernetes' own controllers make of what the chart renders."""

import json

import pytest

from mailport.operator.kinds import CHILDREN
from tests.chart.charts import documents
from tests.operator.making import EVERYTHING_ALLOWED, ROOT
from tests.tables import table

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/"
CLUSTER_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"


@pytest.mark.parametrize(
    "values",
    table(
        {
            "nothing allowed": "--set=allow=null",
            "everything": f"--set-json=allow={json.dumps(EVERYTHING_ALLOWED.split(','))}",
            "some by pattern, and some by default": f"--values={ROOT / 'tests/chart/values/authors-and-defaults.yaml'}",
        }
    ),
)
def test_the_expressions_of_the_policies_fit_their_kinds(helm, controllers, values):
    """A controller checks their types, and notes what does not fit."""
    shown = "--show-only=templates/admission-policy.yaml"
    text = helm.text(values, shown)
    names = [each["metadata"]["name"] for each in documents(text) if each["kind"] == "ValidatingAdmissionPolicy"]

    def checked(name):
        return controllers.ask("GET", POLICIES + name).expect_accepted().body.get("status", {}).get("typeChecking")

    controllers.kubectl("apply", "-f", "-", stdin=text)
    try:
        controllers.wait_for("all are checked", lambda: None not in map(checked, names))

        assert len(names) == len(CHILDREN) + 1
        assert [checked(name) for name in names] == [{}] * len(names)
    finally:
        controllers.kubectl("delete", "-f", "-", stdin=text)


def verbs(cluster, role):
    """What a ClusterRole may do with InboundSmtps."""
    rules = cluster.ask("GET", CLUSTER_ROLES + role).expect_accepted().body.get("rules") or ()
    return {verb for rule in rules if "inboundsmtps" in rule.get("resources", ()) for verb in rule["verbs"]}


def test_view_edit_and_admin_include_inboundsmtps_where_that_is_wanted(helm, controllers):
    """By aggregation; who may only view may not write."""
    shown = ("--show-only=templates/user-roles.yaml", "--set=userRoles.aggregate=true")
    text = helm.text(*shown)
    read, write = {"get", "list", "watch"}, {"create", "update", "patch", "delete", "deletecollection"}
    controllers.kubectl("apply", "-f", "-", stdin=text)
    try:
        controllers.wait_for("admin includes them", lambda: verbs(controllers, "admin") == read | write)
        controllers.wait_for("edit includes them", lambda: verbs(controllers, "edit") == read | write)
        controllers.wait_for("view includes them", lambda: verbs(controllers, "view") == read)
    finally:
        controllers.kubectl("delete", "-f", "-", stdin=text)
