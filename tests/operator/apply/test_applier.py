"""What becomes of children that differ, are refused, or that somebody has left or contests.

The API server here is a fake, for faults in an order that the real one cannot be made to show; tests/kube have it.
"""

import time
from copy import deepcopy
from dataclasses import replace

import pytest

from mailport.operator import kinds
from mailport.operator.api_error import ApiError, Cause
from mailport.operator.apply.applier import Applier
from mailport.operator.apply.refused import NamespaceGoneError
from mailport.operator.children.manifests import children
from mailport.operator.cluster import Cluster
from mailport.operator.metadata import INSTANCE
from mailport.operator.watch.observe import observe
from mailport.operator.watch.store import Key, Store
from tests.operator.making import GIVEN, MINIMAL, gateway
from tests.tables import table

MX = Key("mail", "mx")
US = "mailport-system/mailport-operator"
CHANGE = {"service": {"type": "NodePort"}, "pod": {"adminPort": 9090}}  # of all but the ServiceAccount
LABELS, GOING = {"mailport.dev/inboundsmtp": "mx"}, {"deletionTimestamp": "2026-11-28T10:00:00Z"}
NO_RIGHT = 'services "mx" is forbidden: User "system:serviceaccount:a:b" cannot patch resource "services" in API group'
IMMUTABLE = (Cause("spec.loadBalancerClass", 'Invalid value: "b": may not change once set'),)


def rendered(uid="uid", **spec):
    return children(gateway(namespace="mail", **spec), replace(GIVEN, owner_uid=uid, operator=US))


def only(made, *names):
    return tuple(child for child in made if child["kind"] in names)


class ApiServer(Cluster):
    """Takes everything but what it is told to refuse. What somebody writes is in the store at once, as by a watch."""

    def __init__(self, *left, uid="uid"):
        super().__init__()
        self.store = Store(US)
        self.objects = {}  # whole, by kind and name
        self.refusing = {}  # by kind: what it answers
        self.refuses_dry_runs = True  # likewise
        self.done = []  # of what was taken: apply or delete, and the kind
        self.tried = []  # the kinds of dry runs
        self.uids = [uid]
        self._version = 10
        metadata = {"name": MX.name, "namespace": MX.namespace, "uid": uid, "generation": 1}
        self._put({"kind": "InboundSmtp", "metadata": metadata, "spec": MINIMAL})
        for manifest in left:
            self.write(manifest)

    def _put(self, body):
        self._version += 1
        body = deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self._version)
        self.objects[kinds.kind_of(body), body["metadata"]["name"]] = body
        self.store.put(kinds.kind_of(body), body)
        return body

    def write(self, manifest, manager="mailport-operator", operation="Apply", **fields):
        """Write as somebody may."""
        metadata = {"uid": manifest["kind"], **manifest["metadata"], "namespace": MX.namespace}
        entry = {"manager": manager, "operation": operation, "fieldsV1": owned(manifest)}
        before = self.objects.get((kinds.kind_of(manifest), metadata["name"]))
        entries = (before or {"metadata": {}})["metadata"].get("managedFields", [])
        others = [one for one in entries if (one["manager"], one["operation"]) != (manager, operation)]
        return self._put({**manifest, **fields, "metadata": {**metadata, "managedFields": [*others, entry]}})

    async def get(self, kind, namespace, name):
        return self.objects.get((kind, name))

    async def every(self, kind, namespace):
        assert kind == kinds.INBOUND_SMTP
        for uid in self.uids:
            yield {"metadata": {"uid": uid}}

    async def apply(self, manifest, *, subresource="", force=True, dry_run=False):
        kind = manifest["kind"]
        if dry_run:
            self.tried.append(kind)
        if kind in self.refusing and (self.refuses_dry_runs or not dry_run):
            raise self.refusing[kind]
        if dry_run:
            return manifest
        self.done.append(("apply", kind))
        return self.write(manifest)

    async def patch(self, kind, namespace, name, operations, *, content_type):
        """A JSON Patch (RFC 6902), of the operations that there are; or a merge patch of annotations."""
        body = deepcopy(self.objects[kind, name])
        self.done.append(("patch", kind.name))
        if isinstance(operations, dict):
            assert operations["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]
            annotations = body["metadata"].get("annotations", {}) | operations["metadata"]["annotations"]
            body["metadata"]["annotations"] = {key: value for key, value in annotations.items() if value is not None}
            return self._put(body)
        for operation in operations:
            *way, last = [int(part) if part.isdigit() else part for part in operation["path"].split("/")[1:]]
            at = body
            for part in way:
                at = at[part]
            match operation["op"]:
                case "test":
                    assert at[last] == operation["value"]
                case "replace":
                    at[last] = operation["value"]
                case "remove":
                    del at[last]
        return self._put(body)

    async def delete(self, kind, seen):
        if kind.name in self.refusing:
            raise self.refusing[kind.name]
        self.done.append(("delete", kind.name))

    def seen(self):
        return observe(self.store, MX)

    def applied(self):
        return [kind for what, kind in self.done if what == "apply"]


def owned(manifest):
    """The fields of an object, as FieldsV1 down to where they are plain."""
    return {
        f"f:{name}": owned(value) if isinstance(value, dict) else {}
        for name, value in manifest.items()
        if name not in ("apiVersion", "kind", "name", "namespace", "uid", "resourceVersion", "managedFields")
    }


@pytest.fixture
def later(monkeypatch):
    """Let seconds pass."""
    passed, real = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    return lambda seconds: passed.append(passed.pop() + seconds)


async def apply(applier, server, made):
    return (await applier.apply(made, server.seen())).programmed


async def bring(server, made):
    """Have it all applied, as a first time does; forget what was done."""
    applier = Applier(server, server.store)
    assert (await apply(applier, server, made)).reason == "Programmed"
    assert (await apply(applier, server, made)).reason == "Programmed"
    server.done.clear()
    return applier


# --- what differs


async def test_what_is_there_as_rendered_is_not_written_again():
    server = ApiServer()
    await bring(server, rendered())
    applier = Applier(server, server.store)  # which remembers nothing

    assert (await apply(applier, server, rendered())).status == "True"
    assert server.done == []


async def test_a_neighbour_that_goes_meanwhile_changes_nothing():
    """While a child is written for the first time, an InboundSmtp beside it is deleted, and its own too."""
    server = ApiServer()
    applier = Applier(server, server.store)
    takes = server.apply

    async def apply_while_others_go(*arguments, **options):
        applier.forget(Key(MX.namespace, "another"))
        applier.forget(MX)
        return await takes(*arguments, **options)

    server.apply = apply_while_others_go

    assert (await apply(applier, server, rendered())).reason == "Programmed"


async def test_what_somebody_changed_is_put_back():
    server = ApiServer()
    applier = await bring(server, rendered())
    service = server.store.get(kinds.SERVICE, *MX)
    server.write({**service, "spec": service["spec"] | {"type": "NodePort"}}, "somebody", "Update")

    assert (await apply(applier, server, rendered())).status == "True"
    assert server.done == [("apply", "Service")]


# --- what the API server refuses


@pytest.mark.parametrize(
    "error, reason, stalls",
    table(
        {
            "a field that is unknown": (ApiError(500, ".spec.nonsense: not declared in schema"), "ApplyFailed", False),
            "a value that is wrong": (
                ApiError(422, "limits below requests", causes=(Cause("spec", "no"),)),
                "ApplyFailed",
                True,
            ),
            "an object that is none": (ApiError(400, "cannot unmarshal"), "ApplyFailed", True),
            "a right that is missing, or a quota": (ApiError(403, "exceeded quota"), "ApplyFailed", False),
            "what may not change": (ApiError(422, "invalid", causes=IMMUTABLE), "ImmutableField", True),
            "a webhook that takes longer than we wait": (
                ApiError(0, "the API server did not answer within 30 s", timed_out=True),
                "ApplyFailed",
                False,
            ),
        }
    ),
)
async def test_what_is_refused_is_said_and_not_asked_again_at_once(error, reason, stalls):
    """Only a person can mend what is wrong in itself; the rest may pass."""
    server = ApiServer()
    server.refusing["Service"] = error
    applier = Applier(server, server.store)
    first = await apply(applier, server, only(rendered(), "Service"))
    server.refusing["Service"] = ApiError(500, "asked again")
    second = await apply(applier, server, only(rendered(), "Service"))

    assert (first.reason, first.stalls) == (second.reason, second.stalls) == (reason, stalls)
    assert first.message == second.message
    assert second.again_in > 1


@pytest.mark.parametrize(
    "status, raised",
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
async def test_what_may_pass_in_a_moment_is_no_fault_of_the_child(status, raised):
    """It is tried again, as a whole, and nothing is said."""
    server = ApiServer()
    server.refusing["Service"] = ApiError(status, "try again")
    with pytest.raises(ApiError) as caught:
        await apply(Applier(server, server.store), server, only(rendered(), "Service"))

    assert caught.value.status == raised


async def test_a_right_that_is_missing_is_said_when_it_is_missing_twice():
    """An API server that has just started refuses what is granted: that is no Event for anybody to read."""
    server = ApiServer()
    server.refusing["Service"] = ApiError(403, NO_RIGHT)
    applier = Applier(server, server.store)
    with pytest.raises(ApiError):
        await apply(applier, server, only(rendered(), "Service"))
    found = await apply(applier, server, only(rendered(), "Service"))

    assert (found.reason, found.message) == ("ApplyFailed", f"Service mx: {NO_RIGHT}")


@pytest.mark.parametrize(
    "error, pause",
    table(
        {
            "the API server has too much to do": (ApiError(429, "too many requests"), 2),
            "and says for how long": (ApiError(429, "too many requests", retry_after=45), 45),
            "a webhook that does not answer, and must": (ApiError(503, "no endpoints available"), 2),
        }
    ),
)
async def test_what_does_not_pass_is_said(error, pause):
    """The log of the operator is not where its users look."""
    server = ApiServer()
    server.refusing["Deployment"] = error
    applier = Applier(server, server.store)
    with pytest.raises(ApiError):
        await apply(applier, server, rendered())
    found = await apply(applier, server, rendered())

    assert (found.status, found.reason, found.message) == ("False", "ApplyFailed", f"Deployment mx: {error}")
    assert found.again_in == pytest.approx(pause, abs=1)
    assert not found.stalls


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
    server = ApiServer()
    server.refusing["Service"] = error
    with pytest.raises(NamespaceGoneError):
        await apply(Applier(server, server.store), server, only(rendered(), "Service"))


async def test_of_several_reasons_the_first_is_said_and_the_soonest_looked_at_again(later):
    """A Service that may not be made does not keep a Deployment waiting."""
    server = ApiServer()
    server.refusing |= {"Service": ApiError(403, "exceeded quota: services=0"), "Deployment": ApiError(403, "denied")}
    applier = Applier(server, server.store)
    for _ in range(3):  # until it is tried again after a minute only
        await apply(applier, server, only(rendered(), "Service"))
        later(100)
    found = await apply(applier, server, only(rendered(), "Service", "Deployment"))

    assert found.message == "Service mx: exceeded quota: services=0"
    assert found.again_in == pytest.approx(10, abs=1)


async def test_what_pods_need_comes_before_them():
    """A pod without its configuration does not start; it would wait, and then be another one."""
    server = ApiServer()
    server.refusing["ConfigMap"] = ApiError(403, "denied")
    found = await apply(Applier(server, server.store), server, rendered())

    assert found.message == "ConfigMap mx-c2: denied"
    assert server.applied() == ["ServiceAccount"]


async def test_nothing_is_taken_by_force_that_was_not_seen():
    """What came in this moment may be somebody else's, and is a conflict."""
    server = ApiServer()
    takes, forced = server.apply, []

    async def apply_and_note(manifest, *, force=True, **options):
        forced.append((manifest["kind"], force))
        return await takes(manifest, force=force, **options)

    server.apply = apply_and_note
    applier = await bring(server, only(rendered(), "ConfigMap"))
    await apply(applier, server, only(rendered(limits={"maxConnections": 7}), "ConfigMap"))

    assert forced == [("ConfigMap", False), ("ConfigMap", True)]


async def test_what_changed_while_a_patch_was_under_way_is_looked_at_anew():
    """A JSON Patch whose test fails is 422: no conflict to the API server, and no fault of the child."""
    server = ApiServer()
    applier = await bring(server, rendered())
    config_map = server.store.get(kinds.CONFIG_MAP, "mail", "mx-c2")
    server.write({**config_map, "data": {**config_map["data"], "foreign": "1"}}, "somebody", "Update")
    seen = server.seen()

    async def changed_meanwhile(*_, **__):
        server.objects[kinds.CONFIG_MAP, "mx-c2"]["metadata"]["resourceVersion"] = "99"
        raise ApiError(422, "testing path /metadata/resourceVersion failed")

    server.patch = changed_meanwhile
    with pytest.raises(ApiError) as caught:
        await applier.apply(rendered(), seen)

    assert caught.value.is_conflict


async def test_a_child_that_is_being_deleted_is_waited_for():
    """It comes back when it is gone; by then it is another object."""
    server = ApiServer()
    applier = await bring(server, rendered())
    service = server.store.get(kinds.SERVICE, *MX)
    going = {**service["metadata"], "deletionTimestamp": "2026-11-28T10:00:00Z"}
    server._put({**service, "metadata": going, "spec": {}})
    found = await apply(applier, server, rendered())

    assert (found.reason, server.done) == ("Pending", [])
    assert found.message == "Service mx is being deleted; it will be created again afterwards"


@pytest.mark.parametrize(
    "metadata, labels, reason, again_in",
    table(
        {
            "somebody's": ({}, {}, "ChildConflict", 10),
            "somebody's that is on its way out": (GOING, {}, "Pending", 10),
            "one with our label, whose end a watch tells": ({}, LABELS, "ChildConflict", None),
            "one that goes": (GOING, LABELS, "Pending", None),
        }
    ),
)
async def test_what_stands_in_the_way_unwatched_is_looked_at_again(metadata, labels, reason, again_in):
    """Whoever deletes it, as the message says, should not wait for the next look at everything."""
    server = ApiServer()
    (service,) = only(rendered(), "Service")
    server._put({**service, "metadata": {"name": "mx", "namespace": "mail", "uid": "2", "labels": labels, **metadata}})
    if not labels:
        server.store.drop(kinds.SERVICE, server.objects[kinds.SERVICE, MX.name])
    applier = Applier(server, server.store)
    found = await apply(applier, server, rendered())
    assert (found.reason, found.again_in, "Service" in server.applied()) == (reason, again_in, False)

    service = server.objects.pop((kinds.SERVICE, MX.name))
    server.store.drop(kinds.SERVICE, service)
    assert (await apply(applier, server, rendered())).reason == "Programmed"


# --- a change of several children


async def test_a_change_is_tried_first_and_then_written():
    server = ApiServer()
    applier = await bring(server, rendered(networkPolicy="Managed"))
    await apply(applier, server, rendered(networkPolicy="Managed", **CHANGE))

    assert sorted(server.tried) == ["ConfigMap", "Deployment", "NetworkPolicy", "Service"]
    assert server.applied() == ["ConfigMap", "Service", "Deployment", "NetworkPolicy"]


@pytest.mark.parametrize(
    "error, reason",
    table(
        {
            "what may not change": (ApiError(422, "invalid", causes=IMMUTABLE), "ImmutableField"),
            "what a quota forbids for now": (ApiError(403, "exceeded quota: services.nodeports=0"), "ApplyFailed"),
        }
    ),
)
async def test_a_change_that_one_child_cannot_make_is_not_made_by_the_others(error, reason):
    """Else pods would listen where no Service leads, or the other way round."""
    server = ApiServer()
    applier = await bring(server, rendered())
    server.refusing["Service"] = error
    for _ in range(2):  # also while it is not asked again
        found = await apply(applier, server, rendered(**CHANGE))

        assert found.reason == reason
        assert server.done == []


async def test_what_is_there_and_would_be_made_otherwise_cannot_change_in_place():
    """Whatever the refusal says: the API server takes the same under another name."""
    server = ApiServer()
    applier = await bring(server, rendered())
    server.refusing["Service"] = ApiError(
        422, "spec.clusterIPs: Invalid value", causes=(Cause("spec.clusterIPs", "no"),)
    )
    original, asked = server.apply, []

    async def apply_by_name(manifest, *, dry_run=False, **options):
        if manifest["metadata"]["name"] == "mx-dry-run":
            asked.append((manifest["metadata"]["name"], dry_run))
            return manifest
        return await original(manifest, dry_run=dry_run, **options)

    server.apply = apply_by_name
    found = await apply(applier, server, rendered(**CHANGE))

    assert found.reason == "ImmutableField"
    assert found.message == (
        "spec.clusterIPs of Service mx cannot be changed in place. To recreate it (its address will change): "
        "kubectl delete service mx --namespace mail"
    )
    assert asked == [("mx-dry-run", True)]


@pytest.mark.parametrize(
    "message, cause",
    table(
        {
            "a node port that is taken, or out of range": (
                "spec.ports[0].nodePort: Invalid value: 25: provided port is not in the valid range",
                Cause("spec.ports[0].nodePort", "Invalid value: 25"),
            ),
            "a ValidatingAdmissionPolicy": (
                "ValidatingAdmissionPolicy 'freeze' with binding 'freeze' denied request: no changes in December",
                Cause("", "no changes in December"),
            ),
            "a webhook": ('admission webhook "no.example.org" denied the request: no', Cause("", "no")),
        }
    ),
)
async def test_what_is_refused_whatever_was_there_is_no_immutable_field(message, cause):
    """Nobody is told to delete what would be refused again; the words are the API server's."""
    server = ApiServer()
    applier = await bring(server, rendered())
    server.refusing["Service"] = ApiError(422, message, causes=(cause,))
    original = server.apply

    async def apply_by_name(manifest, **options):
        if manifest["metadata"]["name"] == "mx-dry-run":
            return manifest
        return await original(manifest, **options)

    server.apply = apply_by_name
    found = await apply(applier, server, rendered(**CHANGE))

    assert (found.reason, found.message) == ("ApplyFailed", f"Service mx: {message}")


async def test_what_no_dry_run_saw_leaves_no_half_of_a_change():
    """A node port out of range is refused when it is written, and not before: no pod listens where nothing leads."""
    server = ApiServer()
    applier = await bring(server, rendered(networkPolicy="Managed"))
    server.refusing["Service"], server.refuses_dry_runs = ApiError(422, "not in the valid range"), False
    found = await apply(applier, server, rendered(networkPolicy="Managed", **CHANGE))

    assert found.status == "False"
    assert server.applied() == ["ConfigMap"]


@pytest.mark.parametrize("starts_again", table({"the same process": (False,), "one that found it so": (True,)}))
async def test_meanwhile_what_somebody_changes_is_put_back_all_the_same(starts_again):
    """What cannot change must not let others do as they like."""
    server = ApiServer()
    applier = await bring(server, rendered(networkPolicy="Managed"))
    if starts_again:
        applier = await bring(server, rendered(networkPolicy="Managed"))
    server.refusing["Service"] = ApiError(422, "invalid", causes=IMMUTABLE)
    changed = rendered(networkPolicy="Managed", service={"type": "NodePort"}, replicas=2)
    await apply(applier, server, changed)
    policy = server.store.get(kinds.NETWORK_POLICY, *MX)
    server.write({**policy, "spec": policy["spec"] | {"ingress": [{}]}}, "somebody", "Update")

    assert (await apply(applier, server, changed)).reason == "ImmutableField"
    assert server.applied() == ["NetworkPolicy"]


async def test_a_setting_alone_is_not_tried_first():
    """It is in ConfigMaps, of which nothing is refused: most changes are such."""
    server = ApiServer()
    applier = await bring(server, rendered())
    await apply(applier, server, rendered(limits={"maxConnections": 7}))

    assert (server.tried, server.applied()) == ([], ["ConfigMap"])


async def test_a_webhook_that_allows_no_dry_run_is_not_in_the_way():
    server = ApiServer()
    applier = await bring(server, rendered())
    server.refusing["Service"] = ApiError(400, 'admission webhook "x" does not support dry run')
    original = server.apply

    async def apply_in_earnest(manifest, *, dry_run=False, **options):
        if not dry_run:
            server.refusing.clear()
        return await original(manifest, dry_run=dry_run, **options)

    server.apply = apply_in_earnest

    assert (await apply(applier, server, rendered(**CHANGE))).status == "True"
    assert server.applied() == ["ConfigMap", "Service", "Deployment"]


# --- who else writes


def rewrite(server, manager="policy-agent"):
    """Set what we set to another value, as a controller does that disagrees."""
    service = server.store.get(kinds.SERVICE, *MX)
    server.write({**service, "spec": {**service["spec"], "type": "NodePort"}}, manager, "Update")


async def test_a_field_that_comes_back_again_and_again_is_left_alone_and_said(later):
    """By whom; and tried again after minutes, once."""
    server = ApiServer()
    applier = await bring(server, rendered())
    for _ in range(5):
        rewrite(server)
        assert (await apply(applier, server, rendered())).status == "True"
    rewrite(server)
    found = await apply(applier, server, rendered())

    assert (found.status, found.reason) == ("False", "ChildContested")
    assert found.message == (
        "Service mx: these fields are set back repeatedly by the field manager policy-agent: .spec.type. "
        "Remove them from one of the two"
    )
    assert not found.stalls
    server.done.clear()
    later(59)
    assert (await apply(applier, server, rendered())).reason == "ChildContested"
    assert server.done == []
    later(2)
    put_back = await apply(applier, server, rendered())
    assert server.done == [("apply", "Service")]
    rewrite(server)
    again = await apply(applier, server, rendered())
    assert (put_back.status, again.reason) == ("True", "ChildContested")
    assert again.again_in > 100


async def test_who_lets_go_of_it_is_forgotten(later):
    server = ApiServer()
    applier = await bring(server, rendered())
    for _ in range(6):
        rewrite(server)
        await apply(applier, server, rendered())
    later(61)
    await apply(applier, server, rendered())
    watched = await apply(applier, server, rendered())
    later(31)
    calm = await apply(applier, server, rendered())

    assert (watched.reason, calm.reason) == ("ChildContested", "Programmed")


async def test_what_comes_back_now_and_then_is_no_contest(later):
    """A person who sets it back every few minutes reads no more of it for that, and is not waited for."""
    server = ApiServer()
    applier = await bring(server, rendered())
    for _ in range(12):
        rewrite(server)
        assert (await apply(applier, server, rendered())).status == "True"
        later(150)


async def test_a_contest_that_was_over_for_long_begins_with_a_short_pause_again(later):
    server = ApiServer()
    applier = await bring(server, rendered())
    pauses = []
    for _ in range(2):
        for _ in range(6):
            rewrite(server)
            found = await apply(applier, server, rendered())
        pauses.append(found.again_in)
        later(1000)
        await apply(applier, server, rendered())
        later(1000)

    assert pauses == pytest.approx([60, 60], abs=1)


async def test_five_different_changes_are_no_contest():
    """A person may try things out."""
    server = ApiServer()
    applier = await bring(server, rendered())
    for port in range(10):
        service = server.store.get(kinds.SERVICE, *MX)
        server.write(
            {**service, "spec": service["spec"] | {"healthCheckNodePort": port, "type": "NodePort"}}, "x", "Update"
        )
        assert (await apply(applier, server, rendered())).status == "True"


async def test_a_repair_that_is_refused_is_no_contest(later):
    """Nobody has set back what was never put back: the API server's words are said, and it has its time."""
    server = ApiServer()
    applier = await bring(server, rendered())
    rewrite(server)
    server.refusing["Service"] = ApiError(403, "denied by policy: change freeze")
    asked, takes = [], server.apply

    async def apply_and_count(manifest, **options):
        asked.append(manifest["kind"])
        return await takes(manifest, **options)

    server.apply = apply_and_count
    found = []
    for _ in range(10):
        found += [await apply(applier, server, rendered()) for _ in range(3)]  # pods come and go
        later(found[-1].again_in)

    assert {(one.reason, one.message) for one in found} == {
        ("ApplyFailed", "Service mx: denied by policy: change freeze")
    }
    assert asked == ["Service"] * 10
    assert found[-1].again_in == pytest.approx(300, abs=1)
    server.refusing.clear()
    assert (await apply(applier, server, rendered())).reason == "Programmed"
    assert server.applied() == ["Service"]


async def test_a_repair_for_which_the_right_is_missing_for_a_while_is_no_contest(later):
    server = ApiServer()
    applier = await bring(server, rendered())
    rewrite(server)
    server.refusing["Service"] = ApiError(403, NO_RIGHT)
    with pytest.raises(ApiError):
        await apply(applier, server, rendered())
    for _ in range(8):
        found = await apply(applier, server, rendered())
        assert (found.reason, found.message) == ("ApplyFailed", f"Service mx: {NO_RIGHT}")
        later(found.again_in)


async def test_a_refusal_is_over_when_nothing_is_to_be_written_any_more():
    """Who set it back themselves, and changes it anew, is put back at once."""
    server = ApiServer()
    applier = await bring(server, rendered())
    service = server.store.get(kinds.SERVICE, *MX)
    rewrite(server)
    server.refusing["Service"] = ApiError(403, "denied")
    refused = await apply(applier, server, rendered())
    server.refusing.clear()
    server._put(service)
    set_back = await apply(applier, server, rendered())
    rewrite(server)
    put_back = await apply(applier, server, rendered())

    assert (refused.reason, set_back.reason, put_back.reason) == ("ApplyFailed", "Programmed", "Programmed")
    assert server.applied() == ["Service"]


async def test_a_former_refusal_says_nothing_of_another_change():
    """What was refused is another one by now, whose first try found the API server busy."""
    server = ApiServer()
    applier = await bring(server, rendered())
    server.refusing["Service"] = ApiError(403, "denied")
    await apply(applier, server, rendered(service={"type": "NodePort"}))
    server.refusing["Service"] = ApiError(503, "starting")
    changed = rendered(service={"type": "LoadBalancer"})
    with pytest.raises(ApiError):
        await apply(applier, server, changed)
    server.refusing.clear()

    assert (await apply(applier, server, changed)).reason == "Programmed"


async def contest(applier, server, made):
    """Have somebody set the Service's type back until that is left alone."""
    for _ in range(6):
        rewrite(server)
        found = await apply(applier, server, made)
    assert found.reason == "ChildContested"
    server.done.clear()


async def test_a_change_is_written_whole_while_one_of_its_children_is_contested():
    """Else pods would have a port to which no Service leads; whether the other is still there will show."""
    server = ApiServer()
    applier = await bring(server, rendered())
    await contest(applier, server, rendered())
    renamed = rendered(listeners=[{"name": "mx", "port": 25}])
    changed = await apply(applier, server, renamed)

    assert server.applied() == ["ConfigMap", "Service", "Deployment"]
    assert (changed.reason, (await apply(applier, server, renamed)).reason) == ("Programmed", "Programmed")
    await contest(applier, server, renamed)


async def test_a_change_that_is_refused_leaves_a_contest_as_it_is():
    """Nothing of it is written, and what is there is still somebody else's."""
    server = ApiServer()
    applier = await bring(server, rendered())
    await contest(applier, server, rendered())
    server.refusing["Deployment"] = ApiError(403, "denied")
    refused = await apply(applier, server, rendered(**CHANGE))
    taken_back = await apply(applier, server, rendered())

    assert (refused.reason, taken_back.reason, server.done) == ("ApplyFailed", "ChildContested", [])


async def test_a_change_that_another_process_has_written_ends_a_contest():
    server = ApiServer()
    applier = await bring(server, rendered())
    await contest(applier, server, rendered())
    changed = rendered(**CHANGE)
    for manifest in changed:
        server.write(manifest)
    server.done.clear()

    assert ((await apply(applier, server, changed)).reason, server.done) == ("Programmed", [])


async def test_another_operator_that_takes_a_gateway_over_is_left_with_it():
    """What it had before us we have taken over; what it then takes back it may keep."""
    left = rendered()
    only(left, "Deployment")[0]["metadata"]["annotations"][INSTANCE] = "other/mailport-operator"
    server = ApiServer(*left)
    theirs = server.store.get(kinds.DEPLOYMENT, *MX)
    applier = Applier(server, server.store)
    assert await applier.left_to(server.seen(), US, may_ask=True) is None
    await apply(applier, server, rendered())
    assert server.store.get(kinds.DEPLOYMENT, *MX)["metadata"]["annotations"] == {INSTANCE: US}

    server.write(theirs)
    left = await applier.left_to(server.seen(), US, may_ask=True)
    assert left.operator == "other/mailport-operator"
    del theirs["metadata"]["annotations"][INSTANCE]
    server.write(theirs)
    assert await applier.left_to(server.seen(), US, may_ask=True) is None


async def test_what_another_operator_applied_alike_is_held_back_by_nobody():
    """A suspended gateway whose operator was moved: its Deployment has the mark of the one before."""
    server = ApiServer(*rendered())
    theirs = server.store.get(kinds.DEPLOYMENT, *MX)
    theirs["metadata"]["annotations"][INSTANCE] = "other/mailport-operator"
    server.write(theirs)
    alike = Applier(server, server.store).pending(rendered(), server.seen()).programmed
    differs = Applier(server, server.store).pending(rendered(pod={"image": "x"}), server.seen()).programmed
    del theirs["metadata"]["annotations"]
    server.write(theirs)
    unmarked = Applier(server, server.store).pending(rendered(), server.seen()).programmed

    assert (alike.status, unmarked.status) == ("True", "True")
    assert (
        differs.message
        == "held back by spec.management Suspended: Deployment mx (.spec.template.spec.containers[0].image)"
    )


async def test_a_neighbour_that_goes_takes_nothing_along_that_is_known_of_another():
    """A gateway of the name that a child of the other's has: `mx-listener` beside `mx`."""
    name = "mx-listener"
    made = children(gateway(name, namespace="mail"), replace(GIVEN, owner_uid="other", operator=US))
    server = ApiServer()
    metadata = {"name": name, "namespace": "mail", "uid": "other", "generation": 1}
    server._put({"kind": "InboundSmtp", "metadata": metadata, "spec": MINIMAL})
    applier = Applier(server, server.store)
    await applier.apply(made, observe(server.store, Key("mail", name)))
    applier.forget(MX)
    theirs = server.store.get(kinds.DEPLOYMENT, "mail", name)
    theirs["metadata"]["annotations"][INSTANCE] = "other/mailport-operator"
    server.write(theirs)

    left = await applier.left_to(observe(server.store, Key("mail", name)), US, may_ask=True)
    assert left.operator == "other/mailport-operator"


# --- what an InboundSmtp of the same name has left


def left_over(**changes):
    """What a gateway with an autoscaler has left, its ServiceAccount too."""
    return ApiServer(*rendered("old", autoscaling={"maxReplicas": 3}), **changes)


async def test_kubernetes_gets_the_time_to_collect_what_is_left(later):
    """Half a minute from the first look on, whatever else is changed meanwhile; then all is taken over at once."""
    server = left_over()
    applier = Applier(server, server.store)
    for count in (1, 2, 3):
        found = await apply(applier, server, rendered(replicas=count))
        assert found.reason == "Pending"
        later(found.again_in - 9 if count == 1 else 3)
    assert server.done == []
    later(4)
    wanted = rendered(replicas=1)
    await apply(applier, server, wanted)

    assert server.applied() == [manifest["kind"] for manifest in wanted]
    assert [kind for what, kind in server.done if what == "delete"] == [
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
    ]


async def test_nothing_is_taken_over_for_one_that_is_gone_itself(later):
    """What we know of the InboundSmtp may be old: the API server is asked."""
    server = left_over()
    server.uids = ["newer"]
    applier = Applier(server, server.store)
    await apply(applier, server, rendered())
    later(31)
    with pytest.raises(ApiError) as caught:
        await apply(applier, server, rendered())

    assert (caught.value.status, server.done) == (409, [])


async def test_what_was_restored_without_managed_fields_is_taken_over_by_its_labels(later):
    """As some backups do. Somebody else's object has not our labels, and is a conflict."""
    server = ApiServer()
    (service,) = only(rendered("old"), "Service")
    metadata = {**service["metadata"], "uid": "restored"}
    server._put({**service, "metadata": metadata})
    applier = Applier(server, server.store)
    waiting = await apply(applier, server, only(rendered(), "Service"))
    later(31)
    taken = await apply(applier, server, only(rendered(), "Service"))
    server._put({**service, "metadata": {**metadata, "labels": {"mailport.dev/inboundsmtp": "mx"}}})
    foreign = await apply(applier, server, only(rendered(), "Service"))

    assert (waiting.reason, taken.reason, foreign.reason) == ("Pending", "Programmed", "ChildConflict")


@pytest.mark.parametrize(
    "manager, operation, reason",
    table(
        {
            "ours, when its owner went without it (--cascade=orphan)": ("mailport-operator", "Apply", "Programmed"),
            "somebody's, who has written it otherwise": ("mailport-operator", "Update", "ChildConflict"),
            "somebody else's": ("helm", "Apply", "ChildConflict"),
        }
    ),
)
async def test_what_has_no_owner_is_ours_where_we_have_applied_it(manager, operation, reason):
    """So mail is taken over without a gap; what somebody made by themselves is theirs."""
    server = ApiServer()
    (service,) = only(rendered(), "Service")
    metadata = {name: value for name, value in service["metadata"].items() if name != "ownerReferences"}
    server.write({**service, "metadata": metadata}, manager, operation)

    assert (await apply(Applier(server, server.store), server, only(rendered(), "Service"))).reason == reason


WITH_ALL = {"autoscaling": {"minReplicas": 2, "maxReplicas": 3}, "networkPolicy": "Managed"}
OF_SOMEBODY = {"name": "mx", "namespace": "mail", "uid": "theirs", "labels": LABELS}
NONE_OF_IT, ALL_OF_IT = [], ["HorizontalPodAutoscaler", "NetworkPolicy"]


@pytest.mark.parametrize(
    "hold, removed",
    table(
        {
            "nothing is in the way": (lambda server: None, ALL_OF_IT),
            "a budget of somebody else": (
                lambda server: server._put({"kind": "PodDisruptionBudget", "metadata": OF_SOMEBODY, "spec": {}}),
                ALL_OF_IT,
            ),
            "a budget that may not be made": (
                lambda server: server.refusing.update(PodDisruptionBudget=ApiError(403, "exceeded quota")),
                ALL_OF_IT,
            ),
            "a change that is refused": (
                lambda server: server.refusing.update(Service=ApiError(403, "denied")),
                NONE_OF_IT,
            ),
            "a configuration that is refused": (
                lambda server: server.refusing.update(ConfigMap=ApiError(403, "denied")),
                NONE_OF_IT,
            ),
            "a Deployment of somebody else": (
                lambda server: server._put({"kind": "Deployment", "metadata": OF_SOMEBODY, "spec": {}}),
                NONE_OF_IT,
            ),
        }
    ),
)
async def test_what_is_no_longer_wanted_goes_where_the_rest_is_written(hold, removed):
    """An autoscaler would scale on, and a policy keep out whom it should not, for an object that is not theirs."""
    before = only(rendered(**WITH_ALL), *ALL_OF_IT, "ServiceAccount", "ConfigMap", "Service", "Deployment")
    server = ApiServer()
    applier = await bring(server, before)
    hold(server)
    await apply(applier, server, rendered(disruptionBudget={"maxUnavailable": 1}, **CHANGE))

    assert [kind for what, kind in server.done if what == "delete"] == removed


async def test_what_no_dry_run_saw_keeps_what_is_no_longer_wanted():
    """Pods of before go on, and the policy that is theirs."""
    server = ApiServer()
    applier = await bring(server, rendered(networkPolicy="Managed"))
    server.refusing["Deployment"], server.refuses_dry_runs = ApiError(403, "denied"), False
    await apply(applier, server, rendered(**CHANGE))

    assert ("delete", "NetworkPolicy") not in server.done


async def test_an_autoscaler_goes_before_the_deployment_gets_other_replicas():
    """Else it would set them back in between."""
    server = ApiServer()
    applier = await bring(server, rendered(**WITH_ALL))
    await apply(applier, server, rendered(replicas=2))

    assert server.done == [
        ("delete", "HorizontalPodAutoscaler"),
        ("apply", "Deployment"),
        ("delete", "NetworkPolicy"),
    ]


async def test_an_autoscaler_that_contests_the_replicas_goes():
    """One that could not be deleted for a while set them back until the operator left them alone."""
    server = ApiServer()
    applier = await bring(server, rendered(**WITH_ALL))
    server.refusing["HorizontalPodAutoscaler"] = ApiError(403, "denied by policy")
    for _ in range(7):
        found = await apply(applier, server, rendered(replicas=1))
        deployment = server.store.get(kinds.DEPLOYMENT, *MX)
        server.write({**deployment, "spec": deployment["spec"] | {"replicas": 2}}, "autoscaler", "Update")
    assert found.message.startswith("HorizontalPodAutoscaler mx, no longer wanted, cannot be deleted")
    server.refusing.clear()
    contested = await apply(applier, server, rendered(replicas=1))

    assert (contested.reason, server.done[-1]) == ("ChildContested", ("delete", "HorizontalPodAutoscaler"))


async def test_what_may_not_be_deleted_is_said():
    """A policy that keeps an object is no reason to say nothing in the status."""
    server = ApiServer(*rendered(autoscaling={"maxReplicas": 3}))
    server.refusing["HorizontalPodAutoscaler"] = ApiError(403, "denied by policy")
    found = await apply(Applier(server, server.store), server, rendered(replicas=2))

    assert (found.reason, found.message) == (
        "ApplyFailed",
        "HorizontalPodAutoscaler mx, no longer wanted, cannot be deleted: denied by policy",
    )


async def test_what_may_be_deleted_a_moment_later_is_no_fault():
    server = ApiServer(*rendered(autoscaling={"maxReplicas": 3}))
    server.refusing["HorizontalPodAutoscaler"] = ApiError(503, "starting")
    with pytest.raises(ApiError):
        await apply(Applier(server, server.store), server, rendered(replicas=2))


@pytest.mark.parametrize(
    "status, again_in", table({"a webhook that fails": (500, 300.0), "an API server that is late": (503, 2.0)})
)
async def test_what_cannot_be_deleted_again_and_again_is_said(status, again_in):
    """The status goes on, and with it all that follows from it."""
    server = ApiServer(*rendered(autoscaling={"maxReplicas": 3}))
    server.refusing["HorizontalPodAutoscaler"] = ApiError(status, "failed")
    applier = Applier(server, server.store)
    if status == 503:
        with pytest.raises(ApiError):
            await apply(applier, server, rendered(replicas=2))
    found = await apply(applier, server, rendered(replicas=2))

    assert (found.reason, found.again_in) == ("ApplyFailed", again_in)


async def test_a_suspended_gateway_names_what_would_be_deleted():
    """What `render` would not make any more is a difference too."""
    server = ApiServer(*rendered(autoscaling={"maxReplicas": 3}))
    pending = Applier(server, server.store).pending(rendered(autoscaling={"maxReplicas": 3}), server.seen())
    assert pending.programmed.reason == "Programmed"
    without = tuple(one for one in rendered(autoscaling={"maxReplicas": 3}) if one["kind"] != "HorizontalPodAutoscaler")
    found = Applier(server, server.store).pending(without, server.seen()).programmed

    assert (found.reason, found.message) == (
        "Suspended",
        "held back by spec.management Suspended: HorizontalPodAutoscaler mx (to be deleted)",
    )


async def test_a_service_is_never_deleted():
    """Its address would be lost, and whoever has it in their DNS would find out by the mail that does not come."""
    server = ApiServer()
    applier = await bring(server, rendered())
    found = await apply(applier, server, rendered(service={"type": "None"}))

    assert found.status == "True"
    assert ("delete", "Service") not in server.done


async def test_a_deployment_is_never_deleted():
    """A gateway always has its own: one beside it is nobody's that this operator knows of, and mail is taken by it."""
    server = ApiServer()
    applier = await bring(server, rendered())
    (ours,) = only(rendered(), "Deployment")
    server.write({**ours, "metadata": {**ours["metadata"], "name": "mx-old"}})
    found = await apply(applier, server, rendered())

    assert found.status == "True"
    assert ("delete", "Deployment") not in server.done


async def test_what_a_pod_needs_to_start_again_stays():
    """A ConfigMap that is no longer rendered goes with the last pod that mounts it."""
    server = ApiServer()
    applier = await bring(server, rendered())
    (old,) = only(rendered(), "ConfigMap")
    server.write({**old, "metadata": {**old["metadata"], "name": "mx-c1"}})
    volume = {"name": "config", "configMap": {"name": "mx-c1"}}
    pod = {
        "name": "mx-1",
        "namespace": "mail",
        "uid": "pod",
        "resourceVersion": "50",
        "labels": old["metadata"]["labels"],
    }
    server.store.put(kinds.POD, {"kind": "Pod", "metadata": pod, "spec": {"volumes": [volume]}, "status": {}})
    await apply(applier, server, rendered())
    while_it_runs = list(server.done)
    server.store.drop(kinds.POD, {"metadata": pod})
    await apply(applier, server, rendered())

    assert while_it_runs == []
    assert server.done == [("delete", "ConfigMap")]


async def test_what_the_api_server_writes_in_its_own_way_is_no_change_and_another_value_is():
    """`cpu: 0.1` comes back as `100m`, after each apply. What somebody else makes of it is put back."""
    server = ApiServer()
    (made,) = only(rendered(pod={"resources": {"limits": {"cpu": "0.1"}}}), "Deployment")
    written = server.write

    def set_cpu(manifest, value, *who):
        manifest = deepcopy(manifest)
        manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = value
        return written(manifest, *who)

    server.write = lambda manifest, *who: set_cpu(manifest, "100m", *who)
    applier = await bring(server, (made,))
    assert (await apply(applier, server, (made,))).status == "True"
    assert server.done == []
    set_cpu(made, "200m", "somebody", "Update")
    await apply(applier, server, (made,))

    assert server.done == [("apply", "Deployment")]
