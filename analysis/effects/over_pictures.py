"""How certain effects are for other pictures of the same kind, not only for other seeds.

All networks of a study answer the same validation pictures. Standard errors from the spread between
seeds hold for these pictures only: on others, each network would have another accuracy, and so each
effect another size.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.effects.model_matrix import CURVATURE, INTERCEPT, cell_numbers, code_levels
from analysis.effects.result import Effects, fitted_columns
from analysis.errors import AnalysisError

Array = NDArray[np.float64]


def effects_over_pictures(effects: Effects, correct: NDArray[np.bool_] | Array) -> pd.DataFrame:
    """Return the standard errors of effects over seeds, over pictures, and over both.

    Parameters
    ----------
    effects : of an accuracy, fitted without blocks and on its own scale; R runs.
    correct : (R, P) whether the network of each of `Effects.runs` classified each picture
        correctly, in the order of the runs; every row is of the same P pictures. Numbers are
        taken as scores whose mean is the response.

    Returns
    -------
    One row per term, without the intercept: ``effect``; ``seeds``, the standard error over seeds
    for these pictures, as the effects model has it; ``pictures``, that over pictures for these
    networks; ``both``; ``df`` of ``both``; ``ci_low`` and ``ci_high`` of the effect over both. NaN
    if the effects model has no standard error.

    Raises
    ------
    AnalysisError
        If there are fewer than two pictures, or not one row per run.

    Notes
    -----
    An effect is a weighted sum of the runs' accuracies, so it is the mean over pictures of the same
    weighted sum z of answers, and its variance over pictures is that of z over P. This is what a
    bootstrap of pictures converges to; no resampling is needed. The variances over seeds and over
    pictures both contain the part that is of one network and one picture; it is estimated from the
    answers of networks of the same cell and taken off once. If no cell was trained twice, it cannot
    be estimated, and ``both`` is rather too large. The degrees of freedom are Satterthwaite's.

    References
    ----------
    Owen, A. B. (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1, 386-411: a crossed
    bootstrap of both counts the common part more than once.
    """
    runs, pictures = len(effects.runs), correct.shape[-1]
    if correct.shape != (runs, pictures) or pictures < 2:  # noqa: PLR2004 # a variance needs two
        raise AnalysisError(
            f"answers of {len(correct)} runs to {pictures} pictures, for {runs} runs: give the "
            "answers of every run to the same two or more pictures"
        )
    scores = np.asarray(correct, dtype=float)
    terms = effects.terms.drop(INTERCEPT)
    weights = _weights(effects)
    over_pictures = (weights @ scores).var(axis=1, ddof=1) / pictures
    common = weights**2 @ common_part(scores, _cells(effects)) / pictures
    over_seeds = (2 * terms["std_error"].to_numpy()) ** 2
    beyond = np.clip(over_pictures - common, 0, None)
    both = over_seeds + beyond
    with np.errstate(invalid="ignore", divide="ignore"):
        seeds_df = _seeds_df(effects)
        df = both**2 / (over_seeds**2 / seeds_df + beyond**2 / (pictures - 1))
    half = student.ppf(1 - effects.alpha / 2, df) * np.sqrt(both)
    effect = terms["effect"].to_numpy()
    return pd.DataFrame(
        {
            "effect": effect,
            "seeds": np.sqrt(over_seeds),
            "pictures": np.sqrt(over_pictures),
            "both": np.sqrt(both),
            "df": df,
            "ci_low": effect - half,
            "ci_high": effect + half,
        },
        index=terms.index,
    )


def common_part(scores: Array, cells: NDArray[np.intp]) -> Array:
    """Return for each run the variance of what is of one network and one picture, (R,).

    Within a cell, the variance of answers between networks has a part that is of the network, and
    this one. Cells with one run have the mean of the others, or 0.

    Parameters
    ----------
    scores : (R, P) the score of each run's network on each picture.
    cells : (R,) the number of each run's cell, from 0.
    """
    pictures = scores.shape[1]
    found = np.full(cells.max() + 1, np.nan)
    df = np.bincount(cells) - 1
    for cell in np.flatnonzero(df > 0):
        own = scores[cells == cell]
        within = own.var(axis=0, ddof=1).mean() - own.mean(axis=1).var(ddof=1)
        found[cell] = max(within * pictures / (pictures - 1), 0.0)
    known = df > 0
    pooled = float(np.average(found[known], weights=df[known])) if known.any() else 0.0
    return np.where(np.isnan(found), pooled, found)[cells]


def trained_twice(effects: Effects) -> bool:
    """Whether a cell was trained with two seeds or more."""
    return bool(np.bincount(_cells(effects)).max() > 1)


def _cells(effects: Effects) -> NDArray[np.intp]:
    return cell_numbers(code_levels(effects.runs, effects.factors))


def _weights(effects: Effects) -> Array:
    """Return the weight (p, R) of each run's response in each effect."""
    x = fitted_columns(effects)
    named = [i for i, name in enumerate(x) if name not in {INTERCEPT, CURVATURE}]
    return np.asarray(2 * np.linalg.pinv(x.to_numpy(dtype=float))[named])


def _seeds_df(effects: Effects) -> Array:
    """Return the degrees of freedom of the standard errors over seeds (p,), from their intervals.

    Welch's tests have other degrees of freedom for each effect, so they are those whose quantile
    the interval of the effects model has.
    """
    terms = effects.terms.drop(INTERCEPT)
    if effects.verdict.test != "welch":
        return np.full(len(terms), float(effects.residual_df))
    ratio = ((terms["ci_high"] - terms["coefficient"]) / terms["std_error"]).to_numpy()
    grid = np.linspace(1, effects.residual_df, 1000)
    limits = student.ppf(1 - effects.alpha / 2, grid)
    return np.asarray(np.interp(-ratio, -limits, grid))
