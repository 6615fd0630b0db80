"""PURE. Which route takes a recipient. The first that matches, as replies.md's "Matching" has it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from mailport.address.mail_address import Address
from mailport.address.pattern import Pattern, parse_pattern
from mailport.contract.model import Clients, Route

_NO_ROUTE = 1 << 30  # behind every other
POSTMASTER = "postmaster"  # in any case of letters (RFC 5321 §4.5.1)


class Router:
    """The recipients of all routes, made ready so that an address meets only the few patterns that may match it."""

    def __init__(self, routes: Iterable[Route], *, hostname: str, postmaster: Address) -> None:
        """Compile the patterns. ValueError where one is none, which validation has said before."""
        self._postmaster = postmaster
        self._hostname = hostname.lower()  # ASCII: the model takes A-labels only
        self._plain: dict[str, int] = {}  # `anna@example.org`, `*@example.org`, `*@*` -> the first route that has it
        self._hosted: set[str] = set()
        self._for_anyone: set[int] = set()  # routes that take mail from everybody
        self._for_authenticated: set[int] = set()  # and from those who have authenticated
        globs: list[tuple[int, Pattern]] = []
        for index, route in enumerate(routes):
            if route.deliver.refuse is None:
                self._for_authenticated.add(index)
                if route.clients is Clients.ANYONE:
                    self._for_anyone.add(index)
            for pattern in map(parse_pattern, route.recipients):
                if not pattern.has_wildcard_domain:
                    self._hosted.add(pattern.domain)
                if pattern.is_plain:
                    self._plain.setdefault(str(pattern), index)
                else:
                    globs.append((index, pattern))
        self._globs = _by_parent(globs)

    def resolve(self, recipient: Address | None, *, authenticated: bool) -> tuple[Address, int | None]:
        """Return the address that RCPT means, and the index of its route; None stands for `<postmaster>`.

        `<postmaster>` is spec.postmaster. So is postmaster@ each domain that a pattern names without wildcard, and
        postmaster@ spec.hostname, where no route takes that address itself from this client (RFC 5321 §4.5.1).
        """
        if recipient is None:
            return self._postmaster, self.match(self._postmaster)
        index = self.match(recipient)
        if recipient.local_key != POSTMASTER or not self._serves(recipient.domain_key):
            return recipient, index
        taking = self._for_authenticated if authenticated else self._for_anyone
        if index not in taking and (instead := self.match(self._postmaster)) in taking:
            return self._postmaster, instead
        return recipient, index

    def match(self, address: Address) -> int | None:
        """Return the index of the first route with a pattern that matches, whatever its `clients`."""
        key, domain, plain = address.key, address.domain_key, self._plain
        first = min(plain.get(key, _NO_ROUTE), plain.get(f"*@{domain}", _NO_ROUTE), plain.get("*@*", _NO_ROUTE))
        if self._globs:
            for parent in _parents(domain):
                for index, globs in self._globs.get(parent, ()):
                    if index >= first:
                        break
                    if globs.fullmatch(key):
                        first = index
                        break
        return first if first != _NO_ROUTE else None

    def hosts(self, domain_key: str) -> bool:
        """Whether a pattern has this very domain, without wildcard: then an unknown mailbox is ours to deny."""
        return domain_key in self._hosted

    def _serves(self, domain_key: str) -> bool:
        return domain_key in self._hosted or domain_key == self._hostname


def _by_parent(patterns: list[tuple[int, Pattern]]) -> dict[str, list[tuple[int, re.Pattern[str]]]]:
    """Group patterns by the parent of the domains that they match: one compiled expression a route and parent.

    Under a parent, routes stand in their order.
    """
    expressions: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for index, pattern in patterns:
        expressions[_parent(pattern.domain)][index].append(pattern.expression)
    return {
        parent: [(index, re.compile("|".join(alternatives))) for index, alternatives in routes.items()]
        for parent, routes in expressions.items()
    }


def _parent(glob: str) -> str:
    """Return the whole labels a glob ends in: `example.org` of `*.example.org`; "" (the root) of `*` or `mail.*`."""
    _, star, tail = glob.rpartition("*")
    return tail.partition(".")[2] if star else glob


def _parents(domain: str) -> Iterator[str]:
    """Yield a domain and all above it, the root being ""."""
    while domain:
        yield domain
        domain = domain.partition(".")[2]
    yield domain
