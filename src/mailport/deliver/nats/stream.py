"""PURE. What a stream's settings mean for a 250: whether mail may go there, and whether it stays until it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mailport.deliver.destination import NotDurable

FEWEST_REPLICAS = 3  # of which a majority has a message before it is acknowledged: one machine may be lost


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as the server describes it (the answer of STREAM.INFO)."""

    subjects: tuple[str, ...]
    why_not: str  # why no 250 can rest on it; empty where one can
    not_durable: tuple[NotDurable, ...]
    largest: int  # octets of a message that it takes, 0: as many as the server
    has_leader: bool


def read(info: Mapping[str, Any]) -> Stream:
    """Read STREAM.INFO's answer."""
    config = info.get("config", {})
    cluster = info.get("cluster")
    return Stream(
        subjects=tuple(config.get("subjects") or ()),
        why_not=_why_not(config),
        not_durable=tuple(_not_durable(config)),
        largest=max(config.get("max_msg_size") or 0, 0),
        has_leader=cluster is None or bool(cluster.get("leader")),
    )


def together(found: Iterable[NotDurable]) -> tuple[NotDurable, ...]:
    """Return one of each reason, with the words of all that have it."""
    words: dict[str, list[str]] = {}
    for one in found:
        words.setdefault(one.reason, []).append(one.message)
    return tuple(NotDurable(reason, "; ".join(messages)) for reason, messages in words.items())


def _why_not(config: Mapping[str, Any]) -> str:
    if config.get("storage") != "file":
        return "its storage is memory: what it acknowledges is gone with the server"
    if config.get("no_ack"):
        return "it acknowledges nothing (no_ack)"
    if config.get("retention") == "interest":
        return "its retention is interest: what nobody waits for is dropped"
    if config.get("sealed"):
        return "it is sealed"
    if config.get("mirror"):
        return "it is a mirror of another stream"
    return ""


def _not_durable(config: Mapping[str, Any]) -> list[NotDurable]:
    found = []
    replicas = config.get("num_replicas") or 1
    if replicas < FEWEST_REPLICAS:
        words = f"{replicas} of {FEWEST_REPLICAS} replicas, and a server syncs its disk after it has acknowledged"
        found.append(NotDurable("StreamNotSynced", words))
    elif config.get("persist_mode") == "async":
        found.append(NotDurable("StreamNotSynced", "it acknowledges before it writes (persist_mode async)"))
    discards = list(_discards(config))
    if discards:
        found.append(NotDurable("StreamMayDiscard", f"it may drop what nobody has read: {', '.join(discards)}"))
    return found


def _discards(config: Mapping[str, Any]) -> list[str]:
    found = []
    if config.get("max_age"):
        found.append(f"max_age {config['max_age'] / 1e9:.0f} s")
    if config.get("discard", "old") == "old":
        limits = [name for name in ("max_bytes", "max_msgs") if config.get(name, -1) > 0]
        found += [f"{name} {config[name]}, discard old" for name in limits]
    if config.get("max_msgs_per_subject", -1) > 0 and not config.get("discard_new_per_subject"):
        found.append(f"max_msgs_per_subject {config['max_msgs_per_subject']}")
    return found
