"""What becomes of a child that is refused, or that somebody has left; tests/kube show it with a real API server."""

import time
from dataclasses import replace

import pytest

from mailport.operator import kinds
from mailport.operator.cluster import ApiError, Cause, Cluster
from mailport.operator.kinds import SERVICE
from mailport.operator.manifests import children
from mailport.operator.programming import NamespaceGoneError, Owner, Problem, Programmer
from mailport.operator.store import Key, Store
from tests.operator.making import GIVEN, gateway
from tests.tables import table


class Refusing(Cluster):
    """An API server that has nothing, and takes nothing."""

    def __init__(self, error):
        super().__init__()
        self.error = error
        self.asked = 0

    async def get(self, kind, namespace, name):
        return None

    async def apply(self, manifest, *, subresource="", force=True):
        self.asked += 1
        raise self.error


OWNER = Owner(Key("mail", "mx"), "uid")
SERVICES = [child for child in children(gateway(), GIVEN) if child["kind"] == SERVICE.name]
IMMUTABLE = (Cause("spec.loadBalancerClass", 'Invalid value: "b": may not change once set'),)


@pytest.mark.parametrize(
    "error, reason",
    table(
        {
            "a field that is unknown": (ApiError(500, ".spec.nonsense: field not declared in schema"), "ApplyFailed"),
            "a value that is wrong": (ApiError(422, "invalid", causes=(Cause("spec", "no"),)), "ApplyFailed"),
            "a right that is missing": (ApiError(403, "forbidden"), "ApplyFailed"),
            "what may not change": (ApiError(422, "invalid", causes=IMMUTABLE), "ImmutableField"),
        }
    ),
)
async def test_what_is_refused_is_said_and_not_asked_again_at_once(error, reason):
    programmer = Programmer(cluster := Refusing(error), Store())
    for _ in range(2):
        with pytest.raises(Problem) as caught:
            await programmer.program(SERVICES, OWNER)

    assert caught.value.verdict.reason == reason
    assert caught.value.again_in > 5
    assert cluster.asked == 1


@pytest.mark.parametrize(
    "status, seen",
    table(
        {
            "nobody answers": (0, 0),
            "a token is being renewed": (401, 401),
            "the object is another by now": (409, 409),
            "the object has gone, and is to be looked for": (404, 409),
            "the API server has too much to do": (429, 429),
            "it is about to stop, or just starting": (503, 503),
            "it, or its etcd, takes too long": (504, 504),
        }
    ),
)
async def test_what_passes_by_itself_is_no_problem_of_the_child(status, seen):
    """It is tried again, as a whole, and nothing is said."""
    programmer = Programmer(cluster := Refusing(ApiError(status, "try again")), Store())
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            await programmer.program(SERVICES, OWNER)

    assert caught.value.status == seen
    assert cluster.asked == 2


@pytest.mark.parametrize(
    "error",
    table(
        {
            "a namespace that is on its way out": ApiError(403, "... because it is being terminated"),
            "a namespace that is gone": ApiError(404, 'namespaces "mail" not found'),
        }
    ),
)
async def test_nothing_is_made_in_a_namespace_that_goes(error):
    with pytest.raises(NamespaceGoneError):
        await Programmer(Refusing(error), Store()).program(SERVICES, OWNER)


async def test_of_several_problems_the_first_is_said_and_the_soonest_tried_again():
    """A Service that a person must delete does not keep a Deployment waiting."""
    cluster = Refusing(ApiError(422, "invalid", causes=IMMUTABLE))
    programmer = Programmer(cluster, Store())
    both = [child for child in children(gateway(), GIVEN) if child["kind"] in ("Service", "Deployment")]
    for _ in range(3):  # until it is tried again after a minute only
        for note in programmer._notes.values():
            note.again_at = 0.0
        with pytest.raises(Problem):
            await programmer.program(both[:1], OWNER)
    with pytest.raises(Problem) as caught:
        await programmer.program(both, OWNER)

    assert caught.value.verdict.message.startswith("spec.loadBalancerClass of Service mx")
    assert caught.value.again_in == pytest.approx(10, abs=1)


# --- what an InboundSmtp of the same name has left


class Remembering(Cluster):
    """An API server that takes everything; of InboundSmtps it has those that it is given."""

    def __init__(self, *uids):
        super().__init__()
        self.uids = uids
        self.done = []

    async def get(self, kind, namespace, name):
        return None

    async def every(self, kind, namespace):
        assert kind == kinds.INBOUND_SMTP
        for uid in self.uids:
            yield {"metadata": {"uid": uid}}

    async def apply(self, manifest, *, subresource="", force=True):
        self.done.append(("apply", manifest["kind"]))
        return as_stored(manifest)

    async def delete(self, kind, seen):
        self.done.append(("delete", kind.name))


def as_stored(manifest):
    entry = {"manager": "mailport-operator", "operation": "Apply", "fieldsV1": {}}
    metadata = {**manifest["metadata"], "namespace": "mail", "resourceVersion": "7", "managedFields": [entry]}
    return {**manifest, "metadata": {**metadata, "uid": manifest["kind"]}}


def rendered(uid, **spec):
    return children(gateway(namespace="mail", **spec), replace(GIVEN, owner_uid=uid))


@pytest.fixture
def left_over():
    """What a gateway with an autoscaler has left, its ServiceAccount too."""
    store = Store()
    for manifest in rendered("old", autoscaling={"maxReplicas": 3}):
        store.put(kinds.kind_of(manifest), as_stored(manifest))
    return store


@pytest.fixture
def later(monkeypatch):
    """Let seconds pass."""
    passed, real = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    return lambda seconds: passed.append(passed.pop() + seconds)


async def test_kubernetes_gets_the_time_to_collect_what_is_left(left_over, later):
    """Half a minute from the first look on, whatever else is changed meanwhile; then all is taken over at once."""
    programmer = Programmer(cluster := Remembering("uid"), left_over)
    for count in (1, 2, 3):
        with pytest.raises(Problem) as caught:
            await programmer.program(rendered("uid", replicas=count), OWNER)
        assert caught.value.verdict.reason == "Pending"
        later(caught.value.again_in - 9 if count == 1 else 3)
    assert cluster.done == []
    later(4)
    wanted = rendered("uid", replicas=1)
    await programmer.program(wanted, OWNER)
    await programmer.remove(wanted, OWNER)

    assert [kind for what, kind in cluster.done if what == "apply"] == [manifest["kind"] for manifest in wanted]
    assert [kind for what, kind in cluster.done if what == "delete"] == [
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    ]


async def test_nothing_is_taken_over_for_one_that_is_gone_itself(left_over, later):
    """What we know of the InboundSmtp may be old: the API server is asked."""
    programmer = Programmer(cluster := Remembering("newer"), left_over)
    with pytest.raises(Problem):
        await programmer.program(rendered("uid"), OWNER)
    later(31)
    with pytest.raises(ApiError) as caught:
        await programmer.program(rendered("uid"), OWNER)

    assert (caught.value.status, cluster.done) == (409, [])


class Keeping(Remembering):
    """One that lets nothing be deleted."""

    async def delete(self, kind, seen):
        raise ApiError(403, "denied by policy")


async def test_what_may_not_be_deleted_is_said():
    """A policy that keeps an object is no reason to say nothing in the status."""
    store = Store()
    for manifest in rendered("uid", autoscaling={"maxReplicas": 3}):
        store.put(kinds.kind_of(manifest), as_stored(manifest))
    with pytest.raises(Problem) as caught:
        await Programmer(Keeping("uid"), store).remove(rendered("uid"), OWNER)

    assert caught.value.verdict.reason == "ApplyFailed"
    assert "cannot be deleted: denied by policy" in caught.value.verdict.message
