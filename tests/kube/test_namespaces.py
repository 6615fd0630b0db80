"""`mailport operator --namespace`: a Role in each of some namespaces, and nothing anywhere else."""

import re

import pytest

from tests.kube.gateways import Gateways
from tests.kube.operating import Operator, grant, stopped_at_the_end
from tests.kube.relay import Relay

TENANT = "tenant"
USER = f"system:serviceaccount:{TENANT}:mailport-operator"
LEASE_OR_DISCOVERY = re.compile(
    rf"/apis/coordination\.k8s\.io/v1/namespaces/{TENANT}/leases(/mailport-operator)?|/api(/v1)?|/apis(/[^/]+/v[^/]+)?"
)


@pytest.fixture(scope="module")
def watched(controllers):
    """Gateways of two namespaces that the chart was installed for, and of one that it was not."""
    a, b, c = (Gateways(controllers, controllers.new_namespace()) for _ in range(3))
    grant(controllers, f"--set=watchNamespaces={{{a.namespace},{b.namespace}}}", namespace=TENANT)
    yield a, b, c
    for gateways in (a, c):  # a test deletes b
        gateways.delete_all()


@pytest.fixture(scope="module")
def relay(controllers):
    with Relay(controllers.certified_kubeconfig(TENANT, USER, "system:serviceaccounts")) as relay:
        yield relay


@pytest.fixture(scope="module")
def operator(controllers, watched, relay, tmp_path_factory):
    """It elects too, in a namespace that it does not watch."""
    a, b, _ = watched
    arguments = (f"--namespace={a.namespace}", f"--namespace={b.namespace}")
    election = ("--leader-elect", f"--lease-namespace={TENANT}")
    folder = tmp_path_factory.mktemp("operator")
    operator = Operator(controllers, USER, *arguments, *election, folder=folder, kubeconfig=relay.kubeconfig)
    with stopped_at_the_end(operator):
        yield operator.start()
        assert operator.stop() == 0


def test_the_namespaces_that_it_is_told_are_served(watched, operator):
    """And not the one beside them."""
    a, b, c = watched
    for gateways in (c, a, b):
        gateways.apply(replicas=2)
    a.until("Programmed", "Programmed")
    b.until("Programmed", "Programmed")

    assert not a.unlike()
    assert not b.unlike()
    assert "status" not in c.get()
    assert c.child("ConfigMap", "mx-c2").status == 404


def test_it_asks_for_nothing_outside_of_them(watched, operator):
    """But for its Lease, and for what is served, which everyone may ask."""
    a, b, _ = watched
    a.let_it_look(operator)
    asked = list(a.cluster.audit(USER))
    outside = {
        event["requestURI"].partition("?")[0]
        for event in asked
        if event.get("objectRef", {}).get("namespace") not in (a.namespace, b.namespace)
    }

    assert len(asked) > len(outside) > 0
    assert [path for path in outside if not LEASE_OR_DISCOVERY.fullmatch(path)] == []
    assert [event["requestURI"] for event in asked if event["responseStatus"]["code"] == 403] == []


def test_a_namespace_that_goes_does_not_make_it_blind_to_the_other(watched, operator, relay):
    """The Role goes with it, and all that is asked there is refused from then on."""
    a, b, _ = watched
    cluster, path = a.cluster, f"/api/v1/namespaces/{b.namespace}"
    cluster.ask("DELETE", path).expect_accepted()
    cluster.wait_for("it is gone", lambda: cluster.ask("GET", path).status == 404, 60)
    relay.cut()
    operator.until_logged("watches begin anew")
    for replicas in (1, 3, 2):
        a.apply(replicas=replicas)
        a.until_rendered(seconds=3)

    assert operator.page("livez")[0] == operator.page("readyz")[0] == 200
    said = [line for line in operator.lines() if line["level"] in ("warning", "error")]
    assert len(said) < 40, "the same again and again"
    assert "internal error" not in operator.log.read_text()
