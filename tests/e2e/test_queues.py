"""Mail out of a cluster into a bucket and into a stream, with a Secret that is rotated."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deliver.nats.servers import STREAM, make_stream, messages, nats_server
from tests.deliver.s3.servers import BUCKET, KEYS, versitygw
from tests.e2e.machine import HOST
from tests.e2e.release import Gateway, Release, gateway, send

SECRET_SECONDS = 150  # until a changed Secret is in use; the kubelet takes a minute or more


@pytest.fixture
def mx(release: Release, tmp_path: Path) -> Iterator[Gateway]:
    """A namespace of the restricted standard, for a gateway."""
    with gateway(release.node, tmp_path / "mail") as made:
        yield made


def route(**deliver: dict[str, Any]) -> dict[str, Any]:
    return {"routes": [{"name": "queue", "recipients": ["*@example.org"], "deliver": deliver}]}


def put(mx: Gateway, name: str, **values: str) -> None:
    """Make or change a Secret."""
    about = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    mx.node.apply(about | {"stringData": values}, namespace=mx.namespace)


def test_a_bucket_whose_keys_are_rotated(mx, tmp_path):
    """A wrong key shows by its code and never itself; the right one is taken without a restart, and mail is there."""
    tmp_path.joinpath("store").mkdir()
    with versitygw(tmp_path / "store", HOST) as store:
        keys = {name: value.decode() for name, value in KEYS.items()}
        put(mx, "s3", **{**keys, "AWS_SECRET_ACCESS_KEY": "not-it"})
        reference = {"credentialsSecretRef": {"name": "s3"}}
        mx.apply(**route(s3={"bucket": BUCKET, "prefix": "in/", "endpoint": store.url, **reference}))
        mx.wait()
        mx.until("DestinationsReachable", "Misconfigured")
        assert "SignatureDoesNotMatch" in mx.condition("DestinationsReachable")["message"]
        assert "not-it" not in mx.condition("DestinationsReachable")["message"]

        before = mx.starts()
        put(mx, "s3", **keys)
        mx.node.wait_for("it is reached", lambda: reason(mx, "DestinationsReachable") == "Reachable", SECRET_SECONDS)
        send(mx.service(), "anna@example.org", "into-a-bucket")
        [content] = [content for key, content in store.objects().items() if key.startswith("in/")]

        assert b"Subject: into-a-bucket" in content
        assert mx.starts() == before


def test_a_stream_that_one_server_holds(mx, tmp_path):
    """Mail waits until the stream is made, and then is there; that one server holds it is a condition, and no more."""
    tmp_path.joinpath("nats").mkdir()
    with nats_server(tmp_path / "nats", host=HOST) as nats:
        mx.apply(**route(nats={"url": nats.url, "stream": STREAM, "subject": "mail.{domain}.{local}"}))
        mx.wait()
        mx.until("DestinationsReachable", "Misconfigured")
        assert "stream not found" in mx.condition("DestinationsReachable")["message"]

        asyncio.run(make_stream(nats))
        mx.node.wait_for("it is reached", lambda: reason(mx, "DestinationsReachable") == "Reachable", 120)
        mx.until("DeliveryDurable", "StreamNotSynced")
        send(mx.service(), "anna@example.org", "into-a-stream")
        [(subject, _, content)] = asyncio.run(messages(nats))

        assert subject == "mail.example.org.anna"
        assert b"Subject: into-a-stream" in content
        assert mx.condition("Ready")["status"] == "True"


def reason(mx: Gateway, condition: str) -> str:
    return str(mx.condition(condition)["reason"])
