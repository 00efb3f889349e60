"""The effects model of a two-level design, fitted on coded levels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from analysis.effects import verdict as verdicts
from analysis.effects.least_squares import Fit, fit_matrix
from analysis.effects.lenth import FEWEST, Lenth, lenth
from analysis.effects.model_matrix import (
    CURVATURE,
    INTERCEPT,
    SPOILT,
    block_columns,
    code_levels,
    model_matrix,
)
from analysis.effects.response_scale import Transform, transformed
from analysis.effects.result import Effects, Half
from analysis.effects.verdict import ENOUGH_ERROR_DF, Verdict
from analysis.effects.warnings import effect_warnings
from analysis.errors import AnalysisError, NotEstimableError
from analysis.factors import Factor, Level
from analysis.runs.checks import centre_points, checked_order, checked_runs, checked_terms

#: Beyond so many factors only two-way interactions are looked at.
MOST_FOR_ALL_ORDERS = 7


def fit_effects(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    *,
    order: int | None = None,
    terms: Sequence[str] | None = None,
    alpha: float = 0.05,
    block: str | None = None,
    transform: Transform = "raw",
    images: int | None = None,
) -> Effects:
    """Fit main effects and interactions by least squares on coded levels.

    Parameters
    ----------
    runs : a row a run: factors in natural units, and the response (NaN where the run failed). A
        column ``collapsed`` names the runs that learnt nothing.
    factors : k factors.
    response : the column.
    order : the highest interaction; by default k where cells were run again, else k - 1, which
        leaves the highest to the residual; 1 in a design too small for interactions.
    terms : exactly the terms to fit (``a``, ``a:b``), instead of an order.
    alpha : of the verdict and the intervals.
    block : a column whose values are blocks, a seed shared by all cells for one.
    transform, images : the response's scale, see `analysis.effects.response_scale.transformed`.

    Raises
    ------
    DesignError
        If there is no run, the response never changes or is no number, or a factor has other
        levels than its two and one between them.
    NotEstimableError
        If no effect can be estimated, or a term asked for cannot be told from another.

    Notes
    -----
    Where cells are missing, or the design is a fraction, terms are taken in rising order as long
    as the runs can tell them apart; the others are named in `Effects.lost` with the terms they
    hide in. Nothing is filled in. Centre points have an indicator of their own, so that the
    factorial effects are those of the corners; its effect is their distance from the model's
    figure at their true coded levels (integers are rounded).

    References
    ----------
    Montgomery, D. C. (2013), Design and Analysis of Experiments, 8th ed., chapter 6 (6.8 for centre
    points), 7.2 for blocks, 10.7 for aliases.
    """
    usable = checked_runs(runs, factors, response)
    y = transformed(usable[response], transform, images=images)
    coded = code_levels(usable, factors)
    base = _base(coded, factors, usable[block] if block else None)
    if terms is not None:
        terms = checked_terms(terms, factors)
        order = max(term.count(":") + 1 for term in terms)
    asked = _default_order(coded, base) if order is None else checked_order(order)
    highest = min(asked, len(factors))
    cells = [coded[name].round(9) for name in coded] + ([usable[block]] if block else [])
    fit = fit_matrix(_with_terms(base, coded, highest, terms), y, cells)
    _check_asked(fit, terms)
    every = _every_order(coded, base) or highest
    same = highest == every and terms is None
    whole = fit if same else fit_matrix(_with_terms(base, coded, every), y, cells)
    effects = _gathered(fit, whole, usable, factors, response, highest, alpha, transform)
    effects = replace(effects, half=_half(effects, block, images))
    return replace(effects, warnings=effect_warnings(effects, runs))


def _gathered(
    fit: Fit,
    whole: Fit,
    usable: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    order: int,
    alpha: float,
    transform: Transform,
) -> Effects:
    terms = _terms(fit, alpha)
    contrasts, scores, judged = _lenth(whole, alpha)
    return Effects(
        factors=tuple(factors),
        response=response,
        order=order,
        alpha=alpha,
        terms=terms,
        anova=fit.anova(),
        contrasts=contrasts,
        residual_df=fit.df,
        r_squared=fit.r_squared,
        r_squared_adjusted=fit.r_squared_adjusted,
        press=fit.press,
        r_squared_predicted=fit.r_squared_predicted,
        lenth=judged,
        verdict=_judge(terms, fit, scores, judged, alpha),
        runs=fit.with_residuals(usable),
        transform=transform,
        lost=tuple(whole.lost),
    )


def _base(
    coded: pd.DataFrame, factors: Sequence[Factor], blocks: "pd.Series[Any] | None"
) -> pd.DataFrame:
    """Return the columns that every model has: intercept, blocks, centre points."""
    columns = [pd.DataFrame({INTERCEPT: 1.0}, index=coded.index)]
    if blocks is not None:
        columns.append(block_columns(blocks, about="mean"))
    centre = centre_points(coded, factors)
    if centre.any():
        columns.append(pd.DataFrame({CURVATURE: centre.astype(float)}))
    return pd.concat(columns, axis=1)


def _with_terms(
    base: pd.DataFrame, coded: pd.DataFrame, order: int, terms: Sequence[str] | None = None
) -> pd.DataFrame:
    matrix = model_matrix(coded, order).drop(columns=INTERCEPT)
    return pd.concat([base, matrix if terms is None else matrix[list(terms)]], axis=1)


def _check_asked(fit: Fit, terms: Sequence[str] | None) -> None:
    """Refuse a model whose every term was asked for, where one cannot be told from another."""
    lost = [term for term in fit.lost if terms is not None and term.term in terms]
    if lost:
        raise NotEstimableError(
            f"these runs cannot tell {lost[0].term} apart ({lost[0].words}): ask for one of them, "
            "or run more cells"
        )


def _every_order(coded: pd.DataFrame, base: pd.DataFrame) -> int:
    """Return the order up to which Lenth's method judges; 0 where it can judge the model alone.

    Those are the designs, Plackett and Burman's for one, in which main effects hold shares of
    interactions.
    """
    k = coded.shape[1]
    return (k if k <= MOST_FOR_ALL_ORDERS else 2) if _tells(coded, base) else 0


def _default_order(coded: pd.DataFrame, base: pd.DataFrame) -> int:
    k = coded.shape[1]
    if not _tells(coded, base):
        return 1
    if k > MOST_FOR_ALL_ORDERS:
        return 2
    again = len(coded.round(9).drop_duplicates()) < len(coded)
    return k if k == 1 or (again and _is_whole(coded, base)) else k - 1


def _tells(coded: pd.DataFrame, base: pd.DataFrame) -> bool:
    """Whether interactions can be looked at: most cells were run, or a regular fraction."""
    return _is_whole(coded, base) or _regular(_corners(coded, base))


def _is_whole(coded: pd.DataFrame, base: pd.DataFrame) -> bool:
    cells = len(_corners(coded, base).round(9).drop_duplicates())
    return bool(2 * cells > 2 ** coded.shape[1])


def _corners(coded: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    return coded if CURVATURE not in base else coded[base[CURVATURE] == 0]


def _regular(corners: pd.DataFrame) -> bool:
    """Whether any two of main effects and two-way interactions are apart, or one and the same.

    A run that failed spoils that a little, a design of Plackett and Burman's (1/3 and more) a lot.
    """
    columns = model_matrix(corners, 2).to_numpy()[:, 1:]
    alike = np.abs(columns.T @ columns) / len(corners)
    return bool(((alike < SPOILT) | (alike > 1 - SPOILT)).all())


def _terms(fit: Fit, alpha: float) -> pd.DataFrame:
    table = fit.terms(alpha)
    table.insert(1, "effect", 2 * table["coefficient"])
    table.loc[INTERCEPT, ["effect", "sum_of_squares"]] = np.nan
    return table[[not _is_nuisance(str(name)) for name in table.index]]


def _is_nuisance(name: str) -> bool:
    return name == CURVATURE or name.startswith("block ")


def _lenth(fit: Fit, alpha: float) -> tuple["pd.Series[float]", "pd.Series[float]", Lenth | None]:
    """Return the effects of all orders, the same over relative standard errors, and the margins."""
    at = [i for i, n in enumerate(fit.names) if n != INTERCEPT and not _is_nuisance(n)]
    effects = pd.Series(2 * fit.results.params[at], index=[fit.names[i] for i in at], dtype=float)
    covariance = fit.covariance[np.ix_(at, at)]
    spread = np.sqrt(np.diag(covariance))
    scores = effects / (spread / np.median(spread))
    if len(at) < FEWEST:
        return effects, scores, None
    correlation = covariance / np.outer(spread, spread)
    independent = np.allclose(correlation, np.eye(len(at)), atol=1e-6)
    judged = lenth(scores.tolist(), alpha=alpha, correlation=None if independent else correlation)
    return effects, scores, judged


def _judge(
    terms: pd.DataFrame,
    fit: Fit,
    scores: "pd.Series[float]",
    judged: Lenth | None,
    alpha: float,
) -> Verdict:
    if fit.df >= ENOUGH_ERROR_DF and not fit.exact:
        return verdicts.pooled(terms.drop(INTERCEPT), fit.df, fit.pure[1], alpha, judged)
    if judged is None:
        return verdicts.none(fit.df, alpha)
    return verdicts.by_lenth(scores, judged, fit.df, alpha, terms.drop(INTERCEPT))


def _half(effects: Effects, block: str | None, images: int | None) -> Half | None:
    """Fit the other factors where one level of a factor collapses in every run."""
    found = _collapsing(effects)
    if found is None:
        return None
    factor, working, dead, p = found
    runs, others = effects.runs, [f for f in effects.factors if f.name != factor.name]
    given = runs.drop(columns=["fitted", "residual", "studentised"])
    try:
        part = fit_effects(
            given[runs[factor.name] == working],
            others,
            effects.response,
            order=min(effects.order, len(others))
            if effects.residual_df >= ENOUGH_ERROR_DF
            else None,
            alpha=effects.alpha,
            block=block,
            transform=effects.transform,
            images=images,
        )
    except AnalysisError:  # too little is left in this half: the whole stands alone
        return None
    return Half(factor.name, working, dead, part, p)


def _collapsing(effects: Effects) -> tuple[Factor, Level, Level, float] | None:
    """Return the factor with a level at which every run collapsed: factor, other, level, p.

    Of several, the one that tells best which runs collapse.
    """
    if "collapsed" not in effects.runs or len(effects.factors) == 1:
        return None
    fallen = effects.runs["collapsed"].astype(bool)
    found = []
    for factor in effects.factors:
        levels = effects.runs[factor.name]
        for working, dead in (factor.levels, factor.levels[::-1]):
            at, other = fallen[levels == dead], fallen[levels == working]
            if at.any() and at.all() and not other.all():
                counts = [[at.sum(), 0], [other.sum(), (~other).sum()]]
                found.append((factor, working, dead, float(fisher_exact(counts).pvalue)))
    return min(found, key=lambda one: one[-1], default=None)
