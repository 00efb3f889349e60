"""Figures as SVG elements of an HTML page, in the colours and fonts of the page."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from analysis.plots.effects import COLOURS
from tasks.escaping import printable_lines
from tasks.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
#: The widths at which a figure is drawn, inches: a page shows the one that its window has room for.
WIDTHS = {"broad": 7.0, "slim": 3.7}
#: CSS pixels of an inch of a figure at its largest: its letters are as large as those of notes.
PIXELS_PER_INCH = 94
#: Matplotlib writes a length in points, of which an inch has this many.
POINTS_PER_INCH = 72
#: What a style sets that the page sets.
_FONT = re.compile(r"font-family: [^;]*;? ?")
_COLOUR = re.compile(r"(fill|stroke): #([0-9a-f]{6})")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def figure_for_page(draw: "Callable[[float], Figure]", name: str, caption: str) -> str:
    """Return a figure as SVG elements of a page: for broad and for slim windows.

    The texts stay text: the reader's browser has the font for their letters. Black, greys and white
    become shades of the colour of the page's text, and the palette of `analysis.plots` becomes the
    variables ``--c0`` and so on of `page.css`, so that a figure follows the page in dark mode. The
    same figure gives the same text.

    Parameters
    ----------
    draw : returns the figure for a width in inches.
    name : is not given to two figures of a page.
    caption : what a screen reader says instead of the figure.
    """
    return "".join(
        _as_element(draw(width), f"{name}-{kind}", kind, caption) for kind, width in WIDTHS.items()
    )


def _as_element(figure: "Figure", name: str, kind: str, caption: str) -> str:
    import matplotlib as mpl

    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "factorgrid"}),
        io.BytesIO() as file,
    ):
        save_figure(figure, file, format="svg", transparent=True, metadata={"Date": None})
        # A name may have characters that XML does not.
        source = printable_lines(file.getvalue().decode())
    root = ET.fromstring(source)  # noqa: S314 # our own text
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{SVG}}}metadata", f"{{{SVG}}}style"}:
                parent.remove(child)
    used = {found for element in root.iter() for found in _references(element)}
    for element in root.iter():
        _adapt(element, name, used)
    inches = float(root.attrib["viewBox"].split()[2]) / POINTS_PER_INCH
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {
        "class": kind,
        "role": "img",
        "aria-label": caption,
        "fill": "currentColor",
        "style": f"max-width: {inches * PIXELS_PER_INCH:.0f}px; stroke-linejoin: round",
    }
    ET.register_namespace("", SVG)
    return ET.tostring(root, encoding="unicode")


def _references(element: ET.Element) -> list[str]:
    """Return the ids to which an element refers."""
    found = [id_ for value in element.attrib.values() for id_ in _REFERENCE.findall(value)]
    link = element.attrib.get(f"{{{XLINK}}}href", "")
    return [*found, link.removeprefix("#")] if link.startswith("#") else found


def _adapt(element: ET.Element, name: str, used: set[str]) -> None:
    """Change colours, fonts, and ids, which are those of the whole page."""
    own = element.attrib.pop("id", "")
    if own in used:
        element.attrib["id"] = f"{name}-{own}"
    link = element.attrib.pop(f"{{{XLINK}}}href", "")
    if link:
        element.attrib["href"] = f"#{name}-{link[1:]}" if link.startswith("#") else link
    for key, value in element.attrib.items():
        element.attrib[key] = _REFERENCE.sub(rf"url(#{name}-\1)", value)
    style = element.attrib.get("style")
    if style is not None:
        element.attrib["style"] = _COLOUR.sub(_as_variable, _FONT.sub("", style))


def _as_variable(found: re.Match[str]) -> str:
    """Return a colour of a style as one that the page sets."""
    where, colour = found[1], found[2]
    palette = [known.lstrip("#").lower() for known in COLOURS]
    red, green, blue = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
    if red == green == blue:
        if red == 255:  # noqa: PLR2004 # white
            return f"{where}: var(--paper, #fff)"
        shade = "" if red == 0 else f"; {where}-opacity: {1 - red / 255:.3g}"
        return f"{where}: currentColor{shade}"
    if colour in palette:
        return f"{where}: var(--c{palette.index(colour)}, #{colour})"
    return found[0]
