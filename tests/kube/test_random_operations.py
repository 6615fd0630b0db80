"""Whatever happens, and in whatever order: in the end every gateway's children are as `render` makes them.

Two hundred random operations on twenty names, among them the operator killed and the API server restarted, on a control
plane of its own. MAILPORT_SEED=… has the same operations again, though at other moments.
"""

import os
import random
import time
from collections import Counter

import pytest

from mailport.operator.kinds import CHILDREN, CONFIG_MAP, DEPLOYMENT, DISRUPTION_BUDGET, SERVICE
from mailport.operator.managed_fields import replicas_owned_by_others
from mailport.operator.metadata import SELECTOR_LABEL
from tests.kube.apart import control_plane
from tests.kube.gateways import Gateways
from tests.kube.operating import OPERATOR, Operator, stopped_at_the_end, tell

OPERATIONS = 200
NAMES = [f"mx-{number}" for number in range(20)]
SETTLED_SECONDS = 90  # after the last operation; what failed several times is tried again a minute later
QUIET_SECONDS = 3  # that nothing is amiss for: what somebody has not heard of yet would show
SEED = int(os.environ.get("MAILPORT_SEED") or random.SystemRandom().randrange(2**32))


@pytest.fixture
def cluster(tmp_path_factory):
    """With controllers: they collect what deleted gateways leave behind."""
    with control_plane(tmp_path_factory.mktemp("random")) as cluster:
        yield cluster


@pytest.fixture
def operator(cluster, tmp_path):
    operator = Operator(cluster, OPERATOR, "--allow=nodePort,loadBalancer,annotations=*,labels=*", folder=tmp_path)
    with stopped_at_the_end(operator):
        yield operator.start()
        assert operator.stop() == 0


@pytest.fixture
def gateways(cluster, operator):
    return Gateways(cluster, cluster.new_namespace())


def test_in_the_end_the_children_are_as_rendered(gateways, operator):
    """Of the gateways that there are, and nothing is left of those that are gone."""
    tell(f"MAILPORT_SEED={SEED}")
    operations = Operations(random.Random(SEED), gateways, operator)
    began = time.monotonic()
    for _ in range(OPERATIONS):
        operations.do_something()
    operations.resume_all()
    tell(f"{operations.done} within {time.monotonic() - began:.0f} s")
    gateways.cluster.check_processes()
    begin_to_collect_anew(gateways.cluster)

    began = last_amiss = time.monotonic()
    while time.monotonic() < min(began + SETTLED_SECONDS, last_amiss + QUIET_SECONDS):
        if next(amiss(gateways, operations), None) is not None:
            last_amiss = time.monotonic()
        time.sleep(0.2)
    tell(f"settled after {last_amiss - began:.1f} s")
    assert list(amiss(gateways, operations)) == []
    assert "internal error" not in operator.log.read_text()


def begin_to_collect_anew(cluster):
    """Have garbage collected of which the collector has missed how it came about.

    Where a gateway is deleted and made again while it cannot watch, it sees no deletion, but one object that changes.
    What the first one left behind stays until the collector starts again.
    """
    cluster.kill("kube-controller-manager")
    cluster.run_again("kube-controller-manager")


def amiss(gateways, operations):
    """Yield what is not as it should be."""
    wanted = set()
    for name in operations.specs:
        given = {"live_replicas": replicas_to_keep(gateways.child(DEPLOYMENT.name, name).body)}
        for manifest in gateways.rendered(name, **given):
            wanted.add((manifest["kind"], manifest["metadata"]["name"]))
        yield from (f"seed {SEED}: {name}: {difference}" for difference in gateways.unlike(name, **given))
    for kind in CHILDREN:
        listed = gateways.cluster.ask("GET", gateways.path(kind.name)).expect_accepted().body["items"]
        found = {(kind.name, item["metadata"]["name"]) for item in listed if is_a_child(item["metadata"])}
        yield from (f"seed {SEED}: {left} is left over" for left in found - wanted)


def is_a_child(metadata):
    """By its label, or by its owner where somebody took that away."""
    owners = {owner["kind"] for owner in metadata.get("ownerReferences", ())}
    return SELECTOR_LABEL in metadata.get("labels", {}) or "InboundSmtp" in owners


def replicas_to_keep(deployment):
    """Return what is applied of an autoscaler's replicas: the count that there is, until it has set its own."""
    if "spec" not in deployment or replicas_owned_by_others(deployment):
        return None
    return deployment["spec"]["replicas"]


class Operations:
    """What people, a crash and other programs do to gateways, their children, the operator and the API server."""

    def __init__(self, chance, gateways, operator):
        self._chance = chance
        self._gateways = gateways
        self._operator = operator
        self.specs = {}  # of the gateways that there are, as applied last
        self.done = Counter()
        self._weights = {
            self._change: 40,
            self._delete: 12,
            self._suspend_or_resume: 10,
            self._tamper: 30,
            self._kill_the_operator: 5,
            self._restart_the_api_server: 2,
        }

    def do_something(self):
        (what,) = self._chance.choices(list(self._weights), list(self._weights.values()))
        what(self._chance.choice(NAMES))
        self.done[what.__name__] += 1
        time.sleep(self._chance.choice((0, 0, 0.05, 0.3)))  # some come while the operator acts, some after

    def resume_all(self):
        for name, spec in self.specs.items():
            if spec.pop("management", None):
                self._gateways.apply(name, **spec)

    def _change(self, name):
        """Or create."""
        self.specs[name] = a_spec(self._chance)
        self._gateways.apply(name, **self.specs[name])

    def _delete(self, name):
        if self.specs.pop(name, None) is not None:
            self._gateways.delete(name)

    def _suspend_or_resume(self, name):
        if (spec := self.specs.get(name)) is not None:
            if not spec.pop("management", None):
                spec["management"] = "Suspended"
            self._gateways.apply(name, **spec)

    def _tamper(self, name):
        kind, change = self._chance.choice(CHANGES)
        path = self._gateways.path(kind.name, f"{name}-c2" if kind is CONFIG_MAP else name)
        if change is None:
            answer = self._gateways.cluster.ask("DELETE", path)
        else:
            content_type = "application/strategic-merge-patch+json"
            answer = self._gateways.cluster.ask("PATCH", path, change, content_type=content_type)
        assert answer.accepted or answer.status == 404, answer.body

    def _kill_the_operator(self, _):
        self._operator.kill()
        self._operator.launch()

    def _restart_the_api_server(self, _):
        self._gateways.cluster.kill("kube-apiserver")
        self._gateways.cluster.run_again("kube-apiserver")


def a_container(name):
    return {"spec": {"template": {"spec": {"containers": [{"name": name, "image": "elsewhere"}]}}}}


NO_LABEL = {"metadata": {"labels": {SELECTOR_LABEL: None}}}
CHANGES = [
    *((kind, None) for kind in (CONFIG_MAP, SERVICE, DEPLOYMENT, DISRUPTION_BUDGET)),
    *((kind, NO_LABEL) for kind in (CONFIG_MAP, SERVICE, DEPLOYMENT)),
    (CONFIG_MAP, {"data": {"inboundsmtp.json": "{}"}}),
    (CONFIG_MAP, {"data": {"added": "1"}}),
    (SERVICE, {"spec": {"selector": {"app": "elsewhere"}}}),
    (SERVICE, {"spec": {"ports": [{"name": "added", "port": 2600}]}}),
    (DEPLOYMENT, a_container("listener")),
    (DEPLOYMENT, a_container("added")),
    (DEPLOYMENT, {"spec": {"replicas": 4}}),
    (DISRUPTION_BUDGET, {"spec": {"maxUnavailable": 7}}),
]


def a_spec(chance):
    """Make a valid spec: every kind of child comes and goes, and what is in it changes."""
    spec = {
        "hostname": f"mx{chance.randrange(3)}.example.org",
        "replicas": chance.randint(1, 3),
        "listeners": chance.sample(LISTENERS, chance.randint(1, len(LISTENERS))),
        "limits": {"maxConnections": chance.randint(1, 1000)},
    }
    for field, values in OPTIONAL.items():
        if chance.random() < 0.4:
            spec[field] = chance.choice(values)
    return spec


LISTENERS = [{"name": "smtp", "port": 25}, {"name": "other", "port": 2525}, {"name": "submission", "port": 587}]
OPTIONAL = {
    "service": [
        {"type": "NodePort"},
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"]},
        {"annotations": {"example.org/a": "1"}},
    ],
    "pod": [
        {"adminPort": 9090, "labels": {"team": "mail"}},
        {"resources": {"limits": {"memory": "256Mi"}}, "nodeSelector": {"disk": "ssd"}},
        {"annotations": {"example.org/b": "2"}, "affinity": {"podAntiAffinity": {}}},
    ],
    "autoscaling": [{"maxReplicas": 4}, {"minReplicas": 2, "maxReplicas": 3}],
    "disruptionBudget": [{"maxUnavailable": "50%"}, {"maxUnavailable": 2}],
    "networkPolicy": ["Managed"],
    "messageSize": [{"advertised": "10Mi"}, {"advertised": 0, "enforce": False}],
}
