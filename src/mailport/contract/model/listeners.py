"""PURE. spec.listeners: the ports, and each one's own options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract.formats import (
    Cidr,
    ListenerName,
    Maybe,
    Port,
)
from mailport.contract.model.base import Model


class TlsMode(StrEnum):
    """When TLS begins."""

    DISABLED = "Disabled"
    START_TLS = "StartTLS"
    START_TLS_REQUIRED = "StartTLSRequired"
    IMPLICIT = "Implicit"


class AuthMode(StrEnum):
    """On which connections AUTH is offered."""

    ALWAYS = "Always"
    NEVER = "Never"
    SECURE_ONLY = "SecureOnly"


class ListenerTls(Model):
    """When TLS begins on this port."""

    mode: Maybe[TlsMode] = None
    """`Disabled`: never. `StartTLS`: when the client asks (RFC 3207). `StartTLSRequired`: nothing of use before it.
    `Implicit`: from the first byte (RFC 8314). All but `Disabled` need `spec.tls`.
    Default: `StartTLS` where `spec.tls` is set, else `Disabled`."""


class ListenerAuth(Model):
    """Who must prove who they are on this port."""

    mode: Maybe[AuthMode] = None
    """`Always`: AUTH on any connection, in clear too. `SecureOnly`: only over TLS. `Never`: not offered. `Always` and
    `SecureOnly` need `spec.auth`.
    Default: `SecureOnly` where `spec.auth` is set, else `Never`."""

    required: bool = False
    """Whether MAIL needs AUTH first. Right for submission; on port 25 other mail servers could send nothing."""


class ProxyProtocol(Model):
    """PROXY headers, version 1 and 2: a load balancer's word for who the client is."""

    trusted_cidrs: Annotated[tuple[Cidr, ...], Field(alias="trustedCIDRs", min_length=1, max_length=256)]
    """The peers that must send a header, as CIDRs; connections of all others are closed. Name the load balancers and
    nobody else: who is trusted here can claim any address."""


class Listener(Model):
    """One port."""

    name: ListenerName
    """Unique; the Service port's name too. At most 15 of a-z, 0-9 and -, with a letter in it, and not `admin`."""

    port: Port
    """TCP port that is bound, and the Service's. Unique, and not `spec.pod.adminPort`."""

    node_port: Maybe[Port] = None
    """The Service's nodePort. Needs `spec.service.type` NodePort or LoadBalancer. Default: chosen by Kubernetes."""

    tls: ListenerTls = ListenerTls()
    """When TLS begins."""

    auth: ListenerAuth = ListenerAuth()
    """Who must prove who they are."""

    proxy_protocol: Maybe[ProxyProtocol] = None
    """Whose PROXY headers are believed. Default: none, PROXY headers are not understood."""
