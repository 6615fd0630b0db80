"""An operator that was moved to another namespace, or another one beside it: whose a gateway is then.

An operator asks another whether it is there after a minute, and then every ten: here after seconds.
"""

import os
import signal
import time

import pytest

from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, Operator, grant, stopped_at_the_end

NEW = "system:serviceaccount:new-system:new-mailport-operator"
OLD_MARK, NEW_MARK = "mailport-system/mailport-operator", "new-system/mailport-operator"

# Of an operator that Python starts with this as its sitecustomize.py
SOON = """\
from mailport.operator.apply import other_operator
other_operator._FIRST_SECONDS, other_operator._NEXT_SECONDS = 2.0, 5.0
other_operator._ANSWER_SECONDS = 3.0
"""


@pytest.fixture
def gateways(rights, controllers, namespace):
    return Gateways(rights, namespace)


@pytest.fixture
def operators(rights, tmp_path, monkeypatch):
    """The two replicas of the old one, and the new one, all to be started."""
    (tmp_path / "sitecustomize.py").write_text(SOON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    grant(rights, release="new", namespace="new-system")
    options = ("--leader-elect", "--lease-namespace=mailport-system")
    old = [Operator(rights, OPERATOR, *options, folder=tmp_path) for _ in range(2)]
    kubeconfig = rights.certified_kubeconfig("new", NEW, "system:serviceaccounts")
    options = ("--lease-namespace=new-system", "--listener-image=mailport:2")
    new = Operator(rights, NEW, *options, folder=tmp_path, kubeconfig=kubeconfig)
    monkeypatch.undo()
    with stopped_at_the_end(*old, new):
        yield *old, new


def test_what_is_left_by_an_operator_that_is_gone_is_taken_back(rights, gateways, operators):
    """Its mark comes back with `kubectl rollout undo`, or by whoever writes it."""
    old, _, new = operators
    old.start()
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    assert old.stop() == 0
    new.start()
    rights.wait_for("the new one has it", lambda: gateways.applied_by() == NEW_MARK)
    gateways.until("Programmed", "Programmed")
    rights.wait_for("there is a revision to go back to", lambda: len(revisions(gateways)) == 2)
    gateways.kubectl("rollout", "undo", "deployment/mx")
    assert gateways.applied_by() == OLD_MARK
    new.until_logged("taken back")

    rights.wait_for("the new one has it again", lambda: gateways.applied_by() == NEW_MARK)
    gateways.apply(listeners=[{"name": "smtp", "port": 2525}])
    gateways.until("Programmed", "Programmed")
    assert [port["port"] for port in gateways.child("Service").body["spec"]["ports"]] == [2525]
    assert image(gateways) == "mailport:2"
    gateways.delete_all()


def test_of_two_that_are_there_one_keeps_the_gateway_and_it_goes_to_the_other_when_that_ends(
    rights, gateways, operators
):
    """Also where the second replica of the one that left it becomes leader meanwhile."""
    first, second, new = operators
    first.start()
    rights.wait_for("the first leads", lambda: first.leads)
    second.start()
    gateways.apply()
    gateways.until("Programmed", "Programmed")
    new.start()
    rights.wait_for("the new one has it", lambda: gateways.applied_by() == NEW_MARK)
    rights.wait_for("the old one leaves it", lambda: metric(first, gateways) == "OtherOperator")
    spec = gateways.child("Deployment").body["spec"]
    first.signal(signal.SIGTERM)
    rights.wait_for("the second leads", lambda: second.leads)
    rights.wait_for("the second leaves it, too", lambda: metric(second, gateways) == "OtherOperator")
    time.sleep(8)  # in which the second asks once more

    rights.wait_for("the new one has answered", lambda: gateways.applied_by() == NEW_MARK)
    assert gateways.child("Deployment").body["spec"] == spec
    assert image(gateways) == "mailport:2"
    assert len(asked(gateways)) > 1

    assert new.stop() == 0
    rights.wait_for("the old one has it", lambda: gateways.applied_by() == OLD_MARK)
    gateways.until("Programmed", "Programmed")
    rights.wait_for("it says so", lambda: metric(second, gateways) != "OtherOperator")
    gateways.delete_all()


def image(gateways):
    return gateways.child("Deployment").body["spec"]["template"]["spec"]["containers"][0]["image"]


def revisions(gateways):
    return gateways.cluster.ask("GET", gateways.path("ReplicaSet")).body["items"]


def metric(operator, gateways):
    """The reason that an operator's metrics have for the gateway."""
    lines = [line for line in operator.page("metrics")[1].splitlines() if f'namespace="{gateways.namespace}"' in line]
    return lines[0].partition('reason="')[2].partition('"')[0] if lines else None


def asked(gateways):
    """Patches of the Deployment by the old operator that are no applies."""
    return [
        event
        for event in gateways.cluster.audit(OPERATOR)
        if event["verb"] == "patch"
        and event["requestURI"].startswith(gateways.path("Deployment", "mx"))
        and "force=" not in event["requestURI"]
    ]
