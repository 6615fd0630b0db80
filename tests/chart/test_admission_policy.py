"""The policies that hold the operator to its own objects: what it does passes, and what a thief would do does not."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from mailport.contract.defaults import Defaults
from mailport.operator import metadata
from mailport.operator.admit import permitted
from mailport.operator.admit.accepted import refusals
from mailport.operator.apply.refused import under_another_name
from mailport.operator.children.manifests import children
from mailport.operator.kinds import CHILDREN, INBOUND_SMTP, POD, SERVICE_ACCOUNT, kind_of
from mailport.operator.metadata import POKE
from tests.kube.cluster import Answer, Cluster
from tests.kube.operating import OPERATOR
from tests.kube.test_render import DOCUMENTS, OTHER_FAMILY, within
from tests.operator.making import EVERYTHING_ALLOWED, MINIMAL, gateway, maildir, read
from tests.operator.making import GIVEN as TOLD
from tests.tables import table

DENIED = ("10.0.0.0/16", "2001:db8:1::/48")
GIVEN = dataclasses.replace(TOLD, denied_destinations=DENIED)
SERVED = [path for path in DOCUMENTS if not list(refusals(read(path), GIVEN))]
ALLOWED = {
    "by default": "loadBalancer,nodePort",
    "nothing": ",".join(f"{kind}=" for kind in permitted.PATTERNS),
    "everything": EVERYTHING_ALLOWED,
    "some": (
        "loadBalancer,image=registry.example.org/mail/*,annotations=example.org/*,annotations=a+b,labels=team,"
        "claims=mail*,loadBalancerClasses=example.com/lb"
    ),
}
# With the last of these: what an administrator gives every gateway
DEFAULTS = {
    "labels": {"example.net/cost": "1"},
    "annotations": {"example.net/owner": "mail"},
    "pod": {
        "tolerations": [
            {"key": "mail", "operator": "Exists"},
            {"key": "pool", "value": "mail", "effect": "NoExecute", "tolerationSeconds": 30},
        ]
    },
    "service": {"annotations": {"example.net/scheme": "internal"}, "loadBalancerClass": "example.net/lb"},
}
MERGE, JSON = "application/merge-patch+json", "application/json-patch+json"
LABEL = metadata.SELECTOR_LABEL
TYPE = {"apiVersion": INBOUND_SMTP.api_version, "kind": INBOUND_SMTP.name}

Manifest = dict[str, Any]


# --- the policies, in force


def policies(helm, allow):
    registry, _, rest = GIVEN.listener_image.partition("/")
    repository, _, tag = rest.partition(":")
    image = {"registry": registry, "repository": repository, "tag": tag}
    values = {
        "admissionPolicy": {"enabled": True},
        "listener": {"image": image},
        "allow": allow.split(","),
        "denyDestinations": DENIED,
    }
    if allow == ALLOWED["some"]:
        values["defaults"] = DEFAULTS
    if allow == ALLOWED["nothing"]:
        values["listener"]["configFormat"] = 1
    shown = ("--show-only=templates/rbac.yaml", "--show-only=templates/admission-policy.yaml")
    return helm.text(*shown, *(f"--set-json={key}={json.dumps(value)}" for key, value in values.items()))


@pytest.fixture(scope="module")
def installed(cluster) -> Iterator[Cluster]:
    """An API server that knows InboundSmtps."""
    cluster.install_crd()
    yield cluster
    cluster.kubectl("delete", "crd", "inboundsmtps.mailport.dev")


@pytest.fixture(scope="module", params=ALLOWED)
def allow(request):
    """What the chart and the operator are told, with commas between."""
    return ALLOWED[request.param]


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
    more = {"autoscaling": {"maxReplicas": 3}, "networkPolicy": "Managed", "routes": [maildir("mail", None)]}
    return Mail(cluster, namespace, children(gateway(namespace=namespace, **more), given))


@pytest.fixture
def mail(held) -> Mail:
    return make_mail(held)


@pytest.fixture(scope="module")
def restricted(installed) -> str:
    """A namespace that enforces the restricted standard, with the account of the pods that come."""
    namespace = installed.new_namespace()
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    installed.ask("PATCH", f"/api/v1/namespaces/{namespace}", enforce, content_type=MERGE).expect_accepted()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mx-listener"}}
    installed.ask("POST", SERVICE_ACCOUNT.path(namespace), account).expect_accepted()
    return namespace


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

    assert bool(refused) == bool(list(permitted.not_permitted(made.spec, permitted.parse(allow)))), refused
    assert all("allow: [" in message or "type must be one of" in message for message in refused)


LOAD_BALANCER = {"type": "LoadBalancer"}
A_VOLUME = {"volumes": [{"name": "a", "configMap": {"name": "a"}}]}
ASKS = {
    "hostNetwork": [{"network": {"hostNetwork": True}}],
    "nodePort": [{"service": {"type": "NodePort"}}],
    "loadBalancer": [{"service": LOAD_BALANCER}],
    "tolerations": [{"pod": {"tolerations": [{"operator": "Exists"}]}}],
    "priorityClass": [{"pod": {"priorityClassName": "system-node-critical"}}],
    "serviceAccount": [{"pod": {"serviceAccountName": "robot"}}],
    "env": [{"pod": {"env": [{"name": "TZ", "value": "UTC"}]}}],
    "volumes": [
        {"pod": {"volumes": [{"name": "a", "csi": {"driver": "secrets-store.csi.k8s.io"}}]}},
        {"pod": {"volumes": [{"name": "a", "projected": {"sources": [{"secret": {"name": "a"}}]}}]}},
    ],
    "volumeMounts": [{"pod": A_VOLUME | {"volumeMounts": [{"name": "a", "mountPath": "/mnt"}]}}],
    "dnsPolicy": [{"pod": {"dnsPolicy": "Default"}}],
    "dnsConfig": [{"pod": {"dnsConfig": {"searches": ["example.org"]}}}],
    "runtimeClassName": [{"pod": {"runtimeClassName": "gvisor"}}],
    "image": [
        {"pod": {"image": image}}
        for image in (
            "registry.example.org/other:1",
            "registry.example.org/mail/a:1",
            "registry.example.org.other/mail/a",
        )
    ],
    "annotations": [
        {"pod": {"annotations": {key: "1"}}} for key in ("example.org/x", "example-org/x", "x.example.org/x", "aab")
    ],
    "serviceAnnotations": [
        {"service": {"annotations": {key: "1"}}}
        for key in (
            "example.org/x",
            "external-dns.alpha.kubernetes.io/hostname",
            *(pattern.replace("*", "x") for pattern in permitted.LOAD_BALANCERS_OWN),
        )
    ],
    "labels": [{"pod": {"labels": {key: "1"}}} for key in ("team", "teams", "a/team")],
    "claims": [{"routes": [maildir("a", claim)]} for claim in ("mail", "mail-archive", "archive-mail")],
    "loadBalancerClasses": [
        {"service": LOAD_BALANCER | {"loadBalancerClass": name}} for name in ("example.com/lb", "example.com/lb2")
    ],
}


@pytest.mark.parametrize(
    "asked", [pytest.param(spec, id=f"{kind}-{i}") for kind in ASKS for i, spec in enumerate(ASKS[kind])]
)
def test_each_allowance_has_its_own_check(mail, allow, asked):
    """A document that asks for it and nothing else passes where the operator allows it, and only there."""
    given = dataclasses.replace(GIVEN, owner_uid="00000000-0000-0000-0000-000000000000")
    made = gateway(namespace=mail.namespace, **asked)
    is_allowed = not list(permitted.not_permitted(made.spec, permitted.parse(allow)))
    answers = [mail.apply(child) for child in children(made, given)]

    assert all(answer.accepted for answer in answers) == is_allowed, [answer.body.get("message") for answer in answers]


def test_what_the_administrator_gives_every_gateway_passes(mail, allow):
    """Though authors may not ask for it; where the chart does not have it, it is a thief's."""
    defaults = Defaults.parse_json(json.dumps(DEFAULTS))
    given = dataclasses.replace(GIVEN, owner_uid="00000000-0000-0000-0000-000000000000", defaults=defaults)
    made = gateway(namespace=mail.namespace, service={"type": "LoadBalancer"})
    answers = [mail.apply(child) for child in children(made, given)]

    refused = [answer.body["message"] for answer in answers if not answer.accepted]
    assert bool(refused) == (allow != ALLOWED["some"]), refused
    if allow == ALLOWED["everything"]:  # which authors never say anything of
        assert [message for message in refused if "an annotation of a listener's ServiceAccount" not in message] == []


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "mail", "operator": "Exists", "effect": "NoExecute"},
        {"key": "pool", "value": "other", "effect": "NoExecute"},
        {"key": "pool", "operator": "Exists", "effect": "NoExecute"},
    ],
)
def test_another_toleration_than_those_by_default_needs_its_allowance(mail, allow, toleration):
    """None is a part of another."""
    asked = changed(mail.child("Deployment"), "spec.template.spec.tolerations", [toleration])

    assert mail.apply(asked).accepted == ("tolerations" in allow)


def test_local_destinations_take_their_allowance(mail, allow):
    """By the option that pods are given then, and by a shorter form of it, which says the same."""
    allowed = "localDestinations" in permitted.parse(allow).names
    given = dataclasses.replace(GIVEN, owner_uid="00000000-0000-0000-0000-000000000000", local_destinations=True)
    answers = [mail.apply(child) for child in children(gateway(namespace=mail.namespace), given)]
    shortened = with_options(mail, "--allow-local")

    assert all(answer.accepted for answer in answers) == allowed, [answer.body.get("message") for answer in answers]
    assert mail.apply(shortened).accepted == allowed


def with_options(mail, *options, without=""):
    """Return the Deployment with further options, and without those that begin with some text."""
    arguments = mail.child("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    kept = [argument for argument in arguments if not (without and argument.startswith(without))]
    return changed(mail.child("Deployment"), "spec.template.spec.containers.0.args", [*kept, *options])


@pytest.mark.parametrize(
    "without, options",
    table(
        {
            "left out": ("--deny", ()),
            "others": ("--deny", ("--deny-destinations=10.0.0.0/16",)),
            "none": ("--deny", ("--deny-destinations=",)),
            "others behind them, which count": ("", ("--deny-destinations=",)),
            "in two words": ("", ("--deny-destinations", "")),
            "by a shorter form": ("", ("--den=",)),
            "with a user and a password made at the start": ("", ("--dev",)),
        }
    ),
)
def test_what_is_denied_is_told_to_every_listener(mail, without, options):
    """As the chart has it: denyDestinations are the administrator's, and no thief's."""
    answer = mail.apply(with_options(mail, *options, without=without))

    assert answer.status == 422, answer.body
    assert "the listener must be told denyDestinations" in answer.body["message"]


@pytest.mark.parametrize(
    "argument, variable",
    table(
        {
            "an option": ("$(POD_IP)", {"value": "--allow-local-destinations"}),
            "what is denied": ("$(POD_IP)", {"value": "--deny-destinations="}),
            "what nobody sees": ("$(POD_IP)", {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
            "by itself, the pod's address": ("$(POD_IP)", {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
            "more than an address": ("--mounted=", {"value": "127.0.0.1"}),
            "another field": ("--mounted=", {"valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a']"}}}),
        }
    ),
)
def test_no_variable_smuggles_an_option_in(mail, argument, variable):
    """Kubernetes puts them into arguments after this has looked at these."""
    deployment = with_options(mail, argument)
    deployment = changed(deployment, "spec.template.spec.containers.0.env.0", {"name": "POD_IP", **variable})
    answer = mail.apply(deployment)

    assert answer.status == 422, answer.body
    assert "an argument may have no variable but the pod's own address" in answer.body["message"]


def test_an_authors_variable_is_in_no_argument(mail):
    """What is allowed is a variable of the container, whatever its name."""
    told = with_options(mail, "$(TZ)")
    deployment = changed(told, "spec.template.spec.containers.0.env.1", {"name": "TZ", "value": "--deny-destinations="})

    assert "an argument may have no variable but the pod's own address" in mail.apply(deployment).body["message"]


OLD = {
    "spec.template.spec.containers.0.image": "registry.example.org/mailport:1.2.2",
    "spec.template.spec.tolerations": [{"key": "old", "operator": "Exists"}],
}


def of_before(mail):
    """Return the Deployment as an operator of other values applied it, which is there."""
    before = with_options(mail, "--deny-destinations=192.0.2.0/24", "--allow-local-destinations", without="--deny")
    for path, value in OLD.items():
        before = changed(before, path, value)
    assert not mail.apply(before).accepted
    mail.apply(before, stored=True, user="admin").expect_accepted()
    return before


def test_the_operator_of_before_writes_on_while_the_chart_is_upgraded(mail):
    """The policy has changed by then. So it puts back what somebody changes, and the next one brings what is new."""
    before = of_before(mail)
    answers = [mail.apply(changed(before, "spec.replicas", 3)), mail.apply(mail.child("Deployment"))]

    assert [answer.body.get("message") for answer in answers if not answer.accepted] == []


@pytest.mark.parametrize(
    "path, value, kind",
    table(
        {
            "a third image": ("spec.template.spec.containers.0.image", "registry.example.org/mailport:1.2.1", "image"),
            "a third toleration": (
                "spec.template.spec.tolerations",
                [*OLD["spec.template.spec.tolerations"], {"operator": "Exists"}],
                "tolerations",
            ),
            "more that is denied": (
                "spec.template.spec.containers.0.args",
                ["serve", "--deny-destinations=192.0.2.0/24", "--deny-destinations="],
                "",
            ),
            "less": ("spec.template.spec.containers.0.args", ["serve"], ""),
        }
    ),
)
def test_nothing_but_what_is_there_stays(mail, allow, path, value, kind):
    """What was never there takes its allowance, also beside what was."""
    answer = mail.apply(changed(of_before(mail), path, value))

    assert answer.accepted == (kind != "" and allow == ALLOWED["everything"]), answer.body


def mounting_format_1(deployment):
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    mounted = [changed(one, "configMap.name", "mx-c1") if one["name"] == "config" else one for one in volumes]
    return changed(deployment, "spec.template.spec.volumes", mounted)


def test_that_format_1_was_told_nothing_is_no_reason_to_tell_format_2_nothing(mail, allow):
    """The one connects to nothing. While the chart is upgraded, the operator of before writes on."""
    untold = with_options(mail, without="--deny")
    of_format_1 = mounting_format_1(untold)
    mail.apply(of_format_1, stored=True, user="admin").expect_accepted()
    other = changed(of_format_1, "spec.template.spec.containers.0.image", "registry.example.org/mailport:1.2.4")

    assert mail.apply(changed(of_format_1, "spec.replicas", 3)).accepted
    assert mail.apply(mail.child("Deployment")).accepted
    assert mail.apply(other).accepted == (allow == ALLOWED["everything"])
    assert "the listener must be told denyDestinations" in mail.apply(untold).body["message"]


IMAGES = {
    "the chart's own": (GIVEN.listener_image, ["nothing"]),
    "one that some may name": ("registry.example.org/mail/mailport:1", ["everything", "some"]),
    "any other": ("docker.io/mailport:1", ["everything"]),
}


@pytest.mark.parametrize("image, where", table(IMAGES))
def test_listeners_of_format_1_are_told_nothing(mail, allow, image, where):
    """They connect to nothing. The chart's own is one where listener.configFormat says so, and else another image."""
    uid = "00000000-0000-0000-0000-000000000000"
    given = dataclasses.replace(GIVEN, owner_uid=uid, listener_format=1, listener_image=image)
    answers = [mail.apply(child) for child in children(gateway(namespace=mail.namespace), given)]

    is_one = allow in [ALLOWED[name] for name in where]
    assert all(answer.accepted for answer in answers) == is_one, [answer.body.get("message") for answer in answers]


def test_a_volume_beside_does_not_make_a_listener_one_of_format_1(mail):
    """Nor in two steps."""
    beside = {"name": "x", "configMap": {"name": "mx-c1", "optional": True}}
    told, untold = (
        changed(one, f"spec.template.spec.volumes.{len(one['spec']['template']['spec']['volumes'])}", beside)
        for one in (mail.child("Deployment"), with_options(mail, without="--deny"))
    )
    at_once = mail.apply(untold)
    mail.apply(told, stored=True).expect_accepted()

    for answer in (at_once, mail.apply(untold)):
        assert "the listener must be told denyDestinations" in answer.body["message"]


def test_none_is_forgotten():
    """But for localDestinations, which have a test of their own; ConfigMaps and Secrets listeners mount anyway."""
    assert {*ASKS, permitted.LOCAL_DESTINATIONS} == {*permitted.ALLOWANCES, *permitted.PATTERNS}


NEVER_DELETED = {"Service", "Deployment"}  # the operator has no verb for it


def test_a_gateways_life_passes(mail):
    """Its children are made, changed, put back after others have changed them, and most of them deleted."""
    for child in mail.children:
        mail.apply(child, stored=True).expect_accepted()
        mail.apply(changed(child, "metadata.labels.example~1org/x", "1"), stored=True).expect_accepted()
        taken = {"metadata": {"labels": {LABEL: None}}}
        path = kind_of(child).path(mail.namespace, child["metadata"]["name"])
        mail.cluster.ask("PATCH", path, taken, content_type=MERGE).expect_accepted()
        mail.apply(child, stored=True).expect_accepted()

    assert {child["kind"] for child in mail.children} == {kind.name for kind in CHILDREN}
    deleted = {child["kind"]: mail.delete(child).status for child in mail.children}
    assert deleted == {kind.name: 403 if kind.name in NEVER_DELETED else 200 for kind in CHILDREN}


def test_what_a_deleted_gateway_left_behind_is_taken_up_again(mail):
    """`kubectl delete --cascade=orphan`, and the same InboundSmtp applied again."""
    for child in mail.children:
        mail.apply(child, stored=True).expect_accepted()
        orphan = {"metadata": {"ownerReferences": None}}
        path = kind_of(child).path(mail.namespace, child["metadata"]["name"])
        mail.cluster.ask("PATCH", path, orphan, content_type=MERGE).expect_accepted()

        assert mail.apply(child).accepted


def test_a_child_may_be_tried_under_another_name(mail):
    """By a dry run: so the operator learns whether the API server refuses an object, or only the change to it."""
    service = under_another_name(mail.child("Service"))

    assert mail.apply(service).accepted
    assert "this is no name of an InboundSmtp's child" in mail.apply(service, stored=True).body["message"]


def test_a_pod_may_be_poked(mail):
    """For the first time and again, and the mark taken off."""
    name = mail.pod()
    path = POD.path(mail.namespace, name)

    assert mail.patch_pod(name, annotate(POKE)).accepted
    mail.cluster.ask("PATCH", path, annotate(POKE), content_type=MERGE).expect_accepted()
    assert mail.patch_pod(name, annotate(POKE, "2")).accepted
    assert mail.patch_pod(name, annotate(POKE, None)).accepted


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
            "a ServiceAccount whose pods get a cloud's role": (
                "ServiceAccount",
                "metadata.annotations",
                {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/admin"},
                "takes defaults.annotations",
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
            "a Service at a load balancer's address of its choice": (
                "Service",
                "spec.loadBalancerIP",
                "192.0.2.1",
                "loadBalancerIP would take",
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


# Each check of k8s.io/pod-security-admission/policy (v0.37) by the reason that it gives, and what breaks it: the
# controls of https://kubernetes.io/docs/concepts/security/pod-security-standards/, but for ephemeral containers, which
# no template has. (Two of the baseline's, hostPath volumes and non-default capabilities, are within the restricted ones
# of their kind.)
CONTAINER = "containers.0.securityContext"
ON_NODE = {
    "hostNetwork": True,
    "securityContext.sysctls": [],
}  # as the API server wants it beside a HostProcess container
GATES: dict[str, list[Manifest]] = {
    "hostProcess": [
        {"securityContext.windowsOptions": {"hostProcess": True}, **ON_NODE},
        {f"{CONTAINER}.windowsOptions": {"hostProcess": True}, **ON_NODE},
    ],
    "host namespaces": [{"hostPID": True}, {"hostIPC": True}],
    "privileged": [
        {CONTAINER: {"privileged": True, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}}
    ],
    "hostPort": [{"containers.0.ports.0.hostPort": 25}],
    "probe or lifecycle host": [
        {"containers.0.livenessProbe.httpGet.host": "192.0.2.1"},
        {"containers.0.readinessProbe": {"tcpSocket": {"host": "192.0.2.1", "port": 1}}},
        {"containers.0.startupProbe.httpGet.host": "192.0.2.1"},
        {"containers.0.lifecycle": {"preStop": {"httpGet": {"host": "192.0.2.1", "port": 1}}}},
    ],
    "forbidden AppArmor profile": [
        {"securityContext.appArmorProfile": {"type": "Unconfined"}},
        {f"{CONTAINER}.appArmorProfile": {"type": "Unconfined"}},
        {"annotations.container~1apparmor~1security~1beta~1kubernetes~1io/listener": "unconfined"},
    ],
    "seLinuxOptions": [
        {"securityContext.seLinuxOptions": {"type": "spc_t"}},
        {f"{CONTAINER}.seLinuxOptions": {"user": "root"}},
    ],
    "procMount": [{f"{CONTAINER}.procMount": "Unmasked", "hostUsers": False}],
    "seccompProfile": [
        {"securityContext.seccompProfile": None},
        {"securityContext.seccompProfile.type": "Unconfined"},
        {f"{CONTAINER}.seccompProfile": {"type": "Unconfined"}},
    ],
    "forbidden sysctls": [{"securityContext.sysctls": [{"name": "kernel.msgmax", "value": "1"}]}],
    "restricted volume types": [
        {"volumes.0": {"name": "config", "hostPath": {"path": "/"}}},
        {"volumes.0": {"name": "config", "nfs": {"server": "192.0.2.1", "path": "/"}}},
    ],
    "allowPrivilegeEscalation != false": [
        {f"{CONTAINER}.allowPrivilegeEscalation": True},
        {CONTAINER: {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}},
    ],
    "runAsNonRoot != true": [{"securityContext.runAsNonRoot": False}, {f"{CONTAINER}.runAsNonRoot": False}],
    "runAsUser=0": [{"securityContext.runAsUser": 0}, {f"{CONTAINER}.runAsUser": 0}],
    "unrestricted capabilities": [
        {f"{CONTAINER}.capabilities": {"drop": ["KILL"]}},
        {f"{CONTAINER}.capabilities.add": ["NET_RAW"]},
    ],
}


@pytest.mark.parametrize(
    "reason, breaks",
    [
        pytest.param(reason, breaks, id=f"{reason}: {next(iter(breaks))}")
        for reason, ways in GATES.items()
        for breaks in ways
    ],
)
def test_no_gate_of_the_restricted_standard_is_open(mail, restricted, reason, breaks):
    """Whatever is allowed to authors: what the standard refuses of a pod, the policy refuses of a Deployment.

    But for what hostNetwork needs, which an administrator may allow.
    """
    deployment = mail.child("Deployment")
    for path, value in breaks.items():
        of = "metadata" if path.startswith("annotations") else "spec"
        deployment = changed(deployment, f"spec.template.{of}.{path}", value)
    template = deployment["spec"]["template"]
    head = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "mx"}}
    by_standard = mail.cluster.ask("POST", POD.path(restricted), head | {"spec": template["spec"]}, dryRun="All")
    by_policy = mail.apply(deployment)

    assert by_standard.status == 403, by_standard.body
    assert "violates PodSecurity" in by_standard.body["message"]
    assert reason in by_standard.body["message"]
    assert by_policy.status in (403, 422), by_policy.body
    assert "ValidatingAdmissionPolicy" in by_policy.body["message"]


def test_objects_of_others_are_left_alone(mail):
    """Neither labelled, nor given an owner, nor deleted: by whoever they were made."""
    for child in mail.children:
        theirs = strip(child)
        mail.apply(theirs, user="admin", stored=True).expect_accepted()

        assert "belongs to no InboundSmtp" in mail.apply(child).body["message"]
        if child["kind"] not in NEVER_DELETED:
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
            "a pod of no gateway": ({"label": "example.org/x"}, annotate(POKE), "no listener's pod"),
            "a pod that calls itself one": (
                {"controller": "StatefulSet"},
                annotate(POKE),
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
