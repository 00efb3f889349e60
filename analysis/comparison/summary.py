"""What searches of several tuners come to: curves, figures at the budget, what each one tells."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis.factors import Factor, Level


def curves(searches: pd.DataFrame, response: str) -> pd.DataFrame:
    """Return the best figure so far, and the seconds so far, after each run of each search.

    Parameters
    ----------
    searches : a row a run: ``tuner``, ``repetition``, ``order``, the response, ``train_seconds``.
    response : higher is better.

    Returns
    -------
    The rows in order, with ``best`` and ``seconds`` (s) besides.
    """
    rows = searches.sort_values(["tuner", "repetition", "order"], kind="stable")
    own = rows.groupby(["tuner", "repetition"], sort=False)
    return rows.assign(best=own[response].cummax(), seconds=own["train_seconds"].cumsum())


def default_target(curve: pd.DataFrame) -> float:
    """Return a figure that half of the searches reach: the median of what each found best."""
    return float(curve.groupby(["tuner", "repetition"])["best"].max().median())


def summary(curve: pd.DataFrame, delivered: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return a row a tuner, in the order of the searches.

    Parameters
    ----------
    curve : as `curves` returns it.
    delivered : a row a search: ``tuner``, ``repetition`` and ``fresh``, the mean of the delivered
        cell with seeds that no search saw.
    target : a figure to be reached.

    Returns
    -------
    ``tuner``; ``n`` searches; ``runs`` of each, at most; ``fresh``, ``fresh_least``, ``fresh_most``
    (median and range); ``best``, median of the best figure that was seen; ``optimism``, mean of how
    far that lies above ``fresh``; ``seconds``, median training seconds of a search; ``reached``,
    searches that reached the target; ``seconds_to_target`` and ``runs_to_target``, medians in which
    a search that did not counts as the longest of all; NaN where half did not.
    """
    names = list(dict.fromkeys(delivered["tuner"]))
    return pd.DataFrame([_row(name, curve, delivered, target) for name in names])


def _row(
    name: str, curve: pd.DataFrame, delivered: pd.DataFrame, target: float
) -> dict[str, object]:
    own = curve[curve["tuner"] == name].groupby("repetition")
    fresh = delivered[delivered["tuner"] == name].set_index("repetition")["fresh"]
    best, seconds = own["best"].max(), own["seconds"].max()
    first = [_first(rows, target) for _, rows in own]
    return {
        "tuner": name,
        "n": len(best),
        "runs": int(own.size().max()),
        "fresh": float(fresh.median()),
        "fresh_least": float(fresh.min()),
        "fresh_most": float(fresh.max()),
        "best": float(best.median()),
        "optimism": float((best - fresh).mean()),
        "seconds": float(seconds.median()),
        "reached": sum(order < np.inf for order, _ in first),
        "runs_to_target": _finite(float(np.median([order for order, _ in first]))),
        "seconds_to_target": _finite(float(np.median([spent for _, spent in first]))),
    }


def _first(rows: pd.DataFrame, target: float) -> tuple[float, float]:
    """Return the run and the seconds at which a search first has the target; infinite if never."""
    there = rows[rows["best"] >= target]
    if there.empty:
        return np.inf, np.inf
    return float(there["order"].iloc[0]), float(there["seconds"].iloc[0])


def _finite(x: float) -> float:
    return x if np.isfinite(x) else float("nan")


def at_seconds(curve: pd.DataFrame, seconds: float) -> pd.Series:
    """Return each tuner's median best figure after so many training seconds; NaN before any."""
    ends = curve[curve["seconds"] <= seconds].groupby(["tuner", "repetition"])["best"].max()
    every = curve.groupby(["tuner", "repetition"]).size().index
    return ends.reindex(every).groupby("tuner").median()


def effect_estimates(
    runs: pd.DataFrame, factors: Sequence[Factor], response: str, alpha: float = 0.05
) -> pd.DataFrame:
    """Return what one search tells of each factor: its main effect, with an interval.

    Least squares on coded levels, main effects alone, as anyone would fit to the runs at hand. A
    search that follows its own figures draws runs together where they are good, so that effects are
    told badly there, and the interval, that of a fixed design, is too narrow rather than too wide.

    Parameters
    ----------
    runs : a row a run: a column a factor in natural units, and the response.
    factors : the factors.
    response : its column.
    alpha : 1 less the intervals' confidence.

    Returns
    -------
    A row a factor: ``effect``, of going from the low level to the high one, and ``half``, half its
    interval's width; NaN where the runs cannot tell.
    """
    names = [f.name for f in factors]
    x = np.column_stack([np.ones(len(runs)), *(_coded(f, runs[f.name]) for f in factors)])
    y = runs[response].to_numpy(float)
    df = len(y) - x.shape[1]
    unknown = pd.DataFrame({"effect": np.nan, "half": np.nan}, index=names)
    # As many different cells as terms fit exactly, whatever their figures are.
    if len(np.unique(x, axis=0)) <= x.shape[1] or np.linalg.matrix_rank(x) < x.shape[1]:
        return unknown
    inverse = np.linalg.inv(x.T @ x)
    slopes = inverse @ x.T @ y
    variance = float(np.sum((y - x @ slopes) ** 2)) / df
    half = student.ppf(1 - alpha / 2, df) * np.sqrt(variance * np.diag(inverse))
    return pd.DataFrame({"effect": 2 * slopes[1:], "half": 2 * half[1:]}, index=names)


def _coded(
    factor: Factor, levels: "pd.Series[Level]"
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([float(factor.code(level)) for level in levels])
