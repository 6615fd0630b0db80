"""What the status says of pods that a real kubelet does not get to run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.release import NAME, Gateway, Release, gateway, send

ANOTHER_PORT = [{"name": "smtp", "port": 2525}]
NO_IMAGE = "registry.invalid/mailport:none"


@pytest.fixture(scope="module")
def allowing(release: Release) -> Release:
    """The release, where authors may name an image."""
    release.install("allow={loadBalancer,nodePort,image}")
    return release


@pytest.fixture
def mx(allowing: Release, tmp_path: Path) -> Iterator[Gateway]:
    """A namespace of the restricted standard, for a gateway."""
    with gateway(allowing.node, tmp_path / "mail") as made:
        yield made


def test_a_new_port_whose_image_is_not_to_be_had_is_not_ready(mx: Gateway) -> None:
    """The old pod serves on, with the port of before; the status has the kubelet's own words, and heals."""
    mx.apply()
    mx.wait()
    mx.apply(listeners=ANOTHER_PORT, pod={"image": NO_IMAGE})
    mx.node.wait_for(
        f"it says why: {mx.conditions()}", lambda: "ImagePull" in mx.condition("ConfigLive").get("message", ""), 90
    )
    live, ready = mx.condition("ConfigLive"), mx.condition("Ready")
    listeners = mx.get()["status"]["listeners"]
    (old,) = [pod["status"]["podIP"] for pod in mx.pods() if pod["spec"]["containers"][0]["image"] != NO_IMAGE]
    send((old, 25), "meanwhile@example.org")

    assert (live["status"], live["reason"]) == ("False", "RollingOut")
    assert (ready["status"], ready["reason"]) == ("False", "RollingOut")
    assert [listener["ready"] for listener in listeners] == [False]
    assert mx.condition("Available")["status"] == "True"
    assert len(mx.messages("meanwhile@example.org")) == 1
    mx.apply(listeners=ANOTHER_PORT)
    mx.node.wait_for("it is ready", lambda: mx.condition("Ready").get("reason") == "Ready", 90)
    send(mx.service(2525), "afterwards@example.org")
    assert len(mx.messages("afterwards@example.org")) == 1


def test_a_volume_that_does_not_mount_is_said(mx: Gateway) -> None:
    """ContainerCreating, and why: the kubelet's Event. It heals when the volume is there."""
    mx.folder.rmdir()
    mx.apply()
    mx.node.wait_for(
        f"it says why: {mx.conditions()}", lambda: "FailedMount" in mx.condition("Available").get("message", ""), 90
    )
    message = mx.condition("Available")["message"]

    assert "ContainerCreating: FailedMount: " in message
    assert str(mx.folder) in message
    mx.kubectl("delete", "inboundsmtp", NAME)
