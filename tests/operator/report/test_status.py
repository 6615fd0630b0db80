"""The status of an InboundSmtp beside its conditions: addresses, listeners, certificates, what is missing."""

import pytest

from mailport.operator.reason import Reason
from mailport.operator.report.status import status
from tests.operator.report.observing import (
    ASKED_FOR,
    EXPIRY,
    HASH,
    NO_KEY,
    NOW,
    OLD,
    THEN,
    TLS,
    certificate,
    deployment,
    first_visit,
    pod,
    refused,
    report,
    see,
    service,
)
from tests.tables import table


def test_all_of_it():
    """As in contract/inboundsmtp.yaml, for a gateway like the one there."""
    spec = {
        "replicas": 2,
        "listeners": [{"name": "smtp", "port": 25}, {"name": "submission", "port": 587}],
        "service": {"type": "LoadBalancer"},
    } | TLS
    said = report(
        certificates=(
            {"secretName": "other-tls", "serialNumber": "0A", "notAfter": EXPIRY},
            {"secretName": "mx-tls", "serialNumber": "4F", "notAfter": EXPIRY},
        ),
        missing=({**NO_KEY, "name": "other-tls", "field": "spec.tls.certificateRefs[1]"},),
    )
    seen = see(
        pod("mx-1", says=said, ports=(25, 587)),
        pod("mx-2", says=said),
        spec=spec,
        service=service("LoadBalancer", ingress=[{"ip": "192.0.2.25"}], node_ports={"smtp": 30025}),
    )
    made = status(seen, NOW)

    del made["conditions"]
    assert made == {
        "observedGeneration": 3,
        "replicas": 2,
        "readyReplicas": 2,
        "selector": "mailport.dev/inboundsmtp=mx",
        "configHash": HASH,
        "ports": "25,587",
        "addresses": [{"type": "IPAddress", "value": "192.0.2.25"}],
        "listeners": [
            {"name": "smtp", "port": 25, "nodePort": 30025, "ready": True},
            {"name": "submission", "port": 587, "ready": True},
        ],
        "certificates": [
            {"secretName": "mx-tls", "serialNumber": "4F", "notAfter": EXPIRY},
            {"secretName": "other-tls", "serialNumber": "0A", "notAfter": EXPIRY},
        ],
        "missing": [
            {"kind": "Secret", "name": "other-tls", "key": "tls.key", "field": "spec.tls.certificateRefs[1]"},
        ],
    }


ON_HOST = {"network": {"hostNetwork": True}, "service": {"type": "None"}}
NODES = (
    pod("mx-1", hosts=("192.0.2.2", "2001:db8::2")),
    pod("mx-2", hosts=("192.0.2.1",)),
    pod("mx-3", hosts=("192.0.2.1",)),
    pod("mx-4", ready=False, hosts=("192.0.2.4",)),
)


@pytest.mark.parametrize(
    "seen, addresses",
    table(
        {
            "the load balancer's, addresses and names, each once and sorted": (
                see(
                    service=service(
                        "LoadBalancer",
                        ingress=[
                            {"ip": "192.0.2.26"},
                            {"hostname": "lb.example.org"},
                            {"ip": "192.0.2.25"},
                            {"ip": "192.0.2.26"},
                        ],
                    )
                ),
                ["IPAddress 192.0.2.25", "IPAddress 192.0.2.26", "Hostname lb.example.org"],
            ),
            "one that has both is its address": (
                see(service=service("LoadBalancer", ingress=[{"ip": "192.0.2.25", "hostname": "lb.example.org"}])),
                ["IPAddress 192.0.2.25"],
            ),
            "a load balancer that is still to come": (
                see(spec=ASKED_FOR, service=service("LoadBalancer", ingress=[])),
                [],
            ),
            "both families of the cluster": (
                see(service=service(ips=("fd00::25", "10.96.0.25"))),
                ["IPAddress 10.96.0.25", "IPAddress fd00::25"],
            ),
            "the nodes of ready pods": (
                see(*NODES, spec=ON_HOST, service=None, deployment=deployment(4, host_network=True)),
                ["IPAddress 192.0.2.1", "IPAddress 192.0.2.2", "IPAddress 2001:db8::2"],
            ),
            "a headless Service has none": (see(service=service(ips=("None",))), []),
            "pods on a network of their own have none to offer": (
                see(*NODES, spec={"service": {"type": "None"}}, service=None),
                [],
            ),
            "no more than sixteen": (
                see(service=service(ingress=[{"ip": f"192.0.2.{number}"} for number in range(100, 120)])),
                [f"IPAddress 192.0.2.{number}" for number in range(100, 116)],
            ),
            "of an invalid spec, those that serve on": (
                refused("Invalid", pods=NODES, service=None, deployment=deployment(4, host_network=True)),
                ["IPAddress 192.0.2.1", "IPAddress 192.0.2.2", "IPAddress 2001:db8::2"],
            ),
        }
    ),
)
def test_addresses_are_where_mail_can_be_sent(seen, addresses):
    """The load balancer's, else the cluster's, else the nodes'."""
    assert [f"{one['type']} {one['value']}" for one in status(seen, NOW)["addresses"]] == addresses


@pytest.mark.parametrize(
    "seen, ready",
    table(
        {
            "a ready pod listens": (see(), True),
            "the pods of before do not listen there yet": (see(pod(ports=(2525,))), False),
            "one new pod does": (see(pod("mx-1", ports=(2525,)), pod("mx-2")), True),
            "the pod is not ready": (see(pod(ready=False)), False),
        }
    ),
)
def test_a_listener_is_ready_where_a_ready_pod_listens(seen, ready):
    assert status(seen, NOW)["listeners"] == [{"name": "smtp", "port": 25, "ready": ready}]


def test_an_invalid_spec_keeps_what_still_serves():
    """Ports and configuration from before; how many pods and how they are, as seen now."""
    before = status(see(), THEN)
    made = status(refused("Invalid", before=before, config_hash=None, pods=(pod(ready=False),)), NOW)

    kept = ("selector", "configHash", "ports", "addresses")
    assert {field: made[field] for field in kept} == {field: before[field] for field in kept}
    assert made["listeners"] == [{"name": "smtp", "port": 25, "ready": False}]
    assert (made["observedGeneration"], made["replicas"], made["readyReplicas"]) == (3, 1, 0)


def test_of_a_spec_that_was_never_accepted_there_is_little_to_say():
    """And nothing is made up."""
    made = status(first_visit(gateway=None, accepted=Reason("Accepted", "Invalid", "bad")), NOW)

    del made["conditions"]
    assert made == {
        "observedGeneration": 3,
        "replicas": 0,
        "readyReplicas": 0,
        "selector": "mailport.dev/inboundsmtp=mx",
        "addresses": [],
        "listeners": [],
        "certificates": [],
        "missing": [],
    }


@pytest.mark.parametrize(
    "seen, numbers",
    table(
        {
            "a ready pod with the current configuration, the first by name": (
                see(
                    pod("mx-1", ready=False, says=report(certificates=(certificate("01"),))),
                    pod("mx-2", says=report(OLD, certificates=(certificate("02"),))),
                    pod("mx-4", says=report(certificates=(certificate("04"),))),
                    pod("mx-3", says=report(certificates=(certificate("03"),))),
                    spec=TLS,
                ),
                ["03"],
            ),
            "any other pod, where there is none": (
                see(pod(ready=False, says=report(OLD, certificates=(certificate("01"),))), spec=TLS),
                ["01"],
            ),
            "no pod answers": (see(pod(silent=True), spec=TLS), []),
            "of a Secret that the spec no longer names": (see(pod(says=report(certificates=(certificate("01"),)))), []),
            "in the listener's order, where the spec is invalid": (
                refused(
                    "Invalid", pods=(pod(says=report(certificates=(certificate("02", "b"), certificate("01", "a")))),)
                ),
                ["02", "01"],
            ),
        }
    ),
)
def test_certificates_are_those_that_are_served(seen, numbers):
    assert [one["serialNumber"] for one in status(seen, NOW)["certificates"]] == numbers


def test_what_several_pods_miss_is_listed_once_in_the_order_of_fields():
    """Fields count as people do: the tenth route comes after the second."""
    webhook = {"url": "https://hook.example.org/", "signingSecretRef": {"name": "hook", "key": "key"}}
    routes = [
        {"name": f"r{n}", "recipients": [f"*@r{n}.example.org"], "deliver": {"webhook": webhook}} for n in range(11)
    ]
    fields = [f"spec.routes[{n}].deliver.webhook.signingSecretRef" for n in (10, 2, 1)]
    missed = [{"kind": "Secret", "name": "hook", "key": "key", "field": field} for field in fields]
    claim = {"kind": "PersistentVolumeClaim", "name": "mail", "field": "spec.routes[3].deliver.maildir.claimName"}
    seen = see(
        pod("mx-1", says=report(missing=tuple(missed))),
        pod("mx-2", says=report(missing=tuple(missed[:2]))),
        spec={"routes": routes},
        missing_claims=(claim,),
    )

    assert status(seen, NOW)["missing"] == [missed[2], missed[1], claim, missed[0]]
