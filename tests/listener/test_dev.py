"""`serve --dev` makes what nobody gives, once."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailport.contract.model import InboundSmtp, Spec, TlsVersion
from mailport.listener.credentials import Users
from mailport.listener.dev import DevSecrets, make_missing
from mailport.listener.secrets import Secrets, Sources
from mailport.listener.tls import Certificates
from tests.tables import table

NOW = datetime.now(UTC)
TLS: dict[str, Any] = {"tls": {"certificateRefs": [{"name": "mx-tls"}]}}
AUTH: dict[str, Any] = {"auth": {"htpasswd": {"secretRef": {"name": "mx-users"}}}}


def spec(hostname: str = "mx.example.org", **settings: Any) -> Spec:
    return InboundSmtp.parse_json(
        json.dumps(
            {
                "apiVersion": "mailport.dev/v1alpha1",
                "kind": "InboundSmtp",
                "metadata": {"name": "mx"},
                "spec": {
                    "hostname": hostname,
                    "listeners": [{"name": "smtp", "port": 2525}],
                    "routes": [{"name": "all", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
                    **settings,
                },
            }
        ).encode()
    ).spec


def make(
    spec: Spec, directory: Path, given: Secrets | None = None, now: datetime = NOW
) -> tuple[Secrets, DevSecrets | None]:
    return make_missing(spec, given or Secrets(), directory, now)


def test_certificate_and_user_are_made(tmp_path: Path) -> None:
    """Both work, and only we may read them."""
    secrets, made = make(spec(**TLS, **AUTH), tmp_path / "dev")
    loaded = Certificates().load(["mx-tls"], secrets, TlsVersion.V1_2, NOW)
    htpasswd = secrets.get("Secret", "mx-users", "htpasswd")

    assert made is not None
    assert htpasswd is not None
    assert loaded.context is not None
    assert Users.parse(htpasswd).verify(made.user, made.password.encode())
    assert made.user == "dev@example.org"
    assert made.users == tmp_path / "dev/mx-users/htpasswd"
    assert made.certificates == (tmp_path / "dev/mx-tls/tls.crt",)
    files = {path.relative_to(tmp_path / "dev"): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*/*/*")}
    assert files == dict.fromkeys(map(Path, ("mx-tls/tls.crt", "mx-tls/tls.key", "mx-users/htpasswd")), 0o600)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path / "dev").iterdir()} == {0o700}


def test_the_password_is_told_once(tmp_path: Path) -> None:
    """It stands in no file, and is not printed by accident."""
    _, made = make(spec(**TLS, **AUTH), tmp_path)

    assert made is not None
    assert made.password.isalnum()  # a mail client on a command line would take it for an option
    assert made.password not in repr(made)
    assert not any(made.password.encode() in path.read_bytes() for path in tmp_path.rglob("*/*"))


def test_the_next_start_uses_what_is_there(tmp_path: Path) -> None:
    """Clients keep their certificate, people their password."""
    first, _ = make(spec(**TLS, **AUTH), tmp_path)
    before = first.get_all("Secret", "mx-tls", ("tls.crt", "tls.key"))
    second, made = make(spec(**TLS, **AUTH), tmp_path)

    assert made is None
    assert second.get_all("Secret", "mx-tls", ("tls.crt", "tls.key")) == before


@pytest.mark.parametrize(
    "later, hostname",
    table(
        {
            "when it is about to end": (NOW + timedelta(days=824), "mx.example.org"),
            "when the host has another name": (NOW, "mail.example.org"),
        }
    ),
)
def test_a_certificate_is_made_anew(tmp_path: Path, later: datetime, hostname: str) -> None:
    """And the user stays."""
    make(spec(**TLS, **AUTH), tmp_path)
    _, made = make(spec(hostname, **TLS, **AUTH), tmp_path, now=later)

    assert made is not None
    assert made.certificates == (tmp_path / "mx-tls/tls.crt",)
    assert made.user == ""
    assert made.users is None


def test_a_pair_that_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    """A start that was killed in the middle does not spoil the next."""
    make(spec(**TLS), tmp_path)
    (tmp_path / "mx-tls/tls.crt").unlink()
    secrets, made = make(spec(**TLS), tmp_path)

    assert made is not None
    assert Certificates().load(["mx-tls"], secrets, TlsVersion.V1_2, NOW).context is not None


def test_what_is_given_is_not_made(tmp_path: Path) -> None:
    """Neither over a document nor over --secrets, nor where those give half of it or something unreadable."""
    (tmp_path / "secrets/mx-users/htpasswd").mkdir(parents=True)
    given = Secrets(secrets=Sources({"mx-tls": {"tls.crt": b"half"}}, (tmp_path / "secrets",)))
    secrets, made = make(spec(**TLS, **AUTH), tmp_path / "dev", given)

    assert made is None
    assert secrets.get("Secret", "mx-tls", "tls.crt") == b"half"
    assert not (tmp_path / "dev").exists()


def test_what_is_not_named_is_not_made(tmp_path: Path) -> None:
    """A document without tls and auth needs nothing."""
    _, made = make(spec(), tmp_path / "dev")

    assert made is None
    assert not (tmp_path / "dev").exists()


def test_one_secret_may_serve_for_both(tmp_path: Path) -> None:
    """Its keys are different ones."""
    auth = {"auth": {"htpasswd": {"secretRef": {"name": "mx-tls", "key": "users"}}}}
    secrets, _ = make(spec(**TLS, **auth), tmp_path)

    assert len(secrets.get_all("Secret", "mx-tls", ("tls.crt", "tls.key", "users"))) == 3


@pytest.mark.parametrize(
    "hostname, user",
    table(
        {
            "a mail host": ("mx.example.org", "dev@example.org"),
            "a domain itself": ("example.org", "dev@example.org"),
        }
    ),
)
def test_the_user_is_an_address(tmp_path: Path, hostname: str, user: str) -> None:
    """So that senderMatch User can be tried, too."""
    _, made = make(spec(hostname, **AUTH), tmp_path)

    assert made is not None
    assert made.user == user
