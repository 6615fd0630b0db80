"""What the definition says of a field (`kubectl explain`), held against what becomes of it."""

import re
from functools import cache

import pytest
import yaml

from mailport.operator.admit import permitted
from tests.operator.making import GIVEN, ROOT, by_kind, gateway, look, maildir
from tests.tables import table


@cache
def descriptions():
    """By the path of the field, as spec.listeners[].nodePort."""
    (version,) = yaml.safe_load((ROOT / "crds/inboundsmtp.yaml").read_text())["spec"]["versions"]
    found = {}

    def note(schema, path):
        found[path] = schema.get("description", "")
        for name, below in schema.get("properties", {}).items():
            note(below, f"{path}.{name}")
        if "items" in schema:
            note(schema["items"], f"{path}[]")

    note(version["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec")
    return found


POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
ON_THE_NODE = {"network": {"hostNetwork": True}}
BALANCED = {"service": {"type": "LoadBalancer"}}
SCALED = {"autoscaling": {"maxReplicas": 3}}
INSIDE = {"routes": [maildir("people", None)]}


@pytest.mark.parametrize(
    "field, words, spec, kind, path, expected",
    table(
        {
            "hostNetwork: the node's": (
                "network.hostNetwork",
                "use the node's network",
                ON_THE_NODE,
                "Deployment",
                f"{POD}.hostNetwork",
                True,
            ),
            "hostNetwork: root": (
                "network.hostNetwork",
                "is then root",
                ON_THE_NODE,
                "Deployment",
                f"{POD}.securityContext.runAsUser",
                0,
            ),
            "hostNetwork: one capability": (
                "network.hostNetwork",
                "with one capability, NET_BIND_SERVICE",
                ON_THE_NODE,
                "Deployment",
                f"{CONTAINER}.securityContext.capabilities",
                {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            ),
            "hostNetwork: not by default": (
                "network.hostNetwork",
                "Default: `false`",
                {},
                "Deployment",
                f"{POD}.hostNetwork",
                None,
            ),
            "service.type: ClusterIP by default": (
                "service.type",
                "Default: `ClusterIP`",
                {},
                "Service",
                "spec.type",
                "ClusterIP",
            ),
            "service.type: None is no Service": (
                "service.type",
                "`None`: no Service",
                {"service": {"type": "None"}},
                "Service",
                "",
                None,
            ),
            "service.type: a Service of one's own selects the pods": (
                "service.type",
                "selects `mailport.dev/inboundsmtp`",
                {"service": {"type": "None"}},
                "Deployment",
                "spec.template.metadata.labels.mailport~dev/inboundsmtp",
                "mx",
            ),
            "externalTrafficPolicy: Local of a LoadBalancer": (
                "service.externalTrafficPolicy",
                "Default: `Local` for LoadBalancer and NodePort",
                BALANCED,
                "Service",
                "spec.externalTrafficPolicy",
                "Local",
            ),
            "externalTrafficPolicy: of no ClusterIP": (
                "service.externalTrafficPolicy",
                "Default: `Local` for LoadBalancer and NodePort",
                {},
                "Service",
                "spec.externalTrafficPolicy",
                None,
            ),
            "loadBalancerClass": (
                "service.loadBalancerClass",
                "Default: the cluster's",
                BALANCED,
                "Service",
                "spec.loadBalancerClass",
                None,
            ),
            "allocateLoadBalancerNodePorts": (
                "service.allocateLoadBalancerNodePorts",
                "Default: Kubernetes' own",
                BALANCED,
                "Service",
                "spec.allocateLoadBalancerNodePorts",
                None,
            ),
            "image": (
                "pod.image",
                "the operator's `--listener-image`",
                {},
                "Deployment",
                f"{CONTAINER}.image",
                GIVEN.listener_image,
            ),
            "serviceAccountName: one of its own": (
                "pod.serviceAccountName",
                "one of its own",
                {},
                "Deployment",
                f"{POD}.serviceAccountName",
                "mx-listener",
            ),
            "serviceAccountName: without a token": (
                "pod.serviceAccountName",
                "without a token",
                {},
                "ServiceAccount",
                "automountServiceAccountToken",
                False,
            ),
            "adminPort": (
                "pod.adminPort",
                "Default: `8080`",
                {},
                "Deployment",
                f"{CONTAINER}.ports.1.containerPort",
                8080,
            ),
            "scratchSize": (
                "pod.scratchSize",
                "Default: `1Gi`",
                {},
                "Deployment",
                f"{POD}.volumes.*.emptyDir.sizeLimit",
                ["1Gi"],
            ),
            "mailboxSize: beside it": (
                "pod.mailboxSize",
                "Default: `1Gi`",
                INSIDE,
                "Deployment",
                f"{POD}.volumes.*.emptyDir.sizeLimit",
                ["1Gi", "1Gi"],
            ),
            "dnsPolicy: on the node's network": (
                "pod.dnsPolicy",
                "with hostNetwork `ClusterFirstWithHostNet`",
                ON_THE_NODE,
                "Deployment",
                f"{POD}.dnsPolicy",
                "ClusterFirstWithHostNet",
            ),
            "dnsPolicy: else Kubernetes' own, which is ClusterFirst": (
                "pod.dnsPolicy",
                "Default: `ClusterFirst`",
                {},
                "Deployment",
                f"{POD}.dnsPolicy",
                None,
            ),
            "runAsUser": (
                "pod.runAsUser",
                "Default: 10001",
                {},
                "Deployment",
                f"{POD}.securityContext.runAsUser",
                10001,
            ),
            "runAsUser: on the node's network": (
                "pod.runAsUser",
                "with hostNetwork, root without capabilities but one",
                ON_THE_NODE,
                "Deployment",
                f"{POD}.securityContext.runAsUser",
                0,
            ),
            "fsGroup": ("pod.fsGroup", "Default: 10001", {}, "Deployment", f"{POD}.securityContext.fsGroup", 10001),
            "resources": (
                "pod.resources",
                'Default: `{"requests": {"cpu": "100m", "memory": "128Mi"}}`',
                {},
                "Deployment",
                f"{CONTAINER}.resources",
                {"requests": {"cpu": "100m", "memory": "128Mi"}},
            ),
            "topologySpreadConstraints: over nodes": (
                "pod.topologySpreadConstraints",
                "spread over nodes",
                {},
                "Deployment",
                f"{POD}.topologySpreadConstraints.0.topologyKey",
                "kubernetes.io/hostname",
            ),
            "topologySpreadConstraints: as far as it can be": (
                "pod.topologySpreadConstraints",
                "ScheduleAnyway",
                {},
                "Deployment",
                f"{POD}.topologySpreadConstraints.0.whenUnsatisfiable",
                "ScheduleAnyway",
            ),
            "autoscaling: by a HorizontalPodAutoscaler": (
                "autoscaling",
                "autoscaling/v2 HorizontalPodAutoscaler on the Deployment",
                SCALED,
                "HorizontalPodAutoscaler",
                "spec.scaleTargetRef.kind",
                "Deployment",
            ),
            "autoscaling: replicas are left alone": (
                "autoscaling",
                "`spec.replicas` is then left alone",
                SCALED,
                "Deployment",
                "spec.replicas",
                None,
            ),
            "autoscaling: from one on": (
                "autoscaling.minReplicas",
                "Default: `1`",
                SCALED,
                "HorizontalPodAutoscaler",
                "spec.minReplicas",
                1,
            ),
            "autoscaling: by CPU": (
                "autoscaling.metrics",
                "none listed is CPU at 70 % of its request",
                SCALED,
                "HorizontalPodAutoscaler",
                "spec.metrics.0.resource.target.averageUtilization",
                70,
            ),
            "disruptionBudget: of several": (
                "disruptionBudget",
                "`{maxUnavailable: 1}` where more than one replica can be",
                {"replicas": 2},
                "PodDisruptionBudget",
                "spec.maxUnavailable",
                1,
            ),
            "disruptionBudget: of one there is none": (
                "disruptionBudget",
                "where more than one replica can be",
                {},
                "PodDisruptionBudget",
                "",
                None,
            ),
            "networkPolicy: ports": (
                "networkPolicy",
                "only the listeners' ports and the admin port come in",
                {"networkPolicy": "Managed"},
                "NetworkPolicy",
                "spec.ingress.0.ports.*.port",
                [25, 8080],
            ),
            "networkPolicy: none by default": (
                "networkPolicy",
                "Default: `Unmanaged`",
                {},
                "NetworkPolicy",
                "",
                None,
            ),
        }
    ),
)
def test_what_is_described_is_rendered(field, words, spec, kind, path, expected):
    """Whoever changes one of the two changes the other."""
    rendered = by_kind(gateway(**spec))

    assert words in descriptions()[f"spec.{field}"]
    assert at(rendered.get(kind), path) == expected


def at(child, path):
    """Return what lies at a path; `*` is all of a list that have the rest, and ~ a dot in a name."""
    if not path:
        return child
    before, several, after = path.partition(".*.")
    found = look(child, before) if "~" not in path else labelled(child, path)
    return [value for one in found if (value := look(one, after)) is not None] if several else found


def labelled(child, path):
    parent, _, name = path.rpartition(".")
    return look(child, parent)[name.replace("~", ".")]


ASKING = {
    "listeners": [{"name": "smtp", "port": 2525, "nodePort": 30025}],
    "network": {"hostNetwork": True},
    "routes": [
        maildir("people", "mail"),
        *(
            {"name": kind, "recipients": [f"{kind}@example.org"], "deliver": {kind: destination}}
            for kind, destination in {
                "lmtp": {"host": "127.0.0.1", "port": 24},
                "smtp": {"host": "127.0.0.1"},
                "webhook": {"url": "http://127.0.0.1"},
                "s3": {"bucket": "mail", "endpoint": "http://127.0.0.1"},
                "nats": {"url": "nats://127.0.0.1", "stream": "MAIL", "subject": "mail"},
            }.items()
        ),
    ],
    "service": {"type": "LoadBalancer", "annotations": {"example.org/a": "b"}, "loadBalancerClass": "example.org/lb"},
    "pod": {
        "image": "mailport:mine",
        "serviceAccountName": "workload",
        "env": [{"name": "TZ", "value": "UTC"}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "dnsPolicy": "Default",
        "dnsConfig": {"nameservers": ["192.0.2.53"]},
        "runtimeClassName": "gvisor",
        "tolerations": [{"operator": "Exists"}],
        "priorityClassName": "mail",
        "labels": {"example.org/a": "b"},
        "annotations": {"example.org/a": "b"},
    },
}
NOT_BY_DEFAULT = {
    re.sub(r"\[\d+\]", "[]", re.sub(r"\[[^\]\d][^\]]*\]", "", fault.path)): fault.message.rpartition("--allow ")[2]
    for fault in permitted.not_permitted(gateway(**ASKING).spec, permitted.DEFAULT)
}


@pytest.mark.parametrize("field", NOT_BY_DEFAULT)
def test_what_an_author_may_not_ask_for_by_default_says_so(field):
    """With the operator's option: who asks `kubectl explain` should not find out by NotPermitted."""
    kind = NOT_BY_DEFAULT[field].partition("=")[0]

    assert re.search(rf"`--allow {kind}[`=]", descriptions()[field]), descriptions()[field]


def test_most_of_what_pods_get_is_not_an_authors_to_say_by_default():
    """The test above is of something."""
    assert len(NOT_BY_DEFAULT) == 19
    assert {"spec.network.hostNetwork", "spec.pod.env", "spec.service.annotations"} <= NOT_BY_DEFAULT.keys()
