"""Which gateways get new pods at a time, where nobody but the operator asks for them. The API server is a fake."""

from dataclasses import replace

import pytest

from mailport.operator import kinds
from mailport.operator.api_error import ApiError
from mailport.operator.apply.applier import Applier
from mailport.operator.apply.turns import AT_ONCE
from mailport.operator.children.manifests import children
from mailport.operator.metadata import INSTANCE, REPLACED
from mailport.operator.watch.observe import observe
from mailport.operator.watch.store import Key
from tests.operator.apply.test_applier import US, ApiServer
from tests.operator.making import GIVEN, MINIMAL, gateway
from tests.tables import table

NAMES = [f"mx{number}" for number in range(5)]
NEW = replace(GIVEN, listener_image="registry.example.org/mailport:2")
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
STUCK = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


class Gateways(ApiServer):
    """Several gateways, with what a Deployment's controller says of their pods."""

    def __init__(self, names=NAMES):
        super().__init__()
        for name in names:
            self.give(name, 3)

    def give(self, name, generation):
        """Have its author write the InboundSmtp; it was reported on before."""
        before = self.objects.get((kinds.INBOUND_SMTP, name), {"status": {"observedGeneration": generation}})
        metadata = {"name": name, "namespace": "mail", "uid": name, "generation": generation}
        self._put({"kind": "InboundSmtp", "metadata": metadata, "spec": MINIMAL, "status": before["status"]})

    def write(self, manifest, *arguments, **fields):
        before = self.objects.get((kinds.kind_of(manifest), manifest["metadata"]["name"]))
        written = super().write(manifest, *arguments, **fields)
        if manifest["kind"] != "Deployment":
            return written
        generation = 1 if before is None else before["metadata"]["generation"] + (before["spec"] != manifest["spec"])
        metadata = {**written["metadata"], "generation": generation}
        return self._put({**written, "metadata": metadata, "status": (before or {}).get("status", {})})

    def rolls(self, name, *, ready=1, available=1, replicas=1, updated=1, condition=COMPLETE):
        """Have the controller of its Deployment say so."""
        found = self.objects[kinds.DEPLOYMENT, name]
        counts = {"replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready}
        counts |= {"availableReplicas": available}
        seen = {"observedGeneration": found["metadata"]["generation"]}
        self._put({**found, "status": seen | counts | {"conditions": [condition]}})

    def delete_gateway(self, name):
        self.store.drop(kinds.INBOUND_SMTP, self.objects.pop((kinds.INBOUND_SMTP, name)))

    def with_new_image(self):
        """The gateways that are to have the new image."""
        images = {
            name: body["spec"]["template"]["spec"]["containers"][0]["image"]
            for (kind, name), body in self.objects.items()
            if kind == kinds.DEPLOYMENT
        }
        return [name for name, image in images.items() if image == NEW.listener_image]


async def look(applier, server, name, given=NEW, **spec):
    """Look at one; return Programmed, and who may have a turn then."""
    key = Key("mail", name)
    seen = observe(server.store, key)
    if seen is None:
        return None, applier.looked_at(key)
    generation = seen.body["metadata"]["generation"]
    made = children(gateway(name, generation=generation, **spec), replace(given, owner_uid=name, operator=US))
    try:
        programmed = (await applier.apply(made, seen)).programmed
    finally:
        following = applier.looked_at(key)
    return programmed, following


@pytest.fixture
async def server():
    """All of them serve with the image of before."""
    server = Gateways()
    applier = Applier(server, server.store)
    for name in NAMES:
        await look(applier, server, name, GIVEN)
        server.rolls(name)
    return server


async def look_at_all(applier, server, **given):
    return {name: (await look(applier, server, name, **given))[0] for name in NAMES}


async def test_a_new_image_is_given_to_a_few_at_a_time(server):
    applier = Applier(server, server.store)
    said = await look_at_all(applier, server)

    assert server.with_new_image() == NAMES[:AT_ONCE]
    assert {one.status for one in said.values()} == {"True"}
    assert "new pods wait for a turn" in said[NAMES[3]].message
    assert [name for name, one in said.items() if one.still_to_come] == NAMES[AT_ONCE:]

    server.rolls(NAMES[0], replicas=2, available=1, condition={"type": "Progressing", "status": "True"})
    assert (await look(applier, server, NAMES[0]))[1] == set()
    server.rolls(NAMES[0])
    assert (await look(applier, server, NAMES[0]))[1] == {Key("mail", NAMES[3])}
    assert not (await look(applier, server, NAMES[3]))[0].still_to_come
    assert (await look(applier, server, NAMES[4]))[0].still_to_come
    assert server.with_new_image() == NAMES[:4]


async def test_a_gateway_that_waits_is_taken_over_from_another_operator_at_once(server):
    """By the mark alone. Else both would go on with it, and with its status, until its turn comes."""
    applier = Applier(server, server.store)
    for name in NAMES:
        found = server.objects[kinds.DEPLOYMENT, name]
        server._put({**found, "metadata": found["metadata"] | {"annotations": {INSTANCE: "other/operator"}}})
    said = await look_at_all(applier, server)

    assert server.with_new_image() == NAMES[:AT_ONCE]
    assert said[NAMES[4]].still_to_come
    assert {server.objects[kinds.DEPLOYMENT, name]["metadata"]["annotations"][INSTANCE] for name in NAMES} == {US}


async def test_an_operator_that_starts_in_the_midst_of_it_counts_what_is_under_way(server):
    """Also what is stuck: an image that does not start is given to no more gateways than that."""
    await look_at_all(Applier(server, server.store), server)
    for name in NAMES[:AT_ONCE]:
        server.rolls(name, replicas=2, condition=STUCK)
    for _ in range(2):
        applier = Applier(server, server.store)
        await look_at_all(applier, server)
    assert server.with_new_image() == NAMES[:AT_ONCE]

    mended = replace(NEW, listener_image=GIVEN.listener_image)  # it was the operator that was taken back
    await look_at_all(Applier(server, server.store), server, given=mended)
    assert server.with_new_image() == []


async def test_a_pod_that_fails_long_after_its_rollout_has_no_turn(server):
    await look_at_all(Applier(server, server.store), server)
    for name in NAMES[:AT_ONCE]:
        server.rolls(name, ready=0, available=0)  # and the condition says of the rollout that it is complete
    await look_at_all(Applier(server, server.store), server)

    assert server.with_new_image() == NAMES


@pytest.mark.parametrize(
    "happens",
    table(
        {
            "its author changes it": (lambda server: server.give(NAMES[0], 4),),
            "it is deleted": (lambda server: server.delete_gateway(NAMES[0]),),
        }
    ),
)
async def test_a_stuck_gateway_gives_its_turn_to_another_when(server, happens):
    applier = Applier(server, server.store)
    await look_at_all(applier, server)
    for name in NAMES[:AT_ONCE]:
        server.rolls(name, replicas=2, condition=STUCK)
    happens(server)

    assert (await look(applier, server, NAMES[0]))[1] == {Key("mail", NAMES[3])}
    assert not (await look(applier, server, NAMES[3]))[0].still_to_come


async def test_a_change_of_its_author_waits_for_no_turn(server):
    """One that the operator could not apply before is a change too: its generation has been reported already."""
    applier = Applier(server, server.store)
    await look_at_all(applier, server)
    server.give(NAMES[3], 4)
    server.objects[kinds.INBOUND_SMTP, NAMES[4]]["status"]["observedGeneration"] = 4
    server.give(NAMES[4], 4)

    for name in NAMES[3:]:
        assert not (await look(applier, server, name, pod={"adminPort": 9090}))[0].still_to_come
    assert server.with_new_image() == NAMES


async def test_what_differs_beside_the_pods_waits_for_no_turn(server):
    """The Service of a gateway whose new pods wait is as the operator renders it now."""
    applier = Applier(server, server.store)
    await look_at_all(applier, server)
    server.done.clear()
    service = server.store.get(kinds.SERVICE, "mail", NAMES[4])
    server.write({**service, "spec": service["spec"] | {"type": "NodePort"}}, "somebody", "Update")

    assert (await look(applier, server, NAMES[4]))[0].still_to_come
    assert server.applied() == ["Service"]


async def test_a_gateway_without_a_ready_pod_waits_for_no_turn_and_takes_none(server):
    """Whoever has never started, for a reason of its own, is not to hold up the others."""
    for name in NAMES[:AT_ONCE]:
        server.rolls(name, ready=0, available=0, condition=STUCK)
    await look_at_all(Applier(server, server.store), server)

    assert server.with_new_image() == NAMES


async def test_a_change_that_is_refused_keeps_no_turn(server):
    applier = Applier(server, server.store)
    server.refusing["Deployment"] = ApiError(422, "denied the request: not this image")
    said = await look_at_all(applier, server)
    server.refusing.clear()

    assert {one.reason for one in said.values()} == {"ApplyFailed"}
    assert (await look(Applier(server, server.store), server, NAMES[4]))[0].status == "True"
    assert server.with_new_image() == NAMES[4:]


async def test_the_mark_of_a_turn_stays_and_is_no_difference(server):
    """Else each gateway's Deployment would be written once more, at its author's next change."""
    applier = Applier(server, server.store)
    await look_at_all(applier, server)
    server.rolls(NAMES[0])
    server.give(NAMES[0], 4)
    server.done.clear()
    await look(applier, server, NAMES[0])

    deployment = server.store.get(kinds.DEPLOYMENT, "mail", NAMES[0])
    assert deployment["metadata"]["annotations"][REPLACED] == "3"
    assert server.applied() == ["ConfigMap"]
