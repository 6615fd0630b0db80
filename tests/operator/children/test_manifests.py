"""The children of an InboundSmtp: which, with what in them, and what stays the same."""

import re
from dataclasses import replace

import pytest

from mailport.contract import quantity, yaml_text
from mailport.operator import metadata
from mailport.operator.children.inputs import SecurityContext
from mailport.operator.children.manifests import children
from mailport.operator.children.volumes import volume_name
from tests.operator.making import CORPUS, GIVEN, MINIMAL, by_kind, gateway, look, maildir, read
from tests.operator.restricted import violations
from tests.tables import table

ORDER = [
    "ServiceAccount",
    "ConfigMap",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
]
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
HOST = {"network": {"hostNetwork": True}}
SCALED = {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def every_document(test):
    return pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)(test)


# --- which there are


@pytest.mark.parametrize(
    "spec, kinds",
    table(
        {
            "one replica has no budget: it would only be in the way of a drain": (
                {},
                ["ServiceAccount", "ConfigMap", "Service", "Deployment"],
            ),
            "two replicas have a budget": (
                {"replicas": 2},
                ["ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"],
            ),
            "a budget that is written out is there for one replica too": (
                {"disruptionBudget": {"maxUnavailable": 1}},
                ["ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"],
            ),
            "where several can be by autoscaling, there is a budget": (
                SCALED,
                [
                    "ServiceAccount",
                    "ConfigMap",
                    "Service",
                    "Deployment",
                    "PodDisruptionBudget",
                    "HorizontalPodAutoscaler",
                ],
            ),
            "autoscaling between one and one is one replica": (
                {"replicas": 3, "autoscaling": {"maxReplicas": 1}},
                ["ServiceAccount", "ConfigMap", "Service", "Deployment", "HorizontalPodAutoscaler"],
            ),
            "type None is no Service": (
                {"service": {"type": "None"}},
                ["ServiceAccount", "ConfigMap", "Deployment"],
            ),
            "a ServiceAccount of the author's is the author's": (
                {"pod": {"serviceAccountName": "workload"}},
                ["ConfigMap", "Service", "Deployment"],
            ),
            "all together, in this order": ({"replicas": 2, "networkPolicy": "Managed"} | SCALED, ORDER),
        }
    ),
)
def test_children_are_those_asked_for(spec, kinds):
    """In the order in which they are applied."""
    assert [child["kind"] for child in children(gateway(**spec), GIVEN)] == kinds


@every_document
def test_what_holds_for_every_document(path):
    """Order, labels, selectors, namespace, and YAML that reads back as the same objects."""
    made = read(path)
    rendered = children(made, GIVEN)
    deployment = by_kind(made)["Deployment"]

    assert [child["kind"] for child in rendered] == sorted((child["kind"] for child in rendered), key=ORDER.index)
    assert all(child["metadata"]["labels"] == metadata.labels(made) for child in rendered)
    assert all(child["metadata"].get("namespace") == made.metadata.namespace for child in rendered)
    assert deployment["spec"]["template"]["metadata"]["labels"].items() >= metadata.labels(made).items()
    assert yaml_text.read(yaml_text.dump(rendered).encode()) == list(rendered)
    assert children(made, GIVEN) == rendered


@every_document
def test_each_pod_is_within_the_restricted_standard(path):
    """But for hostNetwork, which breaks exactly the controls that docs name."""
    made = read(path)
    found = set(violations(by_kind(made)["Deployment"]["spec"]["template"]["spec"]))
    root = {"runAsNonRoot", "runAsUser"} if made.spec.pod.run_as_user is None else set()

    assert found == ({"hostNetwork"} | root if made.spec.network.host_network else set())


@every_document
def test_each_volume_is_mounted_once_and_each_mount_has_its_volume(path):
    """Names are unique DNS labels, and places are unique. An author may have one of his own twice."""
    made = read(path)
    pod = by_kind(made)["Deployment"]["spec"]["template"]["spec"]
    mounts = pod["containers"][0]["volumeMounts"]
    names = [volume["name"] for volume in pod["volumes"]]

    assert list(dict.fromkeys(mount["name"] for mount in mounts)) == names
    assert len(mounts) == len(names) - len(made.spec.pod.volumes) + len(made.spec.pod.volume_mounts)
    assert len(set(names)) == len(names)
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
    assert all(DNS_LABEL.fullmatch(name) for name in names)
    assert not any("subPath" in mount for mount in mounts)


@every_document
def test_no_pod_can_fill_its_nodes_disk(path):
    """Every emptyDir is bounded, and the listener stops before each of them is full."""
    made = read(path)
    pod = by_kind(made)["Deployment"]["spec"]["template"]["spec"]
    theirs = {volume.name for volume in made.spec.pod.volumes}  # in which the listener does not write
    volumes = [volume for volume in pod["volumes"] if "emptyDir" in volume]
    sizes = [volume["emptyDir"]["sizeLimit"] for volume in volumes if volume["name"] not in theirs]
    limits = [argument for argument in pod["containers"][0]["args"] if argument.split("=")[0].endswith("-limit")]

    assert all(volume["emptyDir"]["sizeLimit"] for volume in volumes)
    assert len(limits) == len(sizes) > 0
    for limit, size in zip(reversed(limits), sizes, strict=True):  # mail before scratch, and the other way round
        assert quantity.parse(limit.split("=")[1]) == quantity.parse(size) * 9 // 10


# --- the format of the configuration


MAILBOXES = {"routes": [maildir("people", None)]}
PINNED = {"pod": {"configFormat": 1}}


@pytest.mark.parametrize(
    "spec, mounted, written, named",
    table(
        {
            "a new gateway has the one that its pods mount": ({}, (), ["mx-c2"], "mx-c2"),
            "or the one that its image reads": (PINNED, (), ["mx-c1"], "mx-c1"),
            "while an upgrade is on its way, the pods of before have theirs": ({}, (1, 2), ["mx-c1", "mx-c2"], "mx-c2"),
            "and so on the way back": (PINNED, (1, 2), ["mx-c1", "mx-c2"], "mx-c1"),
            "before the first pod of either has gone": ({}, (1,), ["mx-c1", "mx-c2"], "mx-c2"),
            "once the last has gone, that goes": ({}, (2,), ["mx-c2"], "mx-c2"),
            "what the format of before cannot carry is not written for it": (
                MAILBOXES | {"pod": {"mailboxSize": "2Gi"}},
                (1, 2),
                ["mx-c2"],
                "mx-c2",
            ),
            "a format that this operator does not write is left to the one that does": ({}, (2, 3), ["mx-c2"], "mx-c2"),
        }
    ),
)
def test_configurations_are_written_for_the_pods_that_mount_them(spec, mounted, written, named):
    """Side by side, and before the Deployment that names one of them."""
    rendered = children(gateway(**spec), replace(GIVEN, mounted_formats=frozenset(mounted)))
    deployment = next(child for child in rendered if child["kind"] == "Deployment")

    assert [child["metadata"]["name"] for child in rendered if child["kind"] == "ConfigMap"] == written
    assert look(deployment, f"{POD}.volumes.0.configMap.name") == named


# --- names


@pytest.mark.parametrize("letters", table({"the longest name": "a" * 50, "the shortest": "a"}))
def test_names_fit_where_kubernetes_holds_them_to_63_characters(letters):
    """Services, label values and, so as not to surprise, everything else."""
    everything = {"replicas": 2, "networkPolicy": "Managed"} | SCALED
    for child in children(gateway(letters, **everything), GIVEN):
        assert DNS_LABEL.fullmatch(child["metadata"]["name"])
        assert all(len(value) <= 63 for value in child["metadata"]["labels"].values())


def test_the_largest_format_still_fits_into_a_name():
    """Formats go up to 1000."""
    assert len(metadata.config_map_name(gateway("a" * 50), 1000)) <= 63


@pytest.mark.parametrize(
    "name",
    table(
        {
            "one with dots": "mx.example.org",
            "one as long as an object's may be": "a" * 253,
            "one whose cut ends in a dot": "a" * 44 + "." + "b" * 20,
            "one of a digit": "1",
        }
    ),
)
@pytest.mark.parametrize("kind", ["secret", "configmap", "claim"])
def test_a_volumes_name_is_valid(kind, name):
    assert DNS_LABEL.fullmatch(volume_name(kind, name))


@pytest.mark.parametrize(
    "one, other",
    table(
        {
            "a dot and a hyphen": ("mx.tls", "mx-tls"),
            "names that differ past the cut": ("a" * 100 + "b", "a" * 100 + "c"),
            "one that looks like another's volume": ("mx-tls", volume_name("secret", "mx.tls").removeprefix("secret-")),
        }
    ),
)
def test_two_names_never_make_one_volume(one, other):
    assert volume_name("secret", one) != volume_name("secret", other)


# --- owner


def test_an_owner_is_named_only_where_its_uid_is_known():
    """The operator knows it, `render` does not. Nothing waits for the children: blockOwnerDeletion is false."""
    everything = gateway(replicas=2, networkPolicy="Managed", **SCALED)
    owned = children(everything, replace(GIVEN, owner_uid="8f2e"))
    reference = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "name": "mx",
        "uid": "8f2e",
        "controller": True,
        "blockOwnerDeletion": False,
    }

    assert all(child["metadata"]["ownerReferences"] == [reference] for child in owned)
    assert not any("ownerReferences" in child["metadata"] for child in children(everything, GIVEN))


# --- what is in them

SELECTOR = {"mailport.dev/inboundsmtp": "mx"}
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": SELECTOR},
}
APART = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": SELECTOR}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OUTSIDE = {"service": {"type": "LoadBalancer"}}
SURGE = {"maxUnavailable": 0, "maxSurge": 1}
NO_SURGE = {"maxUnavailable": 1, "maxSurge": 0}

RULES = {
    # Service
    "a Service selects by one label": ({}, "Service", "spec.selector", SELECTOR),
    "a Service is within the cluster unless asked": ({}, "Service", "spec.type", "ClusterIP"),
    "no family written is both, where the cluster has them": ({}, "Service", "spec.ipFamilyPolicy", "PreferDualStack"),
    "both families prefer dual stack": (
        {"network": {"ipFamilies": ["IPv4", "IPv6"]}},
        "Service",
        "spec.ipFamilyPolicy",
        "PreferDualStack",
    ),
    "in any order": (
        {"network": {"ipFamilies": ["IPv6", "IPv4"]}},
        "Service",
        "spec.ipFamilyPolicy",
        "PreferDualStack",
    ),
    "and name none, which a single-stack cluster would refuse": (
        {"network": {"ipFamilies": ["IPv6", "IPv4"]}},
        "Service",
        "spec.ipFamilies",
        None,
    ),
    "one family is single stack": (
        {"network": {"ipFamilies": ["IPv6"]}},
        "Service",
        "spec.ipFamilyPolicy",
        "SingleStack",
    ),
    "of it": ({"network": {"ipFamilies": ["IPv6"]}}, "Service", "spec.ipFamilies", ["IPv6"]),
    "behind a load balancer the client's address survives": (OUTSIDE, "Service", "spec.externalTrafficPolicy", "Local"),
    "and behind a node port": (
        {"service": {"type": "NodePort"}},
        "Service",
        "spec.externalTrafficPolicy",
        "Local",
    ),
    "unless asked otherwise": (
        {"service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}},
        "Service",
        "spec.externalTrafficPolicy",
        "Cluster",
    ),
    "within the cluster there is no such policy": ({}, "Service", "spec.externalTrafficPolicy", None),
    "false is said too": (
        {"service": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}},
        "Service",
        "spec.allocateLoadBalancerNodePorts",
        False,
    ),
    "source ranges are handed on": (
        {"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"]}},
        "Service",
        "spec.loadBalancerSourceRanges",
        ["192.0.2.0/24"],
    ),
    "a Service has the annotations asked for": (
        {"service": {"annotations": {"example.org/a": "b"}}},
        "Service",
        "metadata.annotations",
        {"example.org/a": "b"},
    ),
    "a port goes to the container's port of its name": (
        {},
        "Service",
        "spec.ports",
        [{"name": "smtp", "port": 25, "targetPort": "smtp", "protocol": "TCP", "appProtocol": "tcp"}],
    ),
    # Deployment
    "replicas are applied": ({"replicas": 0}, "Deployment", "spec.replicas", 0),
    "but left alone while autoscaling is set": ({"replicas": 3} | SCALED, "Deployment", "spec.replicas", None),
    "a Deployment selects by one label": ({}, "Deployment", "spec.selector", {"matchLabels": SELECTOR}),
    "a new pod comes before the old one goes": ({}, "Deployment", "spec.strategy.rollingUpdate", SURGE),
    "on a node's network after it, whose ports it needs": (HOST, "Deployment", "spec.strategy.rollingUpdate", NO_SURGE),
    "the time to end is delay, drain and five seconds": (
        {"limits": {"shutdownDelaySeconds": 7, "drainSeconds": 20}},
        "Deployment",
        f"{POD}.terminationGracePeriodSeconds",
        32,
    ),
    "and follows from a route's timeout": (
        {
            "routes": [
                {
                    "name": "staff",
                    "recipients": ["*@example.org"],
                    "deliver": {"lmtp": {"host": "dovecot", "port": 24, "timeoutSeconds": 100}},
                }
            ]
        },
        "Deployment",
        f"{POD}.terminationGracePeriodSeconds",
        5 + 145 + 5,
    ),
    "the delay is an argument": (
        {"limits": {"shutdownDelaySeconds": 0}},
        "Deployment",
        f"{CONTAINER}.args.6",
        "--shutdown-delay=0",
    ),
    "a drain is no lack of progress": ({}, "Deployment", "spec.progressDeadlineSeconds", 600 + 5 + 45 + 5),
    # the pod: what it may do
    "a pod has no token": ({}, "Deployment", f"{POD}.automountServiceAccountToken", False),
    "nor one of the author's ServiceAccount": (
        {"pod": {"serviceAccountName": "workload"}},
        "Deployment",
        f"{POD}.automountServiceAccountToken",
        False,
    ),
    "it runs as its own ServiceAccount": ({}, "Deployment", f"{POD}.serviceAccountName", "mx-listener"),
    "a user of its own, not root": ({}, "Deployment", f"{POD}.securityContext.runAsUser", 10001),
    "or the one asked for": (
        {"pod": {"runAsUser": 2000}},
        "Deployment",
        f"{POD}.securityContext.runAsUser",
        2000,
    ),
    "mail belongs to a group": ({}, "Deployment", f"{POD}.securityContext.fsGroup", 10001),
    "that the process is in on every kind of volume": (
        {"pod": {"fsGroup": 5000}},
        "Deployment",
        f"{POD}.securityContext.runAsGroup",
        5000,
    ),
    "a start does not wait for a chown of all the mail": (
        {},
        "Deployment",
        f"{POD}.securityContext.fsGroupChangePolicy",
        "OnRootMismatch",
    ),
    "port 25 needs no privilege": (
        {},
        "Deployment",
        f"{POD}.securityContext.sysctls",
        [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
    ),
    "on a node's network the kubelet refuses that": (HOST, "Deployment", f"{POD}.securityContext.sysctls", None),
    "there it is root": (HOST, "Deployment", f"{POD}.securityContext.runAsUser", 0),
    "with one capability": (
        HOST,
        "Deployment",
        f"{CONTAINER}.securityContext.capabilities",
        {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    ),
    "unless the author knows better, and needs no port below 1024": (
        HOST | {"pod": {"runAsUser": 2000}, "listeners": [{"name": "smtp", "port": 2525}]},
        "Deployment",
        f"{POD}.securityContext.runAsNonRoot",
        True,
    ),
    "and has the cluster's DNS all the same": (HOST, "Deployment", f"{POD}.dnsPolicy", "ClusterFirstWithHostNet"),
    "or another, where the author has one": (
        HOST | {"pod": {"dnsPolicy": "Default"}},
        "Deployment",
        f"{POD}.dnsPolicy",
        "Default",
    ),
    "the file system of the image cannot be written": (
        {},
        "Deployment",
        f"{CONTAINER}.securityContext.readOnlyRootFilesystem",
        True,
    ),
    "no Service of the namespace sets our options": ({}, "Deployment", f"{POD}.enableServiceLinks", False),
    "its last words reach the operator": (
        {},
        "Deployment",
        f"{CONTAINER}.terminationMessagePolicy",
        "FallbackToLogsOnError",
    ),
    # the pod: where it runs
    "pods are spread over nodes": ({"replicas": 2}, "Deployment", f"{POD}.topologySpreadConstraints", [SPREAD]),
    "or as asked": (
        {"pod": {"topologySpreadConstraints": [{"maxSkew": 2}]}},
        "Deployment",
        f"{POD}.topologySpreadConstraints",
        [{"maxSkew": 2}],
    ),
    "none is none, not the default": (
        {"pod": {"topologySpreadConstraints": []}},
        "Deployment",
        f"{POD}.topologySpreadConstraints",
        None,
    ),
    "a node has each port once": (
        HOST,
        "Deployment",
        f"{POD}.affinity",
        {"podAntiAffinity": {REQUIRED: [APART]}},
    ),
    "beside what the author asks for": (
        HOST | {"pod": {"affinity": {"nodeAffinity": {"a": 1}, "podAntiAffinity": {REQUIRED: [{"b": 2}]}}}},
        "Deployment",
        f"{POD}.affinity",
        {"nodeAffinity": {"a": 1}, "podAntiAffinity": {REQUIRED: [{"b": 2}, APART]}},
    ),
    "nor what is null there": (
        HOST | {"pod": {"affinity": {"podAntiAffinity": None}}},
        "Deployment",
        f"{POD}.affinity",
        {"podAntiAffinity": {REQUIRED: [APART]}},
    ),
    "what is no affinity is for the API server to refuse": (
        HOST | {"pod": {"affinity": {"podAntiAffinity": {REQUIRED: "all"}}}},
        "Deployment",
        f"{POD}.affinity",
        {"podAntiAffinity": {REQUIRED: "all"}},
    ),
    "nor is this one": (
        HOST | {"pod": {"affinity": {"podAntiAffinity": ["all"]}}},
        "Deployment",
        f"{POD}.affinity",
        {"podAntiAffinity": ["all"]},
    ),
    "no affinity is none": ({}, "Deployment", f"{POD}.affinity", None),
    "an author's labels are added": (
        {"pod": {"labels": {"team": "mail"}}},
        "Deployment",
        "spec.template.metadata.labels.team",
        "mail",
    ),
    # the container
    "the image is the operator's": ({}, "Deployment", f"{CONTAINER}.image", "registry.example.org/mailport:1.2.3"),
    "or the author's": ({"pod": {"image": "mine"}}, "Deployment", f"{CONTAINER}.image", "mine"),
    "admin is on the pod's own address": ({}, "Deployment", f"{CONTAINER}.args.5", "--admin=$(POD_IP):8080"),
    "on a node's network too": (HOST, "Deployment", f"{CONTAINER}.args.5", "--admin=$(POD_IP):8080"),
    "and has the port asked for": (
        {"pod": {"adminPort": 9090}},
        "Deployment",
        f"{CONTAINER}.args.5",
        "--admin=$(POD_IP):9090",
    ),
    "which the container names": (
        {"pod": {"adminPort": 9090}},
        "Deployment",
        f"{CONTAINER}.ports.1",
        {"name": "admin", "containerPort": 9090, "protocol": "TCP"},
    ),
    "readiness is asked for there": (
        {},
        "Deployment",
        f"{CONTAINER}.readinessProbe.httpGet",
        {"path": "/readyz", "port": "admin"},
    ),
    "so is life": ({}, "Deployment", f"{CONTAINER}.livenessProbe.httpGet", {"path": "/livez", "port": "admin"}),
    "and the start": ({}, "Deployment", f"{CONTAINER}.startupProbe.httpGet", {"path": "/livez", "port": "admin"}),
    "the listener knows what its volumes mount": (
        {
            "tls": {"certificateRefs": [{"name": "mx-tls"}, {"name": "another"}]},
            "auth": {"htpasswd": {"secretRef": {"name": "mx-tls"}}},
        },
        "Deployment",
        f"{CONTAINER}.args.7",
        (
            "--mounted=Secret/another/tls.crt,Secret/another/tls.key,"
            "Secret/mx-tls/htpasswd,Secret/mx-tls/tls.crt,Secret/mx-tls/tls.key"
        ),
    ),
    "or that they mount nothing": ({}, "Deployment", f"{CONTAINER}.args.7", "--mounted="),
    "where messages may lie while they come in": ({}, "Deployment", f"{CONTAINER}.args.8", "--scratch=/tmp"),
    "to nine tenths of that volume": (
        {"pod": {"scratchSize": "1000"}},
        "Deployment",
        f"{CONTAINER}.args.9",
        "--scratch-limit=900",
    ),
    "and what mailboxes without a claim may hold": (
        {"pod": {"mailboxSize": "2000"}, "routes": [maildir("people", None)]},
        "Deployment",
        f"{CONTAINER}.args.10",
        "--mailbox-limit=1800",
    ),
    "where there are such": ({"routes": [maildir("people", "mail")]}, "Deployment", f"{CONTAINER}.args.10", None),
    "no resources are none": ({"pod": {"resources": {}}}, "Deployment", f"{CONTAINER}.resources", None),
    # volumes
    "the configuration is a directory": (
        {},
        "Deployment",
        f"{CONTAINER}.volumeMounts.0",
        {"name": "config", "mountPath": "/etc/mailport/config", "readOnly": True},
    ),
    "of the ConfigMap of its format": ({}, "Deployment", f"{POD}.volumes.0.configMap", {"name": "mx-c2"}),
    "scratch space is limited": (
        {"pod": {"scratchSize": "512Mi"}},
        "Deployment",
        f"{POD}.volumes.1",
        {"name": "scratch", "emptyDir": {"sizeLimit": "512Mi"}},
    ),
    "and is where temporary files go": (
        {},
        "Deployment",
        f"{CONTAINER}.volumeMounts.1",
        {"name": "scratch", "mountPath": "/tmp"},
    ),
    "a certificate's Secret is optional, and two of its keys are mounted": (
        {"tls": {"certificateRefs": [{"name": "mx-tls"}]}},
        "Deployment",
        f"{POD}.volumes.1.secret",
        {
            "secretName": "mx-tls",
            "items": [{"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"}],
            "defaultMode": 0o440,
            "optional": True,
        },
    ),
    "below the directory that the listener is given, by its name": (
        {"tls": {"certificateRefs": [{"name": "mx.example.org"}]}},
        "Deployment",
        f"{CONTAINER}.volumeMounts.1.mountPath",
        "/etc/mailport/secrets/mx.example.org",
    ),
    "mail without a claim is on an emptyDir": (
        {"routes": [maildir("people", None)]},
        "Deployment",
        f"{POD}.volumes.1",
        {"name": "mail", "emptyDir": {"sizeLimit": "1Gi"}},
    ),
    "of the size that is asked for": (
        {"routes": [maildir("people", None)], "pod": {"mailboxSize": "5G"}},
        "Deployment",
        f"{POD}.volumes.1.emptyDir",
        {"sizeLimit": "5G"},
    ),
    "in the folder that the listener calls default": (
        {"routes": [maildir("people", None)]},
        "Deployment",
        f"{CONTAINER}.volumeMounts.1.mountPath",
        "/var/lib/mailport/mail/default",
    ),
    "a claim in the one of its name": (
        {"routes": [maildir("people", "mail.people")]},
        "Deployment",
        f"{CONTAINER}.volumeMounts.1.mountPath",
        "/var/lib/mailport/mail/mail.people",
    ),
    # what authors add
    "a variable of the author's comes after ours": (
        {"pod": {"env": [{"name": "TZ", "value": "UTC"}]}},
        "Deployment",
        f"{CONTAINER}.env.1",
        {"name": "TZ", "value": "UTC"},
    ),
    "one of a field has the version that the API server fills in": (
        {"pod": {"env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}},
        "Deployment",
        f"{CONTAINER}.env.1.valueFrom.fieldRef",
        {"apiVersion": "v1", "fieldPath": "spec.nodeName"},
    ),
    "a volume comes after ours": (
        {"pod": {"volumes": [{"name": "room", "emptyDir": {"sizeLimit": 1 << 20}}]}},
        "Deployment",
        f"{POD}.volumes.2",
        {"name": "room", "emptyDir": {"sizeLimit": "1Mi"}},
    ),
    "and is seen where the author says": (
        {
            "pod": {
                "volumes": [{"name": "room", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}}],
                "volumeMounts": [{"name": "room", "mountPath": "/srv/room", "readOnly": False}],
            }
        },
        "Deployment",
        f"{CONTAINER}.volumeMounts.2",
        {"name": "room", "mountPath": "/srv/room"},
    ),
    "a resolv.conf has what is said of it and no more": (
        {"pod": {"dnsConfig": {"options": [{"name": "edns0"}]}}},
        "Deployment",
        f"{POD}.dnsConfig",
        {"options": [{"name": "edns0"}]},
    ),
    "a pod runs as its class says": (
        {"pod": {"runtimeClassName": "gvisor"}},
        "Deployment",
        f"{POD}.runtimeClassName",
        "gvisor",
    ),
    # the others
    "our ServiceAccount gives no token": ({}, "ServiceAccount", "automountServiceAccountToken", False),
    "a broken pod does not stop a drain": (
        {"replicas": 2},
        "PodDisruptionBudget",
        "spec.unhealthyPodEvictionPolicy",
        "AlwaysAllow",
    ),
    "a drain takes one pod at once": ({"replicas": 2}, "PodDisruptionBudget", "spec.maxUnavailable", 1),
    "or as many as asked": (
        {"disruptionBudget": {"maxUnavailable": "25%"}},
        "PodDisruptionBudget",
        "spec.maxUnavailable",
        "25%",
    ),
    "the autoscaler scales the Deployment": (
        SCALED,
        "HorizontalPodAutoscaler",
        "spec.scaleTargetRef",
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mx"},
    ),
    "by CPU at 70 %": (
        SCALED,
        "HorizontalPodAutoscaler",
        "spec.metrics",
        [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    ),
    "or by what was asked for": (
        {"autoscaling": {"maxReplicas": 2, "metrics": [{"type": "External"}]}},
        "HorizontalPodAutoscaler",
        "spec.metrics",
        [{"type": "External"}],
    ),
    "the NetworkPolicy lets mail and probes in, and leaves what goes out alone": (
        {"networkPolicy": "Managed"},
        "NetworkPolicy",
        "spec",
        {
            "podSelector": {"matchLabels": SELECTOR},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 25, "protocol": "TCP"}, {"port": 8080, "protocol": "TCP"}]}],
        },
    ),
}


@pytest.mark.parametrize("spec, kind, path, expected", table(RULES))
def test_a_field_is_as_the_design_says(spec, kind, path, expected):
    """None is: the field is left out."""
    assert look(by_kind(gateway(**spec))[kind], path) == expected


def test_a_port_is_led_to_by_number_where_pods_of_before_have_it_under_another_name():
    """By name they would not be reached any more, and new ones are not there yet."""
    listeners = [{"name": "mx", "port": 25}, {"name": "mua", "port": 587}]
    made = by_kind(gateway(listeners=listeners), replace(GIVEN, numeric_target_ports=frozenset({25})))["Service"]

    assert [port["targetPort"] for port in made["spec"]["ports"]] == [25, "mua"]


def test_a_network_policy_lets_in_what_pods_of_before_have():
    """Behind what the document has, in order: else it would be another policy each time."""
    given = replace(GIVEN, ports_of_running_pods=frozenset({8080, 587, 25}))
    made = by_kind(gateway(networkPolicy="Managed", listeners=[{"name": "smtp", "port": 2525}]), given)

    ports = made["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    assert [port["port"] for port in ports] == [2525, 8080, 25, 587]


PLATFORM = replace(GIVEN, security_context=SecurityContext.PLATFORM)
CONFINED = {
    "runAsNonRoot": True,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.mark.parametrize(
    "spec, security",
    table(
        {
            "neither user nor group, and no sysctl": ({}, CONFINED),
            "but what the InboundSmtp says": (
                {"pod": {"runAsUser": 1000650000, "fsGroup": 1000660000}},
                CONFINED | {"runAsUser": 1000650000, "runAsGroup": 1000660000, "fsGroup": 1000660000},
            ),
            "and root on a node's network, where it could bind no port else": (
                HOST,
                CONFINED | {"runAsNonRoot": False, "runAsUser": 0},
            ),
        }
    ),
)
def test_a_platform_that_chooses_the_user_is_told_none(spec, security):
    """As OpenShift's SecurityContextConstraints do; the container is confined as everywhere."""
    pods = [look(by_kind(gateway(**spec), given)["Deployment"], POD) for given in (PLATFORM, GIVEN)]

    assert pods[0]["securityContext"] == security
    assert pods[0]["containers"][0]["securityContext"] == pods[1]["containers"][0]["securityContext"]


def test_a_claim_for_one_node_alone_is_let_go_before_it_is_taken():
    """With a surge the new pod, on another node, would wait for the volume for ever."""
    made = gateway(routes=[maildir("people", "mail")])
    exclusive, other = (replace(GIVEN, exclusive_claims=frozenset({name})) for name in ("mail", "not-ours"))

    assert look(by_kind(made, exclusive)["Deployment"], "spec.strategy.rollingUpdate") == NO_SURGE
    assert look(by_kind(made, other)["Deployment"], "spec.strategy.rollingUpdate") == SURGE


def test_live_replicas_are_applied_only_while_autoscaling():
    """So a hand-over to the autoscaler never dips to 1; otherwise the spec says how many."""
    live = replace(GIVEN, live_replicas=7)

    assert look(by_kind(gateway(**SCALED), live)["Deployment"], "spec.replicas") == 7
    assert look(by_kind(gateway(replicas=2), live)["Deployment"], "spec.replicas") == 2


def test_a_secret_that_is_named_twice_is_mounted_once():
    """With the keys of both; another kind's object of the same name is another."""
    made = gateway(
        auth={"htpasswd": {"secretRef": {"name": "shared", "key": "users"}}},
        routes=[
            {
                "name": "hook",
                "recipients": ["*@example.org"],
                "deliver": {
                    "webhook": {
                        "url": "https://hook.internal/",
                        "signingSecretRef": {"name": "shared", "key": "signing"},
                        "tls": {"caRef": {"kind": "ConfigMap", "name": "shared"}},
                    }
                },
            }
        ],
    )
    volumes = look(by_kind(made)["Deployment"], f"{POD}.volumes")

    assert [item["key"] for item in volumes[1]["secret"]["items"]] == ["signing", "users"]
    assert volumes[2]["configMap"] == {
        "name": "shared",
        "items": [{"key": "ca.crt", "path": "ca.crt"}],
        "optional": True,
    }
    assert len(volumes) == 4


# --- what rolls the pods

TWO = [{"name": "smtp", "port": 25}, {"name": "other", "port": 2525}]
LMTP = {"name": "staff", "recipients": ["*"], "deliver": {"lmtp": {"host": "dovecot", "port": 24}}}
SLOW = {
    "name": "staff",
    "recipients": ["*"],
    "deliver": {"lmtp": {"host": "dovecot", "port": 24, "timeoutSeconds": 61}},
}
STEADY = {
    "a route, where the time to drain is written out": (
        {"limits": {"drainSeconds": 90}},
        {"limits": {"drainSeconds": 90}, "routes": [LMTP]},
    ),
    "a limit": ({}, {"limits": {"maxErrors": 7, "maxConnections": 5}}),
    "an address": ({}, {"access": {"policy": "DenyListed", "addresses": ["192.0.2.7"]}}),
    "a size": ({}, {"messageSize": {"advertised": "50Mi"}}),
    "a route that needs nothing mounted": (
        {},
        {"routes": [*MINIMAL["routes"], {"name": "no", "recipients": ["*"], "deliver": {"refuse": {}}}]},
    ),
    "the order of routes": (
        {"routes": [maildir("one", "one"), maildir("two", "two")]},
        {"routes": [maildir("two", "two"), maildir("one", "one")]},
    ),
    "the order of listeners": ({"listeners": TWO}, {"listeners": TWO[::-1]}),
    "how a listener speaks": (
        {"tls": {"certificateRefs": [{"name": "mx-tls"}]}},
        {
            "tls": {"certificateRefs": [{"name": "mx-tls"}], "minVersion": "TLSv1.3"},
            "listeners": [{"name": "smtp", "port": 25, "tls": {"mode": "Implicit"}}],
        },
    ),
    "a node port": (
        {"service": {"type": "NodePort"}},
        {"service": {"type": "NodePort"}, "listeners": [{"name": "smtp", "port": 25, "nodePort": 30025}]},
    ),
    "replicas": ({"replicas": 1}, {"replicas": 2}),
    "a Service": ({}, OUTSIDE),
    "scaling": ({}, SCALED),
}
ROLLING = {
    "a port": ({}, {"listeners": [{"name": "smtp", "port": 2525}]}),
    "a listener's name": ({}, {"listeners": [{"name": "mail", "port": 25}]}),
    "a family": ({}, {"network": {"ipFamilies": ["IPv4"]}}),
    "the order of families": (
        {"network": {"ipFamilies": ["IPv4", "IPv6"]}},
        {"network": {"ipFamilies": ["IPv6", "IPv4"]}},
    ),
    "an address to bind": (HOST, {"network": {"hostNetwork": True, "bindAddresses": ["192.0.2.25"]}}),
    "the admin port": ({}, {"pod": {"adminPort": 9090}}),
    "a Secret to mount": ({}, {"tls": {"certificateRefs": [{"name": "mx-tls"}]}}),
    "the time to drain, which the pod's grace period has in it": ({}, {"limits": {"drainSeconds": 600}}),
    "and so a route with the longest timeout yet": (
        {"routes": [maildir("people", "mail")]},
        {"routes": [maildir("people", "mail"), SLOW]},
    ),
    "resources": ({}, {"pod": {"resources": {"requests": {"cpu": "1"}}}}),
    "the image": ({}, {"pod": {"image": "mine"}}),
}


@pytest.mark.parametrize("before, after", table(STEADY))
def test_nothing_restarts_for_a_setting(before, after):
    """The pod template is the same, so no pod rolls."""
    templates = [by_kind(gateway(**spec))["Deployment"]["spec"]["template"] for spec in (before, after)]

    assert templates[0] == templates[1]


@pytest.mark.parametrize("before, after", table(ROLLING))
def test_what_changes_the_pod_itself_rolls_it(before, after):
    """What a running listener would call restartRequired is among it."""
    templates = [by_kind(gateway(**spec))["Deployment"]["spec"]["template"] for spec in (before, after)]

    assert templates[0] != templates[1]


def test_children_share_nothing_with_the_document():
    """Who changes a manifest changes no model."""
    made = gateway(pod={"resources": {"limits": {"memory": "1Gi"}}, "tolerations": [{"key": "mail"}]})
    pod = look(by_kind(made)["Deployment"], POD)
    pod["containers"][0]["resources"]["limits"]["memory"] = "2Gi"
    pod["tolerations"][0]["key"] = "other"

    assert made.spec.pod.resources == {"limits": {"memory": "1Gi"}}
    assert made.spec.pod.tolerations == ({"key": "mail"},)
