"""What is valid and cannot be served in Kubernetes, by the condition's reason."""

from dataclasses import replace

import pytest

from mailport.contract.faults import Fault
from mailport.operator.admit.accepted import refusals
from mailport.operator.admit.refusal import Refusal
from tests.operator.making import CORPUS, GIVEN, gateway, maildir, read
from tests.tables import table

S3 = {"routes": [{"name": "staff", "recipients": ["*@example.org"], "deliver": {"s3": {"bucket": "mail"}}}]}


@pytest.mark.parametrize(
    "spec, reason, fault",
    table(
        {
            "addresses of a node, in a pod's own network": (
                {"network": {"bindAddresses": ["192.0.2.25"]}},
                "BindAddressUnavailable",
                "spec.network.bindAddresses: a pod has none of a node's addresses: needs spec.network.hostNetwork",
            ),
            "a format of a later version": (
                {"pod": {"configFormat": 3}},
                "UnsupportedField",
                "spec.pod.configFormat: the listener's configuration is written in formats 1 and 2 here",
            ),
            "a size of mailboxes that an older listener would not hold mail to": (
                {"pod": {"configFormat": 1, "mailboxSize": "1Gi"}, "routes": [maildir("a", None)]},
                "UnsupportedField",
                "spec.pod.mailboxSize: a listener of configFormat 1 does not hold mail to it",
            ),
            "a destination that an older listener does not serve, whatever its image": (
                {"pod": {"configFormat": 1, "image": "mailport:mine"}, **S3},
                "UnsupportedField",
                "spec.routes[0].deliver.s3: the configuration of configFormat 1 does not carry it",
            ),
        }
    ),
)
def test_it_is_refused_for_that_reason_alone(spec, reason, fault):
    """With the path and the words that status shows."""
    found = [(refusal.reason, str(refusal.fault)) for refusal in refusals(gateway(**spec), GIVEN)]

    assert found == [(reason, fault)]


def test_the_operators_own_option_may_ask_for_an_unknown_format_too():
    """--listener-format is held to the same."""
    assert [refusal.reason for refusal in refusals(gateway(), replace(GIVEN, listener_format=9))] == [
        "UnsupportedField"
    ]


EXCLUSIVE = replace(GIVEN, exclusive_claims=frozenset({"mail", "archive", "of-another"}))
CLAIMS = {"routes": [maildir("a", "shared"), maildir("b", "mail"), maildir("c", None), maildir("d", "archive")]}


@pytest.mark.parametrize(
    "spec, most",
    table(
        {
            "two replicas": ({"replicas": 2}, 2),
            "one now, and three by autoscaling": ({"autoscaling": {"minReplicas": 1, "maxReplicas": 3}}, 3),
        }
    ),
)
def test_claims_of_one_node_are_not_shared(spec, most):
    """Each route that names one is named."""
    found = list(refusals(gateway(**CLAIMS, **spec), EXCLUSIVE))
    message = f"can be mounted by one node alone, and there may be {most} replicas"

    assert found == [
        Refusal("ClaimNotShared", Fault(f"spec.routes[{index}].deliver.maildir.claimName", f"{claim} {message}"))
        for index, claim in ((1, "mail"), (3, "archive"))
    ]


@pytest.mark.parametrize(
    "spec, given",
    table(
        {
            "one replica": ({"replicas": 1}, EXCLUSIVE),
            "none for now": ({"replicas": 0}, EXCLUSIVE),
            "at most one by autoscaling, which replicas is left out of": (
                {"replicas": 2, "autoscaling": {"maxReplicas": 1}},
                EXCLUSIVE,
            ),
            "claims that several nodes can mount": ({"replicas": 2}, GIVEN),
        }
    ),
)
def test_claims_serve_one_replica_or_are_shared(spec, given):
    assert not list(refusals(gateway(**CLAIMS, **spec), given))


def test_addresses_of_a_node_are_there_on_its_network():
    """With hostNetwork they can be bound."""
    network = {"bindAddresses": ["192.0.2.25"], "hostNetwork": True}

    assert not list(refusals(gateway(network=network), GIVEN))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_good_documents_are_accepted(path):
    """All but those that bind addresses of their own host."""
    made = read(path)
    own_host = bool(made.spec.network.bind_addresses) and not made.spec.network.host_network

    assert [refusal.reason for refusal in refusals(made, GIVEN)] == ["BindAddressUnavailable"] * own_host
