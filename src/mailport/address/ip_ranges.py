"""PURE. Sets of client addresses as configurations write them, and one spelling for each address.

An entry is an address, a CIDR, an IPv4 address with `*` for fields (`203.0.113.*`, `10.*.3.4`, `192.168.*`), or `*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeAlias

IpAddress: TypeAlias = IPv4Address | IPv6Address

_ALL_OF_IPV4 = 0xFFFF_FFFF

_MAPPED = int(IPv6Address("::ffff:0:0")) >> 32  # ::ffff:0:0/96: how an IPv6 socket shows IPv4 (RFC 4291 §2.5.5.2)
_NAT64 = int(IPv6Address("64:ff9b::")) >> 32  # 64:ff9b::/96: IPv4 clients behind a translator (RFC 6052 §2.1)

_LENGTH = re.compile("0|[1-9][0-9]*")
_OCTETS = frozenset(map(str, range(256)))  # without zeros in front, which some read as octal


class Block(NamedTuple):
    """The addresses of a family that are `value` under `mask`."""

    version: int
    mask: int
    value: int


class AddressSet:
    """A set of blocks, asked with one look-up for each different mask: 4,096 entries are no slower than a few."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Compile the entries; ValueError where one is none."""
        self._masks: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for entry in entries:
            for version, mask, value in parse(entry):
                self._masks[version].setdefault(mask, set()).add(value)

    def __contains__(self, address: IpAddress) -> bool:
        """Whether a block holds this address, which is `canonical`.

        An address of NAT64 is two: 64:ff9b::c000:201 is held by a block of IPv6 around it, and by one of IPv4 around
        192.0.2.1. So a list that bans or admits either form means this client too.
        """
        return self._holds(address) or (is_nat64(address) and self._holds(without_nat64(address)))

    def _holds(self, address: IpAddress) -> bool:
        number = int(address)
        return any(number & mask in values for mask, values in self._masks[address.version].items())


def canonical(text: str) -> IpAddress:
    """Read a peer's address: without its zone, and as IPv4 where it is IPv4-mapped.

    An address of NAT64 stays IPv6, which it is on the wire: `without_nat64` gives the client behind it.
    """
    address = ip_address(text.partition("%")[0])
    if address.version == 6 and int(address) >> 32 == _MAPPED:
        return IPv4Address(int(address) & _ALL_OF_IPV4)
    return address


def is_nat64(address: IpAddress) -> bool:
    """Whether this is an IPv4 address behind NAT64's well-known prefix, 64:ff9b::/96 (RFC 6052 §2.1)."""
    return address.version == 6 and int(address) >> 32 == _NAT64


def without_nat64(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an address of NAT64 carries; any other as it is."""
    return IPv4Address(int(address) & _ALL_OF_IPV4) if is_nat64(address) else address


def is_private(address: IpAddress) -> bool:
    """Whether an address, which is `canonical`, is of a network's own: behind source NAT it stands for the whole world.

    Addresses of documentation are none of these, other than to `ipaddress`.
    """
    return without_nat64(address) in _PRIVATE


def parse(text: str) -> tuple[Block, ...]:
    """Read an entry of an access list. ValueError says what is wrong, and what was probably meant."""
    if text == "*":
        return Block(4, 0, 0), Block(6, 0, 0)
    if "*" in text:
        return (_wildcard(text),)
    network = parse_network(text)
    mask, value = int(network.netmask), int(network.network_address)
    if network.version == 6 and network.prefixlen >= 96 and value >> 32 == _MAPPED:
        return (Block(4, mask & _ALL_OF_IPV4, value & _ALL_OF_IPV4),)
    return (Block(network.version, mask, value),)


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Read an address or a CIDR. ValueError says what is wrong, and what was probably meant."""
    address, slash, prefix = text.partition("/")
    if "%" in text:
        raise ValueError(f"{text!r}: a zone (%{address.partition('%')[2]}) means something on one host only")
    if slash and not _LENGTH.fullmatch(prefix):
        raise ValueError(f"{text!r}: after the / stands the length of the prefix, a number without zeros in front")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither an IPv4 or IPv6 address nor a CIDR") from None
    if slash and network.network_address != ip_address(address):
        raise ValueError(f"{text!r} has bits set behind its prefix: write {network} for the network")
    return network


def _wildcard(text: str) -> Block:
    """Read an IPv4 address with `*` for trailing or middle fields."""
    fields = text.split(".")
    if fields[-1] == "*":
        fields += ["*"] * (4 - len(fields))  # 192.168.* is 192.168.*.*
    if len(fields) != 4 or fields[0] == "*" or not all(field == "*" or field in _OCTETS for field in fields):
        raise ValueError(f"{text!r}: a * stands for whole fields of an IPv4 address, as in 192.0.2.* or 10.*.3.4")
    mask = int.from_bytes(0 if field == "*" else 255 for field in fields)
    value = int.from_bytes(0 if field == "*" else int(field) for field in fields)
    return Block(4, mask, value)


_PRIVATE = AddressSet(
    (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        *("100.64.0.0/10", "fc00::/7"),  # RFC 6598, RFC 4193
        *("127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8"),  # RFC 1122 §3.2.1.3, RFC 3927
        *("::/128", "::1/128", "fe80::/10", "fec0::/10"),  # RFC 4291 §2.4, RFC 3879
    )
)
