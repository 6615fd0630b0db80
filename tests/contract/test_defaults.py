"""The administrator's defaults, as a file."""

import pytest

from mailport.contract.defaults import Defaults, load
from mailport.contract.faults import Invalid
from tests.tables import table


@pytest.mark.parametrize("content", table({"nothing": b"", "a comment": b"# none\n", "an empty object": b"{}\n"}))
def test_a_file_with_nothing_in_it_has_no_defaults(content):
    assert load("defaults.yaml", content) == Defaults()


def test_all_of_it_is_read():
    """As in a spec."""
    read = load(
        "defaults.yaml",
        b"""
labels: {team: mail}
annotations: {example.org/owner: "mail team"}
pod:
  resources: {limits: {memory: 512Mi}}
  nodeSelector: {pool: mail}
  tolerations: [{key: mail, operator: Exists}]
  topologySpreadConstraints: []
  imagePullSecrets: [{name: registry}]
service:
  annotations: {service.beta.kubernetes.io/aws-load-balancer-scheme: internal}
  loadBalancerClass: service.k8s.aws/nlb
""",
    )

    assert read.labels == {"team": "mail"}
    assert read.pod.tolerations == ({"key": "mail", "operator": "Exists"},)
    assert read.pod.topology_spread_constraints == ()
    assert read.service.load_balancer_class == "service.k8s.aws/nlb"


@pytest.mark.parametrize(
    "content, fault",
    table(
        {
            "a field that is none": (b"pod: {replicas: 2}", "defaults.yaml: pod.replicas: unknown field"),
            "one of a pod that is for its InboundSmtp to say": (
                b"pod: {adminPort: 1}",
                "defaults.yaml: pod.adminPort: unknown field",
            ),
            "a label of ours": (
                b"labels: {app.kubernetes.io/name: x}",
                "defaults.yaml: labels[app.kubernetes.io/name]: labels of mailport.dev and",
            ),
            "two documents": (b"{}\n---\n{}\n", "defaults.yaml: must be an object"),
            "a list": (b"[]", "defaults.yaml: must be an object"),
            "no YAML": (b"a: [", "defaults.yaml: "),
        }
    ),
)
def test_what_is_wrong_is_said_with_its_place(content, fault):
    with pytest.raises(Invalid) as caught:
        load("defaults.yaml", content)

    assert str(caught.value).startswith(fault)
