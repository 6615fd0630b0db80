"""The administrator's defaults in what is rendered."""

import json
from dataclasses import replace

import pytest

from mailport.contract.defaults import Defaults
from mailport.operator.children.configuration import render
from mailport.operator.children.manifests import children
from tests.operator.making import CORPUS, GIVEN, by_kind, gateway, look, read
from tests.tables import table

POD = "spec.template.spec"
LABELS = "spec.template.metadata.labels"
ANNOTATIONS = "spec.template.metadata.annotations"
LOAD_BALANCER = {"type": "LoadBalancer"}
OURS = {
    "app.kubernetes.io/name": "mailport",
    "app.kubernetes.io/instance": "mx",
    "app.kubernetes.io/component": "listener",
    "app.kubernetes.io/managed-by": "mailport-operator",
    "mailport.dev/inboundsmtp": "mx",
}
DEFAULTS = {
    "labels": {"team": "mail", "cost": "1"},
    "annotations": {"owner": "mail", "mesh": "no"},
    "pod": {
        "resources": {"requests": {"cpu": "1"}},
        "nodeSelector": {"pool": "mail"},
        "tolerations": [{"key": "mail"}],
        "topologySpreadConstraints": [{"maxSkew": 2}],
        "imagePullSecrets": [{"name": "registry"}],
    },
    "service": {"annotations": {"scheme": "internal", "pool": "a"}, "loadBalancerClass": "example.com/lb"},
}


def with_defaults(**known):
    return replace(GIVEN, defaults=Defaults.parse_json(json.dumps(DEFAULTS)), **known)


@pytest.mark.parametrize(
    "spec, kind, path, expected",
    table(
        {
            "resources": ({}, "Deployment", f"{POD}.containers.0.resources", {"requests": {"cpu": "1"}}),
            "of the InboundSmtp, whole": (
                {"pod": {"resources": {"limits": {"memory": "1Gi"}}}},
                "Deployment",
                f"{POD}.containers.0.resources",
                {"limits": {"memory": "1Gi"}},
            ),
            "none at all, where it says so": (
                {"pod": {"resources": {}}},
                "Deployment",
                f"{POD}.containers.0.resources",
                None,
            ),
            "nodes": ({}, "Deployment", f"{POD}.nodeSelector", {"pool": "mail"}),
            "of the InboundSmtp alone": (
                {"pod": {"nodeSelector": {"disk": "ssd"}}},
                "Deployment",
                f"{POD}.nodeSelector",
                {"disk": "ssd"},
            ),
            "any, where it says so": ({"pod": {"nodeSelector": {}}}, "Deployment", f"{POD}.nodeSelector", None),
            "tolerations": ({}, "Deployment", f"{POD}.tolerations", [{"key": "mail"}]),
            "none, where it says so": ({"pod": {"tolerations": []}}, "Deployment", f"{POD}.tolerations", None),
            "how pods are spread": ({}, "Deployment", f"{POD}.topologySpreadConstraints", [{"maxSkew": 2}]),
            "or not, where it says so": (
                {"pod": {"topologySpreadConstraints": []}},
                "Deployment",
                f"{POD}.topologySpreadConstraints",
                None,
            ),
            "what the image is pulled with": ({}, "Deployment", f"{POD}.imagePullSecrets", [{"name": "registry"}]),
            "annotations of the Service, key by key": (
                {"service": {"annotations": {"pool": "b", "own": "1"}}},
                "Service",
                "metadata.annotations",
                {"owner": "mail", "mesh": "no", "scheme": "internal", "pool": "b", "own": "1"},
            ),
            "the class of a load balancer": (
                {"service": LOAD_BALANCER},
                "Service",
                "spec.loadBalancerClass",
                "example.com/lb",
            ),
            "or the one that the InboundSmtp names": (
                {"service": LOAD_BALANCER | {"loadBalancerClass": "example.com/own"}},
                "Service",
                "spec.loadBalancerClass",
                "example.com/own",
            ),
            "none of what is no load balancer": ({}, "Service", "spec.loadBalancerClass", None),
            "labels of each object": ({}, "ConfigMap", "metadata.labels", {"team": "mail", "cost": "1"} | OURS),
            "and of pods, key by key": (
                {"pod": {"labels": {"cost": "2", "own": "1"}}},
                "Deployment",
                LABELS,
                {"team": "mail", "cost": "2", "own": "1"} | OURS,
            ),
            "annotations of each object": ({}, "ServiceAccount", "metadata.annotations", DEFAULTS["annotations"]),
            "and of pods, likewise, beside ours": (
                {"pod": {"annotations": {"mesh": "yes"}}, "network": {"ipFamilies": ["IPv4"]}},
                "Deployment",
                ANNOTATIONS,
                {"owner": "mail", "mesh": "yes", "mailport.dev/sockets": "IPv4"},
            ),
            "selectors are ours alone": (
                {},
                "Deployment",
                "spec.selector.matchLabels",
                {"mailport.dev/inboundsmtp": "mx"},
            ),
        }
    ),
)
def test_what_the_inboundsmtp_does_not_say_is_the_administrators(spec, kind, path, expected):
    """None is: the field is left out."""
    assert look(by_kind(gateway(**spec), with_defaults())[kind], path) == expected


def test_every_object_has_the_labels_that_policies_ask_for():
    """Of each kind."""
    everything = gateway(networkPolicy="Managed", autoscaling={"maxReplicas": 3})
    rendered = children(everything, with_defaults())

    assert len(rendered) == 7
    assert all(child["metadata"]["labels"].items() >= DEFAULTS["labels"].items() for child in rendered)
    assert all(child["metadata"]["annotations"].items() >= DEFAULTS["annotations"].items() for child in rendered)


@pytest.mark.parametrize(
    "live, default, expected",
    table(
        {
            "a new Service gets the default": (None, "example.com/new", "example.com/new"),
            "one that is there keeps its class": ("example.com/old", "example.com/new", "example.com/old"),
            "or none": ("", "example.com/new", None),
            "and keeps it when the default goes": ("example.com/old", None, "example.com/old"),
        }
    ),
)
def test_the_class_of_a_load_balancer_that_is_there_stays(live, default, expected):
    """Nobody can change it: another default would stall every gateway that there is."""
    defaults = {"service": {"loadBalancerClass": default} if default else {}}
    given = replace(GIVEN, defaults=Defaults.parse_json(json.dumps(defaults)), live_load_balancer_class=live)
    service = by_kind(gateway(service=LOAD_BALANCER), given)["Service"]

    assert service["spec"].get("loadBalancerClass") == expected


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_without_defaults_nothing_is_another(path):
    """And with them the listener's configuration is not: they are for Kubernetes alone."""
    made = read(path)
    plain, given = (children(made, inputs) for inputs in (replace(GIVEN, defaults=Defaults()), with_defaults()))
    maps = [[child["data"] for child in each if child["kind"] == "ConfigMap"] for each in (plain, given)]

    assert plain == children(made, GIVEN)
    assert maps[0] == maps[1]
    assert read(path) == made
    assert render(made, 1)


def test_defaults_and_documents_share_nothing_with_what_is_rendered():
    """Who changes a manifest changes no default."""
    given = with_defaults()
    pod = look(by_kind(gateway(), given)["Deployment"], POD)
    pod["tolerations"][0]["key"] = "other"
    pod["containers"][0]["resources"]["requests"]["cpu"] = "2"

    assert given.defaults == Defaults.parse_json(json.dumps(DEFAULTS))
