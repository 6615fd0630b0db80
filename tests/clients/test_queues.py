"""`mailport serve` with routes to a bucket and a stream, and the consumers in examples/ behind them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import smtplib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from obstore.store import S3Store

from tests.deliver.conftest import deliver
from tests.deliver.nats.servers import STREAM, client, make_stream, messages, nats_server
from tests.deliver.nats.streams import stream
from tests.deliver.s3.buckets import bucket
from tests.deliver.s3.servers import BUCKET, KEYS, moto
from tests.serving import Serving, eventually, free_port, serving
from tests.tables import table

pytestmark = pytest.mark.slow

LOCAL = "--allow-local-destinations"
ROOT = Path(__file__).parents[2]


def _route(kind: str, **settings: Any) -> dict[str, Any]:
    return {"routes": [{"name": "queue", "recipients": ["*@example.org"], "deliver": {kind: settings}}]}


def _send(server: Serving) -> tuple[int, bytes]:
    """Send a message; return what RCPT was answered, or where it was 250 what the content was."""
    with smtplib.SMTP("127.0.0.1", server.port, timeout=30) as smtp:
        smtp.ehlo("client.example.net")
        smtp.mail("sender@example.net")
        answer = smtp.rcpt("anna@example.org")
        return answer if answer[0] != 250 else smtp.data("Subject: queued\r\n\r\nbody\r\n")


def _destination(server: Serving) -> dict[str, Any]:
    return dict(server.status()["destinations"][0])


def test_a_bucket(tmp_path: Path):
    """Its Secret may come later and is taken up; the id of the 250 is the object's name; health follows the store."""
    with moto(tmp_path) as store:
        route = _route("s3", bucket=BUCKET, endpoint=store.url, credentialsSecretRef={"name": "s3"}, timeoutSeconds=5)
        with serving(tmp_path, route, LOCAL) as server:
            assert _send(server)[0] == 451
            assert [one["key"] for one in server.status()["missing"]] == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]

            folder = server.secret("s3")
            folder.mkdir(parents=True)
            for key, value in KEYS.items():
                (folder / key).write_bytes(value)
            eventually(lambda: _destination(server)["state"] == "Reachable", "Reachable")
            code, text = _send(server)
            name = text.split()[-1].decode()

            assert code == 250
            assert [key.rpartition("/")[2] for key in store.objects()] == [f"{name}.eml"]
            assert KEYS["AWS_SECRET_ACCESS_KEY"].decode() not in (server.folder / "log").read_text()


async def test_a_stream(tmp_path: Path):
    """It is there without a restart once the stream is made, and /status tells that one server holds it."""
    with nats_server(tmp_path) as nats:
        route = _route("nats", url=nats.url, stream=STREAM, subject="mail.{local}", timeoutSeconds=5)
        with serving(tmp_path, route, LOCAL) as server:
            await asyncio.to_thread(
                eventually, lambda: _destination(server)["state"] == "Misconfigured", "Misconfigured"
            )
            assert _destination(server)["error"] == "stream not found (10059)"
            assert (await asyncio.to_thread(_send, server))[0] == 451

            await make_stream(nats)
            await asyncio.to_thread(eventually, lambda: _send(server)[0] == 250, "250")
            [one] = server.status()["notDurable"]

            assert (one["route"], one["reason"]) == ("queue", "StreamNotSynced")
            assert [subject for subject, _, _ in await messages(nats)] == ["mail.anna"]


@pytest.mark.parametrize(
    "name, heard",
    table(
        {
            "a bucket": ("s3", ["from <sender@example.net> to anna@example.org: A test by mailport send"]),
            "a stream": (
                "nats",
                [
                    "from <sender@example.net> to anna@example.org: A test by mailport send",
                    "from <sender@example.net> to carl@example.org: large",
                ],
            ),
        }
    ),
)
def test_the_examples_run(tmp_path: Path, name: str, heard: list[str]):
    """As `make example` runs them: both sides, a message through, and the consumer has it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ports = {"PORT": str(free_port()), "NEXT_PORT": str(free_port())}
    done = subprocess.run(
        [ROOT / "examples" / name / "run"],
        env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path), **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "Reachable" in done.stdout
    for line in heard:
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == []


@contextmanager
def consumer(name: str) -> Iterator[ModuleType]:
    """Load a consumer."""
    spec = importlib.util.spec_from_file_location(
        f"{name}_consumer", ROOT / "examples" / f"{name}-consumer" / "consumer.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


async def test_what_a_consumer_of_a_stream_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It is tried again, and in the end lies below `dead.`, whole; the rest is done, and nothing waits any more."""
    with nats_server(tmp_path) as nats, consumer("nats") as module:
        module.BACKOFF = (0.1, 0.2)
        await module.main(nats.url, "prepare")
        async with stream(nats.url, objectStore="MAILBODIES") as destination:
            await deliver(destination, "anna@example.org", content=b"Subject: cannot be done\r\n\r\n")
            await deliver(destination, "b%c@example.org", content=b"Subject: fine\r\n\r\n")
            await deliver(destination, "carl@example.org", content=b"Subject: large\r\n\r\n" + b"x" * 2_000_000)
        await module.main(nats.url, "once")
        async with client(nats) as (_, jetstream):
            left = await jetstream.consumer_info(STREAM, module.DURABLE)
        [(subject, headers, content)] = await messages(nats, "DEAD")

    said = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "from <sender@example.net> to b%c@example.org: fine",
        "from <sender@example.net> to carl@example.org: large",
    ]
    assert subject == "dead.mail.example.org.anna"
    assert "cannot be done" in headers["Failure"]
    assert content.endswith(b"Subject: cannot be done\r\n\r\n")
    assert (left.num_pending, left.num_ack_pending) == (0, 0)


async def test_what_a_consumer_of_a_bucket_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It is tried three times, and lies below failed/ then; what is done is gone, with what lay beside it."""
    recipients = [f"recipient-{number}@long-domain.example.org" for number in range(100)]
    with moto(tmp_path) as store, consumer("s3") as module:
        async with bucket(store.url, prefix="in/") as destination:
            await deliver(destination, *recipients, content=b"Subject: for many\r\n\r\n")
            assert len(store.objects()) == 2
            keys = {name: value.decode() for name, value in KEYS.items()}
            mine = S3Store(BUCKET, endpoint=store.url, client_options={"allow_http": True}, config=keys)
            [key] = [one for one in store.objects() if one.endswith(".eml")]
            await asyncio.to_thread(module.work, mine, key, Counter())
            assert store.objects() == []

            await deliver(destination, "anna@example.org", content=b"Subject: cannot be done\r\n\r\n")
            failures: Counter[str] = Counter()
            for _ in range(module.TRIES):
                await asyncio.to_thread(module.work, mine, key, failures)
            left = store.objects()

    said = [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()]
    assert said == [f"from <sender@example.net> to {', '.join(recipients)}: for many"]
    assert left == [f"failed/{key}"]
