"""Lines and titles of a terminal's width."""

import textwrap
from collections.abc import Sequence

#: Columns of a line.
WIDTH = 100


def wrapped(line: str) -> str:
    """Return a line broken at `WIDTH`, its continuations indented; names are not broken."""
    return textwrap.fill(
        line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def bullets(lines: Sequence[str]) -> list[str]:
    """Return each line as an item of a list."""
    return [wrapped(f"- {line}") for line in lines]


def underlined(title: str) -> str:
    """Return a title, underlined, after an empty line."""
    return f"\n{title}\n{'-' * len(title)}"
