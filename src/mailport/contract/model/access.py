"""PURE. spec.access: who may connect."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract.formats import (
    AccessEntry,
)
from mailport.contract.model.base import Model


class AccessPolicy(StrEnum):
    """What the list of addresses means."""

    DENY_LISTED = "DenyListed"
    ALLOW_LISTED = "AllowListed"


class Access(Model):
    """Which clients may connect."""

    policy: AccessPolicy
    """`DenyListed`: the listed are banned. `AllowListed`: the listed are the only ones let in."""

    addresses: Annotated[tuple[AccessEntry, ...], Field(max_length=4096)] = ()
    """Addresses, CIDRs, IPv4 with `*` for any trailing or middle field (`192.168.*` is `192.168.*.*`), or `*` for all.
    An empty AllowListed lets nobody in. A client behind NAT64 is listed by its IPv6 address or by the IPv4 address in
    it."""
