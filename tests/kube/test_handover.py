"""What goes from hand to hand without a gap: replicas, what pods still need, an address, children."""

import json
import os
from itertools import groupby

from mailport.contract.model import InboundSmtp
from tests.kube.gateways import ALL, NAMES, applied_by_us
from tests.kube.operating import OPERATOR, Node, Operator, instead, stopped_at_the_end, without
from tests.operator.making import maildir

OPERATOR_OPTIONS = ("--allow=loadBalancer,nodePort,annotations=example.org/*",)

# --- what pods still need


def test_a_service_account_of_ours_goes_with_the_last_pod_that_runs_as_it(operator, gateways, controllers, tmp_path):
    """Where the author names one. Before, a pod that is started again would not find it."""
    with Node(controllers, gateways.namespace):
        gateways.apply()
        gateways.until("Available", "MinimumReplicasAvailable")
    gateways.kubectl("create", "serviceaccount", "workload")
    another = Operator(controllers, OPERATOR, "--allow=serviceAccount", folder=tmp_path)
    with instead(operator, another):
        gateways.apply(pod={"serviceAccountName": "workload"})
        gateways.until("Programmed", "Programmed")
        controllers.wait_for("there is a new pod", lambda: len(gateways.pods()) == 2)

        assert gateways.child("ServiceAccount", "mx-listener").accepted
        with Node(controllers, gateways.namespace):
            controllers.wait_for("the old pod has gone", lambda: len(gateways.pods()) == 1)
            gateways.until_gone("ServiceAccount", "mx-listener")
        assert gateways.child("ServiceAccount", "workload").accepted


def of_format(gateways, number):
    """The configuration of a format, parsed."""
    return json.loads(gateways.child("ConfigMap", f"mx-c{number}").expect_accepted().body["data"]["inboundsmtp.json"])


def formats(gateways):
    return [number for number in (1, 2, 3) if gateways.child("ConfigMap", f"mx-c{number}").accepted]


def mounted(gateways):
    """The formats that pods mount, with the names of their arguments."""
    return {
        next(volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if volume["name"] == "config"): {
            argument.partition("=")[0] for argument in pod["spec"]["containers"][0]["args"]
        }
        for pod in gateways.pods()
    }


NEW = {"--mounted", "--scratch", "--scratch-limit", "--mailbox-limit"}  # of FORMAT 2


def test_pods_of_two_formats_each_find_what_they_understand(operator, gateways, controllers, tmp_path):
    """From FORMAT 1 to FORMAT 2 and back, with a node that does not come to stopping the old pod."""
    of_before = Operator(controllers, OPERATOR, "--listener-format=1", folder=tmp_path)
    with instead(operator, of_before):
        with Node(controllers, gateways.namespace):
            gateways.apply(routes=[maildir("people", None)])
            gateways.until("Available", "MinimumReplicasAvailable")
        assert formats(gateways) == [1]
        assert mounted(gateways).keys() == {"mx-c1"}
        assert not mounted(gateways)["mx-c1"] & NEW

    controllers.wait_for("there is a new pod", lambda: len(gateways.pods()) == 2)
    gateways.apply(routes=[maildir("people", None)], limits={"maxErrors": 7})
    gateways.until("Programmed", "Programmed")
    assert mounted(gateways).keys() == {"mx-c1", "mx-c2"}
    assert mounted(gateways)["mx-c2"] > NEW
    assert [of_format(gateways, number)["spec"]["limits"]["maxErrors"] for number in (1, 2)] == [7, 7]
    assert [of_format(gateways, number)["spec"]["limits"].get("drainSeconds") for number in (1, 2)] == [None, 105]

    gateways.apply(routes=[maildir("people", None)], limits={"maxErrors": 8}, pod={"mailboxSize": "2Gi"})
    gateways.until("Programmed", "Programmed")  # which FORMAT 1 cannot carry: its pods keep what they have
    assert [of_format(gateways, number)["spec"]["limits"]["maxErrors"] for number in (1, 2)] == [7, 8]
    with Node(controllers, gateways.namespace):
        controllers.wait_for("the old pod has gone", lambda: len(gateways.pods()) == 1)
        gateways.until_gone("ConfigMap", "mx-c1")
        assert formats(gateways) == [2]

    again = Operator(controllers, OPERATOR, "--listener-format=1", folder=tmp_path)
    with instead(operator, again):
        assert "spec.pod.mailboxSize: " in gateways.until("Accepted", "UnsupportedField")["message"]
        assert formats(gateways) == [2]
        gateways.apply(routes=[maildir("people", None)], limits={"maxErrors": 9})
        controllers.wait_for("there is a new pod", lambda: len(gateways.pods()) == 2)
        gateways.until("Programmed", "Programmed")
        assert [of_format(gateways, number)["spec"]["limits"]["maxErrors"] for number in (1, 2)] == [9, 9]
        with Node(controllers, gateways.namespace):
            controllers.wait_for("the old pod has gone", lambda: len(gateways.pods()) == 1)
            gateways.until_gone("ConfigMap", "mx-c2")
        assert mounted(gateways).keys() == {"mx-c1"}


# Of an operator that Python starts with this as its sitecustomize.py
NEXT_VERSION = """\
from mailport.operator.children import configuration
second = configuration.FORMATS[2]
configuration.FORMATS = {2: second, 3: lambda gateway: {"format": 3, "gateway": second(gateway)}}
configuration.FORMAT = 3
"""


def read_by_its_listener(content):
    """Read one of the formats of that version."""
    document = json.loads(content)
    return InboundSmtp.parse_json(json.dumps(document["gateway"]) if document.get("format") == 3 else content)


def test_a_format_of_the_configuration_stays_while_a_pod_mounts_it(
    operator, gateways, controllers, tmp_path, monkeypatch
):
    """An operator of a version that no longer writes it does not take it from pods that still may start again."""
    (tmp_path / "sitecustomize.py").write_text(NEXT_VERSION)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    next_version = Operator(controllers, OPERATOR, folder=tmp_path)
    monkeypatch.undo()
    of_before = Operator(controllers, OPERATOR, "--listener-format=1", folder=tmp_path)
    with without(operator), stopped_at_the_end(of_before, next_version):
        of_before.start()
        with Node(controllers, gateways.namespace):
            gateways.apply()
            gateways.until("Available", "MinimumReplicasAvailable")
        before = of_format(gateways, 1)
        assert of_before.stop() == 0
        next_version.start()
        controllers.wait_for("there is a new pod", lambda: len(gateways.pods()) == 2)
        gateways.until("Programmed", "Programmed")

        assert formats(gateways) == [1, 3]
        assert of_format(gateways, 1) == before
        assert of_format(gateways, 3)["gateway"]["spec"]["hostname"] == "mx.example.org"
        with Node(controllers, gateways.namespace, read_by_its_listener):
            controllers.wait_for("the old pod has gone", lambda: len(gateways.pods()) == 1)
            gateways.until_gone("ConfigMap", "mx-c1")
            assert formats(gateways) == [3]
            gateways.until("ConfigLive", "Live")
        gateways.delete()  # before an operator that does not write it comes back
        assert next_version.stop() == 0


# --- an address


def test_a_service_that_is_no_longer_wanted_stays(operator, gateways):
    """Its address would be lost. One Event has the command, however often the operator looks."""
    gateways.apply(replicas=1)
    gateways.until_rendered()
    address = gateways.child("Service").body["spec"]["clusterIP"]
    gateways.apply(service={"type": "None"})
    gateways.until("Programmed", "Programmed")
    gateways.patch("Service", "mx", {"metadata": {"labels": {"app.kubernetes.io/name": "mine-now"}}})
    gateways.let_it_look(operator)
    posted = [path for path in gateways.asked(OPERATOR, "create") if "/events" in path]

    assert gateways.child("Service").body["spec"]["clusterIP"] == address
    assert gateways.child("Service").body["metadata"]["labels"]["app.kubernetes.io/name"] == "mine-now"
    ((reason, message),) = gateways.events()
    assert (reason, len(posted)) == ("ServiceLeft", 1)
    command = f"kubectl delete service mx --namespace {gateways.namespace}"
    assert message.endswith(command)
    assert gateways.get()["status"]["addresses"] == []
    gateways.cluster.kubectl(*command.split()[1:])
    gateways.let_it_look(operator)

    assert gateways.child("Service").status == 404


# --- replicas, and who says how many


def replicas_since(gateways, version):
    """The replicas of the Deployment in each of its states since then."""
    return [state["spec"]["replicas"] for state in gateways.states("Deployment", "mx", version)]


def test_an_autoscaler_begins_with_its_least(gateways):
    """And not with the one replica that a Deployment has where it says nothing."""
    version = gateways.cluster.ask("GET", gateways.path("Deployment")).body["metadata"]["resourceVersion"]
    gateways.apply(autoscaling={"minReplicas": 3, "maxReplicas": 5})
    gateways.until("Programmed", "Programmed")

    assert set(replicas_since(gateways, version)) == {3}


def test_replicas_never_dip_while_they_are_handed_to_an_autoscaler_and_back(operator, gateways):
    """The operator applies the live count until another has changed it, and then never again."""
    gateways.apply(replicas=3)
    gateways.until("Programmed", "Programmed")
    version = gateways.child("Deployment").body["metadata"]["resourceVersion"]
    gateways.apply(autoscaling={"minReplicas": 2, "maxReplicas": 9})
    gateways.cluster.wait_for("there is an autoscaler", lambda: gateways.child("HorizontalPodAutoscaler").accepted)
    gateways.let_it_look(operator)
    gateways.apply(autoscaling={"minReplicas": 2, "maxReplicas": 9}, pod={"annotations": {"example.org/roll": "1"}})
    gateways.let_it_look(operator)
    gateways.until_rendered(live_replicas=3)
    for scaled in (6, 2, 4):
        gateways.patch("Deployment", "mx", {"spec": {"replicas": scaled}}, subresource="scale")
        gateways.let_it_look(operator)

        assert gateways.child("Deployment").body["spec"]["replicas"] == scaled
        assert "f:replicas" not in applied_by_us(gateways.child("Deployment").body)["f:spec"]
        gateways.until_rendered(live_replicas=None)
    gateways.apply(replicas=5)
    gateways.until_gone("HorizontalPodAutoscaler")
    gateways.until_rendered()

    changes = [replicas for replicas, _ in groupby(replicas_since(gateways, version))]
    assert changes == [3, 6, 2, 4, 5]


def test_an_autoscaler_does_not_begin_at_none(gateways):
    """A HorizontalPodAutoscaler leaves a Deployment of no replicas alone for ever."""
    gateways.apply(replicas=0)
    gateways.until("Available", "ScaledToZero")
    gateways.apply(autoscaling={"minReplicas": 2, "maxReplicas": 3})
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered(live_replicas=2)

    assert gateways.child("Deployment").body["spec"]["replicas"] == 2


# --- children, from one InboundSmtp to the next


def test_an_inbound_smtp_goes_with_its_children_whether_the_operator_runs_or_not(operator, gateways, controllers):
    """There is no finalizer to wait for, and the garbage collector does the rest."""
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    with without(operator):
        gateways.kubectl("delete", "inboundsmtp", "mx", "--timeout=10s")
        controllers.wait_for(
            "the children are gone", lambda: all(gateways.child(*each).status == 404 for each in NAMES.items())
        )


def test_one_that_is_made_anew_at_once_has_its_own_children(gateways, controllers):
    """Those of the old one go by its uid, and the operator waits for them to be gone."""
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    old = {kind: gateways.child(kind, name).body["metadata"]["uid"] for kind, name in NAMES.items()}
    gateways.delete()
    gateways.apply(**ALL, hostname="new.example.org")
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered(live_replicas=2)

    assert not [kind for kind, name in NAMES.items() if gateways.child(kind, name).body["metadata"]["uid"] == old[kind]]
    assert not [reason for reason, _ in gateways.events() if reason != "Programmed"]


def test_orphans_are_adopted(gateways, controllers):
    """`kubectl delete --cascade=orphan` and apply again: as one moves a gateway without an interruption."""
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    before = {kind: gateways.child(kind, name).body["metadata"]["uid"] for kind, name in NAMES.items()}
    gateways.kubectl("delete", "inboundsmtp", "mx", "--cascade=orphan", "--timeout=20s")
    assert "ownerReferences" not in gateways.child("Service").body["metadata"]
    gateways.apply(**ALL)
    gateways.until("Programmed", "Programmed")
    gateways.until_rendered(live_replicas=2)

    assert {kind: gateways.child(kind, name).body["metadata"]["uid"] for kind, name in NAMES.items()} == before
