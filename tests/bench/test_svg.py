"""The plots of docs/performance.md: their scales, and that what is drawn is there to see on light and on dark."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from others import Others
from plots import draw
from svg import Panel, Series, linear_marks, logarithmic_marks, picture

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    "most, marks",
    [
        (9, [0, 2, 4, 6, 8, 10]),
        (10, [0, 2, 4, 6, 8, 10]),
        (11, [0, 2.5, 5, 7.5, 10, 12.5]),
        (4_100, [0, 1e3, 2e3, 3e3, 4e3, 5e3]),
    ],
)
def test_a_linear_axis_begins_at_nothing_and_has_round_marks(most: float, marks: list[float]) -> None:
    assert linear_marks(most) == marks


@pytest.mark.parametrize(
    "least, most, marks", [(0.4, 8, [0.1, 1, 10]), (10, 10, [10, 100]), (2, 300, [1, 10, 100, 1000])]
)
def test_a_logarithmic_axis_has_the_powers_of_ten_around(least: float, most: float, marks: list[float]) -> None:
    assert logarithmic_marks(least, most) == pytest.approx(marks)


def test_more_is_higher_and_further_right() -> None:
    """Every point lies in its panel, and the points of a line are where their figures are."""
    lines = [Series("a < b", [(10, 0), (100, 50), (1000, 100)]), Series("flat", [(10, 100), (1000, 100)])]
    drawn = picture("a & b", [Panel("p", "x", [(10, "10"), (1000, "1,000")], lines, log_x=True)])

    rising, flat = (
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in ET.fromstring(drawn).iter(f"{SVG}polyline")
    )
    (left, bottom), (middle, half), (right, top) = rising
    assert left < middle < right
    assert middle - left == pytest.approx(right - middle, abs=0.2)  # logarithmic
    assert bottom > half > top
    assert half - top == pytest.approx(bottom - half, abs=0.2)  # linear
    assert flat == [(left, top), (right, top)]


def test_each_colour_is_told_from_its_background() -> None:
    """Text has a contrast of 4.5 at least, and lines of 3, in both themes (WCAG 2.2, 1.4.3 and 1.4.11)."""
    style = re.search(r"<style>(.*)</style>", _drawn(), re.DOTALL)
    assert style is not None
    light, dark = style[1].split("@media (prefers-color-scheme: dark)")
    for theme in (light, dark):
        back = re.search(r"\.back { fill: (#\w+)", theme)
        text = re.search(r"text { fill: (#\w+)", theme)
        lines = re.findall(r"\.l\d { stroke: (#\w+)", theme)
        assert back
        assert text
        assert len(lines) == 5
        assert _contrast(back[1], text[1]) >= 4.5
        assert min(_contrast(back[1], line) for line in lines) >= 3


def _drawn() -> str:
    return picture("t", [Panel("p", "x", [(1, "1")], [Series("s", [(1, 1)])])])


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_part_that_was_not_measured_has_no_plot(tmp_path: Path) -> None:
    latencies = [
        {"server": "Postfix", "share": share, "rate": 1, "p50": 1, "p99": 2, "p999": 3} for share in (0.1, 0.9)
    ]
    drawn = draw({"latencies": latencies, "connections": [], "replicas": []}, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["latency.svg"]
    assert len(drawn) == 1


def test_the_plots_are_those_of_the_figures_that_are_kept(tmp_path: Path) -> None:
    """`python tests/bench/plots.py` would change none of docs/performance/."""
    folder = Path(__file__).parents[2] / "docs/performance"
    if (figures := folder / "figures.json").exists():  # made by the first whole run
        draw(json.loads(figures.read_text()), tmp_path)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in folder.glob("*.svg")
    }


def test_what_others_used_is_said() -> None:
    said = str(Others())

    assert re.fullmatch(r"Others used \d+\.\d\d of \d+ cores meanwhile( \(.+\))?; the host kept \d+\.\d\d back\.", said)
