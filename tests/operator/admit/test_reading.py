"""An InboundSmtp as the API server returns it: read, or refused for a reason of the condition Accepted."""

import copy

import pytest

from mailport.contract import yaml_text
from mailport.operator.admit.reading import Refused, read
from tests.operator import making
from tests.operator.making import CORPUS, MINIMAL, ROOT
from tests.tables import table

# The API server has no object without metadata
BAD = sorted(path for path in (ROOT / "tests/corpus/bad").glob("*.yaml") if path.stem != "no-metadata")
METADATA = {
    "name": "mx",
    "namespace": "mail",
    "generation": 3,
    "uid": "0f6a3a5c-6c52-4f6b-9a55-0c0b1f6d7f5e",
    "resourceVersion": "4711",
    "creationTimestamp": "2026-11-22T10:00:00Z",
    "labels": {"team": "mail"},
    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:hostname": {}}}}],
}
STATUS = {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True", "later": "unknown here"}]}


def body(**spec):
    return {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": METADATA,
        "spec": MINIMAL | spec,
        "status": STATUS,
    }


def refusal(document):
    with pytest.raises(Refused) as caught:
        read(document)
    (reason,) = {refusal.reason for refusal in caught.value.refusals}
    return reason, "; ".join(str(refusal.fault) for refusal in caught.value.refusals)


def test_it_is_the_document_that_was_applied():
    """What the API server adds is left behind, and its object is not changed."""
    document = body()
    before = copy.deepcopy(document)

    assert read(document) == making.gateway("mx", namespace="mail", generation=3)
    assert document == before


@pytest.mark.parametrize(
    "spec, reason, message",
    table(
        {
            "a field of a later version": (
                {"quota": {"bytes": 1}},
                "UnsupportedField",
                "spec.quota: unknown field",
            ),
            "a destination of a later version, whatever else is wrong then": (
                {"hostname": "mx", "routes": [{"name": "a", "recipients": ["*@*"], "deliver": {"kafka": {}}}]},
                "UnsupportedField",
                "spec.routes[0].deliver.kafka: unknown field",
            ),
            "several fields": (
                {"quota": {}, "pod": {"colour": "blue"}},
                "UnsupportedField",
                "spec.pod.colour: unknown field; spec.quota: unknown field",
            ),
            "what no version takes": (
                {"listeners": []},
                "Invalid",
                "spec.listeners: must have at least 1 item",
            ),
            "what the fields say together": (
                {"listeners": [{"name": "smtp", "port": 25, "tls": {"mode": "Implicit"}}]},
                "Invalid",
                'spec.listeners[0].tls.mode: "Implicit" needs spec.tls',
            ),
            "all of it, each with its path": (
                {"replicas": -1, "networkPolicy": "Maybe"},
                "Invalid",
                'spec.replicas: must be between 0 and 1000; spec.networkPolicy: must be one of "Unmanaged", "Managed"',
            ),
        }
    ),
)
def test_it_is_refused_for_a_reason_with_what_is_wrong(spec, reason, message):
    assert refusal(body(**spec)) == (reason, message)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_good_documents_are_read(path):
    (document,) = yaml_text.read(path.read_bytes())

    assert read(document) == making.read(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_documents_are_refused(path):
    """Unknown fields as being of a later version; the CRD of this one would not have let them in."""
    (document,) = yaml_text.read(path.read_bytes())
    reason, message = refusal(document)

    assert reason == ("UnsupportedField" if "unknown field" in message else "Invalid")
