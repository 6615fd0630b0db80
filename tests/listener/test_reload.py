"""Which changes of a document need other sockets than are open: seen by opening them."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailport.contract.model import InboundSmtp, Spec
from mailport.listener.bindings import bind_all
from mailport.listener.reload import Reloader, needs_other_sockets
from tests.serving import document, free_port
from tests.tables import table

PORTS = [free_port() for _ in range(3)]
LISTENERS = [{"name": "smtp", "port": PORTS[0]}, {"name": "submission", "port": PORTS[1]}]


def spec(change: dict[str, Any]) -> Spec:
    return InboundSmtp.parse_json(json.dumps(document({"listeners": LISTENERS} | change))).spec


def sockets(of: Spec) -> set[tuple[str, str]]:
    """Return what a process that starts with this spec listens on."""
    bound, _ = bind_all(of, lacking_family_is_fatal=False)
    found = {(one.listener, one.address) for one in bound}
    for one in bound:
        one.socket.close()
    return found


def with_first(**fields: Any) -> dict[str, Any]:
    return {"listeners": [{**LISTENERS[0], **fields}, LISTENERS[1]]}


@pytest.mark.parametrize(
    "change",
    table(
        {
            "another port": with_first(port=PORTS[2]),
            "another name": with_first(name="mx"),
            "ports exchanged": {"listeners": [{**LISTENERS[0], "port": PORTS[1]}, {**LISTENERS[1], "port": PORTS[0]}]},
            "one listener more": {"listeners": [*LISTENERS, {"name": "more", "port": PORTS[2]}]},
            "one less": {"listeners": LISTENERS[:1]},
            "another order": {"listeners": LISTENERS[::-1]},
            "another address": {"network": {"bindAddresses": ["127.0.0.2"]}},
            "an address more": {"network": {"bindAddresses": ["127.0.0.1", "127.0.0.2"]}},
            "all addresses": {"network": {"bindAddresses": []}},
            "one family of all": {"network": {"bindAddresses": [], "ipFamilies": ["IPv4"]}},
            "TLS": with_first(tls={"mode": "StartTLS"}) | {"tls": {"certificateRefs": [{"name": "tls"}]}},
            "AUTH": with_first(auth={"mode": "Always"}) | {"auth": {"htpasswd": {"secretRef": {"name": "users"}}}},
            "PROXY headers": with_first(proxyProtocol={"trustedCIDRs": ["10.0.0.0/8"]}),
            "limits": {"limits": {"maxConnections": 7}},
            "who may connect": {"access": {"policy": "DenyListed", "addresses": ["192.0.2.1"]}},
            "the hostname": {"hostname": "mail.example.org"},
        }
    ),
)
def test_what_needs_a_restart(change: dict[str, Any]) -> None:
    """Exactly what makes a fresh start listen elsewhere, or under another name."""
    before, after = spec({}), spec(change)

    assert needs_other_sockets(before, after) is (sockets(before) != sockets(after))


def test_the_admin_port_needs_other_pods() -> None:
    """It is an option of the process, which the operator makes of it."""
    assert needs_other_sockets(spec({}), spec({"pod": {"adminPort": 9090}}))


async def test_a_destination_that_is_still_in_use_at_the_end_is_closed() -> None:
    """It has left the configuration, and a transaction that began before has kept it open."""
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    async def in_use(_: Any) -> None:
        await asyncio.Event().wait()

    before = SimpleNamespace(routes=[SimpleNamespace(destination=SimpleNamespace(close=close))])
    server = SimpleNamespace(config=SimpleNamespace(routes=[]), close_when_unused=in_use)
    reloader = Reloader(cast("Any", None), cast("Any", None))
    reloader._close_unused(cast("Any", server), cast("Any", before))
    await reloader.close()

    assert closed.is_set()
