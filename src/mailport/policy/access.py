"""PURE. Who may connect, and what counts as one client."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from mailport.address.ip_ranges import AddressSet, without_nat64
from mailport.contract.model import AccessPolicy

_SUBNET_OCTETS = 8  # of an IPv6 address; the others name an interface (RFC 4291 §2.5.1)


class AccessList:
    """The addresses that are banned, or the only ones let in. Without entries: nobody banned; nobody let in."""

    def __init__(self, policy: AccessPolicy = AccessPolicy.DENY_LISTED, addresses: Iterable[str] = ()) -> None:
        """Compile the list; the default admits everyone. ValueError where an entry is none."""
        self._listed_are_admitted = policy is AccessPolicy.ALLOW_LISTED
        self._listed = AddressSet(addresses)

    def admits(self, client: IPv4Address | IPv6Address) -> bool:
        """Whether a client with this address, which is `ip_ranges.canonical`, may connect."""
        return (client in self._listed) is self._listed_are_admitted


def client_key(client: IPv4Address | IPv6Address) -> bytes:
    """Return what is counted as one client: the octets of an IPv4 address, or those of an IPv6 /64.

    A /64 is one subnet (RFC 4291 §2.5.1), and whoever has one can connect from all of its addresses. But behind NAT64
    each address is another client's: a client there is its IPv4 address.
    """
    client = without_nat64(client)
    return client.packed if client.version == 4 else client.packed[:_SUBNET_OCTETS]
