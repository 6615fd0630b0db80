"""PURE. spec.checks: what is asked about who sends, and what may follow from it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract.formats import Between, Cidr, Maybe, Port
from mailport.contract.model.base import Model
from mailport.contract.pod_formats import IpAddress


class ReportMode(StrEnum):
    """Whether a check is made. What it finds is reported."""

    DISABLED = "Disabled"
    REPORT = "Report"


class RejectMode(StrEnum):
    """Whether a check is made, and whether a message may be refused for it."""

    DISABLED = "Disabled"
    REPORT = "Report"
    REJECT = "Reject"


class DmarcMode(StrEnum):
    """Whether DMARC is looked at, and what a domain's own policy may do."""

    DISABLED = "Disabled"
    REPORT = "Report"
    QUARANTINE = "Quarantine"
    REJECT = "Reject"


class DnsServer(Model):
    """A DNS server, which follows names for its clients (a recursive resolver)."""

    address: IpAddress
    """IPv4 or IPv6 address. Loopback and link-local ones need the operator's `--allow localDestinations`."""

    port: Port = 53
    """UDP and TCP port."""


class Dns(Model):
    """Who is asked, and for how long."""

    servers: Maybe[Annotated[tuple[DnsServer, ...], Field(min_length=1, max_length=4)]] = None
    """DNS servers, the one that answered last first. Names are asked as they are, without a search list. Default: those
    of the pod's resolv.conf, the cluster's."""

    timeout_seconds: Annotated[int, Between(1, 20)] = 5
    """Seconds for one question with its repeats. A message's questions together have 30."""


class SpfCheck(Model):
    """SPF (RFC 7208): whether this client may send for the sender's domain."""

    mode: RejectMode = RejectMode.REPORT
    """`Disabled`, `Report`, or `Reject`: what fails is 550 5.7.23 at the end of the message, unless DMARC passes. A
    message that is forwarded fails: Report and dmarc is what most want."""


class DkimCheck(Model):
    """DKIM (RFC 6376): which domains have signed the message."""

    mode: ReportMode = ReportMode.REPORT
    """`Disabled` or `Report`. A signature that does not verify counts as none (RFC 6376 §6.1): it is never a reason to
    refuse."""


class DmarcCheck(Model):
    """DMARC (RFC 9989): whether the domain in From stands behind the message, and what it wants done if not."""

    mode: DmarcMode = DmarcMode.REPORT
    """What the domain's own policy may do here: `Disabled`; `Report`, nothing; `Quarantine`, both of its policies
    quarantine the message (RFC 9989 §7.4); `Reject`, it is done as the domain says, 550 5.7.26. Quarantine and Reject
    need spf and dkim."""


class IprevCheck(Model):
    """iprev (RFC 8601 §3): whether a name of the client's address leads back to it."""

    mode: RejectMode = RejectMode.REPORT
    """`Disabled`, `Report`, or `Reject`: a client without such a name is 550 5.7.25 at RCPT. Some
    legitimate clients have none."""


class ArcCheck(Model):
    """ARC (RFC 8617): what those saw who passed the message on."""

    mode: ReportMode = ReportMode.DISABLED
    """`Disabled` or `Report`; nothing follows from it. Off, as it is on its way to historic
    (draft-ietf-dmarc-arc-to-historic)."""


class Checks(Model):
    """What is asked about the sender, of sessions that are not authenticated. `{}`: all but ARC, reported only."""

    exempt_cidrs: Annotated[tuple[Cidr, ...], Field(alias="exemptCIDRs", max_length=256)] = ()
    """Clients that are not checked at all, as CIDRs. Own relays; never pods or nodes, behind which the whole world may
    stand."""

    dns: Dns = Dns()
    """Who is asked, and for how long."""

    spf: SpfCheck = SpfCheck()
    """SPF: whether this client may send for the sender's domain."""

    dkim: DkimCheck = DkimCheck()
    """DKIM: which domains have signed the message."""

    dmarc: DmarcCheck = DmarcCheck()
    """DMARC: whether the domain in From stands behind the message."""

    iprev: IprevCheck = IprevCheck()
    """iprev: whether a name of the client's address leads back to it."""

    arc: ArcCheck = ArcCheck()
    """ARC: what those saw who passed the message on."""

    trusted_forwarder_cidrs: Annotated[tuple[Cidr, ...], Field(alias="trustedForwarderCIDRs", max_length=256)] = ()
    """Forwarders and mailing lists, as CIDRs: what they bring is reported, and never refused or quarantined for SPF or
    DMARC."""
