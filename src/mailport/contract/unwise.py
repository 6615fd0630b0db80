"""PURE. What is legal in a spec and unwise: a warning each, of a spec that rules.py has found nothing wrong with."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from mailport.address import ip_ranges
from mailport.address.host import parse_host
from mailport.address.mail_address import Address
from mailport.address.pattern import Pattern, parse_pattern
from mailport.contract import quantity
from mailport.contract.faults import Fault
from mailport.contract.items import listeners, routes
from mailport.contract.model import (
    AccessPolicy,
    AuthMode,
    Clients,
    CreateMailboxes,
    Route,
    ServiceType,
    Spec,
    TlsMode,
    TrafficPolicy,
)
from mailport.contract.rules import ALWAYS_TLS, Rule

_NAMED = 3  # addresses in a warning, of many
_SCRATCH_SHARE = 4  # one client holds at most a quarter of the scratch space
_SMTP_PORT = 25  # where other mail servers come (RFC 5321 §4.5.4.2)
_ONLY_SIGN = frozenset({"creds", "nkey"})  # keys of a Secret for NATS whose private part never leaves the process

_NONE_KNOWN: Mapping[str, Collection[str]] = MappingProxyType({})


def warnings(spec: Spec, secrets: Mapping[str, Collection[str]] = _NONE_KNOWN) -> tuple[Fault, ...]:
    """Return what is unwise. `secrets` are the keys of those Secrets that are known, by name."""
    return (*(fault for rule in WARNINGS for fault in rule(spec)), *nats_login_in_clear(spec, secrets))


def nothing_leads_to_the_pods(spec: Spec) -> Iterator[Fault]:
    """No Service, and no port of a node."""
    if spec.service.type is ServiceType.NONE and not spec.network.host_network:
        yield Fault(
            "spec.service.type",
            '"None" makes no Service: nothing leads to the pods but a Service of your own that selects '
            "mailport.dev/inboundsmtp",
        )


def passwords_in_clear(spec: Spec) -> Iterator[Fault]:
    """Passwords that anyone on the way can read."""
    for path, listener in listeners(spec):
        if spec.auth_mode(listener) is AuthMode.ALWAYS and spec.tls_mode(listener) not in ALWAYS_TLS:
            yield Fault(f"{path}.auth.mode", '"Always" takes passwords in clear here; "SecureOnly" would not')
    for path, route in routes(spec):
        webhook, s3 = route.deliver.webhook, route.deliver.s3
        if webhook and webhook.credentials_secret_ref and _by_http(webhook.url):
            yield Fault(f"{path}.deliver.webhook.url", "the credentials travel in clear; use https")
        if s3 and s3.endpoint and _by_http(s3.endpoint):
            yield Fault(
                f"{path}.deliver.s3.endpoint",
                "requests are signed, but the mail and a session token travel in clear; use https",
            )


def nats_login_in_clear(spec: Spec, secrets: Mapping[str, Collection[str]]) -> Iterator[Fault]:
    """A server of NATS says by itself whether there is TLS, unless the route insists. What only signs is not sent."""
    for path, route in routes(spec):
        nats = route.deliver.nats
        if nats is None or nats.credentials_secret_ref is None or nats.insists_on_tls or _stays_here(nats.url):
            continue
        keys = secrets.get(nats.credentials_secret_ref.name)
        if keys is None or _ONLY_SIGN.isdisjoint(keys):
            yield Fault(
                f"{path}.deliver.nats.url",
                "a token or a password travels in clear to a server without TLS; use tls://, or an nkey or creds",
            )


def auth_that_is_never_offered(spec: Spec) -> Iterator[Fault]:
    """SecureOnly written out, where there is no TLS; as a default it is of no interest."""
    for path, listener in listeners(spec):
        if listener.auth.mode is AuthMode.SECURE_ONLY and spec.tls_mode(listener) is TlsMode.DISABLED:
            yield Fault(f"{path}.auth.mode", '"SecureOnly" offers nothing on a listener without TLS')


def port_25_is_public(spec: Spec) -> Iterator[Fault]:
    """Other mail servers have no password here, and RFC 3207 §4 forbids to insist on TLS."""
    for path, listener in listeners(spec):
        if listener.port != _SMTP_PORT:
            continue
        if listener.auth.required:
            yield Fault(f"{path}.auth.required", "other mail servers cannot log in: nothing comes in on port 25")
        if spec.tls_mode(listener) in ALWAYS_TLS:
            yield Fault(f"{path}.tls.mode", "mail servers without TLS cannot send to port 25 (RFC 3207 §4)")


def nobody_can_authenticate(spec: Spec) -> Iterator[Fault]:
    """A route for those who logged in, where nobody can."""
    if any(spec.auth_mode(listener) is not AuthMode.NEVER for listener in spec.listeners):
        return
    for path, route in routes(spec):
        if route.clients is Clients.AUTHENTICATED:
            missing = "no listener offers AUTH" if spec.auth else "there is no spec.auth"
            yield Fault(f"{path}.clients", f'"Authenticated", but {missing}: nobody can use this route')


def nobody_is_let_in(spec: Spec) -> Iterator[Fault]:
    """An empty list of the only ones allowed."""
    access = spec.access
    if access and access.policy is AccessPolicy.ALLOW_LISTED and not access.addresses:
        yield Fault("spec.access.addresses", "an empty list of the only ones allowed lets nobody in")


def client_addresses_are_hidden(spec: Spec) -> Iterator[Fault]:
    """Behind source NAT all clients have a node's address: a list of addresses judges nodes, and so does a limit."""
    judges = "spec.access" if spec.access else "spec.limits.maxConnectionsPerClient"
    is_judged = bool(spec.access or spec.limits.max_connections_per_client)
    if is_judged and spec.external_traffic_policy is TrafficPolicy.CLUSTER:
        hidden = [listener.name for listener in spec.listeners if listener.proxy_protocol is None]
        if hidden:
            yield Fault(
                "spec.service.externalTrafficPolicy",
                f'with "Cluster" clients come with the address of a node, which {judges} then judges on '
                f'{", ".join(hidden)}; use "Local", or PROXY headers',
            )


def anybody_is_trusted(spec: Spec) -> Iterator[Fault]:
    """A PROXY header from anywhere makes its sender whomever it likes to be."""
    for path, listener in listeners(spec):
        cidrs = listener.proxy_protocol.trusted_cidrs if listener.proxy_protocol else ()
        for index, cidr in enumerate(cidrs):
            if any(block.mask == 0 for block in ip_ranges.parse(cidr)):  # ::ffff:0:0/96 is all of IPv4, too
                yield Fault(
                    f"{path}.proxyProtocol.trustedCIDRs[{index}]",
                    f"{cidr} lets anybody claim any address; name the load balancers alone",
                )


def anybody_is_exempt(spec: Spec) -> Iterator[Fault]:
    """A range of all addresses exempts everybody."""
    checks = spec.checks
    if checks is None:
        return
    lists = (("exemptCIDRs", checks.exempt_cidrs), ("trustedForwarderCIDRs", checks.trusted_forwarder_cidrs))
    for name, cidrs in lists:
        for index, cidr in enumerate(cidrs):
            if any(block.mask == 0 for block in ip_ranges.parse(cidr)):
                yield Fault(f"spec.checks.{name}[{index}]", f"{cidr} is everybody; name the relays and lists alone")


def postmaster_is_reached(spec: Spec) -> Iterator[Fault]:
    """Everyone must be able to write to the postmaster, of each domain that is served too (RFC 5321 §4.5.1).

    Where no route takes postmaster@ a domain from anyone, it is spec.postmaster's mail: policy/recipients.py.
    """
    takers = [(path, route, _one_expression(route)) for path, route in routes(spec)]

    def first(address: Address) -> tuple[str, Route | None]:
        return next(
            ((path, route) for path, route, taken in takers if taken.fullmatch(address.key)), ("spec.routes", None)
        )

    postmaster = Address.parse(spec.postmaster_address)
    if not postmaster.is_ascii:
        yield Fault("spec.postmaster", "not ASCII: who does not use SMTPUTF8 cannot write to the postmaster")
    meant = first(postmaster)
    unread: dict[tuple[str, str], dict[str, str]] = {}  # by path and what is wrong there: the addresses, by their key
    for address in (postmaster, *(Address("postmaster", domain) for domain in _served_domains(spec))):
        own = first(address)
        path, route = own if _takes_from_anyone(own[1]) else meant
        if route is None:
            wrong = "no route takes the postmaster's mail"
        elif not _takes_from_anyone(route):
            wrong = "this route turns the postmaster's mail away"
        elif route.deliver.discard:
            wrong = "this route discards the postmaster's mail"
        else:
            continue
        unread.setdefault((path, wrong), {}).setdefault(address.key, str(address))
    for (path, wrong), addresses in unread.items():
        several = ", ".join([*addresses.values()][:_NAMED]) + (", …" if len(addresses) > _NAMED else "")
        yield Fault(path, f"{wrong}: mail from anyone for {several} must reach a person (RFC 5321 §4.5.1)")


def _served_domains(spec: Spec) -> list[str]:
    """Return the domains that a pattern names without wildcard, and the host's own."""
    patterns = (pattern for _, route in routes(spec) for pattern in _patterns(route))
    return [*dict.fromkeys([*(pattern.domain for pattern in patterns if "*" not in pattern.domain), spec.hostname])]


def _takes_from_anyone(route: Route | None) -> bool:
    return route is not None and route.clients is Clients.ANYONE and route.deliver.refuse is None


def _one_expression(route: Route) -> re.Pattern[str]:
    """Compile a route's patterns into one, for `Address.key`."""
    return re.compile("|".join(pattern.expression for pattern in _patterns(route)))


def routes_are_reached(spec: Spec) -> Iterator[Fault]:
    """The first match wins, so a route below one that covers it gets nothing."""
    exact: dict[str, str] = {}  # what earlier routes take, and their names
    wild: list[tuple[re.Pattern[str], str]] = []
    for path, route in routes(spec):
        patterns = _patterns(route)
        takers: dict[str, None] = {}  # names, in order
        for text in map(str, patterns):
            taker = exact.get(text) or next((name for wide, name in wild if wide.fullmatch(text)), None)
            if taker is None:
                break
            takers[taker] = None
        else:
            yield Fault(path, f"gets nothing: {' and '.join(takers)} above takes all its recipients")
        exact |= {str(pattern): route.name for pattern in patterns if "*" not in str(pattern)}
        # Compiled once: up to 6,400 patterns are compared with each other
        wild += [(re.compile(pattern.expression), route.name) for pattern in patterns if "*" in str(pattern)]


def mailboxes_without_end(spec: Spec) -> Iterator[Fault]:
    """Folders cost inodes, and here any stranger can make them."""
    for path, route in routes(spec):
        maildir = route.deliver.maildir
        if maildir is None or maildir.create_mailboxes is CreateMailboxes.NEVER or route.clients is not Clients.ANYONE:
            continue
        wild = next((text for text in route.recipients if "*" in text), None)
        if wild is not None:
            yield Fault(
                f"{path}.deliver.maildir.createMailboxes",
                f'with "Always" anyone can make mailboxes without end as {wild}; list the recipients, or use "Never"',
            )


def mailboxes_that_are_lost(spec: Spec) -> Iterator[Fault]:
    """An emptyDir ends with its pod."""
    for path, route in routes(spec):
        if route.deliver.maildir and route.deliver.maildir.claim_name is None:
            yield Fault(
                f"{path}.deliver.maildir.claimName",
                "not set: in Kubernetes this mail lies in an emptyDir and is lost with the pod",
            )


def messages_larger_than_scratch(spec: Spec) -> Iterator[Fault]:
    """A size that is promised, and that a pod has no room for while such a message comes in."""
    size, room = spec.message_size.advertised, spec.pod.scratch_limit
    if not spec.message_size.enforce or size <= room // _SCRATCH_SHARE:
        return
    scratch = f"nine tenths of spec.pod.scratchSize, {quantity.render(spec.pod.scratch_size)}"
    yield Fault(
        "spec.messageSize.advertised",
        f"{quantity.render(size)} is more than {scratch}: in Kubernetes, messages larger than that are refused"
        if size > room
        else f"{quantity.render(size)} is more than one client may hold in Kubernetes, a quarter of {scratch}: larger "
        "messages are put off each time they come (452)",
    )


def messages_larger_than_mailboxes(spec: Spec) -> Iterator[Fault]:
    """Likewise, of the volume that they are to lie on."""
    size, room = spec.message_size.advertised, spec.pod.mailbox_limit
    without_claim = any(route.deliver.maildir and route.deliver.maildir.claim_name is None for route in spec.routes)
    if without_claim and spec.message_size.enforce and size > room:
        yield Fault(
            "spec.messageSize.advertised",
            f"{quantity.render(size)} is more than nine tenths of spec.pod.mailboxSize, "
            f"{quantity.render(spec.pod.mailbox_size)}: in Kubernetes, larger messages are put off each time they come "
            "(452)",
        )


WARNINGS: tuple[Rule, ...] = (
    nothing_leads_to_the_pods,
    passwords_in_clear,
    auth_that_is_never_offered,
    port_25_is_public,
    nobody_can_authenticate,
    nobody_is_let_in,
    client_addresses_are_hidden,
    anybody_is_trusted,
    anybody_is_exempt,
    postmaster_is_reached,
    routes_are_reached,
    mailboxes_without_end,
    mailboxes_that_are_lost,
    messages_larger_than_scratch,
    messages_larger_than_mailboxes,
)


def _patterns(route: Route) -> list[Pattern]:
    return [parse_pattern(text) for text in route.recipients]


def _by_http(url: str) -> bool:
    return url.lower().startswith("http:") and not _stays_here(url)


def _stays_here(url: str) -> bool:
    """Whether nothing goes over a network: the host is this machine."""
    host = parse_host(urlsplit(url).hostname or "")
    return host == "localhost" if isinstance(host, str) else host.is_loopback
