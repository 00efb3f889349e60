"""Selecting the best cell, and the cells that cannot be distinguished from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from analysis.errors import DesignError
from analysis.factors import Factor, Level

#: Simulated sets for a critical value.
SETS = 200_000
#: A cell is as cheap as another if it takes at most this many times as long.
AS_CHEAP = 1.1
#: Means that differ by less are equal.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Selection:
    """The best cells.

    Attributes
    ----------
    cells : one row per cell, best first: levels, n, mean, sd, cost, cost_sd (of its logarithm), and
        collapsed, the number of runs that collapsed. The mean is over all runs, the standard
        deviation over those that learnt.
    best : levels of the cell with the best mean.
    chosen : the cheapest cell within one standard error of the best; of equally cheap cells, the
        one with the best mean.
    tied : cells that cannot be distinguished from the best, best first; the cheapest first if all
        means are equal.
    standard_error : of the best mean, from the pooled spread of replicates; NaN without replicates.
    error_df : degrees of freedom of that spread.
    optimism : the expected excess of the best mean, because it is the best of several.
    edges : factors whose chosen level is the lowest or the highest that was tried, although the
        domain continues: the optimum may lie beyond.
    least_lead : smaller leads do not count, however little the seeds vary; 0 if the number of
        images is not known.
    """

    cells: pd.DataFrame
    best: dict[str, Level]
    chosen: dict[str, Level]
    tied: tuple[dict[str, Level], ...]
    standard_error: float
    error_df: int
    optimism: float
    least_lead: float = 0.0
    edges: tuple[str, ...] = ()

    @property
    def all_equal(self) -> bool:
        """Whether there are several cells, and all have the same mean."""
        return len(self.cells) > 1 and bool(np.ptp(self.cells["mean"]) <= ROUNDING)

    @property
    def all_collapsed(self) -> bool:
        """Whether the networks of all runs learnt nothing."""
        return bool(self.cells["collapsed"].eq(self.cells["n"]).all())


def select(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    *,
    cost: str = "train_seconds",
    alpha: float = 0.05,
    among: pd.DataFrame | None = None,
    images: int | None = None,
) -> Selection:
    """Select by the one-standard-error rule: the cheapest cell that is as good as the best.

    Parameters
    ----------
    runs : one row per replicate; a column ``collapsed`` marks runs that learnt nothing.
    factors : their levels make a cell.
    response : column of the response; higher is better.
    cost : column of seconds; a missing value counts as the most expensive.
    alpha : the largest probability that the truly best cell is not among the tied ones.
    among : cells to select from, one column per factor, for example those that were confirmed with
        fresh seeds; by default all. The other cells still contribute to the pooled spread.
    images : number of images that the response was read on. A lead that no test on so many images
        could show does not count, however little the seeds vary.

    Raises
    ------
    DesignError
        If no run has a response.

    Notes
    -----
    A cell with a collapsed run is not a cell with a large variance: training works or it does not.
    The collapsed runs count in the cell's mean, which is what a user can expect of it. They do not
    count in the pooled spread, because one of them would make all cells indistinguishable. Such a
    cell is selected only if there is no other.

    Cells are tied with the best unless a one-sided test for all comparisons at once, with the
    pooled spread, distinguishes them: the set contains the best cell with probability 1 - alpha.
    Seeds show the variation of training, not the variation over other pictures. `images` sets a
    lower bound for that: if one network is right on b more pictures than the other, and never wrong
    where the other is right, McNemar's exact p is 2 ** (1 - b).

    Seconds vary with the load of the machine. A cell is as cheap as the cheapest if it takes at
    most a tenth longer, or if the difference of their mean log seconds is at most two standard
    errors, from the spread of log seconds within cells.

    References
    ----------
    Breiman, Friedman, Olshen and Stone (1984), Classification and Regression Trees, section 3.4.3
    (one standard error). Gupta, S. S. (1965), Technometrics 7, 225-245, and Hsu, J. C. (1984),
    Annals of Statistics 12, 1136-1144 (the set with the best). McNemar, Q. (1947), Psychometrika
    12, 153-157.
    """
    usable = runs[runs[response].notna()]
    if usable.empty:
        raise DesignError(f"no run has a {response}: there is no best cell; train again")
    names = [f.name for f in factors]
    cells = _cells(usable, names, response, cost)
    spread, df = pooled_spread(cells)
    steady = _steady(cells if among is None else cells.merge(among[names].drop_duplicates()))
    top = steady.iloc[0]
    error = spread / math.sqrt(top["n"])
    least = _least_lead(images, alpha)
    tied = _tied(steady, spread, df, alpha, least)
    if np.ptp(tied["mean"]) <= ROUNDING:
        # No order by the means: what is confirmed and chosen is what costs least.
        tied = tied.sort_values("cost", kind="stable")
    near = tied[tied["mean"] >= top["mean"] - (error if df else 0.0)]
    chosen = _as_cheap(near, cells).iloc[0]
    return Selection(
        cells,
        _levels(top, factors),
        _levels(chosen, factors),
        tuple(_levels(row, factors) for _, row in tied.iterrows()),
        float(error),
        df,
        float(error * _expected_maximum(len(tied))),
        least,
        () if np.ptp(cells["mean"]) <= ROUNDING else _edges(cells, chosen, factors),
    )


def _edges(cells: pd.DataFrame, chosen: Any, factors: Sequence[Factor]) -> tuple[str, ...]:
    names = []
    for factor in factors:
        tried = set(cells[factor.name])
        ends = {min(tried), max(tried)} - set(factor.domain or ())
        counts = factor.scale != "categorical" and factor.applies(chosen)
        if counts and len(tried) > 1 and chosen[factor.name] in ends:
            names.append(factor.name)
    return tuple(names)


def _cells(runs: pd.DataFrame, names: list[str], response: str, cost: str) -> pd.DataFrame:
    guessed = runs.get("collapsed", pd.Series(data=False, index=runs.index)).astype(bool)
    table = runs.assign(
        _cost=runs.get(cost, 0.0), _collapsed=guessed, _learnt=runs[response].mask(guessed)
    )
    table["_log"] = np.log(table["_cost"].where(table["_cost"] > 0))
    cells = table.groupby(names, observed=True).agg(
        n=(response, "count"),
        mean=(response, "mean"),
        sd=("_learnt", "std"),
        cost=("_cost", "mean"),
        cost_sd=("_log", "std"),
        collapsed=("_collapsed", "sum"),
    )
    return cells.reset_index().sort_values(
        "mean", ascending=False, ignore_index=True, kind="stable"
    )


def _as_cheap(near: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that are as cheap as the cheapest of them, in their order."""
    seconds = near["cost"].fillna(math.inf)
    runs = near["n"].iloc[int(np.argmin(seconds))]
    df = (cells["n"] - 1).where(cells["cost_sd"].notna(), 0)
    spread = math.sqrt((df * cells["cost_sd"].fillna(0) ** 2).sum() / max(df.sum(), 1))
    margin = (2 * spread * np.sqrt(1 / runs + 1 / near["n"])).clip(lower=math.log(AS_CHEAP))
    cheap: pd.DataFrame = near[seconds.le(seconds.min() * np.exp(margin))]
    return cheap


def _steady(cells: pd.DataFrame) -> pd.DataFrame:
    steady = cells["collapsed"].eq(0)
    return cells[steady] if steady.any() else cells


def pooled_spread(cells: pd.DataFrame) -> tuple[float, int]:
    """Return the pooled standard deviation of the runs that learnt, and its degrees of freedom.

    Parameters
    ----------
    cells : as in `Selection.cells`.

    Returns
    -------
    The deviation, NaN if no cell learnt twice, and its degrees of freedom.
    """
    df = (cells["n"] - cells["collapsed"] - 1).clip(lower=0)
    total = int(df.sum())
    return (
        math.sqrt((df * cells["sd"].fillna(0) ** 2).sum() / total) if total else math.nan
    ), total


def _tied(cells: pd.DataFrame, spread: float, df: int, alpha: float, least: float) -> pd.DataFrame:
    """Return the cells that cannot be distinguished from the best; all without replicates."""
    if not df:
        return cells
    top = cells.iloc[0]
    times = many_to_one(len(cells) - 1, df, alpha)
    margin = times * spread * np.sqrt(1 / top["n"] + 1 / cells["n"])
    return cells[cells["mean"].gt(top["mean"] - margin.clip(lower=least) - ROUNDING)]


def _least_lead(images: int | None, alpha: float) -> float:
    """Return the smallest lead that McNemar's exact test could show, as a share of the images."""
    return math.ceil(1 - math.log2(alpha)) / images if images else 0.0


@lru_cache(maxsize=1024)
def many_to_one(others: int, df: int, alpha: float) -> float:
    """Return the one-sided critical value for comparing the best cell with all others at once.

    Dunnett's, of means over as many runs each, by simulation (200,000 sets, fixed seed):
    Dunnett, C. W. (1955), Journal of the American Statistical Association 50, 1096-1121.
    """
    if others < 1:
        return 0.0
    rng = np.random.default_rng([1955, others, df])
    shared = rng.standard_normal(SETS)
    largest = np.full(SETS, -np.inf)
    for _ in range(others):
        largest = np.maximum(largest, rng.standard_normal(SETS) - shared)
    spread = np.sqrt(rng.chisquare(df, SETS) / df)
    return float(np.quantile(largest / math.sqrt(2) / spread, 1 - alpha))


def _levels(row: Any, factors: Sequence[Factor]) -> dict[str, Level]:
    # A row of a table has one type: its whole numbers may have become floats.
    return {f.name: int(row[f.name]) if f.whole else row[f.name] for f in factors}


@lru_cache(maxsize=64)
def _expected_maximum(n: int) -> float:
    """Return the expected maximum of n standard normals: 1.42 of 8, 2.00 of 27, 2.34 of 64."""
    x = np.linspace(-9, 9, 20_001)
    return float(np.trapezoid(x * n * norm.pdf(x) * norm.cdf(x) ** (n - 1), x))
