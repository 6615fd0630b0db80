"""Whose rights an object is written with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mailport.deliver.destination import Receipt, Unavailable
from mailport.deliver.s3.credentials import (
    Keys,
    is_pod_identity_agent,
    read,
    workload_identity,
)
from mailport.deliver.secret_values import BadCredentials
from mailport.outward.allowed import Allowed
from tests.deliver.certificates import certificate
from tests.deliver.conftest import deliver
from tests.deliver.s3.buckets import bucket
from tests.deliver.s3.faulty import Fault, faulty
from tests.deliver.s3.servers import Store, moto
from tests.tables import table

ID, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"


@pytest.mark.parametrize(
    "values, keys",
    table(
        {
            "two keys, a line end behind each": ({ID: b"a\n", SECRET: b"b/+=\r\n"}, Keys("a", "b/+=")),
            "a session's": ({ID: b"a", SECRET: b"b", TOKEN: b"c"}, Keys("a", "b", "c")),
            "an empty token is none": ({ID: b"a", SECRET: b"b", TOKEN: b"\n"}, Keys("a", "b")),
        }
    ),
)
def test_a_secret_is_read(values: dict[str, bytes], keys: Keys):
    assert read(values) == keys
    assert "b" not in repr(read(values)).replace("access_key_id", "")


@pytest.mark.parametrize(
    "values, why",
    table(
        {
            "empty": ({ID: b"a", SECRET: b"\n"}, "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is empty"),
            "of two lines": ({ID: b"a\nx", SECRET: b"b"}, "AWS_ACCESS_KEY_ID has a blank or a control character in it"),
            "no ASCII": ({ID: b"a", SECRET: b"\xff"}, "AWS_SECRET_ACCESS_KEY is not ASCII"),
        }
    ),
)
def test_a_secret_that_cannot_be_used_is_told_by_its_key(values: dict[str, bytes], why: str):
    with pytest.raises(BadCredentials) as caught:
        read(values)

    assert str(caught.value) == why


STS = {"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/mail", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"}
AGENT = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/token",
}


@pytest.mark.parametrize(
    "environment, url",
    table(
        {
            "web identity, of the region": (STS, "https://sts.eu-west-1.amazonaws.com"),
            "… of another STS": ({**STS, "AWS_ENDPOINT_URL_STS": "https://sts.internal"}, "https://sts.internal"),
            "EKS Pod Identity": (AGENT, "http://169.254.170.23/v1/credentials"),
            "both: web identity": ({**AGENT, **STS}, "https://sts.eu-west-1.amazonaws.com"),
            "neither": ({}, None),
            "a role without a token": ({"AWS_ROLE_ARN": "arn"}, None),
            "an agent without a token": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/"}, None),
            "ECS, which is no pod": ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials"}, None),
            "plain keys are nobody's workload identity": ({ID: "a", SECRET: "b"}, None),
        }
    ),
)
def test_a_workload_identity_is_what_the_platform_says(environment: dict[str, str], url: str | None):
    found = workload_identity(environment, "eu-west-1")

    assert (found.url if found is not None else None) == url


@pytest.mark.parametrize(
    "url, is_one",
    table(
        {
            "by IPv4": ("http://169.254.170.23/v1/credentials", True),
            "by IPv6": ("http://[fd00:ec2::23]/v1/credentials", True),
            "the instance's metadata": ("http://169.254.169.254/latest", False),
            "… by IPv6": ("http://[fd00:ec2::254]/latest", False),
            "a name": ("http://agent.example/", False),
        }
    ),
)
def test_only_the_agents_own_addresses_are_link_local_and_asked(url: str, is_one: bool):
    assert is_pod_identity_agent(url) is is_one


# --- asked in earnest


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@asynccontextmanager
async def http(answer: bytes) -> AsyncGenerator[tuple[str, list[str]]]:
    """Answer every request so; gives the URL, and the requests' heads."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(answer), answer))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heads
    finally:
        listening.close()


@pytest.mark.slow
async def test_web_identity(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The token is exchanged at the STS for keys, which the bucket then gets; the metadata is not asked."""
    (tmp_path / "token").write_text("a.web.token")
    tls, ca = certificate(tmp_path)
    seen = Fault("POST /?Action", "as-form")
    async with http(b"role") as (metadata, asked), faulty(store.port, seen, tls) as sts:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata)
        for name, value in (STS | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts)
        async with bucket(store.url, keys=None, ca=ca, prefix="web/") as destination:
            (outcome,) = await deliver(destination, "anna@example.org")
        async with bucket("https://127.0.0.1:1", keys=None, allowed=Allowed()) as destination:
            with pytest.raises(Unavailable, match="loopback"):
                await deliver(destination, "anna@example.org")

    assert isinstance(outcome, Receipt)
    assert len(seen.seen) == 1
    assert "AssumeRoleWithWebIdentity" in seen.seen[0]
    assert "web/2026/11/23/4bXyZ1.eml" in store.objects()
    assert asked == []


@pytest.mark.slow
async def test_eks_pod_identity(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The agent is asked with the token, also by a route whose store speaks https; a stand-in, on loopback."""
    (tmp_path / "token").write_text("a-pod-token")
    keys = {
        "AccessKeyId": "temporary",
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": "2099-01-01T00:00:00Z",
    }
    async with http(json.dumps(keys).encode()) as (agent, heads), http(b"role") as (metadata, asked):
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent}/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        async with bucket(store.url, keys=None, prefix="pod/") as destination:
            (outcome,) = await deliver(destination, "anna@example.org")
        async with bucket("https://127.0.0.1:1", keys=None) as destination:
            with pytest.raises(Unavailable, match="Connection refused"):
                await deliver(destination, "anna@example.org")

    assert isinstance(outcome, Receipt)
    assert len(heads) == 2
    assert all("GET /v1/credentials" in head and "a-pod-token" in head for head in heads)
    assert asked == []
