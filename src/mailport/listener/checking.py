"""The checker of a configuration. The resolver, with what it remembers, stays the same while the servers do.

What asks is imported where a document has `checks`, and not before: without, it costs neither memory nor time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mailport.authentication.dns import RecordType
from mailport.contract.model import Dns, Spec
from mailport.listener import metrics
from mailport.outward.allowed import Allowed

if TYPE_CHECKING:
    from mailport.checks.checker import Checker
    from mailport.checks.resolver import Resolver, Server


class Checkers:
    """Makes the checker of each configuration that is loaded. Reads files: call it in a thread."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._resolver: Resolver | None = None
        self.warnings: tuple[str, ...] = ()  # of the last one

    def load(self, spec: Spec) -> Checker | None:
        """Return the checker of a spec; None where it asks nothing."""
        self.warnings = ()
        if spec.checks is None:
            self._resolver = None
            return None
        from mailport.checks.checker import Checker  # noqa: PLC0415 - see above
        from mailport.checks.resolver import Resolver  # noqa: PLC0415

        servers, seconds = tuple(self._servers(spec.checks.dns)), float(spec.checks.dns.timeout_seconds)
        if not servers:
            self.warnings += ("spec.checks.dns: there is no DNS server to ask, so that each check is a temperror",)
        if self._resolver is None or (self._resolver.servers, self._resolver.seconds) != (servers, seconds):
            self._resolver = Resolver(servers, seconds=seconds, observe=_count)
        return Checker(spec.checks, self._resolver)

    def _servers(self, settings: Dns) -> Iterator[Server]:
        """Yield the servers that may be asked. Those of resolv.conf are the pod's own, and often link-local."""
        from mailport.checks.resolver import Server, system_servers, why_not  # noqa: PLC0415

        if settings.servers is None:
            yield from system_servers()
            return
        for index, one in enumerate(settings.servers):
            server = Server(one.address, one.port)
            if reason := why_not(server, self._allowed):
                self.warnings += (f"spec.checks.dns.servers[{index}]: {reason}",)
            else:
                yield server


def _count(kind: RecordType, outcome: str) -> None:
    metrics.dns_questions(kind, outcome).inc()
