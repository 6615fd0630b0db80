"""The policies that hold the operator to its own objects: what it does passes, and what a thief would do does not."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from mailport.operator import metadata, permitted, poking
from mailport.operator.accepted import refusals
from mailport.operator.kinds import CHILDREN, INBOUND_SMTP, POD, SERVICE_ACCOUNT, kind_of
from mailport.operator.manifests import children
from tests.kube.cluster import Answer, Cluster
from tests.kube.operating import OPERATOR
from tests.kube.test_render import DOCUMENTS, OTHER_FAMILY, within
from tests.operator.making import GIVEN, MINIMAL, gateway, maildir, read
from tests.tables import table

SERVED = [path for path in DOCUMENTS if not list(refusals(read(path), GIVEN))]
ALLOWANCES = {"by default": permitted.DEFAULT, "nothing": frozenset(), "everything": frozenset(permitted.ALLOWANCES)}
MERGE, JSON = "application/merge-patch+json", "application/json-patch+json"
LABEL = metadata.SELECTOR_LABEL
TYPE = {"apiVersion": INBOUND_SMTP.api_version, "kind": INBOUND_SMTP.name}

Manifest = dict[str, Any]


# --- the policies, in force


def policies(helm, allow):
    registry, _, rest = GIVEN.listener_image.partition("/")
    repository, _, tag = rest.partition(":")
    image = {"registry": registry, "repository": repository, "tag": tag}
    values = {"admissionPolicy": {"enabled": True}, "listener": {"image": image}, "allow": sorted(allow)}
    shown = ("--show-only=templates/rbac.yaml", "--show-only=templates/admission-policy.yaml")
    return helm.text(*shown, *(f"--set-json={key}={json.dumps(value)}" for key, value in values.items()))


@pytest.fixture(scope="module")
def installed(cluster) -> Iterator[Cluster]:
    """An API server that knows InboundSmtps."""
    cluster.install_crd()
    yield cluster
    cluster.kubectl("delete", "crd", "inboundsmtps.mailport.dev")


@pytest.fixture(scope="module", params=ALLOWANCES)
def allow(request):
    return ALLOWANCES[request.param]


@pytest.fixture(scope="module")
def held(helm, installed, allow) -> Iterator[Cluster]:
    """The same, with the chart's roles and policies for what is allowed."""
    text = policies(helm, allow)
    mail = make_mail(installed)
    pod = mail.pod()
    installed.kubectl("apply", "-f", "-", stdin=text)
    try:
        # The API server takes them up one by one
        installed.wait_for("all are in force", lambda: all(refusing(mail, pod)), 60)
        yield installed
    finally:
        installed.kubectl("delete", "-f", "-", stdin=text)
        installed.wait_for("none is", lambda: not any(refusing(mail, pod)), 60)


def refusing(mail, pod) -> Iterator[bool]:
    """Ask each policy for something that it has to refuse."""
    attempts = [lambda child=child: mail.apply(strip(child)) for child in mail.children]
    for attempt in (*attempts, lambda: mail.patch_pod(pod, annotate("example.org/x"))):
        yield "ValidatingAdmissionPolicy" in attempt().body.get("message", "")


def strip(child: Manifest) -> Manifest:
    return {**child, "metadata": {key: child["metadata"][key] for key in ("name", "namespace")}}


# --- a namespace with a gateway, and what the operator does there


class Mail(NamedTuple):
    """A namespace, where the InboundSmtp mx has a child of each kind."""

    cluster: Cluster
    namespace: str
    children: tuple[Manifest, ...]

    def child(self, kind: str) -> Manifest:
        return next(child for child in self.children if child["kind"] == kind)

    def apply(self, manifest: Manifest, *, stored: bool = False, user: str = OPERATOR) -> Answer:
        """Apply an object as the operator does, with its rights."""
        path = kind_of(manifest).path(self.namespace, manifest["metadata"]["name"])
        query = {"fieldManager": user.rpartition(":")[2], "force": "true", **({} if stored else {"dryRun": "All"})}
        return self.cluster.server_side_apply(path, json.dumps(manifest).encode(), user=user, **query)

    def delete(self, manifest: Manifest) -> Answer:
        path = kind_of(manifest).path(self.namespace, manifest["metadata"]["name"])
        return self.cluster.ask("DELETE", path, user=OPERATOR, dryRun="All")

    def pod(self, *, controller: str = "ReplicaSet", label: str = LABEL) -> str:
        """Make a pod that looks as if this had made it; return its name."""
        owner = {"apiVersion": "apps/v1", "kind": controller, "name": "mx", "uid": "0", "controller": True}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": "pod-",
                "labels": {label: "mx"},
                "annotations": {"example.org/mine": "1"},
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": "listener", "image": "mailport"}]},
        }
        answer = self.cluster.ask("POST", POD.path(self.namespace), pod).expect_accepted()
        return answer.body["metadata"]["name"]

    def patch_pod(self, name: str, body: Any, content_type: str = MERGE) -> Answer:
        path = POD.path(self.namespace, name)
        body = json.dumps(body).encode()
        return self.cluster.ask("PATCH", path, body, content_type=content_type, user=OPERATOR, dryRun="All")


def make_mail(cluster: Cluster) -> Mail:
    namespace = cluster.new_namespace()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}  # no controller makes it
    cluster.ask("POST", SERVICE_ACCOUNT.path(namespace), account)
    document = {
        "apiVersion": INBOUND_SMTP.api_version,
        "kind": "InboundSmtp",
        "metadata": {"name": "mx"},
        "spec": MINIMAL,
    }
    made = cluster.ask("POST", INBOUND_SMTP.path(namespace), document).expect_accepted().body
    given = dataclasses.replace(GIVEN, owner_uid=made["metadata"]["uid"])
    more = {"autoscaling": {"maxReplicas": 3}, "networkPolicy": "Managed", "routes": [maildir("mail", "claim")]}
    return Mail(cluster, namespace, children(gateway(namespace=namespace, **more), given))


@pytest.fixture
def mail(held) -> Mail:
    return make_mail(held)


def annotate(name: str, value: str | None = "1") -> Manifest:
    return {"metadata": {"annotations": {name: value}}}


def changed(manifest: Manifest, path: str, value: Any) -> Manifest:
    """Return a copy with another value at a path such as spec.template.spec.containers.0.image."""
    manifest = json.loads(json.dumps(manifest))
    *above, last = path.split(".")
    holder = manifest
    for part in above:
        holder = holder[int(part)] if isinstance(holder, list) else holder.setdefault(part, {})
    if isinstance(holder, list):
        holder[int(last) : int(last) + 1] = [value]
    else:
        holder[last.replace("~1", ".")] = value
    return manifest


# --- what it does


@pytest.mark.parametrize("path", SERVED, ids=lambda path: path.stem)
def test_the_policies_and_the_operators_own_allow_say_the_same(mail, allow, path):
    """What it renders passes where a document may ask for it, and is refused by name where it may not."""
    made = within(read(path), mail.namespace)
    given = dataclasses.replace(GIVEN, owner_uid="00000000-0000-0000-0000-000000000000")
    answers = [mail.apply(child) for child in children(made, given)]
    messages = [answer.body["message"] for answer in answers if not answer.accepted]
    refused = [message for message in messages if OTHER_FAMILY not in message]

    assert bool(refused) == bool(list(permitted.not_permitted(made.spec, allow))), refused
    assert all("allow: [" in message or "type must be one of" in message for message in refused)


ASKS = {
    "hostNetwork": {"network": {"hostNetwork": True}},
    "nodePort": {"service": {"type": "NodePort"}},
    "loadBalancer": {"service": {"type": "LoadBalancer"}},
    "tolerations": {"pod": {"tolerations": [{"operator": "Exists"}]}},
    "priorityClass": {"pod": {"priorityClassName": "system-node-critical"}},
    "serviceAccount": {"pod": {"serviceAccountName": "robot"}},
    "image": {"pod": {"image": "registry.example.org/other:1"}},
}


@pytest.mark.parametrize("allowance", ASKS)
def test_each_allowance_has_its_own_check(mail, allow, allowance):
    """A document that asks for it and nothing else passes where it is allowed, and only there."""
    given = dataclasses.replace(GIVEN, owner_uid="00000000-0000-0000-0000-000000000000")
    asking = children(gateway(namespace=mail.namespace, **ASKS[allowance]), given)

    assert all(mail.apply(child).accepted for child in asking) == (allowance in allow)


def test_none_is_forgotten():
    """But for localDestinations, which no object shows."""
    assert {*ASKS, permitted.LOCAL_DESTINATIONS} == set(permitted.ALLOWANCES)


def test_a_gateways_life_passes(mail):
    """Its children are made, changed, put back after others have changed them, and deleted."""
    for child in mail.children:
        mail.apply(child, stored=True).expect_accepted()
        mail.apply(changed(child, "metadata.labels.example~1org/x", "1"), stored=True).expect_accepted()
        taken = {"metadata": {"labels": {LABEL: None}}}
        path = kind_of(child).path(mail.namespace, child["metadata"]["name"])
        mail.cluster.ask("PATCH", path, taken, content_type=MERGE).expect_accepted()
        mail.apply(child, stored=True).expect_accepted()

    assert {child["kind"] for child in mail.children} == {kind.name for kind in CHILDREN}
    deleted = [mail.delete(child) for child in mail.children if child["kind"] != "Service"]
    assert [answer.status for answer in deleted] == [200] * len(deleted)


def test_what_a_deleted_gateway_left_behind_is_taken_up_again(mail):
    """`kubectl delete --cascade=orphan`, and the same InboundSmtp applied again."""
    for child in mail.children:
        mail.apply(child, stored=True).expect_accepted()
        orphan = {"metadata": {"ownerReferences": None}}
        path = kind_of(child).path(mail.namespace, child["metadata"]["name"])
        mail.cluster.ask("PATCH", path, orphan, content_type=MERGE).expect_accepted()

        assert mail.apply(child).accepted


def test_a_pod_may_be_poked(mail):
    """For the first time and again, and the mark taken off."""
    name = mail.pod()
    path = POD.path(mail.namespace, name)

    assert mail.patch_pod(name, annotate(poking.ANNOTATION)).accepted
    mail.cluster.ask("PATCH", path, annotate(poking.ANNOTATION), content_type=MERGE).expect_accepted()
    assert mail.patch_pod(name, annotate(poking.ANNOTATION, "2")).accepted
    assert mail.patch_pod(name, annotate(poking.ANNOTATION, None)).accepted


def test_nobody_else_is_concerned(mail):
    """An administrator may do to these objects whatever he may do to others."""
    deployment = changed(mail.child("Deployment"), "spec.template.spec.hostPID", True)

    assert mail.apply(strip(deployment), user="admin").accepted


# --- what a thief of its token would do


@pytest.mark.parametrize(
    "kind, path, value, message",
    table(
        {
            "an object without a gateway": ("ConfigMap", "metadata.ownerReferences", [], "must be its controller"),
            "without the label": ("ConfigMap", "metadata.labels", {}, "must name it"),
            "with another's": ("ConfigMap", f"metadata.labels.{LABEL.replace('.', '~1')}", "in", "must name it"),
            "owned by something else": (
                "ConfigMap",
                "metadata.ownerReferences.0.kind",
                "Pod",
                "must be its controller",
            ),
            "of another group": (
                "ConfigMap",
                "metadata.ownerReferences.0.apiVersion",
                "example.org/v1",
                "must be its controller",
            ),
            "with a name that others look for": ("ConfigMap", "metadata.name", "kube-root-ca.crt", "no name of"),
            "and a Service of such a name": ("Service", "metadata.name", "database", "no name of"),
            "a ServiceAccount of another name": ("ServiceAccount", "metadata.name", "build", "no name of"),
            "a ServiceAccount whose pods get a token": (
                "ServiceAccount",
                "automountServiceAccountToken",
                True,
                "has no token",
            ),
            "a Service that leads to others' pods": ("Service", "spec.selector", {"app": "database"}, "must select"),
            "a Service that is a name elsewhere": (
                "Service",
                "spec",
                {"type": "ExternalName", "externalName": "thief.example.org", "selector": {LABEL: "mx"}},
                "type must be one of",
            ),
            "a Service at an address of its choice": (
                "Service",
                "spec.externalIPs",
                ["192.0.2.1"],
                "externalIPs would take",
            ),
            "a budget that keeps others' pods on their nodes": (
                "PodDisruptionBudget",
                "spec.selector",
                {"matchLabels": {"app": "database"}},
                "must select",
            ),
            "a NetworkPolicy for all pods": ("NetworkPolicy", "spec.podSelector", {}, "must select"),
            "an autoscaler of others' pods": (
                "HorizontalPodAutoscaler",
                "spec.scaleTargetRef.name",
                "database",
                "must scale the listeners",
            ),
            "a Deployment that takes others' pods over": (
                "Deployment",
                "spec.selector",
                {"matchLabels": {"app.kubernetes.io/name": "mailport"}},
                "must select its own pods",
            ),
            "pods of a second container": (
                "Deployment",
                "spec.template.spec.containers.1",
                {"name": "shell", "image": "busybox"},
                "one container",
            ),
            "of an init container": (
                "Deployment",
                "spec.template.spec.initContainers",
                [{"name": "shell", "image": "busybox"}],
                "one container",
            ),
            "of another command": (
                "Deployment",
                "spec.template.spec.containers.0.command",
                ["python3"],
                "must run mailport serve",
            ),
            "of another of ours": (
                "Deployment",
                "spec.template.spec.containers.0.args",
                ["operator"],
                "must run mailport serve",
            ),
            "with a variable that Python reads": (
                "Deployment",
                "spec.template.spec.containers.0.env.1",
                {"name": "PYTHONPATH", "value": "/tmp"},
                "must run mailport serve",
            ),
            "with variables from elsewhere": (
                "Deployment",
                "spec.template.spec.containers.0.envFrom",
                [{"secretRef": {"name": "database"}}],
                "must run mailport serve",
            ),
            "with a probe that is a command": (
                "Deployment",
                "spec.template.spec.containers.0.livenessProbe",
                {"exec": {"command": ["python3"]}},
                "run nothing beside",
            ),
            "with a hook that is a command": (
                "Deployment",
                "spec.template.spec.containers.0.lifecycle",
                {"postStart": {"exec": {"command": ["python3"]}}},
                "run nothing beside",
            ),
            "with our code replaced": (
                "Deployment",
                "spec.template.spec.containers.0.volumeMounts.0.mountPath",
                "/opt/mailport/lib",
                "each where the listener has it",
            ),
            "with our code replaced, by way of a folder of ours": (
                "Deployment",
                "spec.template.spec.containers.0.volumeMounts.0.mountPath",
                "/etc/mailport/../../opt/mailport/lib",
                "each where the listener has it",
            ),
            "with the node's disk": (
                "Deployment",
                "spec.template.spec.volumes.0",
                {"name": "config", "hostPath": {"path": "/"}},
                "no volumes but",
            ),
            "with a token by the back door": (
                "Deployment",
                "spec.template.spec.volumes.0",
                {"name": "config", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
                "no volumes but",
            ),
            "with a token": ("Deployment", "spec.template.spec.automountServiceAccountToken", True, "has no token"),
            "among the node's processes": ("Deployment", "spec.template.spec.hostPID", True, "nothing of the node's"),
            "on a node of its choice": (
                "Deployment",
                "spec.template.spec.nodeName",
                "control",
                "nothing of the node's",
            ),
            "on a port of the node's": (
                "Deployment",
                "spec.template.spec.containers.0.ports.0.hostPort",
                25,
                "is not by hostPort",
            ),
            "out of AppArmor": (
                "Deployment",
                "spec.template.spec.securityContext.appArmorProfile",
                {"type": "Unconfined"},
                "as the node confines pods",
            ),
            "of another SELinux type": (
                "Deployment",
                "spec.template.spec.securityContext.seLinuxOptions",
                {"type": "spc_t"},
                "as the node confines pods",
            ),
            "with Windows' options": (
                "Deployment",
                "spec.template.spec.securityContext.windowsOptions",
                {"runAsUserName": "ContainerAdministrator"},
                "as the node confines pods",
            ),
            "out of AppArmor by the container": (
                "Deployment",
                "spec.template.spec.containers.0.securityContext.appArmorProfile",
                {"type": "Unconfined"},
                "no privileges",
            ),
            "of another SELinux type by the container": (
                "Deployment",
                "spec.template.spec.containers.0.securityContext.seLinuxOptions",
                {"type": "spc_t"},
                "no privileges",
            ),
            "with Windows' options by the container": (
                "Deployment",
                "spec.template.spec.containers.0.securityContext.windowsOptions",
                {"runAsUserName": "ContainerAdministrator"},
                "no privileges",
            ),
            "as root": (
                "Deployment",
                "spec.template.spec.securityContext",
                {"runAsUser": 0, "runAsNonRoot": False, "seccompProfile": {"type": "RuntimeDefault"}},
                "not as root",
            ),
            "as root by the container": (
                "Deployment",
                "spec.template.spec.containers.0.securityContext.runAsUser",
                0,
                "no privileges",
            ),
            "privileged": (
                "Deployment",
                "spec.template.spec.containers.0.securityContext",
                {"privileged": True},
                "no privileges",
            ),
            "with a capability": (
                "Deployment",
                "spec.template.spec.containers.0.securityContext.capabilities.add",
                ["SYS_ADMIN"],
                "no privileges",
            ),
            "with one that only a node's network needs": (
                "Deployment",
                "spec.template.spec.containers.0.securityContext.capabilities.add",
                ["NET_BIND_SERVICE"],
                "no privileges",
            ),
            "without a seccomp profile": (
                "Deployment",
                "spec.template.spec.securityContext.seccompProfile.type",
                "Unconfined",
                "seccomp profile",
            ),
            "with a sysctl that is the node's": (
                "Deployment",
                "spec.template.spec.securityContext.sysctls.0.name",
                "kernel.msgmax",
                "no other sysctl",
            ),
        }
    ),
)
def test_what_the_operator_never_makes_is_refused(mail, kind, path, value, message):
    """Whatever is allowed to authors."""
    answer = mail.apply(changed(mail.child(kind), path, value))

    assert answer.status in (403, 422), answer.body
    assert "ValidatingAdmissionPolicy" in answer.body["message"]
    assert message in answer.body["message"]


def test_objects_of_others_are_left_alone(mail):
    """Neither labelled, nor given an owner, nor deleted: by whoever they were made."""
    for child in mail.children:
        theirs = strip(child)
        mail.apply(theirs, user="admin", stored=True).expect_accepted()

        assert "belongs to no InboundSmtp" in mail.apply(child).body["message"]
        if child["kind"] != "Service":  # which it has no verb to delete
            assert "belongs to no InboundSmtp" in mail.delete(child).body["message"]


@pytest.mark.parametrize(
    "made, body, message",
    table(
        {
            "another annotation": ({}, annotate("example.org/x"), "only the annotation"),
            "an annotation of others changed": ({}, annotate("example.org/mine", "2"), "only the annotation"),
            "an annotation of others taken off": ({}, annotate("example.org/mine", None), "only the annotation"),
            "a label": ({}, {"metadata": {"labels": {"example.org/x": "1"}}}, "only the annotation"),
            "an owner": ({}, {"metadata": {"ownerReferences": None}}, "only the annotation"),
            "a finalizer": ({}, {"metadata": {"finalizers": ["example.org/x"]}}, "only the annotation"),
            "another image": (
                {},
                [{"op": "replace", "path": "/spec/containers/0/image", "value": "busybox"}],
                "only the annotation",
            ),
            "a pod of no gateway": ({"label": "example.org/x"}, annotate(poking.ANNOTATION), "no listener's pod"),
            "a pod that calls itself one": (
                {"controller": "StatefulSet"},
                annotate(poking.ANNOTATION),
                "no listener's pod",
            ),
        }
    ),
)
def test_nothing_else_of_a_pod_may_change(mail, made, body, message):
    """The verb on pods is there for one annotation."""
    answer = mail.patch_pod(mail.pod(**made), body, MERGE if isinstance(body, dict) else JSON)

    assert answer.status in (403, 422), answer.body
    assert "ValidatingAdmissionPolicy" in answer.body["message"]
    assert message in answer.body["message"]
