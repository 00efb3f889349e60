"""Filling in HTML templates, and embedding images in them."""

import base64
from typing import Any

from tasks.escaping import page_environment


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


def data_url(content: bytes, kind: str) -> str:
    """Return bytes of a MIME type as a data: URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
