"""Filling in the HTML templates of the reports."""

import base64
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render_template(name: str, **content: Any) -> str:
    """Return a template filled in; what it asks for and is not given is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tasks.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page: str = environment.get_template(name).render(**content)
    return page


def figure_as_data_url(figure: "Figure") -> str:
    """Return a figure as a data: address of SVG, the same bytes for the same figure."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "factorgrid"}), io.BytesIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
        return data_url(file.getvalue(), "image/svg+xml")


def data_url(content: bytes, kind: str) -> str:
    """Return bytes as a data: URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
