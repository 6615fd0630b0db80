"""PURE. What is known of a pod: what the API server says of it, and what it says itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Report:
    """What a pod's `/status` said."""

    hash: str
    generation: int
    restart_required: bool = False
    draining: bool = False
    certificates: tuple[dict[str, Any], ...] = ()  # secretName, serialNumber, notAfter
    missing: tuple[dict[str, Any], ...] = ()  # kind, name, key, field
    reload_error: str | None = None
    destinations: tuple[dict[str, Any], ...] = ()  # route, state, error
    not_durable: tuple[dict[str, Any], ...] = ()  # route, reason, message


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """A pod of this gateway: of a ReplicaSet of its Deployment."""

    name: str
    ready: bool  # and not on its way out
    host_ips: tuple[str, ...]
    expected_hash: str | None  # of the ConfigMap that it mounts; None where that is of no format that we write
    report: Report | None  # None: it could not be asked
    ports: frozenset[int] = frozenset()  # of the container
    trouble: str = ""  # why it does not start: the waiting or termination reason and message of its container
    loses_mail: bool = False  # whether it keeps mail on an emptyDir, which goes with it

    @property
    def is_live(self) -> bool:
        """Whether it says that it runs what it is given now."""
        return self.report is not None and self.report.hash == self.expected_hash

    @property
    def is_up_to_date(self) -> bool:
        """Whether it was started for that, too: else it has not mounted what that names, and keeps former Secrets."""
        return self.is_live and self.report is not None and not self.report.restart_required
