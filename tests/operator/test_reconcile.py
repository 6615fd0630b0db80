"""One look, from what was seen to the status: in which order, and what is left out. The API server is a fake.

What it comes to on a real one is in tests/kube.
"""

from copy import deepcopy
from dataclasses import replace

import pytest

from mailport.operator import kinds
from mailport.operator.admit.options import Options
from mailport.operator.api_error import ApiError
from mailport.operator.metadata import INSTANCE, SELECTOR_LABEL
from mailport.operator.pods.observed import ObservedPod, Report
from mailport.operator.pods.refresh import Refreshed
from mailport.operator.reconcile import Reconciler
from mailport.operator.report.metrics import exposition
from mailport.operator.watch.store import Key, Store
from tests.operator.apply.test_applier import US, ApiServer, later  # noqa: F401 - later is a fixture
from tests.operator.making import EVERYTHING, GIVEN, MINIMAL
from tests.tables import table

MX = Key("mail", "mx")
OPTIONS = Options(GIVEN, EVERYTHING, US)
LOOK_AGAIN = set().update  # nobody does


class Server(ApiServer):
    """Takes statuses and Events too, and tells in which order all came."""

    def __init__(self):
        self.others = []
        super().__init__()
        self.events = []
        self.refuses_status = None

    async def apply(self, manifest, *, subresource="", force=True, dry_run=False):
        if not subresource:
            return await super().apply(manifest, force=force, dry_run=dry_run)
        if self.refuses_status is not None:
            raise self.refuses_status
        self.done.append(("apply", "status"))
        return self._put({**self.objects[kinds.INBOUND_SMTP, MX.name], "status": manifest["status"]})

    async def create(self, kind, namespace, body):
        self.events.append(body["reason"])

    def another_store(self, instance):
        """Return what another operator sees."""
        store = Store(instance)
        for (kind, _), body in self.objects.items():
            store.put(kind, body)
        self.others.append(store)
        return store

    def _put(self, body):
        body = super()._put(body)
        for store in self.others:
            store.put(kinds.kind_of(body), body)
        return body

    def give(self, **spec):
        """Have somebody write the InboundSmtp."""
        body = deepcopy(self.objects[kinds.INBOUND_SMTP, MX.name])
        document = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "spec": MINIMAL | spec}
        return self._put({**body, **document, "metadata": body["metadata"] | {"generation": self._version}})

    def condition(self, kind):
        conditions = self.objects[kinds.INBOUND_SMTP, MX.name]["status"]["conditions"]
        return next(one["reason"] for one in conditions if one["type"] == kind)


class Poller:
    """Asks nobody."""

    def __init__(self):
        self.followed = []

    def looks(self, key):
        return {}

    hindrances = looks

    def follow(self, key, targets):
        self.followed.append(key)

    def forget(self, key):
        self.followed.append("nobody")


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def poller():
    return Poller()


@pytest.fixture
def look(server, poller):
    """Look at the gateway."""
    reconciler = Reconciler(server, server.store, poller, OPTIONS, LOOK_AGAIN)
    return lambda: reconciler.reconcile(MX)


CHILDREN = [("apply", kind) for kind in ("ServiceAccount", "ConfigMap", "Service", "Deployment")]


async def test_the_first_look_says_that_nothing_is_known_and_the_second_does_it(server, poller, look):
    """Without a status GitOps tools take it for done."""
    server.give()
    again_in = await look()
    assert (again_in, server.done) == (0.0, [("apply", "status")])
    assert server.condition("Programmed") == "Pending"

    server.done.clear()
    await look()
    assert server.done == [*CHILDREN, ("apply", "status")]
    assert server.condition("Programmed") == "Programmed"
    assert poller.followed == [MX]

    server.done.clear()
    assert await look() is None
    assert server.done == []


async def test_what_is_suspended_is_looked_at_and_not_touched(server, look):
    server.give()
    await look()
    await look()
    server.give(management="Suspended", hostname="other.example.org")
    server.done.clear()
    await look()

    assert server.done == [("apply", "status")]
    assert server.condition("Programmed") == "Suspended"


async def test_pods_of_what_is_suspended_are_not_poked(server, monkeypatch):
    seen_by = []

    class Refresher:
        def __init__(self, cluster, poller):
            pass

        async def refresh(self, seen, *, may_poke):
            seen_by.append(may_poke)
            raise ApiError(404, "enough")

    monkeypatch.setattr("mailport.operator.reconcile.Refresher", Refresher)
    reconciler = Reconciler(server, server.store, Poller(), OPTIONS, LOOK_AGAIN)
    server.give()
    await reconciler.reconcile(MX)
    for spec in ({"management": "Suspended"}, {"management": "Suspended", "replicas": -1}, {"replicas": -1}, {}):
        server.give(**spec)
        await reconciler.reconcile(MX)

    assert seen_by == [False, False, True, True]


@pytest.fixture
def refresher(monkeypatch):
    """Nobody has asked the pods yet, until a test says so."""

    class Refresher:
        all_asked, report = False, None

        def __init__(self, cluster, poller):
            pass

        async def refresh(self, seen, *, may_poke):
            pod = ObservedPod("mx-1", ready=True, host_ips=(), expected_hash="1234", report=self.report)
            return Refreshed((pod,), all_asked=self.all_asked)

    monkeypatch.setattr("mailport.operator.reconcile.Refresher", Refresher)
    return Refresher


async def test_what_an_operator_said_stands_until_the_next_one_has_asked_the_pods(server, refresher):
    """Else each start would say of all gateways that nothing is known of their pods, with an Event."""
    server.give()
    of_before, of_now = (Reconciler(server, server.store, Poller(), OPTIONS, LOOK_AGAIN) for _ in range(2))
    refresher.all_asked, refresher.report = True, Report("1234", 1)
    for _ in range(2):
        await of_before.reconcile(MX)
    assert server.condition("ConfigLive") == "Live"
    server.done.clear()

    refresher.all_asked, refresher.report = False, None
    await of_now.reconcile(MX)
    assert server.done == []
    refresher.all_asked = True
    await of_now.reconcile(MX)
    assert server.done == [("apply", "status")]
    assert server.condition("ConfigLive") == "PodsUnreachable"


async def test_a_change_is_said_whether_the_pods_were_asked_or_not(server, refresher):
    """What was said is of another generation; and what an operator has said itself, it may say anew."""
    server.give()
    reconciler = Reconciler(server, server.store, Poller(), OPTIONS, LOOK_AGAIN)
    for _ in range(2):
        await reconciler.reconcile(MX)
    assert server.condition("Programmed") == "Programmed"

    server.give(replicas=3)
    server.done.clear()
    await Reconciler(server, server.store, Poller(), OPTIONS, LOOK_AGAIN).reconcile(MX)
    assert server.done[-1] == ("apply", "status")


async def test_what_no_config_map_holds_is_not_begun(server, look):
    """Nothing of it is written, and what serves goes on."""
    server.give()
    await look()
    server.done.clear()
    recipients = [f"{number}@{'.'.join(['a' * 60] * 3)}.example.org" for number in range(100)]
    routes = [{"name": f"r{number}", "recipients": recipients, "deliver": {"discard": {}}} for number in range(64)]
    server.give(routes=routes)
    await look()

    assert server.done == [("apply", "status")]
    assert (server.condition("Accepted"), server.condition("Programmed")) == ("ConfigTooLarge", "Pending")


async def test_what_is_not_accepted_leaves_all_that_serves(server, poller, look):
    """Its pods are asked all the same: what they say is in the status."""
    server.give()
    await look()
    await look()
    server.done.clear()
    poller.followed.clear()
    server.give(listeners=[{"name": "smtp", "port": 25, "tls": {"mode": "Implicit"}}])
    await look()

    assert server.done == [("apply", "status")]
    assert server.condition("Accepted") == "Invalid"
    assert poller.followed == [MX]


async def test_one_that_another_operator_has_taken_is_left_to_it(server, poller, look):
    """Its pods are asked no more, and its status is the other's to write."""
    server.give()
    await look()
    await look()
    deployment = server.store.get(kinds.DEPLOYMENT, *MX)
    deployment["metadata"]["annotations"][INSTANCE] = "other/mailport-operator"
    server.write(deployment)
    server.give(hostname="other.example.org")
    server.done.clear()
    again_in = await look()

    assert (server.done, server.events.count("OtherOperator")) == ([], 1)
    assert again_in == pytest.approx(60, abs=1)
    assert f'name="{MX.name}",namespace="{MX.namespace}",reason="OtherOperator"}} 0.0' in exposition()[0].decode()
    assert poller.followed == [MX, "nobody"]


@pytest.fixture
def in_turns(server):
    """Have two operators look at the gateway, one after the other; return how many statuses were written.

    The second has another image, and allows more.
    """
    news = replace(GIVEN, listener_image="registry.example.org/mailport:2")
    ours = replace(OPTIONS, allow=replace(EVERYTHING, names=frozenset()))
    others = Options(news, EVERYTHING, "other/mailport-operator")
    operators = [
        Reconciler(server, store, Poller(), options, LOOK_AGAIN)
        for store, options in ((server.store, ours), (server.another_store(others.instance), others))
    ]

    async def look(times):
        server.done.clear()
        for _ in range(times):
            for operator in operators:
                await operator.reconcile(MX)
        return server.applied().count("status")

    look.operators = operators
    return look


@pytest.mark.parametrize(
    "first, then",
    table(
        {
            "that is suspended": ({}, {"management": "Suspended"}),
            "that only one of them accepts": 2 * ({"network": {"hostNetwork": True}},),
        }
    ),
)
async def test_two_operators_that_disagree_of_a_status_do_not_write_it_for_ever(
    server,
    in_turns,
    refresher,
    later,  # noqa: F811
    first,
    then,
):
    """As while an operator is moved: what one of them never applies has no mark by which it would see the other."""
    server.give(**first)
    for _ in range(2):
        await in_turns.operators[0].reconcile(MX)
    refresher.all_asked = True
    server.give(**then)
    await in_turns(2)
    told = list(server.events)

    assert 2 < await in_turns(50) < 15
    assert server.events == [*told, "OtherOperator"]
    assert await in_turns(50) == 0
    for _ in range(12):  # it is tried again after one, two and then every five minutes
        later(301)
        assert await in_turns(50) < 15
    assert server.events[len(told) :] in (["OtherOperator"], ["OtherOperator"] * 2)  # one of each at most


async def test_two_operators_that_both_go_on_never_roll_the_pods_against_each_other(server, in_turns, later):  # noqa: F811
    """One leaves the gateway, and asks every ten minutes whether the other is there: which puts its mark back."""
    server.give()
    for _ in range(2):
        await in_turns.operators[0].reconcile(MX)
    await in_turns(3)
    deployment = server.objects[kinds.DEPLOYMENT, MX.name]
    asked = 0
    for _ in range(60):
        later(61)
        await in_turns(1)
        asked += ("patch", "Deployment") in server.done

        assert server.objects[kinds.DEPLOYMENT, MX.name]["spec"] == deployment["spec"]
        assert server.condition("Programmed") == "Programmed"
    assert server.objects[kinds.DEPLOYMENT, MX.name]["metadata"]["annotations"] == {INSTANCE: "other/mailport-operator"}
    assert 5 <= asked <= 7


async def test_who_leaves_a_status_alone_says_for_how_long(server, in_turns, refresher, later):  # noqa: F811
    """It takes it up again when the other has ended, and says of another spec at once."""
    server.give()
    for _ in range(2):
        await in_turns.operators[0].reconcile(MX)
    refresher.all_asked = True
    server.give(management="Suspended")
    await in_turns(50)
    ours = in_turns.operators[0]

    assert 0 < await ours.reconcile(MX) <= 60
    server.done.clear()
    server.give(management="Suspended", replicas=2)
    assert await ours.reconcile(MX) is None
    assert server.applied() == ["status"]

    await in_turns(50)
    later(121)
    server.done.clear()
    assert await ours.reconcile(MX) is None
    assert server.applied() == ["status"]


async def test_a_status_that_changes_by_itself_is_no_contest(server, refresher):
    """A pod that comes and goes: each of its changes is written, whatever it was before."""
    server.give()
    refresher.all_asked = True
    ours = Reconciler(server, server.store, Poller(), OPTIONS, LOOK_AGAIN)
    await ours.reconcile(MX)
    server.done.clear()
    for turn in range(40):
        refresher.report = Report("1234", 1) if turn % 2 else None
        await ours.reconcile(MX)

    assert server.applied().count("status") == 40


async def test_one_that_is_gone_is_forgotten(server, poller, look):
    server.give()
    await look()
    server.store.drop(kinds.INBOUND_SMTP, server.objects[kinds.INBOUND_SMTP, MX.name])

    assert await look() is None
    assert poller.followed == ["nobody"]


async def test_one_that_goes_meanwhile_is_no_fault(server, look):
    """The news is on its way; every other answer is for who looks again."""
    server.give()
    server.refuses_status = ApiError(404, 'inboundsmtps.mailport.dev "mx" not found')
    assert await look() is None

    server.refuses_status = ApiError(409, "the object has been modified")
    with pytest.raises(ApiError):
        await look()


async def test_what_an_author_may_not_ask_for_is_not_rendered(server, poller):
    """By the operator's options, and not the document's."""
    reconciler = Reconciler(
        server, server.store, poller, replace(OPTIONS, allow=replace(EVERYTHING, names=frozenset())), LOOK_AGAIN
    )
    server.give(network={"hostNetwork": True})
    await reconciler.reconcile(MX)
    await reconciler.reconcile(MX)

    assert server.condition("Accepted") == "NotPermitted"
    assert server.applied() == ["status"]


# --- while pods roll

NEW_NAME, NEW_PORT = ({"listeners": [{"name": name, "port": port}]} for name, port in (("mx", 25), ("smtp", 2525)))


def serve(server, name):
    """Have a pod serve by the Deployment as it is now, as a ReplicaSet of it makes one."""
    deployment = server.objects[kinds.DEPLOYMENT, MX.name]
    spec = deployment["spec"]["template"]["spec"]
    for kind, of, body in (
        (kinds.REPLICA_SET, deployment, {"spec": {"replicas": 1, "template": {"spec": spec}}}),
        (kinds.POD, {"metadata": {"uid": f"ReplicaSet {name}"}}, {"spec": spec, "status": {"phase": "Running"}}),
    ):
        metadata = {
            "name": name,
            "namespace": MX.namespace,
            "uid": f"{kind.name} {name}",
            "labels": {SELECTOR_LABEL: MX.name},
            "ownerReferences": [{"uid": of["metadata"]["uid"], "controller": True}],
        }
        server._put({"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata, **body})


def end(server, name):
    """Have a pod be replaced."""
    replica_set, pod = (server.objects[kind, name] for kind in (kinds.REPLICA_SET, kinds.POD))
    server._put({**replica_set, "spec": replica_set["spec"] | {"replicas": 0}})
    server._put({**pod, "metadata": pod["metadata"] | {"deletionTimestamp": "2026-11-29T10:00:00Z"}})


async def targets(server, look):
    await look()
    return [port["targetPort"] for port in server.objects[kinds.SERVICE, MX.name]["spec"]["ports"]]


async def test_a_listener_that_is_renamed_is_reached_all_the_while(server, look):
    """The Service is written before the Deployment, and pods of before serve until there are new ones."""
    server.give()
    await look()
    assert await targets(server, look) == ["smtp"]

    serve(server, "before")
    server.give(**NEW_NAME)
    assert await targets(server, look) == [25]
    serve(server, "after")
    assert await targets(server, look) == [25]
    end(server, "before")
    assert await targets(server, look) == ["mx"]

    server.done.clear()
    await look()
    assert server.done == []


async def test_a_listener_on_another_port_is_reached_all_the_while(server, look):
    server.give()
    await look()
    await look()
    serve(server, "before")
    server.give(**NEW_PORT)

    assert await targets(server, look) == ["smtp"]


async def test_a_network_policy_lets_old_pods_serve_on(server, look):
    """On their port for mail, and on the one where the operator and Prometheus ask them."""
    server.give(networkPolicy="Managed")
    await look()
    await look()
    serve(server, "before")
    server.give(networkPolicy="Managed", pod={"adminPort": 9090}, **NEW_PORT)
    await look()
    assert let_in(server) == [2525, 9090, 25, 8080]

    serve(server, "after")
    await look()
    assert let_in(server) == [2525, 9090, 25, 8080]
    end(server, "before")
    await look()
    assert let_in(server) == [2525, 9090]


def let_in(server):
    (rule,) = server.objects[kinds.NETWORK_POLICY, MX.name]["spec"]["ingress"]
    return [port["port"] for port in rule["ports"]]


async def test_what_follows_the_pods_is_not_held_back(server, look):
    """A gateway that is suspended while its pods roll is as it should be, also when they have."""
    spec = {"networkPolicy": "Managed", "listeners": [{"name": "mx", "port": 25}, {"name": "mua", "port": 587}]}
    server.give(networkPolicy="Managed", listeners=[{"name": "smtp", "port": 25}, {"name": "mua", "port": 465}])
    await look()
    await look()
    serve(server, "before")
    server.give(**spec)
    await look()
    serve(server, "after")
    server.give(management="Suspended", **spec)
    await look()
    end(server, "before")
    await look()

    assert server.condition("Programmed") == "Programmed"
    assert let_in(server) == [25, 587, 8080, 465]
