"""PURE. spec.network: which addresses are listened on."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract.formats import (
    AddressOrCidr,
    Maybe,
)
from mailport.contract.model.base import Model


class IpFamily(StrEnum):
    """IP version 4 or 6."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Network(Model):
    """Which addresses are listened on."""

    ip_families: Maybe[Annotated[tuple[IpFamily, ...], Field(min_length=1, max_length=2)]] = None
    """`IPv4`, `IPv6` or both; leave IPv6 out to refuse its clients. Default: both, where the host has them."""

    bind_addresses: Annotated[tuple[AddressOrCidr, ...], Field(max_length=64)] = ()
    """Addresses of the host, or CIDRs that they lie in; none listed is all. In Kubernetes these are the node's and need
    `hostNetwork`."""

    host_network: bool = False
    """Whether pods use the node's network. `true` is outside the `restricted` Pod Security Standard: the listener is
    then root with one capability, NET_BIND_SERVICE. Needs the operator's `--allow hostNetwork`."""
