"""Figures in a page: text that scales, in the colours of the page."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.factors import Factor
from analysis.plots.effects import COLOURS
from analysis.plots.grid import grid_heatmap
from tasks.report.svg import WIDTHS, figure_for_page

#: Red, green and blue, 0 to 255.
Colour = NDArray[np.float64]
STYLE = (Path(__file__).parents[3] / "tasks" / "page.css").read_text(encoding="utf-8")


def _figure(width: float) -> Figure:
    figure = Figure(figsize=(width, 2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=COLOURS[1], marker="o")
    axes.plot([0, 1], [1, 0], color="0.6")
    axes.text(0.2, 0.5, "a <b> \x1b", color="white")
    axes.set_title("정확도")
    return figure


def _elements() -> list[ET.Element]:
    content = figure_for_page(_figure, "one", "what it shows")
    return list(ET.fromstring(f"<div>{content}</div>"))  # noqa: S314 # our own text


def test_a_figure_is_drawn_for_broad_and_for_slim_windows() -> None:
    elements = _elements()
    assert [element.attrib["class"] for element in elements] == list(WIDTHS)
    for element, inches in zip(elements, WIDTHS.values(), strict=True):
        assert float(element.attrib["viewBox"].split()[2]) <= 72 * inches
        assert "width" not in element.attrib
        assert element.attrib["aria-label"] == "what it shows"
    assert all(f"figure svg.{kind}" in STYLE for kind in WIDTHS)


def test_the_texts_of_a_figure_stay_text_in_the_font_of_the_page() -> None:
    content = figure_for_page(_figure, "one", "")
    assert ">정확도</" in content
    assert "a &lt;b&gt; %1B" in content
    assert "font-family" not in content
    assert "<style" not in content
    assert "metadata" not in content


def test_a_figure_has_the_colours_of_the_page_in_dark_mode_too() -> None:
    content = figure_for_page(_figure, "one", "")
    colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", content))
    assert colours <= {"none", "currentColor", "var(--paper, #fff)", "var(--c1, #d55e00)"}
    assert "stroke: currentColor; stroke-opacity: 0.4" in content
    light, _, dark = STYLE.partition("prefers-color-scheme: dark")
    for number, colour in enumerate(COLOURS[:-1]):
        assert f"--c{number}: {colour}" in light
        assert f"--c{number}: #" in dark
        assert f"--c{number}: {colour}" not in dark


def test_the_same_figure_is_the_same_text_and_two_share_no_id() -> None:
    first = figure_for_page(_figure, "one", "")
    assert first == figure_for_page(_figure, "one", "")
    second = figure_for_page(_figure, "two", "")
    ids = [set(re.findall(r' id="([^"]+)"', content)) for content in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


def _luminance(colour: Colour) -> float:
    """Return the relative luminance of an sRGB colour (0 to 255), as WCAG 2 defines it."""
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def _contrast(
    one: Colour,
    other: Colour,
) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _variable(style: str, name: str) -> Colour:
    found = re.search(rf"--{name}: #([0-9a-f]+)", style)
    assert found is not None
    text = found[1] if len(found[1]) == 6 else "".join(2 * letter for letter in found[1])
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], dtype=float)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_numbers_in_a_heat_map_can_be_read_on_every_shade(mode: str) -> None:
    """The contrast of text is at least 4.5: level AA of WCAG 2."""
    light, _, dark = STYLE.partition("prefers-color-scheme: dark")
    style = light if mode == "light" else dark
    ink, paper = _variable(style, "ink"), _variable(style, "paper")
    factors = (Factor("a", 1, 5, "integer"), Factor("b", 1, 5, "integer"))
    runs = pd.DataFrame([(a, b, 0.5 + a / 20 + b / 100) for a in range(1, 6) for b in range(1, 6)])
    runs.columns = pd.Index(["a", "b", "y"])
    content = figure_for_page(
        lambda width: grid_heatmap(runs, factors, "y", width=width), "grid", ""
    )
    shades = {float(x) for x in re.findall(r"fill: currentColor; fill-opacity: ([0-9.]+)", content)}
    assert len(shades) > 10
    assert min(_contrast(ink, paper + shade * (ink - paper)) for shade in shades) >= 4.5
    # No number is in the colour of the paper.
    texts = re.findall(r"<text [^>]*>", content)
    assert texts
    assert not any("--paper" in text for text in texts)
