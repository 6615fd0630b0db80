"""PURE. Sets of client addresses as configurations write them, and one spelling for each address.

An entry is an address, a CIDR, an IPv4 address with `*` for fields (`203.0.113.*`, `10.*.3.4`, `192.168.*`), or `*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

_ALL_OF_IPV4 = 0xFFFF_FFFF
_ALL_OF_IPV6 = (1 << 128) - 1

# An IPv4 client can come as either of these, and is the same client (RFC 4291 §2.5.5.2, RFC 6052 §2.1)
_MAPPED = int(IPv6Address("::ffff:0:0"))
_NAT64 = int(IPv6Address("64:ff9b::"))
_CARRYING_IPV4 = {_MAPPED >> 32, _NAT64 >> 32}

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

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether a block holds this address, which is `canonical`."""
        number = int(address)
        return any(number & mask in values for mask, values in self._masks[address.version].items())


@lru_cache(maxsize=4096)  # of the clients that come again and again; reading an address costs as much as a command
def canonical(text: str) -> IPv4Address | IPv6Address:
    """Read a peer's address: without its zone, and as IPv4 where it is IPv4-mapped or came through NAT64."""
    address = ip_address(text.partition("%")[0])
    if address.version == 6 and int(address) >> 32 in _CARRYING_IPV4:
        return IPv4Address(int(address) & _ALL_OF_IPV4)
    return address


def parse(text: str) -> tuple[Block, ...]:
    """Read an entry of an access list. ValueError says what is wrong, and what was probably meant."""
    if text == "*":
        return Block(4, 0, 0), Block(6, 0, 0)
    if "*" in text:
        return (_wildcard(text),)
    network = parse_network(text)
    mask, value = int(network.netmask), int(network.network_address)
    if network.version == 6 and network.prefixlen >= 96 and value >> 32 in _CARRYING_IPV4:
        return (Block(4, mask & _ALL_OF_IPV4, value & _ALL_OF_IPV4),)
    return (Block(network.version, mask, value),)


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Read an address or a CIDR. ValueError says what is wrong, and what was probably meant."""
    address, slash, prefix = text.partition("/")
    if "%" in text:
        raise ValueError(f"{text!r}: a zone (%{address.partition('%')[2]}) means something on one host only")
    if slash and not (prefix.isascii() and prefix.isdigit()):
        raise ValueError(f"{text!r}: after the / stands the length of the prefix, a number")
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
