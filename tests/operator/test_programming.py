"""What becomes of a child that the API server refuses; tests/kube/test_conditions.py shows it with a real one."""

import pytest

from mailport.operator.cluster import ApiError, Cause, Cluster
from mailport.operator.kinds import SERVICE
from mailport.operator.manifests import children
from mailport.operator.programming import NamespaceGoneError, Problem, Programmer
from mailport.operator.store import Store
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
            await programmer.program(SERVICES, "uid")

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
            await programmer.program(SERVICES, "uid")

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
        await Programmer(Refusing(error), Store()).program(SERVICES, "uid")
