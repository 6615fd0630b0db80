"""Specs for rules.py and unwise.py: a plain one, and what a test adds to it."""

from __future__ import annotations

import json
from typing import Any

from mailport.contract.model import InboundSmtp, Spec

TLS = {"certificateRefs": [{"name": "mx-tls"}]}
AUTH = {"htpasswd": {"secretRef": {"name": "users"}}}


def listener(port: int = 2525, name: str = "smtp", **fields: Any) -> dict[str, Any]:
    return {"name": name, "port": port, **fields}


def route(*recipients: str, name: str = "mail", **fields: Any) -> dict[str, Any]:
    exact = {"deliver": {"maildir": {"claimName": "mail", "createMailboxes": "Never"}}}
    return {"name": name, "recipients": list(recipients), **exact, **fields}


POSTMASTER = route("postmaster@mx.example.org", name="postmaster")
SMARTHOST = {"smtp": {"host": "smarthost.example.org"}}


def spec(**fields: Any) -> Spec:
    whole = {"hostname": "mx.example.org", "listeners": [listener()], "routes": [POSTMASTER]} | fields
    return InboundSmtp.parse_json(
        json.dumps(
            {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}, "spec": whole}
        )
    ).spec
