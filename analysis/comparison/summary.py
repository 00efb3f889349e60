"""Summaries of searches: curves of the best response so far, one row per tuner, main effects."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.factors import Factor, Level


def curves(searches: pd.DataFrame, response: str) -> pd.DataFrame:
    """Return the best response so far, and what was spent so far, after each run of each search.

    Parameters
    ----------
    searches : one row per run: ``tuner``, ``repetition``, ``order``, the response,
        ``train_seconds``, ``cost``, in trainings of full length, and ``is_full``, whether it is
        one.
    response : column of the response; higher is better.

    Returns
    -------
    The rows in order, with three more columns: ``best``, of the trainings of full length, NaN
    before the first of them; ``seconds`` (s); and ``trainings``, the sum of the costs.
    """
    rows = searches.sort_values(["tuner", "repetition", "order"], kind="stable")
    keys = [rows["tuner"], rows["repetition"]]
    best = rows[response].where(rows["is_full"]).groupby(keys).cummax()
    grouped = rows.groupby(["tuner", "repetition"], sort=False)
    return rows.assign(
        best=best.groupby(keys).ffill(),
        seconds=grouped["train_seconds"].cumsum(),
        trainings=grouped["cost"].cumsum(),
    )


def default_target(curve: pd.DataFrame) -> float:
    """Return a target that half of the searches reach: the median of their best responses."""
    return float(curve.groupby(["tuner", "repetition"])["best"].max().median())


def summarize_tuners(curve: pd.DataFrame, delivered: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return one row per tuner, in the order of the searches.

    Parameters
    ----------
    curve : as returned by `curves`.
    delivered : one row per search: ``tuner``, ``repetition`` and ``fresh``, the mean response of
        the delivered cell with seeds that no search used.
    target : a response to be reached.

    Returns
    -------
    ``tuner``; ``n``, number of searches; ``runs``, the most runs of a search; ``trainings``, median
    cost of a search in trainings of full length; ``fresh``,
    ``fresh_least``, ``fresh_most`` (median and range over the searches); ``best``, median of the
    best response of a single run; ``optimism``, mean difference between that and ``fresh``;
    ``seconds``, median training seconds of a search; ``reached``, number of searches that reached
    the target; ``seconds_to_target`` and ``trainings_to_target``, medians in which a search that
    did not reach the target counts as the longest of all; NaN if half of the searches did not reach
    it.
    """
    names = list(dict.fromkeys(delivered["tuner"]))
    return pd.DataFrame([_tuner_row(name, curve, delivered, target) for name in names])


def _tuner_row(
    name: str, curve: pd.DataFrame, delivered: pd.DataFrame, target: float
) -> dict[str, object]:
    searches = curve[curve["tuner"] == name].groupby("repetition")
    fresh = delivered[delivered["tuner"] == name].set_index("repetition")["fresh"]
    best, seconds = searches["best"].max(), searches["seconds"].max()
    to_target = [_cost_and_seconds_to_target(rows, target) for _, rows in searches]
    return {
        "tuner": name,
        "n": len(best),
        "runs": int(searches.size().max()),
        "trainings": float(searches["trainings"].max().median()),
        "fresh": float(fresh.median()),
        "fresh_least": float(fresh.min()),
        "fresh_most": float(fresh.max()),
        "best": float(best.median()),
        "optimism": float((best - fresh).mean()),
        "seconds": float(seconds.median()),
        "reached": sum(cost < np.inf for cost, _ in to_target),
        "trainings_to_target": _nan_if_infinite(float(np.median([cost for cost, _ in to_target]))),
        "seconds_to_target": _nan_if_infinite(float(np.median([spent for _, spent in to_target]))),
    }


def _cost_and_seconds_to_target(rows: pd.DataFrame, target: float) -> tuple[float, float]:
    """Return the trainings and seconds until a search reaches the target; infinite if never."""
    reached = rows[rows["best"] >= target]
    if reached.empty:
        return np.inf, np.inf
    return float(reached["trainings"].iloc[0]), float(reached["seconds"].iloc[0])


def _nan_if_infinite(x: float) -> float:
    return x if np.isfinite(x) else float("nan")


def best_after_seconds(curve: pd.DataFrame, seconds: float) -> pd.Series:
    """Return the median best response of each tuner after some training seconds.

    A search that has no run by then counts as NaN, which the median leaves out; a tuner without any
    run by then has NaN.
    """
    best = curve[curve["seconds"] <= seconds].groupby(["tuner", "repetition"])["best"].max()
    searches = curve.groupby(["tuner", "repetition"]).size().index
    return best.reindex(searches).groupby("tuner").median()


def effect_estimates(
    runs: pd.DataFrame, factors: Sequence[Factor], response: str, alpha: float = 0.05
) -> pd.DataFrame:
    """Return what the runs of one search estimate: the main effect of each factor, with interval.

    Least squares on coded levels with main effects only. An adaptive search places its runs where
    the responses are good, so that effects are estimated badly there, and the interval, which is
    that of a fixed design, is too narrow rather than too wide.

    Parameters
    ----------
    runs : one row per run: one column per factor in natural units, and the response.
    factors : the factors.
    response : column of the response.
    alpha : 1 minus the confidence of the intervals.

    Returns
    -------
    One row per factor: ``effect``, of going from the low to the high level, and ``half``, half the
    width of its interval; NaN if the effects cannot be estimated from these runs.
    """
    names = [f.name for f in factors]
    x = np.column_stack([np.ones(len(runs)), *(_coded_levels(f, runs[f.name]) for f in factors)])
    y = runs[response].to_numpy(float)
    df = len(y) - x.shape[1]
    unknown = pd.DataFrame({"effect": np.nan, "half": np.nan}, index=names)
    # With as many different cells as terms, every response is fitted exactly.
    if len(np.unique(x, axis=0)) <= x.shape[1] or np.linalg.matrix_rank(x) < x.shape[1]:
        return unknown
    inverse = np.linalg.inv(x.T @ x)
    slopes = inverse @ x.T @ y
    variance = float(np.sum((y - x @ slopes) ** 2)) / df
    half = student.ppf(1 - alpha / 2, df) * np.sqrt(variance * np.diag(inverse))
    return pd.DataFrame({"effect": 2 * slopes[1:], "half": 2 * half[1:]}, index=names)


def _coded_levels(factor: Factor, levels: "pd.Series[Level]") -> NDArray[np.float64]:
    return np.array([float(factor.code(level)) for level in levels])
