"""PURE. To which addresses connections may be opened.

Whoever writes an InboundSmtp names hosts, and the pod connects to them from inside the cluster. Loopback is the pod's
own admin port and sidecars; link-local is the cloud's metadata service, which hands out the node's credentials.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from mailport.address.ip_ranges import AddressSet, IpAddress

IpNetwork = IPv4Network | IPv6Network

_LOCAL: tuple[tuple[str, tuple[IpNetwork, ...]], ...] = (
    ("loopback", (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))),
    ("unspecified", (IPv4Network("0.0.0.0/8"), IPv6Network("::/128"))),  # Linux connects it to loopback
    (
        "link-local",
        (
            IPv4Network("169.254.0.0/16"),
            IPv6Network("fe80::/10"),
            IPv6Network("fd00:ec2::254/128"),  # the metadata service of AWS over IPv6, which is no link-local address
        ),
    ),
    ("multicast", (IPv4Network("224.0.0.0/4"), IPv4Network("255.255.255.255/32"), IPv6Network("ff00::/8"))),
)
# IPv6 that carries an IPv4 address in its last 32 bits
_CARRY_IPV4 = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped (RFC 4291 §2.5.5.2)
    IPv6Network("::/96"),  # IPv4-compatible (RFC 4291 §2.5.5.1)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052 §2.1)
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of the network's own (RFC 8215), where its prefix has 96 bits
)
_6TO4 = IPv6Network("2002::/16")  # RFC 3056: in the 32 bits behind the prefix
_LAST_32_BITS = 0xFFFF_FFFF


class Allowed:
    """A rule for addresses: `denied` never, and local ones only where that is said."""

    __slots__ = ("_denied", "_local")

    def __init__(self, *, local: bool = False, denied: Iterable[str] = ()) -> None:
        """`local` allows those in _LOCAL; `denied` are CIDRs. ValueError where one is none."""
        self._local = local
        self._denied = AddressSet(denied)

    def why_not(self, address: IpAddress) -> str:
        """Say why no connection may be opened to an address, in words for the log; empty where it may."""
        for form in _forms(address):
            if form in self._denied:
                return f"{address} is among the destinations that are denied (--deny-destinations)"
            if not self._local:
                for kind, networks in _LOCAL:
                    if any(form in network for network in networks if network.version == form.version):
                        return f"{address} is a {kind} address, which is not allowed (--allow-local-destinations)"
        return ""


def _forms(address: IpAddress) -> Iterator[IpAddress]:
    """Return an address, and the IPv4 address that it leads to where it is IPv6 that carries one."""
    yield address
    if isinstance(address, IPv6Address):
        if any(address in network for network in _CARRY_IPV4):
            yield IPv4Address(int(address) & _LAST_32_BITS)
        elif address in _6TO4:
            yield IPv4Address(int(address) >> 80 & _LAST_32_BITS)
