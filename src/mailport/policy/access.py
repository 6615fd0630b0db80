"""PURE. Who may connect, and what counts as one client."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from mailport.cidr import AddressSet
from mailport.model import AccessPolicy

_INTERFACE_BITS = (1 << 64) - 1  # of an IPv6 address (RFC 4291 §2.5.1)


class AccessList:
    """The addresses that are banned, or the only ones let in. Without entries: nobody banned; nobody let in."""

    def __init__(self, policy: AccessPolicy = AccessPolicy.DENY_LISTED, addresses: Iterable[str] = ()) -> None:
        """Compile the list; the default admits everyone. ValueError where an entry is none."""
        self._listed_are_admitted = policy is AccessPolicy.ALLOW_LISTED
        self._listed = AddressSet(addresses)

    def admits(self, client: IPv4Address | IPv6Address) -> bool:
        """Whether this client, its address being `cidr.canonical`, may connect."""
        return (client in self._listed) is self._listed_are_admitted


def client_key(client: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return what is counted as one client: an IPv4 address, or the first address of an IPv6 /64.

    A /64 is the least that a network gives to one customer (RFC 6177), who can then use all of its addresses.
    """
    return client if client.version == 4 else IPv6Address(int(client) & ~_INTERFACE_BITS)
