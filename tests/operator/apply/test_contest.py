"""Who it is that changes a child back again and again."""

import pytest

from mailport.operator.apply.contest import managers
from tests.tables import table

REPLICAS, TYPE = {"f:spec": {"f:replicas": {}}}, {"f:spec": {"f:type": {}}}


def entry(manager, fields, operation="Update", time="2026-11-29T10:00:00Z", **subresource):
    return {"manager": manager, "operation": operation, "fieldsV1": fields, "time": time, **subresource}


OURS = entry("mailport-operator", REPLICAS | TYPE, "Apply")


@pytest.mark.parametrize(
    "others, paths, names",
    table(
        {
            "who has the field": ([entry("helm", TYPE), entry("istio", REPLICAS)], [".spec.type"], ["helm"]),
            "who scales by the subresource": (
                [entry("keda", REPLICAS, subresource="scale"), entry("helm", TYPE)],
                [".spec.replicas"],
                ["keda"],
            ),
            "not who writes the status": (
                [entry("kube-controller-manager", REPLICAS, subresource="status")],
                [".spec.replicas"],
                [],
            ),
            "another operator, which has our name": ([entry("mailport-operator", TYPE)], [".spec.type"], []),
            "who wrote last, where no field is left to name": (
                [
                    entry("keda", REPLICAS, subresource="scale", time="2026-11-29T10:00:01Z"),
                    entry("helm", TYPE),
                    entry("kube-controller-manager", {}, subresource="status", time="2026-11-29T10:00:02Z"),
                ],
                [],
                ["keda"],
            ),
        }
    ),
)
def test_the_field_managers_are_named(others, paths, names):
    assert managers({"metadata": {"managedFields": [OURS, *others]}}, paths) == names
