"""Draws the plots of docs/performance.md from the figures of the last whole run: `python tests/bench/plots.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scale import Scale, medians
from svg import Panel, Series, picture

FIGURES = Path(__file__).parents[2] / "docs/performance/figures.json"


def draw(data: dict[str, Any], folder: Path) -> list[str]:
    """Write a picture for each part that was measured; return them as Markdown."""
    pictures = {
        "latency": ("How long a 250 takes, in ms (logarithmic)", _latencies(data["latencies"])),
        "connections": ("Sending connections, one process", _connections(data["connections"])),
        "replicas": ("Processes, each with a port of its own", _replicas(data["replicas"])),
    }
    markdown = []
    for name, (title, panels) in pictures.items():
        if panels:
            (folder / f"{name}.svg").write_text(picture(title, panels))
            markdown.append(f"![{title}](performance/{name}.svg)")
    return markdown


def _latencies(measured: Sequence[dict[str, Any]]) -> list[Panel]:
    shares = sorted({one["share"] for one in measured})
    ticks = [(share, f"{share:.0%}") for share in shares]
    return [
        Panel(
            title,
            "of the highest rate",
            ticks,
            [
                Series(server, [(one["share"], one[figure]) for one in measured if one["server"] == server])
                for server in dict.fromkeys(one["server"] for one in measured)
            ],
            log_y=True,
        )
        for title, figure in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))
        if measured
    ]


_GROWING: dict[str, Callable[[Scale], float]] = {
    "messages a second": lambda one: one.rate,
    "memory, MiB": lambda one: one.memory,
    "CPU a message, µs": lambda one: one.cpu * 1e6,
}


def _connections(measured: Sequence[dict[str, Any]]) -> list[Panel]:
    return _growing(measured, lambda one: one.connections, "connections", log_x=True)


def _replicas(measured: Sequence[dict[str, Any]]) -> list[Panel]:
    return _growing(measured, lambda one: one.replicas, "processes", log_x=False)


def _growing(
    measured: Sequence[dict[str, Any]], over: Callable[[Scale], int], x_title: str, *, log_x: bool
) -> list[Panel]:
    of_all = medians([Scale(**one) for one in measured])
    ticks = [(value, f"{value:,}") for value in sorted({over(one) for one in of_all})]
    return [
        Panel(
            title,
            x_title,
            ticks,
            [
                Series(server, [(over(one), figure(one)) for one in of_all if one.server == server])
                for server in dict.fromkeys(one.server for one in of_all)
            ],
            log_x=log_x,
        )
        for title, figure in _GROWING.items()
        if of_all
    ]


if __name__ == "__main__":
    draw(json.loads(FIGURES.read_text()), FIGURES.parent)
