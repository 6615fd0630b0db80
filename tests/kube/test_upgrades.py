"""What another listener image does to gateways that serve. What a kubelet does is operating.Node's."""

import json

from tests.kube.operating import OPERATOR, Node, Operator, instead
from tests.operator.making import maildir

NAMES = [f"mx{number}" for number in range(5)]
BROKEN = "mailport:broken"


def claim(name):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def with_image(gateways, image):
    images = {
        name: gateways.child("Deployment", name).body["spec"]["template"]["spec"]["containers"][0]["image"]
        for name in NAMES
    }
    return [name for name in NAMES if images[name] == image]


def test_an_image_that_does_not_start_takes_a_few_gateways_down_and_no_more(operator, gateways, controllers, tmp_path):
    """The volume can be mounted on one node alone, so that the old pod goes before the new one comes."""
    other = Operator(controllers, OPERATOR, f"--listener-image={BROKEN}", folder=tmp_path)
    with Node(controllers, gateways.namespace) as node:
        for name in NAMES:
            gateways.kubectl("apply", "-f", "-", stdin=json.dumps(claim(name)))
            gateways.apply(name, routes=[maildir("people", name)])
        for name in NAMES:
            gateways.until("Available", "MinimumReplicasAvailable", name)
        node.starts = False
        with instead(operator, other):
            for _ in range(2):  # the second counts the rollouts that the first has begun
                controllers.wait_for("three roll", lambda: len(with_image(gateways, BROKEN)) == 3)
                rolling = with_image(gateways, BROKEN)
                waiting = sorted({*NAMES} - {*rolling})
                for name in waiting:
                    gateways.until("Reconciling", "RollingOut", name)
                    assert "new pods wait for a turn" in gateways.condition("Programmed", name)["message"]
                    assert gateways.condition("Ready", name)["status"] == "True"
                for name in rolling:
                    gateways.until("Available", "NoReplicaReady", name)
                assert other.stop() == 0
                other.start()
                gateways.let_it_look(other, waiting[0])

            gateways.apply(rolling[0], routes=[maildir("people", rolling[0])], replicas=0)  # its author's change
            controllers.wait_for("another has its turn", lambda: len(with_image(gateways, BROKEN)) == 4)
        node.starts = True
        for name in NAMES:
            gateways.until("Ready", "Ready" if name != rolling[0] else "ScaledToZero", name, 60)
        assert with_image(gateways, BROKEN) == []
