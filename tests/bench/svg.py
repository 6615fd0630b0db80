"""Plots as SVG, side by side in one picture, in the colours of the reader's theme. Pure: figures in, text out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

PANEL, HEIGHT = 300, 250  # pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 30, 46  # of a panel, around what is drawn
HEAD, LEGEND, LETTER = 30, 22, 6.6  # the picture's title, a line of the legend, and a letter's mean width

# A picture in Markdown knows what the browser prefers and nothing of the page around it, so it brings its background.
# The colours can be told apart without red and green (Okabe and Ito's, lighter on dark), and each has its own mark.
_LIGHT = ("#ffffff", "#1f2328", "#d1d9e0", "#d55e00", "#0072b2", "#00785a", "#8b4a8b", "#6a6a6a")
_DARK = ("#0d1117", "#e6edf3", "#3d444d", "#ff9e4a", "#56b4e9", "#3ecf9f", "#d99ad9", "#b0b0b0")
_COLOURS = len(_LIGHT) - 3


def _theme(back: str, text: str, grid: str, *colours: str) -> str:
    series = "".join(
        f" .l{number} {{ stroke: {colour} }} .m{number} {{ fill: {colour} }}" for number, colour in enumerate(colours)
    )
    return f".back {{ fill: {back} }} text {{ fill: {text} }} .grid {{ stroke: {grid} }}{series}"


_STYLE = f"""\
text {{ font: 12px system-ui, sans-serif }} .title {{ font-weight: 600 }} .line {{ fill: none; stroke-width: 2 }}
{_theme(*_LIGHT)}
@media (prefers-color-scheme: dark) {{ {_theme(*_DARK)} }}"""


@dataclass(frozen=True)
class Series:
    """What belongs together on one line."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One plot. `ticks` are the values of x that are named."""

    title: str
    x_title: str
    ticks: Sequence[tuple[float, str]]
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False


def picture(title: str, panels: Sequence[Panel]) -> str:
    """Return an SVG with the panels in a row, below one legend."""
    names = list(dict.fromkeys(series.name for panel in panels for series in panel.series))
    width = PANEL * len(panels)
    legend, lines = _legend(names, width)
    height = HEAD + lines * LEGEND + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
        f'<text class="title" x="{width / 2:g}" y="20" text-anchor="middle">{escape(title)}</text>',
        *legend,
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate({number * PANEL} {HEAD + lines * LEGEND})">')
        parts += [*_panel(panel, names), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(names: Sequence[str], width: int) -> tuple[list[str], int]:
    parts, x, line = [], float(LEFT), 0
    for number, name in enumerate(names):
        wide = 24 + LETTER * len(name) + 16
        if x + wide > width and x > LEFT:
            x, line = LEFT, line + 1
        y = HEAD + line * LEGEND + 8
        parts.append(_mark(number, x + 6, y))
        parts.append(f'<text x="{x + 18:.1f}" y="{y + 4}">{escape(name)}</text>')
        x += wide
    return parts, line + 1


def _panel(panel: Panel, names: Sequence[str]) -> list[str]:
    values = [y for series in panel.series for _, y in series.points]
    marks = logarithmic_marks(min(values), max(values)) if panel.log_y else linear_marks(max(values))
    bottom, top, right = HEIGHT - BOTTOM, TOP, PANEL - RIGHT
    x = _scale([position for position, _ in panel.ticks], LEFT + 12, right - 12, panel.log_x)
    y = _scale(marks, bottom, top, panel.log_y)
    parts = [f'<text class="title" x="{LEFT}" y="14">{escape(panel.title)}</text>']
    for mark in marks:
        parts.append(f'<path class="grid" d="M{LEFT} {y(mark):.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{_said(mark)}</text>')
    for position, label in panel.ticks:
        parts.append(f'<text x="{x(position):.1f}" y="{bottom + 18}" text-anchor="middle">{escape(label)}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text x="{middle:g}" y="{bottom + 36}" text-anchor="middle">{escape(panel.x_title)}</text>')
    for series in panel.series:
        number = names.index(series.name)
        places = [(x(first), y(max(second, marks[0]))) for first, second in series.points]
        points = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        parts.append(f'<polyline class="line l{number % _COLOURS}" points="{points}"/>')
        parts += [_mark(number, across, down) for across, down in places]
    return parts


def _mark(number: int, x: float, y: float) -> str:
    """Return the mark of a series: its shape and its colour."""
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        f"M{x:.1f} {y - 5:.1f}l5 9h-10z",
        f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
        f"M{x - 4:.1f} {y - 2:.1f}h8v4h-8z",
    )
    return f'<path class="m{number % _COLOURS}" d="{shapes[number % len(shapes)]}"/>'


def linear_marks(most: float) -> list[float]:
    """Return four to six round values from 0 on, the last of which is at least `most`."""
    step = 10 ** math.floor(math.log10(most / 4)) if most > 0 else 1.0
    step = next(step * times for times in (1, 2, 2.5, 5, 10) if step * times * 5 >= most)
    return [step * number for number in range(math.ceil(most / step) + 1)]


def logarithmic_marks(least: float, most: float) -> list[float]:
    """Return the powers of ten around."""
    first = math.floor(math.log10(max(least, 1e-3)))
    last = max(math.ceil(math.log10(max(most, 1e-3))), first + 1)
    return [10.0**power for power in range(first, last + 1)]


def _scale(values: Sequence[float], start: float, end: float, logarithmic: bool) -> Callable[[float], float]:
    measure: Callable[[float], float] = math.log10 if logarithmic else float
    low, high = measure(min(values)), measure(max(values))
    return lambda value: start + (measure(value) - low) / ((high - low) or 1) * (end - start)


def _said(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"
