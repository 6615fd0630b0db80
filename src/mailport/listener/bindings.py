"""Which addresses to listen on: what ipFamilies and bindAddresses select of what the host has."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from mailport.contract.model import IpFamily, Spec

BACKLOG = 1024  # connections that the kernel holds for us; it caps this at net.core.somaxconn

_ANY = {IpFamily.IPV4: "0.0.0.0", IpFamily.IPV6: "::"}
_SOCKET_FAMILY = {IpFamily.IPV4: socket.AF_INET, IpFamily.IPV6: socket.AF_INET6}


class CannotBind(Exception):  # noqa: N818 - what happened
    """An address that the document names and that cannot be bound; the message is one line."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that listens for a listener of the document."""

    listener: str
    port: int
    socket: socket.socket

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addresses(
    ip_families: tuple[IpFamily, ...] | None,
    bind_addresses: Iterable[str],
    host_has: frozenset[IpFamily],
    host_addresses: Iterable[IPv4Address | IPv6Address],
) -> list[str]:
    """PURE. Return the addresses to bind, in order, without duplicates.

    Raises CannotBind where a bind address selects nothing.
    """
    families = [family for family in (ip_families or tuple(IpFamily)) if family in host_has]
    wanted = tuple(bind_addresses)
    if not wanted:
        return [_ANY[family] for family in families]
    versions = {4 if family is IpFamily.IPV4 else 6 for family in families}
    selected: dict[str, None] = {}
    for entry in wanted:
        network = _as_bound(entry)
        if network.version not in versions:
            continue
        if network.num_addresses == 1 and not network.is_link_local:
            selected[str(network.network_address)] = None
            continue
        own = [str(address) for address in host_addresses if address in network]
        if not own:
            raise CannotBind(f"spec.network.bindAddresses: no address of this host is in {entry}")
        selected.update(dict.fromkeys(own))
    if not selected:
        raise CannotBind("spec.network.bindAddresses: no address is of an IP family that can be served here")
    return list(selected)


def _as_bound(entry: str) -> IPv4Network | IPv6Network:
    """PURE. Return a bind address as a network; one of IPv4 that is written as IPv6 (RFC 4291 §2.5.5.2) as IPv4."""
    network = ip_network(entry)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return ip_network(mapped) if mapped is not None and network.num_addresses == 1 else network


def families_of_host() -> frozenset[IpFamily]:
    """Return the families that a socket can be bound in here."""
    found = set()
    for family, loopback in ((IpFamily.IPV4, "127.0.0.1"), (IpFamily.IPV6, "::1")):
        try:
            with socket.socket(_SOCKET_FAMILY[family], socket.SOCK_STREAM) as probe:
                probe.bind((loopback, 0))
        except OSError:
            continue
        found.add(family)
    return frozenset(found)


def addresses_of_host() -> list[IPv4Address | IPv6Address]:
    """Return the addresses of all interfaces; those of a link with their scope, as each link may have the same."""
    import ifaddr  # noqa: PLC0415 - only bindAddresses with CIDRs need it

    found: list[IPv4Address | IPv6Address] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                found.append(IPv4Address(ip.ip))
            else:
                text, _, scope = ip.ip
                found.append(IPv6Address(f"{text}%{scope}" if IPv6Address(text).is_link_local else text))
    return found


def bind_all(spec: Spec, *, lacking_family_is_fatal: bool) -> tuple[list[Bound], list[str]]:
    """Bind every listener, or none; return the sockets, and warnings. Raises CannotBind."""
    host_has = families_of_host()
    named = spec.network.ip_families
    lacking = [family for family in (named or ()) if family not in host_has]
    if lacking and lacking_family_is_fatal:
        raise CannotBind(f"spec.network.ipFamilies: this host has no {', '.join(lacking)}")
    wanted = spec.network.bind_addresses
    of_host = addresses_of_host() if any("/" in entry or _as_bound(entry).is_link_local for entry in wanted) else ()
    selected = addresses(named, wanted, host_has, of_host)
    if not selected:
        raise CannotBind("spec.network.ipFamilies: this host has none of them")
    bound: list[Bound] = []
    try:
        for listener in spec.listeners:
            # `extend` takes them one by one, so that those which are open already are known when the next one fails.
            bound.extend(Bound(listener.name, listener.port, _listen(address, listener.port)) for address in selected)
    except BaseException:
        for listening in bound:
            listening.socket.close()
        raise
    return bound, [f"this host has no {family}: not listening there" for family in lacking]


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own, if any
        sock.setblocking(False)
        host, _, scope = address.partition("%")
        sock.bind((host, port, 0, int(scope)) if scope else (host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        raise CannotBind(f"cannot listen on {where}: {error.strerror}") from error
    return sock
