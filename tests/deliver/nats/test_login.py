"""How we prove who we are, and how the server does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mailport.deliver.destination import Receipt, Unavailable
from tests.deliver.certificates import certificate
from tests.deliver.conftest import deliver
from tests.deliver.nats.keys import Key, account
from tests.deliver.nats.servers import STREAM, client, nats_server
from tests.deliver.nats.streams import stream
from tests.tables import table

pytestmark = [pytest.mark.slow]

_USER = Key.make("user")
_ACCOUNT = account()
PERMISSIONS = {
    "publish": {"allow": ["mail.ok.>", f"$JS.API.STREAM.INFO.{STREAM}"]},
    "subscribe": {"allow": ["_INBOX.>"]},
}
ADMIN = {"user": "admin", "password": "admin"}


def with_users(*users: dict[str, Any]) -> dict[str, Any]:
    return {"authorization": {"users": [ADMIN, *users]}}


@pytest.mark.parametrize(
    "options, credentials, wrong",
    table(
        {
            "user and password": (
                with_users({"user": "mailport", "password": "correct horse"}),
                {"username": b"mailport\n", "password": b"correct horse\n"},
                {"username": b"mailport", "password": b"wrong"},
            ),
            "an nkey": (with_users({"nkey": _USER.public}), {"nkey": _USER.seed}, {"nkey": Key.make("user").seed}),
            "a token": ({"authorization": {"token": "s3cr3t"}}, {"token": b"s3cr3t\n"}, {"token": b"other"}),
            "creds": (_ACCOUNT.options, {"creds": _ACCOUNT.creds}, {"creds": account().creds}),
        }
    ),
)
async def test_a_login(
    tmp_path: Path, options: dict[str, Any], credentials: Mapping[str, bytes], wrong: dict[str, bytes]
):
    """With the right one mail arrives; with a wrong one, or none, it is a matter of set-up. No secret is told."""
    with nats_server(tmp_path, **options) as server:
        async with stream(server.url, credentials=credentials) as destination:
            session = await destination._connecting.open()
            await session._client.jetstream().add_stream(name=STREAM, subjects=["mail.>"])
            await session.close()
            (outcome,) = await deliver(destination, "anna@example.org")
        refusals = []
        for login in (wrong, None):
            async with stream(server.url, credentials=login) as destination:
                with pytest.raises(Unavailable) as caught:
                    await deliver(destination, "anna@example.org")
                refusals.append(caught.value)

    assert isinstance(outcome, Receipt)
    assert {refusal.reply.reason for refusal in refusals} == {"destination_misconfigured"}
    assert all("uthorization" in str(refusal) for refusal in refusals)
    assert not any(value.decode().strip() in str(refusal) for refusal in refusals for value in wrong.values())


@pytest.mark.parametrize(
    "permissions, subject, why",
    table(
        {
            "what the documentation asks for is enough": (PERMISSIONS, "mail.ok.{local}", ""),
            "not this subject": (PERMISSIONS, "mail.other.{local}", "permissions violation for publish"),
            "not to look at the stream": (
                {**PERMISSIONS, "publish": {"allow": ["mail.>"]}},
                "mail.ok.{local}",
                "permissions violation for publish",
            ),
            "not to hear the answer": (
                {**PERMISSIONS, "subscribe": {"allow": ["nothing"]}},
                "mail.ok.{local}",
                "permissions violation for subscription",
            ),
        }
    ),
)
async def test_permissions(tmp_path: Path, permissions: dict[str, Any], subject: str, why: str):
    """A lack is told at once, and not by a time-out."""
    user = {"user": "mailport", "password": "secret", "permissions": permissions}
    credentials = {"username": b"mailport", "password": b"secret"}
    with nats_server(tmp_path, **with_users(user)) as server:
        async with client(server, **ADMIN) as (_, jetstream):
            await jetstream.add_stream(name=STREAM, subjects=["mail.>"])
        async with stream(server.url, credentials=credentials, subject=subject, timeoutSeconds=60) as destination:
            try:
                (outcome,) = await deliver(destination, "anna@example.org")
            except Unavailable as error:
                outcome = error

    if why:
        assert isinstance(outcome, Unavailable)
        assert why in str(outcome)
        assert outcome.reply.reason == "destination_misconfigured"
    else:
        assert isinstance(outcome, Receipt)


async def test_tls(tmp_path: Path):
    """By the CA that is named; a server that offers none is sent no login where TLS is wanted."""
    _, ca = certificate(tmp_path)
    tls = {"cert_file": str(tmp_path / "server.crt"), "key_file": str(tmp_path / "server.key")}
    with nats_server(tmp_path, tls=tls) as server:
        async with stream(server.url, ca=ca) as destination:
            with pytest.raises(Unavailable, match="stream not found"):
                await deliver(destination, "anna@example.org")
        async with stream(server.url) as destination:
            with pytest.raises(Unavailable, match="certificate is not accepted") as untrusted:
                await deliver(destination, "anna@example.org")
        async with stream(
            server.url, ca=ca, tls={"caRef": {"name": "ca"}, "serverName": "other.example"}
        ) as destination:
            with pytest.raises(Unavailable, match="certificate is not accepted") as other:
                await deliver(destination, "anna@example.org")
    with nats_server(tmp_path) as server:
        async with stream(server.url.replace("nats:", "tls:"), credentials={"token": b"s3cr3t"}) as destination:
            with pytest.raises(Unavailable, match="the server does not offer it") as clear:
                await deliver(destination, "anna@example.org")

    assert {one.value.reply.reason for one in (untrusted, other, clear)} == {"destination_misconfigured"}
