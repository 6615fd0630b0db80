"""What a pod serves of a document that names a Secret which only new pods mount."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailport.contract.model import AuthMode, InboundSmtp, Spec, TlsMode
from mailport.listener.mounted import served_spec
from tests.tables import table

MOUNTED = frozenset(("tls", "users"))


def certificates(*names: str) -> dict[str, Any]:
    return {"tls": {"certificateRefs": [{"name": name} for name in names]}}


def users(name: str, **fields: Any) -> dict[str, Any]:
    return {"auth": {"htpasswd": {"secretRef": {"name": name}}, **fields}}


def spec(*parts: dict[str, Any], **listener: Any) -> Spec:
    fields = {key: value for part in parts for key, value in part.items()}
    whole = {
        "hostname": "mx.example.org",
        "listeners": [{"name": "smtp", "port": 25, **listener}],
        "routes": [{"name": "all", "recipients": ["*@example.org"], "deliver": {"discard": {}}}],
    } | fields
    head = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}}
    return InboundSmtp.parse_json(json.dumps(head | {"spec": whole})).spec


def served(now: Spec, former: Spec | None) -> tuple[list[str], str | None, TlsMode, AuthMode, tuple[str, ...]]:
    """Return what matters: the certificates, the users, and what the listener offers; and what is not mounted."""
    found, lacking = served_spec(now, former, lambda wanted: wanted.name in MOUNTED)
    (listener,) = found.listeners
    return (
        [ref.name for ref in found.tls.certificate_refs] if found.tls else [],
        found.auth.htpasswd.secret_ref.name if found.auth else None,
        found.tls_mode(listener),
        found.auth_mode(listener),
        lacking,
    )


PLAIN, OFF, NEVER = spec(), TlsMode.DISABLED, AuthMode.NEVER
START_TLS, SECURE = TlsMode.START_TLS, AuthMode.SECURE_ONLY
IMPLICIT = {"tls": {"mode": "Implicit"}}
REQUIRED = {"auth": {"mode": "Always", "required": True}}


@pytest.mark.parametrize(
    ("now", "former", "expected"),
    table(
        {
            "what is mounted is served": (
                spec(certificates("tls"), users("users")),
                PLAIN,
                (["tls"], "users", START_TLS, SECURE, ()),
            ),
            "another certificate": (
                spec(certificates("new")),
                spec(certificates("tls")),
                (["tls"], None, START_TLS, NEVER, ("new",)),
            ),
            "one certificate more": (
                spec(certificates("tls", "new")),
                spec(certificates("tls")),
                (["tls"], None, START_TLS, NEVER, ("new",)),
            ),
            "another file of users": (
                spec(certificates("tls"), users("new")),
                spec(certificates("tls"), users("users")),
                (["tls"], "users", START_TLS, SECURE, ("new",)),
            ),
            "both": (
                spec(certificates("new"), users("new")),
                spec(certificates("tls"), users("users")),
                (["tls"], "users", START_TLS, SECURE, ("new",)),
            ),
            "a first certificate: no TLS until then": (
                spec(certificates("new")),
                PLAIN,
                ([], None, OFF, NEVER, ("new",)),
            ),
            "also where a mode is written out": (
                spec(certificates("new"), **IMPLICIT),
                PLAIN,
                ([], None, OFF, NEVER, ("new",)),
            ),
            "first users: no AUTH until then": (
                spec(certificates("tls"), users("new"), **REQUIRED),
                spec(certificates("tls")),
                (["tls"], None, START_TLS, NEVER, ("new",)),
            ),
            "first users, while the certificates go": (
                spec(users("new"), **REQUIRED),
                spec(certificates("tls")),
                ([], None, OFF, NEVER, ("new",)),
            ),
            "a first certificate, while the users go": (
                spec(certificates("new")),
                spec(users("users"), auth={"mode": "Always"}),
                ([], None, OFF, NEVER, ("new",)),
            ),
            "a mode that changes beside it is taken up": (
                spec(certificates("new"), **IMPLICIT),
                spec(certificates("tls")),
                (["tls"], None, TlsMode.IMPLICIT, NEVER, ("new",)),
            ),
            "a pod that starts anew has the certificates that it mounts": (
                spec(certificates("tls", "new"), users("users")),
                None,
                (["tls"], "users", START_TLS, SECURE, ("new",)),
            ),
            "and none, where it mounts none": (
                spec(certificates("new"), users("newer")),
                None,
                (["new"], "newer", START_TLS, SECURE, ("new", "newer")),
            ),
        }
    ),
)
def test_what_is_served(now: Spec, former: Spec | None, expected: tuple[object, ...]) -> None:
    """The former Secrets, where there were some; what had none goes on without."""
    assert served(now, former) == expected


def test_all_else_is_taken_up() -> None:
    """Also within the parts whose Secret stays the former one."""
    now = spec(
        {"tls": {"certificateRefs": [{"name": "new"}], "minVersion": "TLSv1.3"}},
        users("new", senderMatch="User"),
        {"limits": {"maxErrors": 7}},
    )
    found, _ = served_spec(now, spec(certificates("tls"), users("users")), MOUNTED.__contains__)

    assert found.tls is not None
    assert found.auth is not None
    assert (found.tls.min_version, found.auth.sender_match, found.limits.max_errors) == ("TLSv1.3", "User", 7)


def test_nobody_must_log_in_where_nobody_can() -> None:
    """A listener that would ask for AUTH goes on as it was, until there are users."""
    found, _ = served_spec(spec(users("new"), **REQUIRED), PLAIN, MOUNTED.__contains__)

    assert not found.listeners[0].auth.required
