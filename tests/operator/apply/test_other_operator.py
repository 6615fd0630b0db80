"""A gateway that another operator has taken, and whether that one is still there. The API server is a fake."""

import pytest

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.apply.applier import Applier
from mailport.operator.metadata import INSTANCE
from mailport.operator.watch.store import Key
from tests.operator.apply.test_applier import (  # noqa: F401 - later is a fixture
    MX,
    US,
    ApiServer,
    bring,
    later,
    rendered,
)

OTHER = "other/mailport-operator"


class Server(ApiServer):
    """Refuses patches where it is told to."""

    async def patch(self, kind, namespace, name, operations, *, content_type):
        if kind.name in self.refusing:
            raise self.refusing[kind.name]
        return await super().patch(kind, namespace, name, operations, content_type=content_type)

    def mark(self, mark):
        """Have somebody write the mark of an operator, and nothing else."""
        body = self.objects[kinds.DEPLOYMENT, MX.name]
        return self._put({**body, "metadata": body["metadata"] | {"annotations": {INSTANCE: mark} if mark else {}}})


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def applier(server):
    """Ours, that has applied it; then it has the mark of another."""
    applier = await bring(server, rendered())
    server.mark(OTHER)
    return applier


async def left_to(applier, server, *, may_ask=True):
    """Return to whom it is left, and for how long."""
    left = await applier.left_to(server.seen(), US, may_ask=may_ask)
    return None if left is None else (left.operator, round(left.again_in))


async def test_an_operator_that_is_there_puts_its_mark_back_and_keeps_the_gateway(server, applier, later):  # noqa: F811
    """It is asked every ten minutes; nothing else is written."""
    assert await left_to(applier, server) == (OTHER, 60)
    for _ in range(5):
        later(601)
        assert await left_to(applier, server) == (OTHER, 60)
        assert await left_to(applier, server) == (OTHER, 60)  # while its answer is on the way
        server.mark(OTHER)
        assert await left_to(applier, server) == (OTHER, 600)

    assert server.done == 5 * [("patch", "Deployment")]


async def test_from_an_operator_that_is_gone_the_gateway_is_taken_back(server, applier, later):  # noqa: F811
    """As where the old one's second replica led for a moment, or after `kubectl rollout undo`."""
    assert await left_to(applier, server) == (OTHER, 60)
    later(61)
    assert await left_to(applier, server) == (OTHER, 60)
    later(61)
    assert await left_to(applier, server) is None

    assert (await applier.apply(rendered(), server.seen())).programmed.status == "True"
    assert server.objects[kinds.DEPLOYMENT, MX.name]["metadata"]["annotations"] == {INSTANCE: US}
    assert await left_to(applier, server) is None


async def test_a_gateway_that_is_given_back_is_ours_at_once(server, applier):
    assert await left_to(applier, server) == (OTHER, 60)
    server.mark(None)

    assert await left_to(applier, server) is None


async def test_of_what_is_suspended_no_operator_would_answer(server, applier, later):  # noqa: F811
    """So none is asked; the gateway is left as it is until it is managed again."""
    await left_to(applier, server)
    for _ in range(2):
        later(601)
        assert await left_to(applier, server, may_ask=False) == (OTHER, 600)
    assert server.done == []

    later(601)
    assert await left_to(applier, server) == (OTHER, 60)
    assert server.done == [("patch", "Deployment")]


async def test_a_question_that_met_a_change_is_put_again(server, applier, later):  # noqa: F811
    await left_to(applier, server)
    later(61)
    server.refusing["Deployment"] = ApiError(409, "modified")
    with pytest.raises(ApiError):
        await left_to(applier, server)
    server.refusing.clear()

    assert await left_to(applier, server) == (OTHER, 60)
    assert server.done == [("patch", "Deployment")]


async def test_a_question_of_which_nothing_was_heard_counts_as_put(server, applier, later):  # noqa: F811
    """It may have come through: a gateway without a mark is not taken before the other could answer."""
    await left_to(applier, server)
    later(61)
    server.refusing["Deployment"] = ApiError(0, "no answer")
    with pytest.raises(ApiError):
        await left_to(applier, server)
    server.refusing.clear()
    server.mark(None)

    assert await left_to(applier, server) == (OTHER, 60)


async def test_the_next_replica_leaves_what_was_taken_from_the_one_before(server, applier):
    """It has watched. Else each change of leaders, while an operator is moved, would take all gateways back."""
    assert await left_to(Applier(server, server.store), server) == (OTHER, 60)

    server.store.drop(kinds.INBOUND_SMTP, server.objects[kinds.INBOUND_SMTP, MX.name])
    server.store.drop(kinds.DEPLOYMENT, server.objects[kinds.DEPLOYMENT, MX.name])
    assert not server.store.was_ours(Key(*MX))
