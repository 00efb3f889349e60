"""Numbers, levels, cells and lists as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.factors import cell_name, show
from tasks.languages import Translate

MISSING = "-"
#: A number between these sizes is printed with four decimals.
SMALLEST_FIXED, LARGEST_FIXED = 1e-3, 1e5
#: The smallest p-value that four decimals can show.
SMALLEST_P = 1e-4
#: Items of a list that are named; the others are counted.
MOST_NAMED = 8


def fixed(x: float, digits: int = 4) -> str:
    """Return a number with a fixed count of decimals and a typographic minus sign."""
    return MISSING if pd.isna(x) else f"{x:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def whole(x: float) -> str:
    """Return a whole number with thousands separators."""
    return MISSING if pd.isna(x) else f"{x:,.0f}"


def signed(x: float) -> str:
    """Return a number with its sign and four decimals, with a typographic minus sign."""
    return MISSING if pd.isna(x) else f"{x:+z.4f}".replace("-", "\N{MINUS SIGN}")


def number_or_none(number: Any) -> float | None:
    """Return a number for JSON, which has no NaN and no infinity: None instead."""
    return float(number) if math.isfinite(number) else None


def table_as_json(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return a table of numbers as plain JSON types, by row."""
    return {
        str(name): {str(column): number_or_none(x) for column, x in row.items()}
        for name, row in table.to_dict("index").items()
    }


def table_number(x: float) -> str:
    """Return a number with four decimals, or three significant digits if large or small."""
    return f"{x:.4f}" if SMALLEST_FIXED <= abs(x) < LARGEST_FIXED or x == 0 else f"{x:.3g}"


def p_value(p: Any) -> str:
    """Return a p-value with four decimals."""
    if pd.isna(p):
        return MISSING
    return "<0.0001" if p < SMALLEST_P else f"{p:.4f}"


def percent(share: float) -> str:
    """Return a share (0 to 1) in percent, with three significant digits."""
    return f"{100 * share:.3g}%"


def percent_fixed(share: float) -> str:
    """Return a share (0 to 1) in percent, with one decimal."""
    return f"{100 * share:.1f}%"


def aligned(numbers: Sequence[str]) -> list[str]:
    """Pad numbers on the right so that, set flush right, their decimal points align."""
    places = [len(text.partition(".")[2]) for text in numbers]
    point = "\N{PUNCTUATION SPACE}" if max(places, default=0) else ""
    return [
        text + ("" if "." in text else point) + (max(places) - own) * "\N{FIGURE SPACE}"
        for text, own in zip(numbers, places, strict=True)
    ]


def plain_level(level: Any) -> Any:
    """Return a level as a plain Python value, where it is one of NumPy's."""
    return level.item() if hasattr(level, "item") else level


def level_as_text(level: Any) -> str:
    """Return a level as a person writes it, as in ``0.001``, ``3`` or ``same``."""
    return show(plain_level(level))


def cell_as_text(levels: Mapping[Any, Any]) -> str:
    """Return a cell as text, as in ``conv_layers=3 learning_rate=0.001``."""
    return cell_name({str(name): plain_level(level) for name, level in levels.items()})


def listed(items: Sequence[str], translate: Translate) -> str:
    """Return the first items, separated by semicolons, and how many more there are."""
    named = list(items[:MOST_NAMED])
    if len(items) > MOST_NAMED:
        named.append(translate("and_more", n=len(items) - MOST_NAMED))
    return "; ".join(named)
