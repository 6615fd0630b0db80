"""PURE. Why something is as it is: the table of docs/conditions.md, and what stands in a condition."""

from __future__ import annotations

from typing import Final, NamedTuple

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"

PENDING: Final = "Pending"
SUSPENDED: Final = "Suspended"


class _Row(NamedTuple):
    """A condition and its reasons; which of them it has says whether it is True, False or Unknown."""

    true: str
    false: tuple[str, ...]
    unknown: tuple[str, ...] = ()


# In the order in which they are shown, and summed up
TABLE = {
    "Accepted": _Row(
        "Accepted",
        ("Invalid", "NotPermitted", "UnsupportedField", "ConfigTooLarge", "ClaimNotShared", "BindAddressUnavailable"),
    ),
    "ResolvedRefs": _Row(
        "ResolvedRefs",
        ("SecretNotFound", "SecretKeyMissing", "ConfigMapNotFound", "ClaimNotFound"),
        (UNKNOWN, PENDING),
    ),
    "Programmed": _Row(
        "Programmed", ("ChildConflict", "ChildContested", "ImmutableField", "ApplyFailed", SUSPENDED), (PENDING,)
    ),
    "Available": _Row("MinimumReplicasAvailable", ("NoReplicaReady", "ScaledToZero"), (PENDING,)),
    "ConfigLive": _Row(
        "Live", ("Propagating", "RollingOut", "RolloutStuck", "ReloadFailed"), ("PodsUnreachable", PENDING)
    ),
    "AddressAssigned": _Row("Assigned", ("AddressNotAssigned", "NoService"), (PENDING,)),
    "DeliveryDurable": _Row("Durable", ("EphemeralMailbox", "StreamNotSynced", "StreamMayDiscard"), (PENDING,)),
    "DestinationsReachable": _Row("Reachable", ("Misconfigured", "Unreachable"), ("NoReplicaReady", PENDING)),
}

STALLS = frozenset(
    {
        "Invalid",
        "NotPermitted",
        "UnsupportedField",
        "ConfigTooLarge",
        "ClaimNotShared",
        "ChildConflict",
        "ImmutableField",
    }
)
"""Reasons that waiting does not help with, whatever stands in the message."""


class Reason(NamedTuple):
    """A condition's reason, a message for a person, and what follows from it for us."""

    condition: str
    reason: str
    message: str
    again_in: float | None = None
    """Seconds until it may be otherwise though nothing has happened; None: only when something happens."""
    hopeless: bool = False
    """Whether waiting does not help, also where the reason alone does not say so."""
    still_to_come: str = ""
    """What of it waits, where it is True all the same: new pods for which nobody but the operator has asked."""

    @property
    def status(self) -> str:
        """Return True, False or Unknown, as a condition has it."""
        row = TABLE[self.condition]
        if self.reason == row.true:
            return TRUE
        return UNKNOWN if self.reason in row.unknown else FALSE

    @property
    def stalls(self) -> bool:
        """Whether a person has to change something: kstatus' Stalled."""
        return self.hopeless or self.reason in STALLS
