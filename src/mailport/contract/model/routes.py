"""PURE. spec.routes: who may send to whom, and where it goes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract.formats import (
    Between,
    DnsLabel,
    RecipientPattern,
)
from mailport.contract.model.base import Model
from mailport.contract.model.destinations import Deliver


class Clients(StrEnum):
    """From whom a route takes mail."""

    ANYONE = "Anyone"
    AUTHENTICATED = "Authenticated"


class Route(Model):
    """Recipients, and where their mail goes."""

    name: DnsLabel
    """Unique; stands in logs and metrics."""

    recipients: Annotated[tuple[RecipientPattern, ...], Field(min_length=1, max_length=100)]
    """Patterns of addresses. `*` is the only special character and never crosses the @; `*` alone is `*@*`. Case does
    not matter, and no subaddress is stripped."""

    clients: Clients = Clients.ANYONE
    """`Anyone` or `Authenticated`. Mail from outside comes without authentication; `smtp` with a wildcard domain must
    say Authenticated, it would be an open relay."""

    max_concurrent: Annotated[int, Between(1, 10_000)] = 50
    """Deliveries of this route at once in one replica; more wait 5 seconds, then get 451. Few enough for a modest
    destination."""

    deliver: Deliver
    """Where mail goes: exactly one destination."""
