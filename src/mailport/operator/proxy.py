"""PURE. Which proxy leads to the API server, by the rules that Go's programs go by, kubectl among them.

The environment has HTTPS_PROXY (HTTP_PROXY for http), and in NO_PROXY what is reached without, with commas between: an
IP address, a CIDR, `example.org` with all below it, `.example.org` for those below alone, `*` for everything; address
and name may have a `:port`. Python's own rules know no CIDR, and OpenShift puts that of the Services there.
Source: golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy that leads to a server; None where it is reached without."""
    server = urlsplit(url)
    proxy = _value(environ, f"{server.scheme}_proxy")
    host = (server.hostname or "").lower()
    if not proxy or not _goes_through(host, server.port or _DEFAULT_PORTS.get(server.scheme, 0), environ):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _goes_through(host: str, port: int, environ: Mapping[str, str]) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return False
    entries = (entry.strip().lower() for entry in _value(environ, "no_proxy").split(","))
    return not any(_matches(entry, host, address, port) for entry in entries if entry)


def _matches(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return address is not None and _is_in(address, entry)
    name, wanted_port = _split(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    if (named := _address(name)) is not None:
        return named == address
    if address is not None:
        return False
    below = name.removeprefix("*")
    return host.endswith(below) if below.startswith(".") else host == below or host.endswith(f".{below}")


def _is_in(address: IPv4Address | IPv6Address, cidr: str) -> bool:
    try:
        return address in ip_network(cidr, strict=False)
    except ValueError:
        return False


def _split(entry: str) -> tuple[str, int | None]:
    """Split off a port; an IPv6 address has one only behind brackets."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdigit() else None
    host, colon, port = entry.rpartition(":")
    if colon and ":" not in host and port.isdigit():
        return host, int(port)
    return entry, None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
