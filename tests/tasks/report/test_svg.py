"""Figures in a page: text that scales, in the colours of the page."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from matplotlib.figure import Figure

from analysis.plots.effects import COLOURS
from tasks.report.svg import WIDTHS, figure_for_page

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
