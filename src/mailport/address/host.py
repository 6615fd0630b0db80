"""PURE. A host to connect to, as configurations write it: a DNS name or an IP address. The one parser for both."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

MAX_NAME = 253  # characters without the root's dot (RFC 1035 §2.3.4: 255 octets on the wire)

_LABEL = r"[A-Za-z0-9](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?"  # RFC 1123 §2.1; no underscore, which only other records have
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
# No top-level domain is a number (RFC 3696 §2), and resolvers read such names as IPv4: 127.1, 2130706433, 0x7f.1
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
_EXPECTED = "must be a host's name or address"


def parse_host(text: str) -> str | IPv4Address | IPv6Address:
    """Read a name (with or without the root's dot), an IPv4 address, or an IPv6 address without brackets and zone.

    ValueError says what is wrong.
    """
    if ":" in text:
        return _address(text, f"{_EXPECTED}; one with a colon is an IPv6 address, without brackets, port and zone")
    if _ENDS_IN_NUMBER.fullmatch(text):
        return _address(text, f"{_EXPECTED}; one that ends in a number is an IPv4 address, as in 192.0.2.1")
    if not _NAME.fullmatch(text) or len(text) > MAX_NAME:
        raise ValueError(_EXPECTED)
    return text


def _address(text: str, message: str) -> IPv4Address | IPv6Address:
    try:
        if "%" not in text:  # a zone means something on one host only
            return ip_address(text)
    except ValueError:
        pass
    raise ValueError(message)
