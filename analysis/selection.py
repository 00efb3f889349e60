"""Choosing the best cell, and naming those that cannot be told apart from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import DesignError
from analysis.factors import Factor, Level


@dataclass(frozen=True)
class Selection:
    """The best cells.

    Attributes
    ----------
    cells : a row a cell, best first: levels, n, mean, sd, cost.
    best : levels of the cell with the best mean.
    chosen : the cheapest cell within one standard error of the best.
    tied : cells that cannot be told apart from the best, best first.
    standard_error : of one cell's mean, from the pooled spread of replicates; NaN without any.
    optimism : how much too high the best mean is to be expected, from choosing the best of many.
    """

    cells: pd.DataFrame
    best: dict[str, Level]
    chosen: dict[str, Level]
    tied: tuple[dict[str, Level], ...]
    standard_error: float
    optimism: float


def select(
    runs: pd.DataFrame, factors: Sequence[Factor], response: str, *, cost: str = "train_seconds"
) -> Selection:
    """Choose by the one-standard-error rule: the cheapest cell that is as good as the best.

    Parameters
    ----------
    runs : a row a replicate.
    factors : whose levels make a cell.
    response : higher is better.
    cost : a column of seconds; missing is as dear as any.

    Raises
    ------
    DesignError
        If no run has a response.

    References
    ----------
    Breiman, Friedman, Olshen and Stone (1984), Classification and Regression Trees, section 3.4.3.
    """
    usable = runs[runs[response].notna()]
    if usable.empty:
        raise DesignError(f"no run has a {response}: there is no best cell; train again")
    names = [f.name for f in factors]
    cells = _cells(usable, names, response, cost)
    spread = _pooled(cells)
    error = spread / math.sqrt(cells["n"].iloc[0])
    top = cells["mean"].iloc[0]
    near = cells[cells["mean"] >= top - error] if spread == spread else cells[cells["mean"] == top]  # noqa: PLR0124 # NaN
    apart = 2 * spread * np.sqrt(1 / cells["n"].iloc[0] + 1 / cells["n"])
    tied = cells[cells["mean"] >= top - apart] if spread == spread else cells  # noqa: PLR0124 # NaN
    chosen = near.sort_values(["cost", "mean"], ascending=[True, False]).iloc[0]
    return Selection(
        cells,
        _levels(cells.iloc[0], factors),
        _levels(chosen, factors),
        tuple(_levels(row, factors) for _, row in tied.iterrows()),
        float(error),
        float(error * _expected_maximum(len(tied))),
    )


def _cells(runs: pd.DataFrame, names: list[str], response: str, cost: str) -> pd.DataFrame:
    priced = runs.assign(_cost=runs.get(cost, 0.0))
    grouped = priced.groupby(names, observed=True)
    table = grouped.agg(
        n=(response, "count"), mean=(response, "mean"), sd=(response, "std"), cost=("_cost", "mean")
    )
    return table.reset_index().sort_values("mean", ascending=False, ignore_index=True)


def _pooled(cells: pd.DataFrame) -> float:
    df = (cells["n"] - 1).sum()
    return math.sqrt(((cells["n"] - 1) * cells["sd"].fillna(0) ** 2).sum() / df) if df else math.nan


def _levels(row: Any, factors: Sequence[Factor]) -> dict[str, Level]:
    # A row of a table has one type: its whole numbers may have become floats.
    return {f.name: int(row[f.name]) if f.scale == "integer" else row[f.name] for f in factors}


def _expected_maximum(n: int) -> float:
    """Return the expected maximum of n standard normals, by Blom's approximation."""
    from scipy.stats import norm

    return float(norm.ppf((n - 0.375) / (n + 0.25))) if n > 1 else 0.0


def explain(selection: Selection) -> list[str]:
    """Return the choice in words."""
    top = selection.cells.iloc[0]
    lines = [f"best mean: {_words(selection.best)}, {top['mean']:.4f} over n = {top['n']:.0f}"]
    if math.isnan(selection.standard_error):
        return [*lines, "no cell was run twice: how much of this is luck is not known"]
    lines.append(
        f"standard error of that mean {selection.standard_error:.4f}; {len(selection.tied)} "
        f"cell{'s' * (len(selection.tied) != 1)} cannot be told apart; "
        f"chosen from that many, the best mean is about {selection.optimism:.4f} too high"
    )
    if selection.chosen != selection.best:
        lines.append(f"cheapest within one standard error, so chosen: {_words(selection.chosen)}")
    return lines


def _words(levels: dict[str, Level]) -> str:
    return " ".join(
        f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in levels.items()
    )
