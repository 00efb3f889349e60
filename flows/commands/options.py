"""What several commands share: their options, and how they answer."""

import json
from typing import Any

import click

#: Exit statuses besides 0.
EXIT_USER = 2
EXIT_ELSEWHERE = 3
EXIT_INTERRUPTED = 130

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print exactly one JSON object on standard output."
)


def answer(content: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print what a command found, as text or as one JSON object."""
    click.echo(json.dumps(content, ensure_ascii=False, allow_nan=False) if as_json else text)
