"""Text for a terminal: lines of its width, titles, tables that fit."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

#: Columns of a line where no terminal says how many it has: in a pipe, in a file, in MLflow.
WIDTH = 100
#: A terminal's own width is used between these: sentences in longer lines are hard to read.
NARROWEST, WIDEST = 40, 120
#: The columns of the terminal; None if the text is not for one.
_terminal: ContextVar[int | None] = ContextVar("terminal", default=None)


@contextmanager
def text_width(columns: int | None) -> Iterator[None]:
    """Fit text to a terminal of this many columns while the block runs.

    Lines are filled within `NARROWEST` and `WIDEST`. None is for text that no terminal shows.
    """
    token = _terminal.set(columns)
    try:
        yield
    finally:
        _terminal.reset(token)


def line_width() -> int:
    """Return at how many columns lines are filled."""
    columns = _terminal.get()
    return WIDTH if columns is None else min(max(columns, NARROWEST), WIDEST)


def wrapped(line: str) -> str:
    """Return a line broken at the width, its continuations indented; names are not broken."""
    return textwrap.fill(
        line, line_width(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def bullets(lines: Sequence[str]) -> list[str]:
    """Return each line as an item of a list."""
    return [wrapped(f"- {line}") for line in lines]


def underlined(title: str) -> str:
    """Return a title, underlined, after an empty line."""
    return f"\n{title}\n{'-' * min(len(title), line_width())}"


def fitting_table(columns: Mapping[str, Sequence[str]], optional: Sequence[str]) -> str:
    """Return a table as text, its columns aligned on the right.

    Parameters
    ----------
    columns : the texts of each column by its title.
    optional : columns that are left out if the table is wider than the terminal, the last one
        first. Without a terminal, the table has all columns.
    """
    kept, omitted, most = dict(columns), list(optional), _terminal.get()
    while True:
        widths = {name: max(map(len, [name, *texts])) for name, texts in kept.items()}
        if most is None or not omitted or sum(widths.values()) + 2 * len(widths) - 2 <= most:
            break
        kept.pop(omitted.pop(), None)
    rows = [list(kept), *map(list, zip(*kept.values(), strict=True))]
    sizes = list(widths.values())
    return "\n".join(
        "  ".join(text.rjust(size) for text, size in zip(row, sizes, strict=True)).rstrip()
        for row in rows
    )
