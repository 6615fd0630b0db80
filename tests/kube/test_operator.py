"""The operator on a real API server: from an InboundSmtp to its children, and what keeps them so."""

import json
import time

import pytest

from mailport.operator.children.manifests import children
from tests.kube.gateways import ALL, NAMES, OPTIONS, WRITING, applied_by_us
from tests.kube.operating import OPERATOR, Node
from tests.operator.making import MINIMAL, gateway, maildir
from tests.tables import table

OPERATOR_OPTIONS = ("--allow=loadBalancer,nodePort,annotations=example.org/*",)
EACH = table({f"a {kind}": (kind, name) for kind, name in NAMES.items()})
REPAIRED_SECONDS = 2
LABEL = "mailport.dev/inboundsmtp"
POD = "/spec/template/spec"


def essence(child):
    """What of an object the operator answers for, but for the fact that it may have been made anew."""
    metadata = {field: child["metadata"].get(field) for field in ("name", "labels", "annotations", "ownerReferences")}
    metadata["annotations"] = {
        name: value
        for name, value in (metadata["annotations"] or {}).items()
        if name != "deployment.kubernetes.io/revision"  # the Deployment controller counts
    }
    return {**child, "metadata": metadata, "status": None}


# --- children


def test_an_inbound_smtp_becomes_its_children(gateways):
    """All of them as `mailport render` prints them, and in their owner's name."""
    gateways.apply(**ALL)
    gateways.until_rendered(live_replicas=2)

    assert gateways.until("Programmed", "Programmed")["status"] == "True"
    (owner,) = {json.dumps(gateways.child(*each).body["metadata"]["ownerReferences"]) for each in NAMES.items()}
    assert json.loads(owner)[0]["uid"] == gateways.get()["metadata"]["uid"]
    assert json.loads(owner)[0]["blockOwnerDeletion"] is False


def test_a_change_reaches_the_children(gateways):
    """Also what is taken away."""
    gateways.apply(replicas=2, service={"annotations": {"example.org/a": "1"}})
    gateways.until_rendered()
    gateways.apply(replicas=3, listeners=[{"name": "submission", "port": 587}])
    gateways.until_rendered()

    service = gateways.child("Service").body
    assert "annotations" not in service["metadata"]
    assert [port["port"] for port in service["spec"]["ports"]] == [587]


def test_a_service_goes_from_type_to_type(gateways):
    """With what belongs to one type only, which the API server wants gone with it."""
    for kind in ("ClusterIP", "NodePort", "LoadBalancer", "ClusterIP", "LoadBalancer", "NodePort"):
        gateways.apply(service={"type": kind})
        gateways.until("Programmed", "Programmed")
        gateways.until_rendered()

        spec = gateways.child("Service").body["spec"]
        assert spec["type"] == kind
        assert ("externalTrafficPolicy" in spec) == (kind != "ClusterIP")


@pytest.mark.parametrize(
    "kind, spec",
    table(
        {
            "a PodDisruptionBudget goes where one replica is all there can be": (
                "PodDisruptionBudget",
                {"replicas": 2},
            ),
            "a HorizontalPodAutoscaler goes with spec.autoscaling": (
                "HorizontalPodAutoscaler",
                {"autoscaling": {"maxReplicas": 3}},
            ),
            "a NetworkPolicy goes when it is no longer Managed": ("NetworkPolicy", {"networkPolicy": "Managed"}),
        }
    ),
)
def test_what_is_no_longer_wanted_goes(gateways, kind, spec):
    gateways.apply(**spec)
    gateways.cluster.wait_for(f"there is a {kind}", lambda: gateways.child(kind).accepted)
    gateways.apply()
    gateways.cluster.wait_for(f"there is no {kind}", lambda: gateways.child(kind).status == 404)

    gateways.until("Programmed", "Programmed")


# --- drift


DRIFT = table(
    {
        "another token of a ServiceAccount": ("ServiceAccount", {"automountServiceAccountToken": True}),
        "other data of a ConfigMap": ("ConfigMap", {"data": {"inboundsmtp.json": "{}"}}),
        "more data of a ConfigMap": ("ConfigMap", {"data": {"more": "1"}}),
        "binary data of a ConfigMap": ("ConfigMap", {"binaryData": {"more": "MQ=="}}),
        "a ConfigMap without its data": ("ConfigMap", {"data": None}),
        "another port of a Service": ("Service", [{"op": "replace", "path": "/spec/ports/0/port", "value": 2525}]),
        "one more port of a Service": (
            "Service",
            [{"op": "add", "path": "/spec/ports/-", "value": {"name": "pop3", "port": 110, "protocol": "TCP"}}],
        ),
        "another selector of a Service": ("Service", {"spec": {"selector": {LABEL: "other"}}}),
        "one more label in a Service's selector": ("Service", {"spec": {"selector": {"example.org/track": "canary"}}}),
        "another type of a Service": ("Service", {"spec": {"type": "NodePort"}}),
        "another image": ("Deployment", [{"op": "replace", "path": f"{POD}/containers/0/image", "value": "other"}]),
        "other arguments": ("Deployment", [{"op": "add", "path": f"{POD}/containers/0/args/-", "value": "--dev"}]),
        "another source of a variable": (
            "Deployment",
            [{"op": "replace", "path": f"{POD}/containers/0/env/0", "value": {"name": "POD_IP", "value": "::1"}}],
        ),
        "no readiness probe": ("Deployment", [{"op": "remove", "path": f"{POD}/containers/0/readinessProbe"}]),
        "one more container": (
            "Deployment",
            [{"op": "add", "path": f"{POD}/containers/0", "value": {"name": "sidecar", "image": "sidecar"}}],
        ),
        "one more init container": (
            "Deployment",
            [{"op": "add", "path": f"{POD}/initContainers", "value": [{"name": "first", "image": "first"}]}],
        ),
        "one more volume": (
            "Deployment",
            [{"op": "add", "path": f"{POD}/volumes/-", "value": {"name": "more", "emptyDir": {}}}],
        ),
        "another source of a volume": (
            "Deployment",
            [{"op": "replace", "path": f"{POD}/volumes/0", "value": {"name": "config", "emptyDir": {}}}],
        ),
        "a pod's label": (
            "Deployment",
            {"spec": {"template": {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}}},
        ),
        "another kind of budget": (
            "PodDisruptionBudget",
            {"spec": {"maxUnavailable": None, "minAvailable": 1}},
        ),
        "more replicas than an autoscaler may want": ("HorizontalPodAutoscaler", {"spec": {"maxReplicas": 50}}),
        "one more way in": ("NetworkPolicy", [{"op": "add", "path": "/spec/ingress/-", "value": {}}]),
    }
)


@pytest.mark.parametrize("kind, change", DRIFT)
def test_what_others_change_is_put_back(gateways, kind, change):
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    before = essence(gateways.child(kind, NAMES[kind]).body)

    changed = gateways.patch(kind, NAMES[kind], change).body
    assert essence(changed) != before
    gateways.cluster.wait_for(
        "it is as before", lambda: essence(gateways.child(kind, NAMES[kind]).body) == before, REPAIRED_SECONDS
    )


def test_replicas_that_others_change_are_put_back(gateways):
    """Where no autoscaling is asked for."""
    gateways.apply(replicas=2)
    gateways.until("Programmed", "Programmed")
    gateways.kubectl("scale", "deployment/mx", "--replicas=7")
    gateways.until_rendered(seconds=REPAIRED_SECONDS)

    assert gateways.child("Deployment").body["spec"]["replicas"] == 2


@pytest.mark.parametrize("kind, name", EACH)
def test_the_label_that_we_find_children_by_comes_back(gateways, kind, name):
    """Without it the operator's watches see the child no more."""
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    gateways.patch(kind, name, {"metadata": {"labels": {LABEL: None}, "ownerReferences": None}})
    gateways.until_rendered(live_replicas=2, seconds=REPAIRED_SECONDS)


@pytest.mark.parametrize("kind, name", EACH)
def test_a_child_that_is_deleted_comes_back(gateways, kind, name):
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    before = gateways.child(kind, name).body["metadata"]["uid"]
    gateways.cluster.ask("DELETE", gateways.path(kind, name)).expect_accepted()
    gateways.until_rendered(live_replicas=2, seconds=REPAIRED_SECONDS)

    assert gateways.child(kind, name).body["metadata"]["uid"] != before


def test_a_value_that_the_api_server_writes_in_its_own_way_is_put_back_too(operator, gateways):
    """It never equals the rendered one. That is not written for ever, and what somebody makes of it is drift."""
    gateways.apply(pod={"resources": {"requests": {"cpu": "0.1", "memory": "128Mi"}}})
    gateways.until("Programmed", "Programmed")
    gateways.let_it_look(operator)
    before = gateways.child("Deployment").body["spec"]
    assert before["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "100m"
    written = len(gateways.asked(OPERATOR, *WRITING))
    gateways.let_it_look(operator)
    assert gateways.asked(OPERATOR, *WRITING)[written:] == []

    cpu = "/spec/template/spec/containers/0/resources/requests/cpu"
    gateways.patch("Deployment", "mx", [{"op": "replace", "path": cpu, "value": "3"}])
    gateways.cluster.wait_for(
        "it is as before", lambda: gateways.child("Deployment").body["spec"] == before, REPAIRED_SECONDS
    )


def test_one_change_on_the_heels_of_another_is_no_fault(gateways):
    """What was seen is another by the time it is to be put right: look again, and say nothing."""
    gateways.apply()
    gateways.until("Available", "NoReplicaReady")
    for number in range(30):
        volume = {"name": f"more-{number}", "emptyDir": {}}
        gateways.patch("Deployment", "mx", [{"op": "add", "path": f"{POD}/volumes/-", "value": volume}])
    gateways.until_rendered(seconds=REPAIRED_SECONDS)

    volumes = gateways.child("Deployment").body["spec"]["template"]["spec"]["volumes"]
    assert not [volume for volume in volumes if volume["name"].startswith("more")]
    assert gateways.events() == []


def test_what_is_not_ours_is_left_alone(operator, gateways):
    """A mesh's annotations, another's labels, `kubectl rollout restart`."""
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    theirs = {"metadata": {"annotations": {"example.org/mesh": "1"}, "labels": {"example.org/team": "mail"}}}
    for kind, name in NAMES.items():
        gateways.patch(kind, name, theirs)
    gateways.patch("Deployment", "mx", {"spec": {"template": theirs}})
    gateways.kubectl("rollout", "restart", "deployment/mx")
    gateways.let_it_look(operator)

    for kind, name in NAMES.items():
        metadata = gateways.child(kind, name).body["metadata"]
        assert metadata["annotations"]["example.org/mesh"] == "1"
        assert metadata["labels"]["example.org/team"] == "mail"
    template = gateways.child("Deployment").body["spec"]["template"]["metadata"]["annotations"]
    assert template.keys() == {"example.org/mesh", "kubectl.kubernetes.io/restartedAt"}


# --- whose it is


@pytest.mark.parametrize("kind, name", EACH)
def test_an_object_that_is_not_ours_is_left_alone(gateways, kind, name):
    """It is named, and the operator says that it waits for a person; when it has gone, ours comes."""
    theirs = next(child for child in rendered_elsewhere(gateways) if child["kind"] == kind)
    theirs["metadata"] = {"name": name, "labels": {LABEL: "mx"}}  # it looks like ours
    gateways.kubectl("create", "-f", "-", stdin=json.dumps(theirs))
    before = gateways.child(kind, name).body
    gateways.apply(**ALL)
    conflict = gateways.until("Programmed", "ChildConflict")

    assert f"{kind} {name} " in conflict["message"]
    assert (gateways.condition("Stalled")["status"], gateways.condition("Ready")["reason"]) == ("True", "ChildConflict")
    assert essence(gateways.child(kind, name).body) == essence(before)
    assert not applied_by_us(gateways.child(kind, name).body)
    gateways.kubectl("delete", kind, name)
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered(live_replicas=2)


def test_an_object_without_our_label_is_seen_to_go(gateways):
    """As most are that are not ours: no watch tells of it, so it is looked at again."""
    gateways.kubectl("create", "service", "clusterip", "mx", "--tcp=80")
    gateways.apply()
    gateways.until("Programmed", "ChildConflict")
    gateways.kubectl("delete", "service", "mx")

    gateways.until("Programmed", "Programmed")
    assert gateways.condition("Stalled")["status"] == "Absent"


def rendered_elsewhere(gateways):
    """The children of a gateway that is like ours, and that nobody looks after."""
    made = gateway(namespace=gateways.namespace, **ALL)
    return json.loads(json.dumps(children(made, OPTIONS.inputs(live_replicas=2))))


def test_what_carries_our_label_and_is_not_ours_is_not_removed(operator, gateways):
    """The label is for finding; the owner decides."""
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs", "labels": {LABEL: "mx", "app.kubernetes.io/managed-by": "mailport-operator"}},
    }
    gateways.kubectl("create", "-f", "-", stdin=json.dumps(theirs))
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    gateways.let_it_look(operator)

    assert gateways.child("ConfigMap", "theirs").accepted


# --- what it leaves no trace on


def test_applying_the_same_file_again_changes_nothing(operator, gateways):
    """So that a GitOps tool that does so every minute sees nothing either."""
    document = {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": "mx", "labels": {"example.org/team": "mail"}},
        "spec": MINIMAL,
    }
    gateways.kubectl("apply", "-f", "-", stdin=json.dumps(document))
    gateways.until("Programmed", "Programmed")
    gateways.let_it_look(operator)
    before = gateways.get()["metadata"]
    said = gateways.kubectl("apply", "-f", "-", stdin=json.dumps(document))

    assert said.strip() == "inboundsmtp.mailport.dev/mx unchanged"
    assert gateways.get()["metadata"] == before
    assert gateways.get()["spec"] == {"replicas": 1} | MINIMAL


def test_it_writes_nothing_on_an_inbound_smtp_but_its_status(gateways):
    """No annotation and no finalizer, as kopf would; no label of it and no annotation goes to a child either."""
    gateways.apply(**ALL)
    gateways.patch("InboundSmtp", "mx", {"metadata": {"labels": {"argocd": "1"}, "annotations": {"argocd": "1"}}})
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered(live_replicas=2)

    metadata = gateways.get()["metadata"]
    assert (metadata["annotations"], metadata["labels"], metadata.get("finalizers")) == ({"argocd": "1"},) * 2 + (None,)
    for kind, name in NAMES.items():
        child = json.dumps(gateways.child(kind, name).body)
        assert "argocd" not in child
        assert "kopf" not in child
    on_gateways = [
        event
        for event in gateways.cluster.audit(OPERATOR)
        if event.get("objectRef", {}).get("resource") == "inboundsmtps"
    ]
    assert {(event["verb"], event["objectRef"].get("subresource")) for event in on_gateways} <= {
        ("get", None),
        ("list", None),
        ("watch", None),
        ("patch", "status"),
    }
    assert len(on_gateways) > 2


QUIET_SECONDS = 60


def test_for_a_quiet_minute_nothing_is_written(operator, gateways, controllers):
    """Whatever state gateways are in; and while others write things that are no business of ours.

    (There is no Lease here, which alone would be written.) Not so only where something is missing or refused: that is
    tried again.
    """
    cluster = gateways.cluster
    with Node(cluster, gateways.namespace):
        gateways.kubectl("create", "service", "clusterip", "foreign", "--tcp=80")
        gateways.apply("live", replicas=2)
        gateways.apply("autoscaled", **ALL)
        gateways.apply("foreign")
        gateways.apply("left")
        gateways.apply("suspended")
        gateways.apply("invalid", routes=[MINIMAL["routes"][0] | {"recipients": ["*@☃.example.org"]}])
        gateways.apply("claim", routes=[maildir("mailboxes", "nowhere")], replicas=0)
        gateways.until("Programmed", "Programmed", "left")
        gateways.until("Programmed", "Programmed", "suspended")
        gateways.apply("left", service={"type": "None"})
        gateways.apply("suspended", management="Suspended", replicas=3)
        for name, kind, reason in (
            ("live", "Ready", "Ready"),
            ("autoscaled", "Ready", "Ready"),
            ("foreign", "Programmed", "ChildConflict"),
            ("left", "Ready", "Ready"),
            ("suspended", "Programmed", "Suspended"),
            ("invalid", "Accepted", "Invalid"),
            ("claim", "ResolvedRefs", "ClaimNotFound"),
        ):
            gateways.until(kind, reason, name)
        for name in ("live", "autoscaled", "left"):
            gateways.until_rolled_out(name)
        gateways.let_it_look(operator, "live")

        written, read = len(gateways.asked(OPERATOR, *WRITING)), len(gateways.asked(OPERATOR, "get", "list"))
        looks = operator.looks()
        ends = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < ends:
            now = {"metadata": {"annotations": {"example.org/now": str(time.monotonic())}}}
            for kind, name in (("InboundSmtp", "live"), ("Service", "live"), ("InboundSmtp", "left")):
                gateways.patch(kind, name, now)
            for pod in gateways.pods():
                gateways.patch("Pod", pod["metadata"]["name"], now)
            gateways.kubectl("create", "configmap", f"theirs-{time.monotonic_ns()}")
            time.sleep(5)

    assert gateways.asked(OPERATOR, *WRITING)[written:] == []
    assert set(gateways.asked(OPERATOR, "get", "list")[read:]) <= {gateways.path("Service", "foreign")}
    assert operator.looks() - looks >= QUIET_SECONDS / 5
