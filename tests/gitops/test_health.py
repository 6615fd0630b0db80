"""What Argo CD and Flux say of an InboundSmtp, in each state that the operator brings it into."""

from contextlib import ExitStack

import pytest
import yaml

from mailport.operator.report.status import status
from tests.gitops import judges
from tests.kube.cluster import ROOT
from tests.kube.operating import IMAGE, Node
from tests.operator.making import MINIMAL, maildir
from tests.operator.report.condition_cases import EVERY
from tests.operator.report.observing import NOW
from tests.operator.report.test_conditions import kstatus as kstatus_of_the_tables
from tests.tables import table

TLS = {"tls": {"certificateRefs": [{"name": "mx-tls"}]}}
WEBHOOK = {"url": "https://hook.example.org/", "signingSecretRef": {"name": "hook", "key": "key"}}
SIGNED = {
    "routes": [{"name": "hook", "recipients": ["*@example.org"], "deliver": {"webhook": WEBHOOK}}],
    "pod": {"image": IMAGE},  # which may be of a version that has webhooks
}
# The API server takes it, and the model does not: IDNA has no snowmen
INVALID = {"routes": [MINIMAL["routes"][0] | {"recipients": ["*@☃.example.org"]}]}
OPERATOR_OPTIONS = ("--allow=loadBalancer,nodePort,image",)
PATCH = ROOT / "deploy/argocd/argocd-cm.yaml"
KEY = "resource.customizations.health.mailport.dev_InboundSmtp"


@pytest.fixture
def gateways(controllers, gateways):
    """Where Deployments are rolled out."""
    return gateways


@pytest.fixture
def run_pods(gateways):
    """Begin to run the pods of the namespace: without this they wait for a node."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Node(gateways.cluster, gateways.namespace))


def conditions(found):
    return {condition["type"]: condition for condition in found.get("status", {}).get("conditions", ())}


# --- states that the operator brings a gateway into, and what it is then


def serve(gateways, run_pods, **spec):
    """Have pods that serve, and nothing that is under way."""
    node = run_pods()
    gateways.apply(**spec)
    gateways.until("Available", "MinimumReplicasAvailable")
    nothing = lambda: gateways.condition("Reconciling")["reason"] == "Absent"  # noqa: E731
    gateways.cluster.wait_for("all is rolled out", nothing)
    return node


def told(gateways, **spec):
    """Return every state from a change until its children are written, as a watch tells of them."""
    since = gateways.cluster.ask("GET", gateways.path("InboundSmtp")).body["metadata"]["resourceVersion"]
    gateways.apply(**spec)
    gateways.until("Programmed", "Programmed")
    return gateways.states("InboundSmtp", "mx", since)


def has(gateways, kind, reason):
    gateways.until(kind, reason)
    return gateways.get()


def just_created(gateways, run_pods):
    first = told(gateways)[0]

    assert "status" not in first
    return first


def first_visit(gateways, run_pods):
    return next(state for state in told(gateways) if "status" in state)


def waiting_for_a_node(gateways, run_pods):
    gateways.apply()
    return has(gateways, "Reconciling", "RollingOut")


def ready(gateways, run_pods):
    serve(gateways, run_pods)
    return gateways.get()


def changed_a_moment_ago(gateways, run_pods):
    serve(gateways, run_pods)
    first = told(gateways, hostname="new.example.org")[0]

    assert conditions(first)["Ready"]["status"] == "True"
    return first


def propagating(gateways, run_pods):
    node = serve(gateways, run_pods)
    node.mounts = False
    gateways.apply(hostname="new.example.org")
    return has(gateways, "ConfigLive", "Propagating")


def invalid(gateways, run_pods):
    gateways.apply(**INVALID)
    return has(gateways, "Accepted", "Invalid")


def invalid_while_pods_serve(gateways, run_pods):
    serve(gateways, run_pods)
    return invalid(gateways, run_pods)


def mended_a_moment_ago(gateways, run_pods):
    invalid(gateways, run_pods)
    first = told(gateways)[0]

    assert "Stalled" in conditions(first)
    return first


def not_permitted(gateways, run_pods):
    gateways.apply(pod={"priorityClassName": "mail"})
    return has(gateways, "Accepted", "NotPermitted")


def conflict(gateways, run_pods):
    gateways.kubectl("create", "service", "clusterip", "mx", "--tcp=25")
    gateways.apply()
    return has(gateways, "Programmed", "ChildConflict")


def immutable(gateways, run_pods):
    gateways.apply(service={"type": "LoadBalancer", "loadBalancerClass": "example.com/a"})
    gateways.until("Programmed", "Programmed")
    gateways.apply(service={"type": "LoadBalancer", "loadBalancerClass": "example.com/b"})
    return has(gateways, "Programmed", "ImmutableField")


def bind_addresses(gateways, run_pods):
    gateways.apply(network={"bindAddresses": ["192.0.2.1"]})
    return has(gateways, "Accepted", "BindAddressUnavailable")


def refused_by_the_api_server(gateways, run_pods):
    gateways.apply(pod={"affinity": {"nodeAffinity": "any"}})
    return has(gateways, "Programmed", "ApplyFailed")


def secret_of_a_route(gateways, run_pods):
    serve(gateways, run_pods, **SIGNED)
    return has(gateways, "ResolvedRefs", "SecretNotFound")


def certificate(gateways, run_pods):
    run_pods().ready = False
    gateways.apply(**TLS)
    return has(gateways, "ResolvedRefs", "SecretNotFound")


def claim(gateways, run_pods):
    gateways.apply(routes=[maildir("mail", "nowhere")])
    gateways.until("Reconciling", "RollingOut")
    return has(gateways, "ResolvedRefs", "ClaimNotFound")


def pods_that_are_no_longer_ready(gateways, run_pods):
    serve(gateways, run_pods).ready = False
    gateways.until("Reconciling", "RollingOut")
    return has(gateways, "Available", "NoReplicaReady")


def reload_failed(gateways, run_pods):
    serve(gateways, run_pods).override = {"reloadError": "Secret mx-tls: tls.key is no PEM private key"}
    gateways.apply(hostname="new.example.org")
    return has(gateways, "ConfigLive", "ReloadFailed")


def suspended(gateways, run_pods):
    serve(gateways, run_pods)
    gateways.apply(management="Suspended", hostname="new.example.org")
    return has(gateways, "Programmed", "Suspended")


def scaled_to_zero(gateways, run_pods):
    gateways.apply(replicas=0)
    nothing = lambda: gateways.condition("Reconciling")["reason"] == "Absent"  # noqa: E731
    gateways.until("Available", "ScaledToZero")
    gateways.cluster.wait_for("all is rolled out", nothing)
    return gateways.get()


def deleting(gateways, run_pods):
    """With the finalizer of somebody else: we have none, and it would be gone at once."""
    serve(gateways, run_pods)
    gateways.patch("InboundSmtp", "mx", {"metadata": {"finalizers": ["example.org/hold"]}})
    gateways.delete()
    found = gateways.get()
    gateways.patch("InboundSmtp", "mx", {"metadata": {"finalizers": None}})
    return found


# Of each: Argo CD's word, the condition whose message it gives, and the word of kstatus
STATES = {
    # kstatus takes an object without a status for ready
    "just created, and nobody has looked": (just_created, "Progressing", None, "Current"),
    "the operator's first visit": (first_visit, "Progressing", "Ready", "InProgress"),
    "pods that wait for a node": (waiting_for_a_node, "Progressing", "Ready", "InProgress"),
    "ready": (ready, "Healthy", "Ready", "Current"),
    "changed, and nobody has looked": (changed_a_moment_ago, "Progressing", None, "InProgress"),
    "a configuration on its way": (propagating, "Progressing", "Ready", "InProgress"),
    "an invalid spec": (invalid, "Degraded", "Stalled", "Failed"),
    "an invalid spec, while pods serve the one before": (invalid_while_pods_serve, "Degraded", "Stalled", "Failed"),
    "an invalid spec that has been mended, and nobody has looked": (
        mended_a_moment_ago,
        "Progressing",
        None,
        "InProgress",
    ),
    "a field that the operator does not allow": (not_permitted, "Degraded", "Stalled", "Failed"),
    "an object of that name that is not ours": (conflict, "Degraded", "Stalled", "Failed"),
    "a field that cannot be changed": (immutable, "Degraded", "Stalled", "Failed"),
    "addresses of a node in a pod": (bind_addresses, "Progressing", "Ready", "InProgress"),
    "what the API server refuses, and is tried again": (
        refused_by_the_api_server,
        "Progressing",
        "Ready",
        "InProgress",
    ),
    "a Secret that a route lacks, while pods serve": (secret_of_a_route, "Progressing", "Ready", "InProgress"),
    "a certificate that no pod serves without": (certificate, "Progressing", "Ready", "InProgress"),
    "a claim that pods wait for": (claim, "Progressing", "Ready", "InProgress"),
    "pods that are no longer ready": (pods_that_are_no_longer_ready, "Progressing", "Ready", "InProgress"),
    "pods that cannot load what they were given": (reload_failed, "Degraded", "Ready", "InProgress"),
    "suspended, and a change is held back": (suspended, "Suspended", "Ready", "InProgress"),
    "scaled to zero": (scaled_to_zero, "Suspended", "Ready", "InProgress"),
    "being deleted": (deleting, "Progressing", None, "Terminating"),
}


@pytest.mark.parametrize("bring_about, health, about, flux", table(STATES))
def test_each_state_is_seen_as_what_it_is(gateways, run_pods, argo_cd, kstatus, bring_about, health, about, flux):
    """By both, as it was read from the API server; with the message of the condition that decides."""
    found = bring_about(gateways, run_pods)
    (seen,), (computed,) = argo_cd(found), kstatus(found)

    assert (seen.status, computed.status) == (health, flux), found.get("status")
    assert seen.message
    if about is not None:
        assert seen.message == conditions(found)[about]["message"]


# --- states that pass too quickly, and all that the tables of tests/operator know


def gateway(**of_status):
    return {
        "apiVersion": "mailport.dev/v1alpha1",
        "kind": "InboundSmtp",
        "metadata": {"name": "mx", "namespace": "mail", "generation": 3},
        "status": {"observedGeneration": 3} | of_status,
    }


def saying(**judged):
    """A gateway with these conditions: status, reason and message of each."""
    names = ("status", "reason", "message")
    said = [{"type": kind} | dict(zip(names, text.split(maxsplit=2), strict=True)) for kind, text in judged.items()]
    return gateway(conditions=said)


@pytest.mark.parametrize(
    "given, health, flux",
    table(
        {
            "a status of which nothing is known yet": (
                gateway(),
                ("Progressing", "the operator has not looked at it yet"),
                "Current",
            ),
            "a status with other conditions than ours": (
                saying(Synced="True Synced all is well"),
                ("Progressing", "the operator has not looked at it yet"),
                "Current",
            ),
            "mail is taken, and pods give way to others": (
                saying(
                    Ready="True Ready 2 of 2 replicas serve generation 3",
                    Reconciling="True RollingOut 1 of 2 replicas are up to date",
                ),
                ("Progressing", "1 of 2 replicas are up to date"),
                "InProgress",
            ),
            "no mail is taken, and pods start": (
                saying(
                    Ready="False SecretNotFound Secret mx-tls is not there",
                    Reconciling="True RollingOut 0 of 2 replicas are available",
                ),
                ("Progressing", "Secret mx-tls is not there"),
                "InProgress",
            ),
            "what waiting does not help with, behind what may come": (
                saying(
                    Ready="False SecretNotFound Secret mx-tls is not there",
                    Stalled="True ChildConflict Service mx is not ours",
                ),
                ("Degraded", "Service mx is not ours"),
                "Failed",
            ),
            "a condition that is there and not True": (
                saying(Ready="True Ready serves", Stalled="False Gone x", Reconciling="False Gone x"),
                ("Healthy", "serves"),
                "Current",
            ),
            "a reason of a later version": (
                saying(Ready="False Tired come back tomorrow"),
                ("Progressing", "come back tomorrow"),
                "InProgress",
            ),
            "whether it is ready is not known": (
                saying(Ready="Unknown Pending not applied yet"),
                ("Progressing", "not applied yet"),
                "InProgress",
            ),
        }
    ),
)
def test_what_passes_quickly(argo_cd, kstatus, given, health, flux):
    assert argo_cd(given) == [health]
    assert [computed.status for computed in kstatus(given)] == [flux]


def of_the_tables():
    """Every state that tests/operator/report/condition_cases.py knows, and the same when the spec has changed since."""
    for case, (_, seen, _) in EVERY.items():
        found = gateway(**status(seen, NOW))
        yield case, found
        yield f"{case}; and changed since", found | {"metadata": found["metadata"] | {"generation": 4}}


def test_kstatus_is_what_the_tables_take_it_for(kstatus):
    """The few lines of tests/operator/report/test_conditions.py, and the real one."""
    cases = dict(of_the_tables())
    computed = [judgement.status for judgement in kstatus(*cases.values())]

    assert dict(zip(cases, computed, strict=True)) == {
        case: kstatus_of_the_tables(found) for case, found in cases.items()
    }
    assert set(computed) == {"Current", "InProgress", "Failed"}


# Where Argo CD has a better word for what kstatus calls InProgress
MORE = {"Suspended": "Suspended", "ScaledToZero": "Suspended", "ReloadFailed": "Degraded"}
SAME = {"Current": "Healthy", "Failed": "Degraded", "InProgress": "Progressing"}


def test_argo_cd_and_flux_agree(argo_cd, kstatus):
    """But for three reasons, which Argo CD has a better word for."""
    cases = dict(of_the_tables())
    expected = {
        case: SAME[computed.status]
        for (case, found), computed in zip(cases.items(), kstatus(*cases.values()), strict=True)
    }
    for case, found in cases.items():
        looked_at = found["metadata"]["generation"] == found["status"]["observedGeneration"]
        by_type = conditions(found)
        if looked_at and not {"Stalled", "Reconciling"} & by_type.keys():
            expected[case] = MORE.get(by_type["Ready"]["reason"], expected[case])

    assert dict(zip(cases, (health.status for health in argo_cd(*cases.values())), strict=True)) == expected
    assert set(expected.values()) == {"Healthy", "Progressing", "Degraded", "Suspended"}


# --- in Argo CD


@pytest.mark.parametrize("expression", ['string.format("x")', '("x"):upper()', "math.max(1, 2)", "io.read()"])
def test_a_check_has_no_more_of_lua_than_argo_cd_gives_it(argo_cd, expression):
    """So that what runs here runs there."""
    with pytest.raises(AssertionError, match=r"attempt to (index|call)"):
        judges.run_check(f'return {{status = "Healthy", message = {expression}}}', gateway())


def test_the_patch_holds_the_check_word_for_word():
    assert yaml.safe_load(PATCH.read_text())["data"] == {KEY: judges.HEALTH.read_text()}


def test_the_patch_leaves_what_else_argo_cd_is_told(cluster, namespace):
    """As docs/gitops.md has it."""
    cluster.kubectl("create", "configmap", "argocd-cm", "--from-literal=url=https://cd.example.org", "-n", namespace)
    cluster.kubectl("patch", "configmap", "argocd-cm", "--patch-file", str(PATCH), "-n", namespace)
    found = cluster.ask("GET", f"/api/v1/namespaces/{namespace}/configmaps/argocd-cm").body

    assert found["data"] == {"url": "https://cd.example.org", KEY: judges.HEALTH.read_text()}
