"""What an administrator gives every gateway, in a cluster: in the children, and never in the InboundSmtp."""

import pytest

from tests.kube.operating import OPERATOR, Operator, instead

LOAD_BALANCER = {"type": "LoadBalancer"}
FILE = """\
labels: {example.org/cost-centre: "4711"}
pod:
  tolerations: [{key: example.org/pool, operator: Exists}]
  resources: {requests: {cpu: 0.1}}
service:
  annotations: {service.beta.kubernetes.io/aws-load-balancer-scheme: internal}
  loadBalancerClass: example.org/first
"""


@pytest.fixture
def operator_with(gateways, operator, tmp_path):
    """Another operator with a file of defaults, in place of the one that runs."""

    def begin(content):
        (tmp_path / "defaults.yaml").write_text(content)
        defaults = f"--defaults={tmp_path / 'defaults.yaml'}"
        return instead(operator, Operator(gateways.cluster, OPERATOR, defaults, folder=tmp_path))

    return begin


def test_they_are_in_the_children_and_never_in_the_spec(gateways, operator_with):
    """Written once: what the API server keeps in another way is no drift."""
    with operator_with(FILE):
        gateways.apply(service=LOAD_BALANCER)
        gateways.until("Programmed", "Programmed")
        applied, found = gateways.get()["spec"], gateways.child("Deployment").body
        pod = found["spec"]["template"]
        service = gateways.child("Service").body

        assert pod["spec"]["tolerations"] == [{"key": "example.org/pool", "operator": "Exists"}]
        assert pod["metadata"]["labels"]["example.org/cost-centre"] == "4711"
        assert service["metadata"]["annotations"]["service.beta.kubernetes.io/aws-load-balancer-scheme"] == "internal"
        assert service["spec"]["loadBalancerClass"] == "example.org/first"
        assert applied["service"] == LOAD_BALANCER
        assert "pod" not in applied


def test_other_defaults_reach_what_is_there_but_for_a_class_that_nobody_can_change(gateways, operator_with):
    """Else each change of it would leave every gateway with ImmutableField."""
    with operator_with(FILE):
        gateways.apply(service=LOAD_BALANCER)
        gateways.until("Programmed", "Programmed")
    with operator_with("labels: {team: mail}\nservice: {loadBalancerClass: example.org/second}\n") as operator:
        gateways.cluster.wait_for(
            "they are there", lambda: gateways.child("Service").body["metadata"]["labels"].get("team") == "mail"
        )
        gateways.let_it_look(operator)
        service = gateways.child("Service").body

        assert gateways.condition("Programmed")["reason"] == "Programmed"
        assert service["spec"]["loadBalancerClass"] == "example.org/first"
        assert "example.org/cost-centre" not in service["metadata"]["labels"]
        assert "annotations" not in service["metadata"]
        gateways.apply("other", service=LOAD_BALANCER)
        gateways.until("Programmed", "Programmed", "other")
        assert gateways.child("Service", "other").body["spec"]["loadBalancerClass"] == "example.org/second"
