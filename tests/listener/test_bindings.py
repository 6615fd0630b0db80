"""Which addresses are listened on."""

from __future__ import annotations

import json
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from mailport.contract.model import InboundSmtp, IpFamily, Spec
from mailport.listener import bindings
from mailport.listener.bindings import CannotBind, addresses, bind_all
from tests.serving import document, free_port
from tests.tables import table

IPV4, IPV6 = IpFamily.IPV4, IpFamily.IPV6
BOTH = frozenset((IPV4, IPV6))
HOST = [
    ip_address(text)
    for text in ("127.0.0.1", "10.1.2.3", "10.1.9.9", "192.0.2.25", "::1", "2001:db8::25", "fe80::25%2", "fe80::25%3")
]


@pytest.mark.parametrize(
    "families, wanted, host_has, selected",
    table(
        {
            "all, where nothing is said": (None, [], BOTH, ["0.0.0.0", "::"]),
            "what the host has, where nothing is said": (None, [], {IPV4}, ["0.0.0.0"]),
            "IPv4 alone": ((IPV4,), [], BOTH, ["0.0.0.0"]),
            "IPv6 alone": ((IPV6,), [], BOTH, ["::"]),
            "both in the order that is written": ((IPV6, IPV4), [], BOTH, ["::", "0.0.0.0"]),
            "none that the host has": ((IPV6,), [], {IPV4}, []),
            "an address": (None, ["192.0.2.25"], BOTH, ["192.0.2.25"]),
            "addresses of both families": (None, ["::1", "127.0.0.1"], BOTH, ["::1", "127.0.0.1"]),
            "those of a family that is not served fall away": ((IPV4,), ["127.0.0.1", "::1"], BOTH, ["127.0.0.1"]),
            "an address as a network": (None, ["10.1.2.3/32", "::1/128"], BOTH, ["10.1.2.3", "::1"]),
            "one that the host does not have is for the kernel to refuse": (None, ["10.9.9.9"], BOTH, ["10.9.9.9"]),
            "all of the host's in a network": (None, ["10.1.0.0/16"], BOTH, ["10.1.2.3", "10.1.9.9"]),
            "in an IPv6 network": (None, ["2001:db8::/32"], BOTH, ["2001:db8::25"]),
            "of a link, on each link that has it": (None, ["fe80::/10"], BOTH, ["fe80::25%2", "fe80::25%3"]),
            "so too where it is written as an address": (None, ["fe80::25"], BOTH, ["fe80::25%2", "fe80::25%3"]),
            "an IPv4 address that is written as IPv6": (None, ["::ffff:127.0.0.1"], BOTH, ["127.0.0.1"]),
            "each once": (None, ["10.1.2.3", "10.0.0.0/8", "10.1.2.3"], BOTH, ["10.1.2.3", "10.1.9.9"]),
            "an IPv6 address in its shortest form": (None, ["2001:db8:0:0::25"], BOTH, ["2001:db8::25"]),
        }
    ),
)
def test_addresses(families, wanted, host_has, selected):
    """Exactly those that ipFamilies and bindAddresses select."""
    assert addresses(families, wanted, frozenset(host_has), HOST) == selected


@pytest.mark.parametrize(
    "families, wanted, message",
    table(
        {
            "a network that the host is not in": (
                None,
                ["172.16.0.0/12"],
                "no address of this host is in 172.16.0.0/12",
            ),
            "beside one that it is in": (None, ["10.0.0.0/8", "172.16.0.0/12"], "172.16.0.0/12"),
            "nothing of a family that is served": ((IPV4,), ["::1"], "no address is of an IP family"),
        }
    ),
)
def test_what_selects_nothing(families, wanted, message):
    """A mistake is said, not served half."""
    with pytest.raises(CannotBind, match=message):
        addresses(families, wanted, BOTH, HOST)


def spec(change: dict[str, Any]) -> Spec:
    return InboundSmtp.parse_json(json.dumps(document(change)).encode()).spec


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        yield somebody.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_each_listener_on_each_address():
    """Listening from then on, and non-blocking."""
    ports = [free_port(), free_port()]
    listeners = [{"name": "smtp", "port": ports[0]}, {"name": "submission", "port": ports[1]}]

    bound, warnings = bind_all(spec({"listeners": listeners}), lacking_family_is_fatal=True)

    assert warnings == []
    assert [(one.listener, one.address) for one in bound] == [
        ("smtp", f"127.0.0.1:{ports[0]}"),
        ("submission", f"127.0.0.1:{ports[1]}"),
    ]
    assert all(map(listens, ports))
    assert not any(one.socket.getblocking() for one in bound)
    for one in bound:
        one.socket.close()


def test_nothing_is_left_half_open(taken: int):
    """One that cannot be bound is one line, and those before it are closed again."""
    free = free_port()
    listeners = [{"name": "smtp", "port": free}, {"name": "submission", "port": taken}]

    with pytest.raises(CannotBind) as raised:
        bind_all(spec({"listeners": listeners}), lacking_family_is_fatal=True)

    assert str(raised.value) == f"cannot listen on 127.0.0.1:{taken}: Address already in use"
    assert not listens(free)


def test_all_addresses_of_the_host_as_networks():
    """Those of a link among them, which need their scope."""
    port = free_port()
    network = {"network": {"bindAddresses": ["127.0.0.0/8", "::/0"]}}
    bound, _ = bind_all(spec({"listeners": [{"name": "smtp", "port": port}]} | network), lacking_family_is_fatal=True)
    found = {one.address for one in bound}
    for one in bound:
        one.socket.close()

    assert len(found) == len(bindings.addresses_of_host()) - sum(
        address.version == 4 and not address.is_loopback for address in bindings.addresses_of_host()
    )


def test_an_address_that_the_host_does_not_have():
    """It is named, with the port."""
    with pytest.raises(CannotBind, match=r"cannot listen on 192\.0\.2\.25:\d+: Cannot assign requested address"):
        bind_all(spec({"network": {"bindAddresses": ["192.0.2.25"]}}), lacking_family_is_fatal=True)


def test_a_family_that_the_host_lacks(monkeypatch: pytest.MonkeyPatch):
    """Where it is named: an error on a laptop, a warning in a pod, whose node may be of another kind."""
    monkeypatch.setattr(bindings, "families_of_host", lambda: frozenset({IPV4}))
    both = spec({"network": {"ipFamilies": ["IPv4", "IPv6"]}})

    with pytest.raises(CannotBind, match="this host has no IPv6"):
        bind_all(both, lacking_family_is_fatal=True)
    bound, warnings = bind_all(both, lacking_family_is_fatal=False)

    assert len(bound) == 1
    assert warnings == ["this host has no IPv6: not listening there"]
    bound[0].socket.close()


def test_no_family_at_all(monkeypatch: pytest.MonkeyPatch):
    """Then there is nothing to serve, in a pod neither."""
    monkeypatch.setattr(bindings, "families_of_host", lambda: frozenset({IPV4}))
    only = spec({"network": {"ipFamilies": ["IPv6"], "bindAddresses": None}})

    with pytest.raises(CannotBind, match="this host has none of them"):
        bind_all(only, lacking_family_is_fatal=False)


def test_a_network_selects_this_hosts_own_addresses():
    """Loopback is in every host."""
    loopback = spec({"network": {"bindAddresses": ["127.0.0.0/8"]}})

    bound, _ = bind_all(loopback, lacking_family_is_fatal=True)

    assert [one.address for one in bound] == [f"127.0.0.1:{loopback.listeners[0].port}"]
    bound[0].socket.close()


def test_ipv6_is_ipv6_only():
    """So that IPv4 can have a socket of its own on the port, or none on purpose."""
    six = spec({"network": {"bindAddresses": ["::1"]}})
    if IPV6 not in bindings.families_of_host():
        with pytest.raises(CannotBind, match="no address is of an IP family"):
            bind_all(six, lacking_family_is_fatal=True)
        return

    bound, _ = bind_all(six, lacking_family_is_fatal=True)

    assert bound[0].address == f"[::1]:{six.listeners[0].port}"
    assert bound[0].socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    bound[0].socket.close()
