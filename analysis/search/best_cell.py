"""Selecting the best cell, and the cells that cannot be distinguished from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2, norm
from scipy.stats import t as student

from analysis.errors import DesignError
from analysis.factors import Factor, Level
from analysis.runs.response import response_of

#: Points of the numerical integrals of a critical value: means of the best cell, up to a number of
#: standard deviations, and spreads.
MEANS, LARGEST_DEVIATION, SPREADS = 161, 8.0, 128
#: True means that the prior of `expected_excess` may have, and steps of its estimation.
SUPPORT_POINTS, EM_STEPS = 100, 200
#: Means that differ by less are equal.
ROUNDING = 1e-12
#: What a cell's network costs, in the order in which equal cells are compared: multiply-adds for
#: one image, then parameters. Columns of the runs.
COSTS = ("multiply_adds", "parameters")
#: Seconds of training: shown, but never compared.
SECONDS = "train_seconds"

#: Why a cheaper cell was not chosen although it cannot be distinguished from the best one.
PassedOverReason = Literal[
    "collapsed",  # at least one of its runs collapsed
    "not_confirmed",  # the choice is among the cells that were confirmed with fresh seeds
    "below_one_error",  # its mean is more than one standard error below the best
    "no_spread",  # no cell has two runs that learnt: only the means are compared
    "over_limit",  # its second response is above the limit of the study, or not known
]


@dataclass(frozen=True)
class Pick:
    """How a study chooses by two responses; exactly one of the two limits is given.

    Attributes
    ----------
    second : the second response, a column of the runs; lower is better.
    within : the cell with the lowest second response is chosen, of those whose mean is at most this
        much worse than the best; in units of the response.
    at_most : only cells whose second response is at most this can be chosen.
    """

    second: str
    within: float | None = None
    at_most: float | None = None


def is_cell(row: Mapping[Any, object], cell: Mapping[str, Level]) -> bool:
    """Whether a row of a table has the levels of a cell."""
    return all(row[name] == level for name, level in cell.items())


@dataclass(frozen=True)
class PassedOver:
    """A cell that is cheaper than the chosen one, as good as the best, and was not chosen.

    Attributes
    ----------
    levels : of the cell.
    reason : why it was not chosen.
    """

    levels: dict[str, Level]
    reason: PassedOverReason


@dataclass(frozen=True)
class Selection:
    """The best cells.

    Attributes
    ----------
    cells : one row per cell, the best mean first: levels, n, mean, sd, collapsed (the number of
        runs that collapsed), multiply_adds, parameters and train_seconds (a mean), each NaN if not
        known, and the second response (a mean) if there is one; left_out, why the cell could not be
        chosen (``collapsed``, ``not_confirmed`` or ``over_limit``, as in `PassedOverReason`), empty
        if it is a candidate; and equal, whether its mean cannot be distinguished from that of
        `best`, or is better. The mean is over all runs, the standard
        deviation over those that learnt.
    best : levels of the candidate with the best mean.
    chosen : the cheapest candidate within one standard error of the best: the one with the fewest
        multiply-adds; of several, the fewest parameters; of several, the best mean.
    tied : candidates that cannot be distinguished from the best, best first; the cheapest first if
        all means are equal.
    near : those of them within one standard error of the best, best first.
    compared : the costs by which the cells in `near` were compared: those of `COSTS` that are known
        of all of them. Without any, the best mean is chosen.
    passed_over : cheaper cells that cannot be distinguished from the best and were not chosen,
        cheapest first.
    standard_error : of the best mean, from the pooled spread of replicates; NaN without replicates.
    error_df : degrees of freedom of that spread.
    optimism : the expected excess of the best mean, because it is the best of several; see
        `expected_excess`.
    edges : factors whose chosen level is the lowest or the highest that was tried, although the
        domain continues: the optimum may lie beyond.
    ends : at which end of the levels that were tried each of `edges` is.
    tied_unconfirmed : cells that cannot be distinguished from the best and were not confirmed, best
        first: the limit on confirmed cells does not make them worse.
    least_lead : smaller leads do not count, however little the seeds vary; 0 if the number of
        images is not known.
    pick : the rule of the study by which the cell was chosen; None without one.
    pick_met : whether a candidate keeps the limit of the rule. If none does, the chosen cell is the
        one with the lowest second response.
    response : the column whose mean `cells` has.
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
    ends: tuple[Literal["lowest", "highest"], ...] = ()
    near: tuple[dict[str, Level], ...] = ()
    compared: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    tied_unconfirmed: tuple[dict[str, Level], ...] = ()
    pick: Pick | None = None
    pick_met: bool = True
    response: str = ""

    @property
    def best_mean(self) -> float:
        """The best mean of all cells, also of those that cannot be chosen."""
        return float(self.cells["mean"].iloc[0])

    @property
    def all_equal(self) -> bool:
        """Whether there are several cells, and all have the same mean."""
        return len(self.cells) > 1 and bool(np.ptp(self.cells["mean"]) <= ROUNDING)

    @property
    def all_collapsed(self) -> bool:
        """Whether the networks of all runs learnt nothing."""
        return bool(self.cells["collapsed"].eq(self.cells["n"]).all())

    def row(self, levels: dict[str, Level]) -> Any:
        """Return the row of a cell in `cells`."""
        same = np.logical_and.reduce([self.cells[name] == x for name, x in levels.items()])
        return self.cells[same].iloc[0]


def select(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    *,
    alpha: float = 0.05,
    among: pd.DataFrame | None = None,
    images: int | None = None,
    second: str | None = None,
    pick: Pick | None = None,
    tried: pd.DataFrame | None = None,
) -> Selection:
    """Select by the one-standard-error rule: the cheapest cell that is as good as the best.

    Parameters
    ----------
    runs : one row per replicate; a column ``collapsed`` marks runs that learnt nothing, and the
        columns of `COSTS` have what the network costs. All three may be missing.
    factors : their levels make a cell.
    response : column of the response; `analysis.runs.response` knows which direction is better.
    alpha : the largest probability that the truly best cell is not among the tied ones.
    among : cells to select from, one column per factor, for example those that were confirmed with
        fresh seeds; by default all. The other cells still contribute to the pooled spread.
    images : number of images of which the response is a share of right answers. A lead that no test
        on so many images could show does not count, however little the seeds vary.
    second : column of a second response, which `Selection.cells` then has.
    pick : a rule that chooses by the second response instead of the costs.
    tried : cells that were tried, one column per factor, for `Selection.edges`; by default `runs`.
        Short trainings have levels, too.

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

    Seconds vary with the load of the machine, so equal cells are compared by what the network
    itself costs, which is the same on every machine. Multiply-adds for one image come first: they
    are what every prediction costs, and most of each training step. Parameters, which are memory
    and the size of the file, come second: in a convolutional network most of them are in the first
    fully-connected layer, which is a small part of the computation. A cost that is not known of all
    cells that are compared does not count, and without any the best mean is selected. The length of
    the training (epochs, batch size) does not count: it was paid once, and the user of the network
    does not pay it again.

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
    sign = response_of(response).sign
    if pick is not None:
        second = pick.second
    # Inside, higher is better.
    cells = _cells(usable.assign(**{response: sign * usable[response]}), names, response, second)
    cells["left_out"] = _left_out(cells, names, among)
    pick_met = _leave_out_over_limit(cells, pick)
    candidate = cells["left_out"].eq("")
    top = cells[candidate].iloc[0]
    spread, df = pooled_spread(cells)
    error = spread / math.sqrt(top["n"])
    least = _least_lead(images, alpha)
    cells["equal"] = _equal(cells, top, spread, df, alpha, least)
    tied = cells[candidate & cells["equal"]]
    near = tied[tied["mean"] >= top["mean"] - (error if df else 0.0) - ROUNDING]
    compared = [name for name in COSTS if near[name].notna().all()]
    if np.ptp(tied["mean"]) <= ROUNDING:
        # No order by the means: what is confirmed and chosen is what costs least.
        tied = _cheapest_first(tied, compared)
    chosen = _cheapest_first(near, compared).iloc[0]
    passed_over = _passed_over(cells, near, chosen, compared, factors, df)
    if pick is not None and (pick.within is not None or not pick_met):
        chosen, passed_over = picked(cells[candidate], pick).iloc[0], ()
    unconfirmed = _tied_unconfirmed(cells, top, spread, df, alpha, least, factors)
    all_equal = np.ptp(cells["mean"]) <= ROUNDING
    edges = {} if all_equal else _edges(cells if tried is None else tried, chosen, factors)
    return Selection(
        cells.assign(mean=sign * cells["mean"]),
        levels_of_row(top, factors),
        levels_of_row(chosen, factors),
        tuple(levels_of_row(row, factors) for _, row in tied.iterrows()),
        float(error),
        df,
        expected_excess(cells[cells["collapsed"].eq(0)], top, spread) if df else math.nan,
        least,
        tuple(edges),
        tuple(edges.values()),
        tuple(levels_of_row(row, factors) for _, row in near.iterrows()),
        tuple(compared),
        passed_over,
        unconfirmed,
        pick,
        pick_met,
        response,
    )


def _leave_out_over_limit(cells: pd.DataFrame, pick: Pick | None) -> bool:
    """Mark the candidates over the limit of a rule; return whether one keeps it, or none must."""
    if pick is None or pick.at_most is None:
        return True
    candidate = cells["left_out"].eq("")
    over = ~cells[pick.second].le(pick.at_most)
    if not (candidate & ~over).any():
        return False
    cells["left_out"] = cells["left_out"].mask(candidate & over, "over_limit")
    return True


def picked(candidates: pd.DataFrame, pick: Pick) -> pd.DataFrame:
    """Return the cells among which a rule chooses, the lowest second response first.

    Parameters
    ----------
    candidates : rows of `Selection.cells` with means of which higher is better. Without any second
        response, they keep their order.
    """
    usable = candidates
    if pick.within is not None:
        usable = candidates[candidates["mean"] >= candidates["mean"].max() - pick.within - ROUNDING]
    # Of equal ones, the best mean; a cell of unknown size comes last.
    return usable.sort_values(pick.second, kind="stable", na_position="last")


def _tied_unconfirmed(
    cells: pd.DataFrame,
    top: Any,
    spread: float,
    df: int,
    alpha: float,
    least: float,
    factors: Sequence[Factor],
) -> tuple[dict[str, Level], ...]:
    """Return the cells that were not confirmed and are tied with the best of all cells."""
    if not df:
        return ()
    able = cells.assign(left_out=cells["left_out"].replace("not_confirmed", ""))
    tied = _equal(able, top, spread, df, alpha, least) & cells["left_out"].eq("not_confirmed")
    return tuple(levels_of_row(row, factors) for _, row in cells[tied].iterrows())


def _left_out(
    cells: pd.DataFrame, names: list[str], among: pd.DataFrame | None
) -> "pd.Series[str]":
    """Return why cells cannot be chosen; empty for those in `among` without a collapsed run.

    If each cell in `among` has a collapsed run, all of them can be chosen.
    """
    able = pd.Series(data=True, index=cells.index)
    if among is not None:
        confirmed = among[names].drop_duplicates().assign(_in=True)
        able = cells[names].merge(confirmed, how="left", on=names)["_in"].notna()
    collapsed = cells["collapsed"].gt(0)
    reasons = pd.Series("", index=cells.index).mask(~able, "not_confirmed")
    return reasons.mask(collapsed, "collapsed") if (able & ~collapsed).any() else reasons


def _cheapest_first(cells: pd.DataFrame, compared: Sequence[str]) -> pd.DataFrame:
    """Return cells in the order of their costs; cells that cost the same keep their order."""
    return cells.sort_values(list(compared), kind="stable") if compared else cells


def _passed_over(
    cells: pd.DataFrame,
    near: pd.DataFrame,
    chosen: Any,
    compared: Sequence[str],
    factors: Sequence[Factor],
    df: int,
) -> tuple[PassedOver, ...]:
    """Return the cells that are as good as the best and cheaper than the chosen one, and why."""
    if not compared:
        return ()
    own = tuple(chosen[name] for name in compared)
    # A comparison with NaN is false: a cell of unknown cost is not called cheaper.
    others = _cheapest_first(cells[cells["equal"] & ~cells.index.isin(near.index)], compared)
    return tuple(
        PassedOver(levels_of_row(row, factors), _reason(row, df))
        for _, row in others.iterrows()
        if row[list(compared)].notna().all() and tuple(row[list(compared)]) < own
    )


def _reason(row: Any, df: int) -> PassedOverReason:
    left_out: PassedOverReason | None = row["left_out"] or None
    return left_out or ("below_one_error" if df else "no_spread")


def _edges(
    tried: pd.DataFrame, chosen: Any, factors: Sequence[Factor]
) -> dict[str, Literal["lowest", "highest"]]:
    found: dict[str, Literal["lowest", "highest"]] = {}
    for factor in factors:
        if factor.scale == "categorical" or not factor.applies(chosen):
            continue
        level, levels = chosen[factor.name], set(tried[factor.name])
        if len(levels) > 1 and level not in (factor.domain or ()):
            if level == min(levels):
                found[factor.name] = "lowest"
            elif level == max(levels):
                found[factor.name] = "highest"
    return found


def _cells(runs: pd.DataFrame, names: list[str], response: str, second: str | None) -> pd.DataFrame:
    collapsed = runs.get("collapsed", pd.Series(data=False, index=runs.index)).astype(bool)
    others = [] if second is None or second in COSTS else [second]
    table = runs[names].assign(
        n=runs[response],
        mean=runs[response],
        sd=runs[response].mask(collapsed),
        collapsed=collapsed,
        **{name: _figures(runs, name, names) for name in (*COSTS, SECONDS, *others)},
    )
    how = {"n": "count", "mean": "mean", "sd": "std", "collapsed": "sum"}
    # The network of a cell is the same in all of its runs.
    how |= {**dict.fromkeys(COSTS, "max"), **dict.fromkeys([SECONDS, *others], "mean")}
    cells = table.groupby(names, observed=True).agg(how)
    return cells.reset_index().sort_values(
        "mean", ascending=False, ignore_index=True, kind="stable"
    )


def _figures(runs: pd.DataFrame, name: str, factors: list[str]) -> "pd.Series[float]":
    """Return a column of numbers; NaN if the runs do not have it, or if a factor has its name."""
    if name not in runs or name in factors:
        return pd.Series(math.nan, index=runs.index, dtype=float)
    return pd.to_numeric(runs[name], errors="coerce")


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


def _equal(
    cells: pd.DataFrame, top: Any, spread: float, df: int, alpha: float, least: float
) -> "pd.Series[bool]":
    """Return which cells cannot be distinguished from the best, or have a higher mean.

    Without replicates these are all candidates.

    The critical value is that for comparing the best with all other candidates at once.
    """
    if not df:
        return cells["left_out"].eq("") | cells["mean"].ge(top["mean"])
    times = many_to_one(int(cells["left_out"].eq("").sum()) - 1, df, alpha)
    margin = times * spread * np.sqrt(1 / top["n"] + 1 / cells["n"])
    return cells["mean"].gt(top["mean"] - margin.clip(lower=least) - ROUNDING)


def _least_lead(images: int | None, alpha: float) -> float:
    """Return the smallest lead that McNemar's exact test could show, as a share of the images."""
    return math.ceil(1 - math.log2(alpha)) / images if images else 0.0


@lru_cache(maxsize=1024)
def many_to_one(others: int, df: int, alpha: float) -> float:
    """Return the one-sided critical value for comparing the best cell with all others at once.

    Dunnett's, of means over as many runs each:
    Dunnett, C. W. (1955), Journal of the American Statistical Association 50, 1096-1121. The
    probability is integrated over the mean of the best cell, on which all comparisons depend, and
    over the spread.
    """
    if others < 1:
        return 0.0
    best = np.linspace(-LARGEST_DEVIATION, LARGEST_DEVIATION, MEANS)[:, None]
    density = norm.pdf(best) * (best[1] - best[0])
    nodes, weights = np.polynomial.legendre.leggauss(SPREADS)
    spread = np.sqrt(chi2.ppf((nodes + 1) / 2, df) / df)

    def beyond(value: float) -> float:
        """Return by how much the chance that all comparisons are below is less than it should."""
        below = ndtr(best + math.sqrt(2) * value * spread) ** others
        return float((density * below).sum(axis=0) @ weights) / 2 - (1 - alpha)

    return float(brentq(beyond, 0.0, float(student.isf(alpha / others, df)) + 1, xtol=1e-6))


def levels_of_row(row: Any, factors: Sequence[Factor]) -> dict[str, Level]:
    """Return the levels of a row of a table; its whole numbers may have become floats."""
    return {f.name: int(row[f.name]) if f.whole else row[f.name] for f in factors}


def expected_excess(cells: pd.DataFrame, top: Any, spread: float) -> float:
    """Return by how much the mean of a cell is expected to exceed its true mean.

    Parameters
    ----------
    cells : columns ``mean`` and ``n``, also of cells that were not confirmed.
    top : the row of the cell, chosen by its mean.
    spread : standard deviation of the runs of a cell.

    Returns
    -------
    Its mean less the posterior expectation of its true mean, at least 0. The prior is the
    distribution of the true means of all cells, estimated by maximum likelihood without any
    assumption about its form: if the means scatter only as much as their errors, the best of them
    owes its lead to chance; if one leads by far, its excess is near 0. The posterior does not
    depend on how the cell was chosen, so it also holds after a confirmation with new seeds.

    References
    ----------
    Kiefer, J. and Wolfowitz, J. (1956), Annals of Mathematical Statistics 27, 887-906 (the prior).
    Efron, B. (2011), Journal of the American Statistical Association 106, 1602-1614 (selection).
    """
    means = cells["mean"].to_numpy(dtype=float)
    if len(means) < 2 or min(spread, np.ptp(means)) <= ROUNDING:  # noqa: PLR2004 # one cell
        return 0.0
    support = np.linspace(means.min(), means.max(), SUPPORT_POINTS)
    errors = spread / np.sqrt(cells["n"].to_numpy(dtype=float))
    likelihood = _likelihood(means, errors, support)
    prior = np.full(SUPPORT_POINTS, 1 / SUPPORT_POINTS)
    for _ in range(EM_STEPS):
        joint = likelihood * prior
        prior = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    own = np.array([top["mean"]]), np.array([spread / math.sqrt(top["n"])])
    posterior = _likelihood(*own, support)[0] * prior
    return max(0.0, float(top["mean"] - posterior @ support / posterior.sum()))


def _likelihood(
    means: NDArray[np.float64], errors: NDArray[np.float64], support: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return normal densities (cells, support), each row divided by its largest value."""
    squares = ((means[:, None] - support) / errors[:, None]) ** 2
    return np.asarray(np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True))))
