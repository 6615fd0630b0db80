"""Which changes of a document need other sockets than are open: seen by opening them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailport.contract.faults import Fault
from mailport.contract.model import InboundSmtp, Spec
from mailport.listener import load, reload
from mailport.listener.bindings import bind_all
from mailport.listener.credentials import PasswordChecks
from mailport.listener.load import Loader, Places
from mailport.listener.reload import Reloader, needs_other_sockets
from mailport.listener.server import Server
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


async def test_what_did_not_load_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though no file changes any more. The failure stands in for a lack of descriptors, which pytest needs itself."""
    path = tmp_path / "inboundsmtp.json"
    path.write_text(json.dumps(document({})))
    reloader = Reloader(Loader(Places((path,), mail=tmp_path / "mail")), lambda _, secrets: secrets)
    server = Server(await reloader.first_load(), PasswordChecks())
    monkeypatch.setattr(reload, "RETRY_SECONDS", 0.2)
    failures = iter([Fault("", "Too many open files", str(path))])
    read = load.read_what_is_there

    def read_after_a_failure(paths: Iterable[Path]) -> tuple[list[tuple[str, bytes]], list[Fault]]:
        fault = next(failures, None)
        return read(paths) if fault is None else ([], [fault])

    monkeypatch.setattr(load, "read_what_is_there", read_after_a_failure)
    following = asyncio.create_task(reloader.follow(server))
    path.write_text(json.dumps(document({"hostname": "changed.example.org"})))
    async with asyncio.timeout(10):
        while server.config.spec.hostname != "changed.example.org":  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
    following.cancel()
    await reloader.close()

    assert next(failures, None) is None
    assert not server.config.faults


async def test_the_document_says_how_much_scratch_there_is(tmp_path: Path) -> None:
    """Where no option does."""
    path = tmp_path / "inboundsmtp.json"
    path.write_text(json.dumps(document({})))
    reloader = Reloader(Loader(Places((path,), mail=tmp_path / "mail")), lambda _, secrets: secrets)
    server = Server(await reloader.first_load(), PasswordChecks())
    path.write_text(json.dumps(document({"pod": {"scratchSize": "100Mi"}})))
    await reloader._reload(server)
    await reloader.close()

    assert server.space.scratch.limit == 90 * 1024 * 1024


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
