"""The responses of a study as text: the direction of the first; effects and front of the second."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.runs.response import Response, is_imbalanced
from analysis.search.front import SecondFindings
from tasks.languages import Translate
from tasks.wording.values import fixed, level_as_text

#: Effects that are named; the largest come first.
MOST_EFFECTS = 6


def second_as_text(value: Any) -> str:
    """Return a second response: a whole number, or seconds with three significant digits."""
    if pd.isna(value):
        return fixed(value)
    return f"{value:,.0f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def direction_as_text(response: Response, translate: Translate) -> list[str]:
    """Return that a lower response is better; nothing if a higher one is."""
    return [translate("lower_is_better", response=response.name)] if response.lower else []


def imbalance_as_text(classes: Mapping[str, int], translate: Translate) -> list[str]:
    """Return that the classes differ much in size, and what suits them; nothing if they do not.

    Parameters
    ----------
    classes : class -> number of its images.
    """
    counts = [count for count in classes.values() if count]
    if not is_imbalanced(counts):
        return []
    return [translate("imbalanced", ratio=f"{max(counts) / min(counts):.3g}")]


def second_effects_as_text(found: SecondFindings, translate: Translate) -> str:
    """Return the effects on the second response, the largest first, as one sentence."""
    second = translate(f"second_{found.second}")
    if not found.effects:
        return translate("second_unknown", second=second)
    ordered = sorted(found.effects.items(), key=lambda item: -abs(item[1]))
    texts = [f"{term} {'+' if x >= 0 else ''}{second_as_text(x)}" for term, x in ordered]
    return translate("second_effects", second=second, effects=", ".join(texts[:MOST_EFFECTS]))


def front_as_text(found: SecondFindings, translate: Translate) -> str:
    """Return what the cells of the front are, as one sentence."""
    second = translate(f"second_{found.second}")
    if found.front.empty:
        return translate("front_empty", second=second)
    return translate("front_text", n=len(found.front), response=found.response, second=second)


def front_columns(found: SecondFindings, translate: Translate) -> dict[str, list[str]]:
    """Return the table of the front, the best mean first: the text of each column by its title."""
    rows = found.front.to_dict("records")
    columns = {name: [level_as_text(row[name]) for row in rows] for name in found.factors}
    columns["n"] = [f"{row['n']:.0f}" for row in rows]
    columns[found.response] = [fixed(row["mean"]) for row in rows]
    columns[translate(f"second_{found.second}")] = [
        second_as_text(row[found.second]) for row in rows
    ]
    return columns
