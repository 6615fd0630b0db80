"""May it be served: all that is wrong, in one reason; and what its children are made of."""

import json

import pytest

from mailport.operator.admit.admit import MAX_MESSAGE, admit
from mailport.operator.admit.options import Options
from mailport.operator.admit.permitted import Allowed, parse
from mailport.operator.children.inputs import Inputs
from mailport.operator.kinds import CLAIM, CONFIG_MAP, DEPLOYMENT, INBOUND_SMTP, SERVICE
from mailport.operator.watch.observe import observe
from mailport.operator.watch.store import Key, Store
from tests.operator.making import MINIMAL, maildir
from tests.tables import table

OPTIONS = Options(Inputs("mailport:tests"), Allowed(frozenset({"loadBalancer"})))


def seen(*others, **spec):
    """What is observed of a gateway of this spec, with other objects beside it."""
    metadata = {"name": "mx", "namespace": "mail", "uid": "1", "resourceVersion": "1", "generation": 3}
    body = {"apiVersion": INBOUND_SMTP.api_version, "kind": INBOUND_SMTP.name, "metadata": metadata}
    store = Store()
    store.put(INBOUND_SMTP, body | {"spec": MINIMAL | spec})
    for kind, other in others:
        store.put(kind, other)
    found = observe(store, Key("mail", "mx"))
    assert found is not None
    return found


def test_what_can_be_served_is_accepted():
    admitted = admit(seen(), OPTIONS)

    assert (admitted.accepted.status, admitted.accepted.reason) == ("True", "Accepted")
    assert admitted.inputs.owner_uid == "1"
    assert admitted.inputs.operator == OPTIONS.instance


@pytest.mark.parametrize(
    "spec, reason, message",
    table(
        {
            "two fields that this operator does not allow": (
                {"network": {"hostNetwork": True}, "pod": {"priorityClassName": "mail"}},
                "NotPermitted",
                (
                    "spec.network.hostNetwork: this operator does not allow it: --allow hostNetwork; "
                    "spec.pod.priorityClassName: this operator does not allow it: --allow priorityClass"
                ),
            ),
            "one that it does not allow, and one that no pod can have": (
                {"pod": {"image": "mailport:1"}, "network": {"bindAddresses": ["192.0.2.25"]}},
                "NotPermitted",
                (
                    "spec.pod.image: this operator does not allow it: --allow image=mailport:1; "
                    "spec.network.bindAddresses: a pod has none of a node's addresses: needs spec.network.hostNetwork"
                ),
            ),
            "two that are wrong": (
                {"replicas": -1, "networkPolicy": "Maybe"},
                "Invalid",
                'spec.replicas: must be between 0 and 1000; spec.networkPolicy: must be one of "Unmanaged", "Managed"',
            ),
        }
    ),
)
def test_every_fault_is_said(spec, reason, message):
    """Whoever mends the first should not learn of the next only then. The reason is the first one's."""
    admitted = admit(seen(**spec), OPTIONS)

    assert (admitted.accepted.reason, admitted.accepted.message) == (reason, message)
    assert admitted.gateway is None


@pytest.mark.parametrize(
    "allow, local", table({"where authors are": ("localDestinations", True), "else not": ("loadBalancer", False)})
)
def test_pods_are_allowed_local_destinations(allow, local):
    """Which the operator knows by what it allows, and pods by an argument."""
    options = Options(Inputs("mailport:tests", denied_destinations=("10.0.0.0/8",)), parse(allow))
    admitted = admit(seen(), options)

    assert admitted.inputs.local_destinations == local
    assert admitted.inputs.denied_destinations == ("10.0.0.0/8",)


def test_the_message_is_bounded():
    """It ends with how many it leaves out."""
    routes = [{"name": "a", "recipients": ["*@example.org"], "deliver": {"discard": {}}}] * 64
    accepted = admit(seen(routes=routes), OPTIONS).accepted
    shown = accepted.message.split("; ")

    assert accepted.reason == "Invalid"
    assert shown[0] == "spec.routes[1].name: a stands in spec.routes[0] already"
    assert shown[-1] == f"and {63 - len(shown[:-1])} more"
    assert MAX_MESSAGE - 100 < len(accepted.message) < MAX_MESSAGE + 20


def claim(name, *modes):
    metadata = {"name": name, "namespace": "mail", "uid": name, "resourceVersion": "2"}
    return CLAIM, {"metadata": metadata, "spec": {"accessModes": list(modes)}}


def test_a_claim_of_one_node_is_known():
    """By what the API server has of it; of one that is not there nothing is."""
    routes = [maildir("a", "one"), maildir("b", "many"), maildir("c", "missing"), maildir("d", "pod")]
    claims = (
        claim("one", "ReadWriteOnce"),
        claim("many", "ReadWriteOnce", "ReadWriteMany"),
        claim("pod", "ReadWriteOncePod"),
    )

    assert admit(seen(*claims, routes=routes), OPTIONS).inputs.exclusive_claims == {"one", "pod"}


def child(kind, **fields):
    labels = {"mailport.dev/inboundsmtp": "mx"}
    owner = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "name": "mx", "uid": "1", "controller": True}
    metadata = {"name": "mx", "namespace": "mail", "uid": "2", "resourceVersion": "2", "labels": labels}
    return kind, {"kind": kind.name, "metadata": metadata | {"ownerReferences": [owner]}, **fields}


@pytest.mark.parametrize(
    "replicas, managers, applied",
    table(
        {
            "at first the least that there may be": (None, (), 2),
            "then what is there, until the autoscaler has it": (4, (), 4),
            "one that stands at none would never be scaled": (0, (), 2),
            "nothing when it has": (4, ("kube-controller-manager",), None),
        }
    ),
)
def test_an_autoscaler_takes_the_replicas_over(replicas, managers, applied):
    owned = {"f:spec": {"f:replicas": {}}}
    kind, deployment = child(DEPLOYMENT, spec={"replicas": replicas, "template": {"spec": {}}})
    deployment["metadata"]["managedFields"] = [
        {"manager": manager, "operation": "Update", "fieldsV1": owned} for manager in managers
    ]
    others = [] if replicas is None else [(kind, deployment)]
    autoscaling = {"minReplicas": 2, "maxReplicas": 5}

    assert admit(seen(*others, autoscaling=autoscaling), OPTIONS).inputs.live_replicas == applied


def test_a_suspended_gateway_is_rendered_as_it_was_applied():
    """That it was suspended since gave it another generation, which is in its configuration."""
    content = json.dumps({"metadata": {"generation": 2}})
    volumes = [{"name": "config", "configMap": {"name": "mx"}}]
    others = (
        child(CONFIG_MAP, data={"inboundsmtp.json": content}),
        child(DEPLOYMENT, spec={"template": {"spec": {"volumes": volumes}}}),
    )
    suspended, managed = (admit(seen(*others, management=how), OPTIONS) for how in ("Suspended", "Managed"))

    assert (suspended.suspended, suspended.gateway.metadata.generation) == (True, 2)
    assert (managed.suspended, managed.gateway.metadata.generation) == (False, 3)


@pytest.mark.parametrize(
    "spec",
    table(
        {
            "accepted": {},
            "invalid": {"replicas": -1},
            "of a later version": {"tomorrow": True},
            "of a field that this operator does not allow": {"network": {"hostNetwork": True}},
        }
    ),
)
def test_a_gateway_is_suspended_whatever_is_wrong_with_it(spec):
    """Nobody is poked then: "status is written, and nothing else"."""
    suspended, managed = (admit(seen(management=how, **spec), OPTIONS) for how in ("Suspended", "Managed"))

    assert (suspended.suspended, managed.suspended) == (True, False)
    assert (suspended.gateway is None) == bool(spec)


def service(**spec):
    """Return the Service that is there, controlled by the gateway."""
    controller = {"apiVersion": INBOUND_SMTP.api_version, "kind": INBOUND_SMTP.name, "name": "mx", "uid": "1"}
    metadata = {
        "name": "mx",
        "namespace": "mail",
        "uid": "2",
        "resourceVersion": "2",
        "labels": {"mailport.dev/inboundsmtp": "mx"},
        "ownerReferences": [controller | {"controller": True}],
    }
    return SERVICE, {"metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    "others, live",
    table(
        {
            "no Service yet": ([], None),
            "one that is no load balancer": ([service(type="ClusterIP")], None),
            "a load balancer of the cluster's own class": ([service(type="LoadBalancer")], ""),
            "one of another": ([service(type="LoadBalancer", loadBalancerClass="example.org/lb")], "example.org/lb"),
        }
    ),
)
def test_the_class_of_the_load_balancer_that_is_there_is_known(others, live):
    """As nobody can change it, whatever the administrator's default is by now."""
    assert admit(seen(*others, service={"type": "LoadBalancer"}), OPTIONS).inputs.live_load_balancer_class == live
