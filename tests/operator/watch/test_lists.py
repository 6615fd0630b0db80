"""Lists: when everything is asked for, and what follows. The API server is a fake, which can go back in time."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.watch.lists import Lists
from mailport.operator.watch.store import Key, Store
from tests.operator.virtual_time import in_virtual_time

MX = Key("mail", "mx")


class ApiServer:
    """Has objects by kind, as versions by name; counts how often each kind was listed."""

    def __init__(self):
        self.objects = {kinds.INBOUND_SMTP: {"mx": 100}, kinds.CONFIG_MAP: {"mx-c1": 101}}
        self.now = 101
        self.outages = 0
        self.refusing = {}
        self.listed = 0

    async def every(self, kind, namespace):
        await asyncio.sleep(0.001)
        if kind in self.refusing:
            raise self.refusing[kind]
        self.listed += kind == kinds.WATCHED[-1]
        for name, version in self.objects.get(kind, {}).items():
            yield thing(name, version)

    async def version(self, kind, namespace):
        await asyncio.sleep(0.001)
        if kind in self.refusing:
            raise self.refusing[kind]
        return self.now


def thing(name, version):
    labels = {"mailport.dev/inboundsmtp": "mx"}
    metadata = {"name": name, "namespace": "mail", "resourceVersion": str(version), "labels": labels}
    return {"kind": "ConfigMap", "metadata": metadata, "spec": {"was": version}}


@pytest.fixture
def server():
    return ApiServer()


@asynccontextmanager
async def listing(server):
    """Lists that run; with what they found, and how often they saw that the server went back."""
    store, found, back = Store(), [], []
    lists = Lists(server, store, (), found=found.append, went_back=lambda: back.append(server.now))
    await lists.fill()
    found.clear()
    running = asyncio.create_task(lists.run())
    await asyncio.sleep(1)
    try:
        yield lists, store, found, back
    finally:
        running.cancel()


@in_virtual_time
async def test_all_is_listed_every_ten_minutes(server):
    """And all gateways are looked at."""
    async with listing(server) as (_, _, found, back):
        await asyncio.sleep(6 * 600)

    assert 5 <= server.listed - 1 <= 7
    assert {MX} in found
    assert back == []


@in_virtual_time
async def test_who_asks_has_it_within_half_a_minute(server):
    async with listing(server) as (lists, *_):
        lists.ask_soon()
        await asyncio.sleep(31)

    assert server.listed == 2


@in_virtual_time
async def test_an_api_server_that_was_away_is_listed_when_it_is_back(server):
    """What happened while no watch could tell is found."""
    async with listing(server):
        server.outages += 1
        await asyncio.sleep(31)

    assert server.listed == 2


@in_virtual_time
async def test_an_etcd_that_was_restored_is_believed(server):
    """Its versions are lower than what was seen: watches would wait for what is to come, and have to begin anew."""
    with capture_logs() as logged:
        async with listing(server) as (_, store, found, back):
            server.objects = {kinds.INBOUND_SMTP: {"mx": 50}, kinds.CONFIG_MAP: {"other": 51}}
            server.now = 60
            await asyncio.sleep(60)
            names = [child["metadata"]["name"] for child in store.children(MX, kinds.CONFIG_MAP)]

    assert names == ["other"]
    assert store.get(kinds.INBOUND_SMTP, *MX)["spec"] == {"was": 50}
    assert {MX} in found
    assert back == [60], "once"
    assert [line["event"] for line in logged] == ["the API server has an earlier state than before: etcd was restored?"]


@in_virtual_time
async def test_one_that_lacks_what_was_last_is_seen_to_have_gone_back_too(server):
    """Nothing that is left is older than it was seen; but there was something later."""
    async with listing(server) as (_, store, _, back):
        del server.objects[kinds.CONFIG_MAP]
        server.now = 100
        await asyncio.sleep(200)  # one kind is asked for after the other

    assert store.children(MX, kinds.CONFIG_MAP) == []
    assert back == [100]


@in_virtual_time
async def test_one_that_was_away_meanwhile_is_seen_to_have_gone_back_too(server):
    """The list that follows its absence lacks what was last, and does not hide that it was there."""
    async with listing(server) as (lists, _, _, back):
        del server.objects[kinds.CONFIG_MAP]
        server.now = 100
        lists.ask_soon()
        await asyncio.sleep(31)
        server.outages += 1
        await asyncio.sleep(60)

    assert back == [100], "once"


@in_virtual_time
async def test_one_that_refuses_at_first_is_seen_to_have_gone_back_too(server):
    """An API server that starts refuses what is granted; by then its roles have not been read."""
    server.objects[kinds.CONFIG_MAP] = {"mx-c1": 40}
    async with listing(server) as (_, store, _, back):
        server.objects[kinds.INBOUND_SMTP] = {"mx": 50}
        server.now = 60
        server.outages += 1
        server.refusing = {kinds.INBOUND_SMTP: ApiError(403, "forbidden")}
        await asyncio.sleep(31)
        server.refusing = {}
        await asyncio.sleep(60)

    assert store.get(kinds.INBOUND_SMTP, *MX)["spec"] == {"was": 50}
    assert back == [60], "once"


@in_virtual_time
async def test_what_may_not_be_listed_is_said_once_and_asked_for_again(server):
    """Nothing is taken for gone by it."""
    with capture_logs() as logged:
        async with listing(server) as (_, store, *_):
            server.refusing[kinds.CONFIG_MAP] = ApiError(403, "configmaps is forbidden")
            await asyncio.sleep(1300)
            kept = len(store.children(MX, kinds.CONFIG_MAP))
            server.refusing.clear()
            server.objects[kinds.CONFIG_MAP]["mx-c2"] = 102
            await asyncio.sleep(16)
            there = len(store.children(MX, kinds.CONFIG_MAP))

    assert (kept, there) == (1, 2)
    assert [line["event"] for line in logged] == ["list failed"]


@in_virtual_time
async def test_an_api_server_that_refuses_at_first_is_not_taken_at_its_word(server):
    """One that starts has not read its roles yet: nothing is begun with until it has had some seconds."""
    server.refusing = {kinds.CONFIG_MAP: ApiError(403, "forbidden")}
    store = Store()
    lists = Lists(server, store, (), found=lambda keys: None, went_back=lambda: None)
    filling = asyncio.create_task(lists.fill())
    await asyncio.sleep(2)
    begun = filling.done()
    server.refusing = {}
    await asyncio.sleep(10)

    assert not begun
    assert filling.done()
    assert len(store.children(MX, kinds.CONFIG_MAP)) == 1


@in_virtual_time
async def test_what_it_refuses_for_good_is_said_and_the_rest_is_begun_with(server):
    """A right that is missing must not keep all gateways waiting."""
    server.refusing = {kinds.CLAIM: ApiError(403, "persistentvolumeclaims is forbidden")}
    lists = Lists(server, Store(), (), found=lambda keys: None, went_back=lambda: None)
    with capture_logs() as logged:
        await asyncio.wait_for(lists.fill(), 60)

    assert [(line["event"], line["kind"]) for line in logged] == [("list failed", "persistentvolumeclaims")]


@in_virtual_time
async def test_a_list_that_failed_is_taken_again(server):
    """With the gateways looked at only then: half of a list says nothing of what is not in it."""
    async with listing(server) as (lists, store, found, _):
        server.refusing = {kinds.CONFIG_MAP: ApiError(0, "no answer")}
        lists.ask_soon()
        await asyncio.sleep(31)
        assert {MX} not in found
        server.refusing = {}
        server.objects[kinds.CONFIG_MAP] = {}
        await asyncio.sleep(16)

    assert {MX} in found
    assert store.children(MX, kinds.CONFIG_MAP) == []
