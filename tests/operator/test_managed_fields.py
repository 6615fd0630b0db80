"""Who owns which field, and what is kept of an object."""

import copy

import pytest

from mailport.operator.apply.drift import differences
from mailport.operator.managed_fields import compact, is_our_apply, replicas_owned_by_others
from tests.operator.apply.test_drift import (
    DEPLOYMENT,
    SERVICE,
    nested,
    owned_by,
    seen,
)
from tests.tables import table

SCALED = nested("f:spec", "f:replicas")


@pytest.mark.parametrize(
    "changes, is_owned",
    table(
        {
            "nobody else": ([], False),
            "an autoscaler, by the scale subresource": (
                [owned_by("kube-controller-manager", SCALED, subresource="scale")],
                True,
            ),
            "a person": ([owned_by("kubectl-edit", SCALED)], True),
            "the controller that counts them owns a status": (
                [owned_by("kube-controller-manager", nested("f:status", "f:replicas"), subresource="status")],
                False,
            ),
            "ourselves by another way": ([owned_by("mailport-operator", SCALED)], False),
        }
    ),
)
def test_replicas_are_someone_elses_where_another_manager_owns_them(changes, is_owned):
    """Of a compact object as of a whole one."""
    observed = seen(DEPLOYMENT, *changes)

    assert replicas_owned_by_others(observed) is is_owned
    assert replicas_owned_by_others(compact(observed)) is is_owned


def test_compact_leaves_out_what_nobody_reads():
    """The object itself is not changed."""
    status = nested("f:status", "f:conditions")
    observed = seen(
        DEPLOYMENT,
        owned_by("kube-controller-manager", status, subresource="status", fieldsType="FieldsV1"),
        owned_by("kubectl-edit", SCALED | {"f:metadata": {"f:labels": {}}}),
        ("metadata/annotations", {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}),
    )
    before = copy.deepcopy(observed)
    ours = observed["metadata"]["managedFields"][0]
    smaller = compact(observed)

    assert observed == before
    assert smaller["metadata"] == observed["metadata"] | {
        "annotations": {"a": "b"},
        "managedFields": [
            ours,
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"},
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": SCALED},
        ],
    }
    assert {field: value for field, value in smaller.items() if field != "metadata"} == {
        field: value for field, value in observed.items() if field != "metadata"
    }


def test_an_object_without_managed_fields_is_compact():
    """As in an answer to a request for metadata without them."""
    assert compact(SERVICE) == SERVICE


def test_where_owners_are_unknown_values_alone_are_compared():
    """As in what `render` prints."""
    assert list(differences(SERVICE, SERVICE)) == []
    assert list(differences(SERVICE, SERVICE | {"kind": "Pod"})) == [".kind"]


def test_a_status_that_we_applied_makes_no_object_ours():
    """Of an InboundSmtp we apply the status alone."""
    ours = {"manager": "mailport-operator", "operation": "Apply"}

    assert is_our_apply(ours)
    assert not is_our_apply(ours | {"subresource": "status"})
    assert not is_our_apply(ours | {"operation": "Update"})
    assert not is_our_apply(ours | {"manager": "kubectl"})
