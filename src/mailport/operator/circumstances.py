"""PURE. What besides the document decides what the children of an InboundSmtp look like."""

from __future__ import annotations

from dataclasses import dataclass

from mailport.operator.configuration import FORMAT


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The operator's options, and what it knows from the cluster; `mailport render` knows nothing of the latter."""

    listener_image: str
    """Image of the listener where the document names none."""

    listener_format: int = FORMAT
    """Format of the configuration that this image reads, where the document says none."""

    owner_uid: str | None = None
    """uid of the InboundSmtp: children get an owner reference where it is known."""

    exclusive_claims: frozenset[str] = frozenset()
    """Claims of mail that one node alone can mount (ReadWriteOnce, ReadWriteOncePod)."""

    live_replicas: int | None = None
    """Only while autoscaling: the replicas to go on applying until the HorizontalPodAutoscaler owns the field, as a
    Deployment whose applied `replicas` is left out falls back to 1. None leaves it out."""
