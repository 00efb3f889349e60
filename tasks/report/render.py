"""Filling in HTML templates, and embedding figures in them."""

import base64
import io
from typing import TYPE_CHECKING, Any

from tasks.escaping import page_environment
from tasks.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render_template(name: str, **content: Any) -> str:
    """Return a template of `tasks/report/templates`, filled in.

    Raises
    ------
    jinja2.UndefinedError
        If the template uses a value that is not given.
    """
    import jinja2

    environment = page_environment(
        loader=jinja2.PackageLoader("tasks.report"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page: str = environment.get_template(name).render(**content)
    return page


def figure_as_data_url(figure: "Figure") -> str:
    """Return a figure as a data: URL of SVG; the same figure gives the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "factorgrid"}), io.BytesIO() as file:
        save_figure(figure, file, format="svg", metadata={"Date": None})
        return data_url(file.getvalue(), "image/svg+xml")


def data_url(content: bytes, kind: str) -> str:
    """Return bytes of a MIME type as a data: URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
