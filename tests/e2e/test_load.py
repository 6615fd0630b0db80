"""Mail goes on: what the people who run a cluster do, under a steady load. What got 250 is there, whole.

A client may hear 250, 421 or a 4yz, and then it tries again with success. Only where a pod is killed outright can its
connections end without a word; they are counted apart.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.release import OPERATOR, SYSTEM, Gateway, Release, gateway
from tests.e2e.sending import Senders, lying
from tests.kube.cluster import ROOT

POLITE = re.compile(r"250|421|4\d\d")
STEADY_SECONDS = 3  # of load before and after


@pytest.fixture(scope="module")
def mx(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of three replicas on one volume."""
    with gateway(release.node, tmp_path_factory.mktemp("mail") / "mail") as made:
        made.apply(replicas=3)
        made.wait()
        yield made


@contextmanager
def load(mx: Gateway, what: str, *, killed: bool = False) -> Iterator[Senders]:
    """Send while something is done; at the end all that was promised is there, and nobody was treated badly."""
    before = lying(mx.folder)
    with Senders(mx.service()) as senders:
        time.sleep(STEADY_SECONDS)
        yield senders
        time.sleep(STEADY_SECONDS)
    there = lying(mx.folder) - before
    impolite = {outcome: count for outcome, count in senders.outcomes.items() if not POLITE.fullmatch(outcome)}
    twice = sum(count - 1 for count in there.values())
    mx.node.say(f"{what}: {dict(senders.outcomes)}, {len(senders.taken)} taken, {twice} of them twice")

    assert senders.given_up == []
    assert senders.taken <= there.keys(), "promised, and not there whole"
    assert senders.outcomes["250"] > 50
    if not killed:
        assert impolite == {}
        assert twice == 0
        assert there.keys() == senders.taken


def roll_out(mx: Gateway) -> None:
    mx.node.wait_until_available(mx.namespace, "mx", 180)
    mx.node.wait_for("the old pods are gone", lambda: len(mx.node.pods(mx.namespace)) == 3, 90)


def test_rollout_restart(mx):
    with load(mx, "kubectl rollout restart"):
        mx.kubectl("rollout", "restart", "deployment/mx")
        roll_out(mx)


def test_scaled_down_and_up(mx):
    """By the InboundSmtp's scale subresource."""
    with load(mx, "3, 1, 3 replicas"):
        mx.kubectl("scale", "inboundsmtp/mx", "--replicas=1")
        mx.node.wait_for("one is left", lambda: len(mx.node.pods(mx.namespace)) == 1, 90)
        mx.kubectl("scale", "inboundsmtp/mx", "--replicas=3")
        mx.node.wait_until_available(mx.namespace, "mx", 90)


def test_the_operators_pods_deleted(release, mx):
    """It comes back; no listener's pod is touched."""
    before = mx.starts()
    with load(mx, "the operator deleted"):
        mx.node.kubectl("delete", "pods", f"--namespace={SYSTEM}", "--selector=app.kubernetes.io/component=operator")
        mx.node.wait_until_available(SYSTEM, OPERATOR, 120)

    assert mx.starts() == before


def test_another_operator_with_the_same_listener_image_rolls_no_pod(release, mx):
    before = mx.starts()
    repository, _, tag = mx.node.image.rpartition(":")
    other = mx.node.tag_image("e2e-operator").rpartition(":")[2]
    with load(mx, "helm upgrade of the operator"):
        release.install(f"image.tag={other}", f"listener.image.repository={repository}", f"listener.image.tag={tag}")
        mx.kubectl("annotate", "inboundsmtp/mx", "example.org/looked-at=1")
        time.sleep(10)  # that nothing happens takes time

    assert mx.starts() == before


def test_another_listener_image_with_another_format_and_a_pod_killed_in_the_middle(release, mx):
    """To one that knows FORMAT 1 alone, and back: each pod finds what it understands, also when it starts again."""
    image = mx.node.image
    older = mx.node.changed_image("e2e-format-1", {"mailport/commands/serve.py": without_the_options_of_format_2()})
    repository, _, tag = older.rpartition(":")
    pinned = (f"listener.image.repository={repository}", f"listener.image.tag={tag}", "listener.configFormat=1")
    with load(mx, "helm upgrade to a listener of the format before"):
        release.install(*pinned)
        mx.node.wait_for("a pod of the older image is there", lambda: older in images(mx), 90)
        roll_out(mx)
    assert set(images(mx)) == {older}
    assert {mounted(pod) for pod in mx.pods()} == {"mx-c1"}
    with load(mx, "helm upgrade of the listener to another format, one killed", killed=True):
        release.install()
        mx.node.wait_for("a pod of the new image is there", lambda: image in images(mx), 90)
        old = next(pod for pod in mx.pods() if image not in _images(pod))
        mx.node.kill(mx.namespace, old["metadata"]["name"])
        roll_out(mx)

    assert set(images(mx)) == {image}
    assert {mounted(pod) for pod in mx.pods()} == {"mx-c2"}
    mx.wait()


def test_a_pod_killed_outright(mx):
    with load(mx, "a pod killed with -9", killed=True) as senders:
        pod = mx.pods()[0]["metadata"]["name"]
        mx.node.kill(mx.namespace, pod)
        mx.node.wait_for("it runs again", lambda: any(restarts for restarts in mx.starts().values()), 60)
        mx.wait("Available")

    assert set(senders.outcomes) <= {"250", "421", "closed", "ConnectionRefusedError", "ConnectionResetError"}


def without_the_options_of_format_2() -> str:
    """Return serve.py of an image from before FORMAT 2: one of these arguments ends it with 2."""
    source = (ROOT / "src/mailport/commands/serve.py").read_text()
    for name in ("mounted", "scratch", "scratch-limit", "mailbox-limit"):
        option = f'"--{name}",'
        assert source.count(option) == 1
        source = source.replace(option, f'"--unknown-{name}", dest="{name.replace("-", "_")}",')
    return source


def images(mx: Gateway) -> list[str]:
    return [image for pod in mx.pods() for image in _images(pod)]


def _images(pod: dict) -> list[str]:
    return [container["image"] for container in pod["spec"]["containers"]]


def mounted(pod: dict) -> str:
    return next(volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if volume["name"] == "config")
