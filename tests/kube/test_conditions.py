"""What the operator says in the status, on a real API server: every reason that does not need a listener."""

import json
import re
import shlex
import time

import pytest

from tests.kube.cluster import Cluster
from tests.kube.fixtures import running
from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, Node, Operator, grant, instead, stopped_at_the_end
from tests.operator.making import MINIMAL, maildir

ROUTE = MINIMAL["routes"][0]
NOT_IDNA = [ROUTE | {"recipients": ["*@☃.example.org"]}]  # the one thing that a CRD cannot know
CERTIFICATE = {"secretName": "mx-tls", "serialNumber": "4F00", "notAfter": "2030-02-01T00:00:00Z"}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "mail"},
    "spec": {"storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}},
}


def children_of(gateways):
    """Each object of ours, with its version: the same where nothing was written."""
    return {
        kind: gateways.child(kind, name).body["metadata"]["resourceVersion"]
        for kind, name in (("ServiceAccount", "mx-listener"), ("ConfigMap", "mx-c2"), ("Service", "mx"))
    } | {"Deployment": gateways.child("Deployment").body["metadata"]["generation"]}


def assert_not_accepted(gateways, reason, *words):
    """Fail unless the spec is not accepted for this reason, Ready says so too, and the message has these words."""
    found = gateways.until("Accepted", reason)

    assert found["status"] == "False"
    assert [word for word in words if word not in found["message"]] == []
    ready = gateways.condition("Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", reason, found["message"])


# --- Accepted


def test_what_a_definition_cannot_refuse_is_invalid(gateways):
    """With the path of it, as `mailport validate` has it."""
    gateways.apply(routes=NOT_IDNA)
    assert_not_accepted(gateways, "Invalid", "spec.routes[0].recipients[0]: ", "☃")

    assert gateways.condition("Stalled")["reason"] == "Invalid"
    assert gateways.child("Deployment").status == 404


def test_a_spec_that_is_not_accepted_leaves_the_children_that_serve(gateways):
    """Nothing of it is applied, not even what is right in it; and nobody's change is put back by a spec that is not."""
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    before = children_of(gateways)
    gateways.apply(routes=NOT_IDNA, replicas=3, listeners=[{"name": "submission", "port": 587}])
    assert_not_accepted(gateways, "Invalid")
    listeners, applied = gateways.get()["status"]["listeners"], gateways.get()["status"]["configHash"]

    assert children_of(gateways) == before
    assert [listener["name"] for listener in listeners] == ["smtp"]
    gateways.apply(replicas=3)
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered()
    assert gateways.get()["status"]["configHash"] != applied  # which has the generation in it


def test_what_the_operator_does_not_allow_is_not_permitted(operator, gateways, tmp_path):
    """Until it does."""
    gateways.apply(network={"hostNetwork": True})
    assert_not_accepted(gateways, "NotPermitted", "spec.network.hostNetwork: ", "--allow hostNetwork")
    assert gateways.condition("Stalled")["reason"] == "NotPermitted"
    assert gateways.child("Deployment").status == 404

    with instead(operator, Operator(gateways.cluster, OPERATOR, "--allow=hostNetwork", folder=tmp_path)):
        gateways.until("Accepted", "Accepted")
        gateways.until("Programmed", "Programmed")

        assert gateways.child("Deployment").body["spec"]["template"]["spec"]["hostNetwork"] is True


@pytest.fixture
def tomorrow(rights, operator):
    """A definition with a field that this version does not know.

    Watches that began before do not have it: the API server ends them, and the operator's begin anew.
    """
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/inboundsmtps.mailport.dev"
    field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/greylisting"

    def change(operation):
        content_type = "application/json-patch+json"
        rights.ask("PATCH", definition, json.dumps([operation]).encode(), content_type=content_type).expect_accepted()

    before = watches(rights)
    change({"op": "add", "path": field, "value": {"type": "boolean"}})
    rights.wait_for("the operator watches anew", lambda: watches(rights) > before)
    yield
    change({"op": "remove", "path": field})


def watches(cluster):
    """How often the operator has begun to watch InboundSmtps."""
    return sum(
        event["stage"] == "ResponseStarted"
        for event in cluster.audit(OPERATOR)
        if event.get("objectRef", {}).get("resource") == "inboundsmtps"
    )


def test_a_spec_for_a_later_version_is_left_alone(gateways, tomorrow):
    """So are its children: this operator would take away from them what it does not know."""
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    before = children_of(gateways)
    gateways.apply(greylisting=True, replicas=2)
    assert_not_accepted(gateways, "UnsupportedField", "spec.greylisting: unknown field")

    assert gateways.condition("Stalled")["reason"] == "UnsupportedField"
    assert children_of(gateways) == before
    gateways.apply(replicas=2)
    gateways.until("Programmed", "Programmed")


def test_a_format_of_the_configuration_for_a_later_version_is_an_unsupported_field(gateways):
    gateways.apply(pod={"configFormat": 9})
    assert_not_accepted(gateways, "UnsupportedField", "spec.pod.configFormat: ")


def test_a_configuration_that_no_config_map_holds_is_too_large(gateways):
    """A document that the API server stores may make one, once every default is written out."""
    routes = [
        ROUTE | {"name": f"route-{route}", "recipients": [f"{'a' * 160}-{route}-{each}@*" for each in range(100)]}
        for route in range(64)
    ]
    gateways.apply(routes=routes)
    assert_not_accepted(gateways, "ConfigTooLarge", "spec: ", "1048576")

    assert gateways.condition("Stalled")["reason"] == "ConfigTooLarge"


def test_a_pod_has_none_of_a_nodes_addresses(gateways):
    """That may be mended by whoever allows hostNetwork, so it does not say that waiting is in vain."""
    gateways.apply(network={"bindAddresses": ["192.0.2.1"]})
    assert_not_accepted(gateways, "BindAddressUnavailable", "spec.network.bindAddresses: ")

    assert gateways.condition("Stalled")["reason"] == "Absent"


def test_a_claim_of_one_node_is_not_shared(gateways):
    """What the claim says counts, and one replica may have it."""
    claim = CLAIM | {"spec": CLAIM["spec"] | {"accessModes": ["ReadWriteOnce"]}}
    gateways.kubectl("create", "-f", "-", stdin=json.dumps(claim))
    gateways.apply(routes=[maildir("mailboxes", "mail")], replicas=2)
    assert_not_accepted(gateways, "ClaimNotShared", "spec.routes[0].deliver.maildir.claimName: mail ", "2 replicas")

    assert gateways.condition("Stalled")["reason"] == "ClaimNotShared"
    gateways.apply(routes=[maildir("mailboxes", "mail")], replicas=1)
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered(exclusive_claims=frozenset({"mail"}))


# --- ResolvedRefs


def test_a_claim_that_is_not_there_may_still_come(gateways):
    """Nobody has to tell the operator."""
    gateways.apply(routes=[maildir("mailboxes", "mail")], replicas=2)
    found = gateways.until("ResolvedRefs", "ClaimNotFound")

    assert "mail" in found["message"]
    assert gateways.get()["status"]["missing"] == [
        {"kind": "PersistentVolumeClaim", "name": "mail", "field": "spec.routes[0].deliver.maildir.claimName"}
    ]
    assert gateways.condition("Ready")["reason"] == "ClaimNotFound"
    assert gateways.condition("Stalled")["reason"] == "Absent"
    claim = CLAIM | {"spec": CLAIM["spec"] | {"accessModes": ["ReadWriteMany"]}}
    gateways.kubectl("create", "-f", "-", stdin=json.dumps(claim))
    assert gateways.until("ResolvedRefs", "ResolvedRefs")["status"] == "True"
    assert gateways.condition("Accepted")["status"] == "True"


# --- Programmed


def test_what_cannot_change_in_place_needs_a_person(gateways):
    """The message has the command; after it the Service is made anew."""
    load_balancer = {"type": "LoadBalancer", "loadBalancerClass": "example.org/one"}
    gateways.apply(service=load_balancer)
    gateways.until("Programmed", "Programmed")
    before = gateways.child("Service").body["metadata"]["uid"]
    gateways.apply(service=load_balancer | {"loadBalancerClass": "example.org/other"}, replicas=2)
    found = gateways.until("Programmed", "ImmutableField")
    (command,) = re.findall(r"kubectl delete .*$", found["message"])

    assert "spec.loadBalancerClass" in found["message"]
    assert gateways.condition("Stalled")["reason"] == gateways.condition("Ready")["reason"] == "ImmutableField"
    assert gateways.child("Service").body["metadata"]["uid"] == before
    assert gateways.child("Deployment").body["spec"]["replicas"] == 1  # all of a change, or nothing
    gateways.cluster.kubectl(*shlex.split(command)[1:])
    gateways.until("Programmed", "Programmed")
    assert gateways.child("Service").body["spec"]["loadBalancerClass"] == "example.org/other"
    assert gateways.child("Deployment").body["spec"]["replicas"] == 2


class DualStack(Cluster):
    service_ranges = "10.96.0.0/16,fd00:96::/112"


def test_another_family_is_known_to_be_refused_before_anything_is_written(tmp_path):
    """Else pods would listen on IPv6 alone, behind a Service of IPv4: mail would stop as they roll.

    By no word of the refusal: the API server would make such a Service, and does not change this one to it.
    """
    with running(tmp_path, DualStack) as cluster:
        cluster.install_crd()
        grant(cluster)
        gateways = Gateways(cluster, cluster.new_namespace())
        with stopped_at_the_end(operator := Operator(cluster, OPERATOR, folder=tmp_path)):
            operator.start()
            gateways.apply(network={"ipFamilies": ["IPv4"]})
            gateways.until("Programmed", "Programmed")
            before = children_of(gateways)
            gateways.apply(network={"ipFamilies": ["IPv6"]})
            found = gateways.until("Programmed", "ImmutableField")
            stalled, after = gateways.condition("Stalled"), children_of(gateways)
            (command,) = re.findall(r"kubectl delete .*$", found["message"])
            cluster.kubectl(*shlex.split(command)[1:])
            gateways.until("Programmed", "Programmed")
            families = gateways.child("Service").body["spec"]["ipFamilies"]

    assert command == f"kubectl delete service mx --namespace {gateways.namespace}"
    assert stalled["reason"] == "ImmutableField"
    assert after == before
    assert families == ["IPv6"]


def test_a_family_that_the_cluster_has_not_is_a_fault_that_no_command_mends(gateways):
    gateways.apply(network={"ipFamilies": ["IPv4"]})
    gateways.until("Programmed", "Programmed")
    before = children_of(gateways)
    gateways.apply(network={"ipFamilies": ["IPv6"]})
    found = gateways.until("Programmed", "ApplyFailed")

    assert "kubectl delete" not in found["message"]
    assert gateways.condition("Stalled")["reason"] == "ApplyFailed"
    assert children_of(gateways) == before


def test_a_config_map_that_somebody_made_immutable_needs_a_person(gateways):
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    gateways.patch("ConfigMap", "mx-c2", {"immutable": True})
    gateways.apply(hostname="other.example.org")
    (command,) = re.findall(r"kubectl delete .*$", gateways.until("Programmed", "ImmutableField")["message"])
    gateways.cluster.kubectl(*shlex.split(command)[1:])
    gateways.until("Programmed", "Programmed")

    assert "other.example.org" in gateways.child("ConfigMap", "mx-c2").body["data"]["inboundsmtp.json"]


def test_what_the_api_server_refuses_is_apply_failed(gateways):
    """Fields of Kubernetes' own types are for it to judge. The rest is made, and the next spec heals it."""
    gateways.apply(pod={"affinity": {"nodeAffinity": {"nonsense": True}}}, networkPolicy="Managed")
    found = gateways.until("Programmed", "ApplyFailed")

    assert found["message"].startswith("Deployment mx: ")
    assert "nonsense" in found["message"]
    assert gateways.condition("Stalled")["reason"] == "Absent"
    assert gateways.child("NetworkPolicy").accepted
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered()


def test_what_the_api_server_will_refuse_again_stalls(gateways):
    """422: the same can never be taken. A tool that waits may give up."""
    resources = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    gateways.apply(pod={"resources": resources})
    found = gateways.until("Programmed", "ApplyFailed")

    assert "must be less than or equal to cpu limit" in found["message"]
    assert gateways.condition("Stalled")["reason"] == "ApplyFailed"
    assert gateways.condition("Reconciling")["reason"] == "Absent"


def test_suspended_means_that_nothing_is_touched(gateways):
    """The status is written all the same, and names what would be."""
    gateways.apply(replicas=2)
    gateways.until("Programmed", "Programmed")
    applied = gateways.get()["status"]["configHash"]
    gateways.apply(replicas=2, management="Suspended")
    gateways.until("Programmed", "Programmed")  # nothing differs
    before = children_of(gateways)
    gateways.kubectl("delete", "poddisruptionbudget", "mx")
    gateways.kubectl("scale", "deployment/mx", "--replicas=3")
    gateways.apply(replicas=4, management="Suspended", networkPolicy="Managed", hostname="other.example.org")
    found = gateways.until("Programmed", "Suspended")

    named = (
        "ConfigMap mx-c2 (.data.inboundsmtp.json)",
        "Deployment mx (.spec.replicas)",
        "PodDisruptionBudget mx",
        "NetworkPolicy mx",
    )
    assert [child for child in named if child not in found["message"]] == []
    assert "Service mx" not in found["message"]
    assert gateways.condition("Ready")["reason"] == "Suspended"
    assert gateways.get()["status"]["configHash"] == applied
    assert children_of(gateways) == before | {"Deployment": before["Deployment"] + 1}
    assert gateways.child("Deployment").body["spec"]["replicas"] == 3
    assert {gateways.child(kind).status for kind in ("PodDisruptionBudget", "NetworkPolicy")} == {404}
    gateways.apply(replicas=4, networkPolicy="Managed")
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered()


def test_what_is_suspended_from_the_first_day_is_not_made(gateways):
    gateways.apply(management="Suspended")
    found = gateways.until("Programmed", "Suspended")

    assert "Service mx" in found["message"]
    assert gateways.child("Service").status == 404


# --- the whole of it


def test_the_first_visit_says_that_nothing_is_known_yet(gateways):
    """An object without a status is done, to Flux and its like. So it has one before it has children."""
    version = gateways.cluster.ask("GET", gateways.path("InboundSmtp")).body["metadata"]["resourceVersion"]
    gateways.apply(tls={"certificateRefs": [{"name": "mx-tls"}]})
    gateways.until("Programmed", "Programmed")
    applied, visited, *_ = gateways.states("InboundSmtp", "mx", version)
    account, *_ = gateways.states("ServiceAccount", "mx-listener", version)

    assert "status" not in applied
    conditions = {found["type"]: (found["status"], found["reason"]) for found in visited["status"]["conditions"]}
    assert conditions == {
        "Ready": ("Unknown", "Pending"),
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("Unknown", "Pending"),
        "Programmed": ("Unknown", "Pending"),
        "Available": ("Unknown", "Pending"),
        "ConfigLive": ("Unknown", "Pending"),
        "AddressAssigned": ("Unknown", "Pending"),
        "DeliveryDurable": ("True", "Durable"),
        "DestinationsReachable": ("Unknown", "Pending"),
        "Reconciling": ("True", "Pending"),
    }
    assert {found["observedGeneration"] for found in visited["status"]["conditions"]} == {1}
    assert int(account["metadata"]["resourceVersion"]) > int(visited["metadata"]["resourceVersion"])


def test_all_is_well(gateways, controllers):
    """Every condition, every field, and what kubectl makes of them. The pods are a stand-in's."""
    gateways.kubectl("create", "secret", "generic", "mx-tls", "--from-literal=tls.crt=1", "--from-literal=tls.key=2")
    with Node(controllers, gateways.namespace) as node:
        node.override = {"certificates": [CERTIFICATE]}
        gateways.apply(
            replicas=2,
            tls={"certificateRefs": [{"name": "mx-tls"}]},
            listeners=[{"name": "smtp", "port": 25, "nodePort": 30025}, {"name": "submission", "port": 587}],
            service={"type": "NodePort"},
        )
        gateways.kubectl("wait", "--for=condition=Ready", "inboundsmtp/mx", "--timeout=20s")
        gateways.until_rolled_out()
        found = gateways.get()
        header, row = gateways.kubectl("get", "ismtp").splitlines()
        wide_header, wide_row = gateways.kubectl("get", "ismtp", "-o", "wide").splitlines()

    service = gateways.child("Service").body["spec"]
    status = found["status"]
    conditions = status.pop("conditions")
    assert [(each["type"], each["status"], each["reason"]) for each in conditions] == [
        ("Ready", "True", "Ready"),
        ("Accepted", "True", "Accepted"),
        ("ResolvedRefs", "True", "ResolvedRefs"),
        ("Programmed", "True", "Programmed"),
        ("Available", "True", "MinimumReplicasAvailable"),
        ("ConfigLive", "True", "Live"),
        ("AddressAssigned", "True", "Assigned"),
        ("DeliveryDurable", "True", "Durable"),
        ("DestinationsReachable", "True", "Reachable"),
    ]
    assert {each["observedGeneration"] for each in conditions} == {found["metadata"]["generation"]} == {1}
    (other,) = [port["nodePort"] for port in service["ports"] if port["port"] == 587]
    assert status == {
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "selector": "mailport.dev/inboundsmtp=mx",
        "configHash": next(iter(node.listeners.values())).said["hash"],
        "ports": "25,587",
        "addresses": [{"type": "IPAddress", "value": service["clusterIP"]}],
        "listeners": [
            {"name": "smtp", "port": 25, "nodePort": 30025, "ready": True},
            {"name": "submission", "port": 587, "nodePort": other, "ready": True},
        ],
        "certificates": [CERTIFICATE],
        "missing": [],
    }
    assert header.split() == ["NAME", "READY", "REASON", "REPLICAS", "PORTS", "ADDRESS", "AGE"]
    assert row.split()[:-1] == ["mx", "True", "Ready", "2", "25,587", service["clusterIP"]]
    assert re.split(" {2,}", wide_header)[-3:] == ["TLS EXPIRY", "MANAGEMENT", "MESSAGE"]
    assert wide_row.endswith("2 of 2 replicas serve generation 1")
    assert CERTIFICATE["notAfter"] in wide_row.split()


def test_the_address_is_the_load_balancers_once_there_is_one(gateways):
    """No cloud is here: the test says what one would say. Until then there is none, and it is not Ready."""
    gateways.apply(service={"type": "LoadBalancer"})
    gateways.until("Programmed", "Programmed")
    gateways.until("AddressAssigned", "AddressNotAssigned")
    until_addresses_are(gateways, [])
    assert gateways.child("Service").body["spec"]["clusterIP"] not in gateways.kubectl("get", "ismtp")
    ingress = [{"ip": "192.0.2.25"}, {"hostname": "lb.example.org"}]
    gateways.patch("Service", "mx", {"status": {"loadBalancer": {"ingress": ingress}}}, subresource="status")
    until_addresses_are(
        gateways, [{"type": "IPAddress", "value": "192.0.2.25"}, {"type": "Hostname", "value": "lb.example.org"}]
    )

    assert gateways.until("AddressAssigned", "Assigned")["status"] == "True"
    gateways.patch("Service", "mx", {"status": {"loadBalancer": {"ingress": None}}}, subresource="status")
    until_addresses_are(gateways, [])
    gateways.until("AddressAssigned", "AddressNotAssigned")


def until_addresses_are(gateways, addresses):
    gateways.cluster.wait_for(
        f"the addresses are {addresses}", lambda: gateways.get()["status"].get("addresses") == addresses
    )


def test_there_is_one_event_a_transition(gateways, controllers):
    """And none for what passes by itself, nor for a look that finds what the last one found."""
    with Node(controllers, gateways.namespace):
        for spec, ready in (
            ({}, "Ready"),
            ({"hostname": "other.example.org"}, "Ready"),
            ({"routes": NOT_IDNA}, "Invalid"),
            ({"routes": NOT_IDNA, "replicas": 2}, "Invalid"),
            ({"routes": [ROUTE | {"recipients": ["*@☂.example.org"]}]}, "Invalid"),
            ({"pod": {"affinity": {"nonsense": True}}}, "ApplyFailed"),
            ({"management": "Suspended", "replicas": 2}, "Suspended"),
            ({}, "Ready"),
        ):
            gateways.apply(**spec)
            gateways.until("Ready", ready)
            since = gateways.condition("Ready")["lastTransitionTime"]
            controllers.wait_for("its time, in whole seconds, is past", lambda since=since: now() > since)
        gateways.until_rolled_out()

    reasons = [reason for reason, _ in gateways.events()]
    assert reasons == ["Ready", "Invalid", "Invalid", "ApplyFailed", "Suspended", "Ready"]


def now():
    """The time as conditions have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
