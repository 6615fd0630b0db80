"""What `render` makes, put to a real API server."""

import json

import pytest

from mailport.contract import yaml_text
from mailport.operator import metadata
from mailport.operator.admit.accepted import refusals
from mailport.operator.apply.drift import differences
from mailport.operator.children.manifests import children
from tests.operator.making import CORPUS, GIVEN, ROOT, read

PLURALS = {
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Service": "services",
    "Deployment": "deployments",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "NetworkPolicy": "networkpolicies",
}
DOCUMENTS = [*CORPUS, *sorted((ROOT / "tests/operator/children/documents").glob("*.yaml"))]
# Refused for what only this cluster lacks: IPv6. The rest of the document's children is applied.
OTHER_FAMILY = 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'


def place(child, namespace):
    version = child["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{PLURALS[child['kind']]}"


def within(made, namespace):
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"namespace": namespace})})


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.stem)
def made(request):
    made = read(request.param)
    if list(refusals(made, GIVEN)):
        made = made.model_copy(
            update={
                "spec": made.spec.model_copy(
                    update={"network": made.spec.network.model_copy(update={"bind_addresses": ()})}
                )
            }
        )
    return made


def secure(cluster, namespace, level):
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}
    path = f"/api/v1/namespaces/{namespace}"
    cluster.ask("PATCH", path, label, content_type="application/merge-patch+json").expect_accepted()


def ours(found):
    """What the API server notes of our own writes, and when it was: controllers may write beside us."""
    return [entry for entry in found["metadata"]["managedFields"] if entry["manager"] == metadata.OPERATOR]


def test_children_are_kept_as_they_are_applied_and_applied_again_are_not_written(cluster, namespace, made):
    """Strictly; nothing that we apply is normalised into something else, which would be drift for ever."""
    for child in children(
        within(made, namespace), GIVEN
    ):  # an owner that is not there would call the garbage collector
        path = f"{place(child, namespace)}/{child['metadata']['name']}"
        content = json.dumps(child).encode()
        first = cluster.server_side_apply(path, content, fieldManager=metadata.OPERATOR)
        if OTHER_FAMILY in first.body.get("message", ""):
            continue
        first.expect_accepted()
        again = cluster.server_side_apply(path, content, fieldManager=metadata.OPERATOR)

        assert list(differences(child, first.body)) == []
        assert ours(again.body) == ours(first.body)
    for child in children(made, GIVEN):  # node ports belong to the whole cluster
        if child["kind"] == "Service":
            cluster.ask("DELETE", f"{place(child, namespace)}/{child['metadata']['name']}")


def test_a_namespace_that_enforces_the_restricted_standard_takes_the_pod(cluster, namespace, made):
    """And refuses it with hostNetwork, for that and for root, where it is root."""
    secure(cluster, namespace, "restricted")
    template = next(c for c in children(made, GIVEN) if c["kind"] == "Deployment")["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "mx"},
        "spec": template["spec"],
    }
    for field in ("priorityClassName", "runtimeClassName"):  # which are not in this cluster
        pod["spec"].pop(field, None)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": pod["spec"]["serviceAccountName"]}}
    cluster.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account).expect_accepted()
    answer = cluster.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod, fieldValidation="Strict")

    if made.spec.network.host_network:
        assert answer.status == 403
        assert "hostNetwork=true" in answer.body["message"]
        assert ("runAsUser=0" in answer.body["message"]) == (made.spec.pod.run_as_user is None)
    else:
        answer.expect_accepted()


@pytest.mark.parametrize("name", ["minimal", "host-network", "pod-settings"])
def test_kubectl_applies_what_the_command_prints(cluster, namespace, name):
    """Client-side, as most people do; a second time nothing changes."""
    made = within(read(ROOT / f"tests/corpus/good/{name}.yaml"), namespace)
    text = yaml_text.dump(children(made, GIVEN))
    cluster.kubectl("apply", "-f", "-", stdin=text)
    again = cluster.kubectl("apply", "-f", "-", stdin=text)

    # kubectl patches a PodDisruptionBudget's selector each time (patchStrategy: replace), to the same
    lines = [line for line in again.splitlines() if not line.startswith("poddisruptionbudget")]
    assert [line for line in lines if not line.endswith("unchanged")] == []
