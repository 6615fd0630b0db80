"""Loading again and again: what counts as a change, and what stays where something does not load."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailport.contract.faults import Invalid
from mailport.contract.model import InboundSmtp
from mailport.deliver import registry
from mailport.listener import load
from mailport.listener.load import Loader, Places
from mailport.listener.secrets import Secrets
from mailport.listener.tls import self_signed
from tests.listener.test_hashes import argon2
from tests.serving import merge
from tests.tables import table

SPEC = {
    "hostname": "mx.example.org",
    "listeners": [{"name": "smtp", "port": 25}],
    "tls": {"certificateRefs": [{"name": "tls"}, {"name": "second"}]},
    "auth": {"htpasswd": {"secretRef": {"name": "users"}}},
    "routes": [{"name": "mail", "recipients": ["*@example.org"], "deliver": {"maildir": {}}}],
}
USERS = f"anna:{argon2(b'right')}\n".encode()


@dataclass
class Gateway:
    """A document and its Secrets in a folder, and what loads them."""

    folder: Path

    def __post_init__(self) -> None:
        self.file = self.folder / "mx.json"
        self.write({})
        for name in ("tls", "second"):
            self.renew(name)
        self.secret("users", "htpasswd", USERS)
        self.loader = Loader(Places((self.file,), (self.folder / "secrets",)))

    def write(self, change: dict[str, Any], **outside: Any) -> None:
        head = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}}
        self.file.write_text(json.dumps(head | {"spec": merge(SPEC, change)} | outside))

    def secret(self, name: str, key: str, value: bytes) -> None:
        path = self.folder / "secrets" / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)

    def renew(self, name: str) -> None:
        chain, key = self_signed("mx.example.org", datetime.now(UTC))
        self.secret(name, "tls.crt", chain)
        self.secret(name, "tls.key", key)

    def remove(self, name: str, key: str) -> None:
        (self.folder / "secrets" / name / key).unlink()


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def nothing(_: Gateway) -> None:
    """Change nothing."""


def fifo(gateway: Gateway) -> None:
    gateway.file.unlink()
    os.mkfifo(gateway.file)


@pytest.mark.parametrize(
    ("change", "differs"),
    table(
        {
            "nothing": (nothing, False),
            "a file that was touched": (lambda gateway: gateway.file.touch(), False),
            "a file that was written anew": (lambda gateway: gateway.write({}), False),
            "users that were written anew": (lambda gateway: gateway.secret("users", "htpasswd", USERS), False),
            "a setting": (lambda gateway: gateway.write({"limits": {"maxErrors": 7}}), True),
            "the generation alone": (lambda gateway: gateway.write({}, metadata={"name": "mx", "generation": 2}), True),
            "another user": (lambda gateway: gateway.secret("users", "htpasswd", USERS + b"b" + USERS), True),
            "a comment among the users": (lambda gateway: gateway.secret("users", "htpasswd", b"#\n" + USERS), True),
            "a certificate": (lambda gateway: gateway.renew("second"), True),
            "a certificate that goes": (lambda gateway: gateway.remove("tls", "tls.crt"), True),
            "users that go": (lambda gateway: gateway.remove("users", "htpasswd"), True),
            "users that do not load": (lambda gateway: gateway.secret("users", "htpasswd", b"anna"), True),
            "a key that does not load": (lambda gateway: gateway.secret("tls", "tls.key", b""), True),
            "a document that does not load": (lambda gateway: gateway.file.write_text("{"), True),
            "a FIFO that nobody writes to, in the document's place": (fifo, True),
        }
    ),
)
def test_what_counts_as_a_change(gateway: Gateway, change: Callable[[Gateway], object], *, differs: bool) -> None:
    """Whatever is served or reported; and a file that is only written anew is none, for which nothing is logged."""
    before = gateway.loader.load()
    change(gateway)

    assert (gateway.loader.load() != before) is differs
    assert gateway.loader.load() == gateway.loader.load()


def test_the_first_document_has_to_load(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no last good one yet; every fault is named, also one of a Secret in the files."""
    monkeypatch.setattr(registry, "find_spec", lambda _: None)  # the extra s3 is not installed
    secret = gateway.folder / "secret.yaml"
    secret.write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {b: '!'}\n")
    gateway.write({"routes": [{**SPEC["routes"][0], "deliver": {"s3": {"bucket": "mail"}}}]})
    with pytest.raises(Invalid) as raised:
        Loader(Places((gateway.file, secret, gateway.folder / "none.yaml"))).load()

    assert [(Path(fault.source).name, fault.path) for fault in raised.value.faults] == [
        ("none.yaml", ""),
        ("secret.yaml", "Secret a: data[b]"),
        ("mx.json", "spec.routes[0].deliver.s3"),
    ]


@pytest.mark.parametrize(
    "content",
    table(
        {
            "no JSON": "{",
            "nothing": "",
            "two of them": None,
            "against the model": json.dumps({"kind": "InboundSmtp"}),
        }
    ),
)
def test_the_last_good_document_is_served(gateway: Gateway, content: str | None) -> None:
    """With its hash, whatever else the file holds now."""
    before = gateway.loader.load()
    whole = gateway.file.read_text()
    gateway.file.write_text(f"{whole}\n---\n{whole}" if content is None else content)
    after = gateway.loader.load()

    assert after.document_faults
    assert (after.hash, after.spec, after.users) == (before.hash, before.spec, before.users)
    assert [route.destination for route in after.routes] == [route.destination for route in before.routes]


def test_a_second_gateway_does_not_take_the_place_of_a_broken_one(gateway: Gateway) -> None:
    """Which one is meant is for a person to say."""
    other = gateway.folder / "other.yaml"
    loader = Loader(Places((gateway.file, other)))
    other.write_text("")
    before = loader.load()
    other.write_text(gateway.file.read_text().replace("mx.example.org", "other.example.org"))
    gateway.file.write_text(gateway.file.read_text().replace("hostname", "host"))

    assert loader.load().spec == before.spec


def test_what_dev_cannot_write_is_a_fault(gateway: Gateway) -> None:
    """Of a reload; at the start it ends the process."""

    def full(_: InboundSmtp, __: Secrets) -> Secrets:
        raise OSError(errno.ENOSPC, "No space left on device", "var/dev")

    with pytest.raises(OSError, match="No space"):
        gateway.loader.load(full)
    gateway.loader.load()
    gateway.write({"limits": {"maxErrors": 7}})
    after = gateway.loader.load(full)

    assert after.document_faults == ("var/dev: No space left on device",)
    assert after.spec.limits.max_errors == 7


def test_no_users_end_the_process(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where reading them fails as nobody thought of, which a real file cannot be made to show."""

    def fail(_: bytes) -> load.Users:
        raise RuntimeError("anna:hunter2")

    before = gateway.loader.load()
    monkeypatch.setattr(load.Users, "parse", fail)
    gateway.secret("users", "htpasswd", b"another")
    after = gateway.loader.load()

    assert after.users is before.users
    assert after.secret_faults == ("Secret users: the users cannot be loaded (RuntimeError)",)
