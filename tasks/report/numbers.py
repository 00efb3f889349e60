"""Numbers and cells as the report prints them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.factors import cell_name

MISSING = "-"


def aligned(numbers: Sequence[str]) -> list[str]:
    """Pad numbers to the right, so that set flush right they stand on their decimal points."""
    places = [len(text.partition(".")[2]) for text in numbers]
    point = "\N{PUNCTUATION SPACE}" if max(places, default=0) else ""
    return [
        text + ("" if "." in text else point) + (max(places) - own) * "\N{FIGURE SPACE}"
        for text, own in zip(numbers, places, strict=True)
    ]


def number(x: float, digits: int = 4) -> str:
    """Return a number with a fixed count of decimals."""
    return MISSING if pd.isna(x) else f"{x:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(x: float) -> str:
    """Return a number with its sign and four decimals."""
    return MISSING if pd.isna(x) else f"{x:+.4f}".replace("-", "\N{MINUS SIGN}")


def p_value(p: Any) -> str:
    """Return a p-value."""
    if pd.isna(p):
        return MISSING
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"  # noqa: PLR2004 # what four digits can say


def share(x: float) -> str:
    """Return a share (0 to 1) in percent, with one decimal."""
    return f"{100 * x:.1f}%"


def percent(x: float) -> str:
    """Return a share (0 to 1) in percent, with three significant digits."""
    """Return a share (0 to 1) in percent, with three significant digits."""
    return f"{100 * x:.3g}%"


def plain(level: Any) -> Any:
    """Return a level as a plain Python value."""
    return level.item() if hasattr(level, "item") else level


def cell_words(levels: Mapping[Any, Any]) -> str:
    """Return a cell as text."""
    return cell_name({str(name): plain(level) for name, level in levels.items()})


def same_cell(levels: Mapping[str, Any], cell: Mapping[str, Any]) -> bool:
    """Whether these levels are those of a cell."""
    return all(levels[name] == cell[name] for name in cell)
