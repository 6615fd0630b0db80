"""The door to the API server: what is written by whose turn, and what an answer that does not come is taken for.

The API server here is a fake, for what the real one cannot be made to do in a moment.
"""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import yaml

from mailport.operator import kinds
from mailport.operator.api_error import ApiError, Cause, NotOurTurnError
from mailport.operator.cluster import PAGE, Cluster
from tests.operator.making import ROOT
from tests.tables import table

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mx", "namespace": "mail"}}
SEEN = {"metadata": {"name": "mx", "namespace": "mail", "uid": "1", "resourceVersion": "5"}}


class Client:
    """In the place of the kubernetes client: answers what it is told, or not."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def param_serialize(self, method, path, **_):
        return method, path, {}, None, []

    async def call_api(self, method, path, headers, body, _request_timeout):
        self.asked.append((method, path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Response(*answer)


class Response:
    def __init__(self, status, content, **headers):
        self.status = status
        self.headers = headers
        self._content = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def read(self):
        return self._content


def cluster(*answers, may_write=True):
    made = Cluster(lambda: may_write)
    made._client = Client(*answers)
    return made


WRITES = {
    "apply": lambda api: api.apply(SERVICE),
    "a dry run, which may be the real one tomorrow": lambda api: api.apply(SERVICE, dry_run=True),
    "a status": lambda api: api.apply(SERVICE, subresource="status"),
    "patch": lambda api: api.patch(kinds.POD, "mail", "mx-1", {}, content_type="application/merge-patch+json"),
    "create": lambda api: api.create(kinds.EVENT, "mail", {}),
    "delete": lambda api: api.delete(kinds.SERVICE, SEEN),
}


@pytest.mark.parametrize("write", table({name: (write,) for name, write in WRITES.items()}))
async def test_nothing_is_written_that_is_not_our_turn(write):
    """Nor asked for: the age of the Lease is looked at before each."""
    api = cluster(may_write=False)
    with pytest.raises(NotOurTurnError):
        await write(api)

    assert api._client.asked == []


async def test_the_lease_is_written_whosever_turn_it_is():
    """It is what gives the turn."""
    api = cluster((200, {"kind": "Lease"}), (200, {"kind": "Lease"}), may_write=False)
    body = {"metadata": {"name": "mailport-operator"}}
    await api.put_lease(kinds.LEASE, "mail", "mailport-operator", body, seconds=1)
    body["metadata"]["resourceVersion"] = "5"
    await api.put_lease(kinds.LEASE, "mail", "mailport-operator", body, seconds=1)

    assert [method for method, _, _ in api._client.asked] == ["POST", "PUT"]


async def test_what_is_deleted_is_what_was_seen():
    """And what has gone already is no fault."""
    api = cluster((200, {}), (404, {"message": "not found"}), (409, {"message": "another uid"}))
    await api.delete(kinds.SERVICE, SEEN)
    await api.delete(kinds.SERVICE, SEEN)
    with pytest.raises(ApiError):
        await api.delete(kinds.SERVICE, SEEN)

    assert api._client.asked[0][2]["preconditions"] == {"uid": "1", "resourceVersion": "5"}


async def test_each_time_that_it_begins_not_to_answer_is_counted():
    """What happened meanwhile no watch may tell: everything is listed then."""
    refused, found = OSError("refused"), (200, {"metadata": {"resourceVersion": "7"}, "items": []})
    api = cluster(refused, refused, found, refused, (500, b"oops"))
    counts = []
    for _ in range(5):
        with suppress(ApiError):
            await api.version(kinds.SERVICE, None)
        counts.append((api.outages, api.answers))

    assert counts == [(1, False), (1, False), (1, True), (2, False), (2, True)]


@pytest.mark.parametrize(
    "answer, error",
    table(
        {
            "a metav1.Status": (
                (
                    422,
                    {"message": "no", "reason": "Invalid", "details": {"causes": [{"field": "spec", "message": "x"}]}},
                ),
                {"status": 422, "reason": "Invalid", "causes": (Cause("spec", "x"),), "timed_out": False},
            ),
            "one that asks for patience": (
                (429, {"message": "later", "details": {"retryAfterSeconds": 7}}),
                {"status": 429, "retry_after": 7.0, "is_passing": True},
            ),
            "a proxy's page": ((502, b"<html>"), {"status": 502, "is_passing": True}),
            "JSON that is no Status": ((500, b"[]"), {"status": 500}),
            "none at all": (OSError("refused"), {"status": 0, "timed_out": False, "is_passing": True}),
            "none in time": (TimeoutError(), {"status": 0, "timed_out": True}),
            "not even a connection in time: it may not have been asked": (
                aiohttp.ConnectionTimeoutError(),
                {"status": 0, "timed_out": False, "is_passing": True},
            ),
        }
    ),
)
async def test_what_it_says_instead_is_read(answer, error):
    api = cluster(answer)
    with pytest.raises(ApiError) as caught:
        await api.get(kinds.SERVICE, "mail", "mx")

    assert {name: getattr(caught.value, name) for name in error} == error
    assert str(caught.value)


@asynccontextmanager
async def silent():
    """A port that takes connections and says nothing."""

    ended = asyncio.Event()

    async def wait(reader, writer):
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()


async def test_an_answer_that_never_comes_is_waited_for_as_long_as_is_said(tmp_path, monkeypatch):
    """By the real client: with its own time-outs, of which some would be minutes."""
    async with silent() as port:
        config = tmp_path / "kubeconfig"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "x",
                    "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "users": [{"name": "x", "user": {"token": "x"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                }
            )
        )
        monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(config))
        monkeypatch.setattr("mailport.operator.cluster.READ_SECONDS", 0.3)
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        api = Cluster()
        await api.connect()
        began = asyncio.get_running_loop().time()
        with pytest.raises(ApiError) as caught:
            await api.get(kinds.SERVICE, "mail", "mx")
        took = asyncio.get_running_loop().time() - began
        await api.close()

    assert caught.value.timed_out
    assert str(caught.value) == "the API server did not answer within 0.3 s"
    assert 0.2 < took < 3


def test_a_page_of_the_largest_objects_fits_the_memory_that_the_chart_gives():
    """Ten times what it is as JSON: as Python's objects, and while several are read. Watches begin with the same."""
    limit = yaml.safe_load((ROOT / "helm/mailport/values.yaml").read_text())["resources"]["limits"]["memory"]
    largest = 1.5 * 2**20  # that etcd takes

    assert limit == "512Mi"
    assert 10 * largest * PAGE < 512 * 2**20
