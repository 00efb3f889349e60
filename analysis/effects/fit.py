"""The effects model of a two-level design, fitted on coded levels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.effects import verdict as verdicts
from analysis.effects.box_meyer import box_meyer
from analysis.effects.collapse import collapse_by_level
from analysis.effects.least_squares import FITTED, RESIDUAL, STUDENTISED, Fit, fit_matrix
from analysis.effects.lenth import FEWEST_EFFECTS, Lenth, lenth
from analysis.effects.model_matrix import (
    BLOCK,
    CURVATURE,
    INTERCEPT,
    REGULAR_TOLERANCE,
    block_columns,
    cell_numbers,
    code_levels,
    columns_of_term,
    estimable,
    model_matrix,
)
from analysis.effects.response_scale import Transform, transform_response
from analysis.effects.result import Collapse, Effects
from analysis.effects.unequal_spread import UNEQUAL_P, CellSpreads, cell_spreads
from analysis.effects.verdict import ENOUGH_ERROR_DF, Verdict
from analysis.effects.warnings import effect_warnings
from analysis.errors import AnalysisError, NotEstimableError
from analysis.factors import Factor, Level, count_of_different_cells
from analysis.runs.checks import centre_points, checked_order, checked_runs, checked_terms

#: With more factors, only interactions up to two-way are fitted and judged by default.
MAX_FACTORS_ALL_ORDERS = 7


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
    constant: bool = False,
    equal_spread: bool = False,
) -> Effects:
    """Fit main effects and interactions by least squares on coded levels.

    Parameters
    ----------
    runs : one row per run: factors in natural units, and the response (NaN if the run failed). A
        column ``collapsed`` marks the runs that learnt nothing.
    factors : k factors.
    response : name of its column.
    order : number of factors in the highest interaction; by default k if cells were replicated,
        else k - 1, which leaves the highest interaction to the residual; 1 in a design too small
        for interactions.
    terms : exactly the terms to fit (``a``, ``a:b``), instead of an order.
    alpha : significance level of the verdict and the intervals.
    block : a column whose values are blocks, for example a seed shared by all cells.
    transform, images : scale of the response, see
        `analysis.effects.response_scale.transform_response`.
    constant : whether the response may be the same in all runs: every effect is then 0, and none
        is active.
    equal_spread : whether all cells are taken to have the same spread. By default, if runs of the
        same cell show that it is unequal, standard errors and tests are those of
        `analysis.effects.unequal_spread`.

    Raises
    ------
    DesignError
        If there is no run, the response never changes or is not a number, or a factor has other
        levels than its two and one between them.
    NotEstimableError
        If no effect can be estimated, or a term in `terms` is aliased with another.

    Notes
    -----
    If cells are missing, or the design is a fraction, terms are taken in rising order as long as
    the runs can distinguish them; the others are listed in `Effects.aliased` with the terms that
    contain them. No missing value is imputed. Centre points have an indicator variable, so that the
    factorial effects are those of the corners; its coefficient is their distance from the model's
    prediction at their true coded levels (integers are rounded).

    References
    ----------
    Montgomery, D. C. (2013), Design and Analysis of Experiments, 8th ed., chapter 6 (6.8 for centre
    points), 7.2 for blocks, 10.7 for aliases.
    """
    usable = checked_runs(runs, factors, response, constant=constant)
    y = transform_response(usable[response], transform, images=images)
    coded = code_levels(usable, factors)
    nuisance = _nuisance_columns(coded, factors, usable[block] if block else None)
    if terms is not None:
        terms = checked_terms(terms, factors)
        order = max(term.count(":") + 1 for term in terms)
        terms = [column for term in terms for column in columns_of_term(term, factors)]
    requested = _default_order(coded, nuisance, factors) if order is None else checked_order(order)
    highest = min(requested, len(factors))
    cells = [coded[name].round(9) for name in coded] + ([usable[block]] if block else [])
    fit = fit_matrix(_with_terms(nuisance, coded, factors, highest, terms), y, cells)
    _check_terms_are_estimable(fit, terms)
    judged_order = _lenth_order(coded, nuisance, factors) or highest
    same = highest == judged_order and terms is None
    every = _with_terms(nuisance, coded, factors, judged_order)
    judged = fit if same else fit_matrix(every, y, cells)
    spreads = None if equal_spread or fit.exact else _spreads(fit, coded, nuisance)
    effects = _effects_of_fit(
        fit, judged, spreads, usable, factors, response, highest, alpha, transform
    )
    effects = _in_two_parts(effects, block, images, equal_spread=equal_spread)
    return replace(effects, warnings=effect_warnings(effects, runs))


def _spreads(fit: Fit, coded: pd.DataFrame, nuisance: pd.DataFrame) -> CellSpreads | None:
    """Return the spread of the cells; None if too few cells were run twice."""
    blocks = nuisance[[name for name in nuisance if str(name).startswith(BLOCK)]].to_numpy()
    x, y = fit.results.model.exog, fit.results.model.endog
    return cell_spreads(x, y, cell_numbers(coded), blocks if blocks.shape[1] else None)


def _effects_of_fit(
    fit: Fit,
    judged: Fit,
    spreads: CellSpreads | None,
    usable: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    order: int,
    alpha: float,
    transform: Transform,
) -> Effects:
    """Return the effects of the model's fit, and of the fit of all orders that Lenth judges."""
    unequal = spreads is not None and spreads.p < UNEQUAL_P and fit.df >= ENOUGH_ERROR_DF
    terms = _terms_table(fit, alpha, spreads if unequal else None)
    contrasts, scores, margins = _lenth_margins(judged, alpha)
    verdict = _verdict(terms, fit, spreads, scores, margins, alpha)
    return Effects(
        factors=tuple(factors),
        response=response,
        order=order,
        alpha=alpha,
        terms=terms,
        anova=fit.anova({f.name: f.columns for f in factors if f.many_categories}),
        contrasts=contrasts,
        residual_df=fit.df,
        r_squared=fit.r_squared,
        r_squared_adjusted=fit.r_squared_adjusted,
        press=fit.press,
        r_squared_predicted=fit.r_squared_predicted,
        lenth=margins,
        verdict=verdict,
        posterior=_posterior(judged, scores) if verdict.test == "lenth" else None,
        runs=fit.with_residuals(usable),
        transform=transform,
        aliased=tuple(judged.aliased),
    )


def _nuisance_columns(
    coded: pd.DataFrame, factors: Sequence[Factor], blocks: "pd.Series[Any] | None"
) -> pd.DataFrame:
    """Return the columns that are in every model: intercept, blocks, centre points."""
    columns = [pd.DataFrame({INTERCEPT: 1.0}, index=coded.index)]
    if blocks is not None:
        columns.append(block_columns(blocks, about="mean"))
    centre = centre_points(coded, factors)
    if centre.any():
        columns.append(pd.DataFrame({CURVATURE: centre.astype(float)}))
    return pd.concat(columns, axis=1)


def _with_terms(
    nuisance: pd.DataFrame,
    coded: pd.DataFrame,
    factors: Sequence[Factor],
    order: int,
    terms: Sequence[str] | None = None,
) -> pd.DataFrame:
    matrix = model_matrix(coded, order, factors).drop(columns=INTERCEPT)
    return pd.concat([nuisance, matrix if terms is None else matrix[list(terms)]], axis=1)


def _check_terms_are_estimable(fit: Fit, terms: Sequence[str] | None) -> None:
    """Check that no requested term is aliased with another; nothing without requested terms."""
    aliased = [term for term in fit.aliased if terms is not None and term.term in terms]
    if aliased:
        raise NotEstimableError(
            f"these runs cannot distinguish {aliased[0].term} ({aliased[0].relation}): request "
            "only one of them, or run more cells"
        )


def _lenth_order(coded: pd.DataFrame, nuisance: pd.DataFrame, factors: Sequence[Factor]) -> int:
    """Return the order up to which Lenth's method judges effects; 0 for those of the model only.

    It is 0 in designs in which main effects contain shares of interactions, such as
    Plackett-Burman designs.
    """
    k = coded.shape[1]
    highest = 2 if _only_two_way(coded, nuisance, factors) else k
    return highest if _can_have_interactions(coded, nuisance, factors) else 0


def _default_order(coded: pd.DataFrame, nuisance: pd.DataFrame, factors: Sequence[Factor]) -> int:
    k = coded.shape[1]
    if not _can_have_interactions(coded, nuisance, factors):
        return 1
    if _only_two_way(coded, nuisance, factors):
        return min(k, 2)
    replicated = len(coded.round(9).drop_duplicates()) < len(coded)
    return k if k == 1 or (replicated and _has_most_cells(coded, nuisance, factors)) else k - 1


def _only_two_way(coded: pd.DataFrame, nuisance: pd.DataFrame, factors: Sequence[Factor]) -> bool:
    """Whether higher interactions are left out: of many factors, or of a mixed-level fraction.

    There the contrasts of a category are partly aliased with interactions of other factors.
    """
    if len(factors) > MAX_FACTORS_ALL_ORDERS:
        return True
    nested = any(f.many_categories or f.when for f in factors)
    return nested and not _has_most_cells(coded, nuisance, factors)


def _can_have_interactions(
    coded: pd.DataFrame, nuisance: pd.DataFrame, factors: Sequence[Factor]
) -> bool:
    """Whether interactions can be fitted: most cells were run, or a regular fraction."""
    return _has_most_cells(coded, nuisance, factors) or _is_regular(
        _corner_runs(coded, nuisance), factors
    )


def _has_most_cells(coded: pd.DataFrame, nuisance: pd.DataFrame, factors: Sequence[Factor]) -> bool:
    cells = len(_corner_runs(coded, nuisance).round(9).drop_duplicates())
    return 2 * cells > count_of_different_cells(factors)


def _corner_runs(coded: pd.DataFrame, nuisance: pd.DataFrame) -> pd.DataFrame:
    return coded if CURVATURE not in nuisance else coded[nuisance[CURVATURE] == 0]


def _is_regular(corners: pd.DataFrame, factors: Sequence[Factor]) -> bool:
    """Whether any two of the main effects and two-way interactions are orthogonal or aliased.

    A failed run disturbs that slightly; a Plackett-Burman design (correlations of 1/3 and more)
    does not have it at all. In a fraction with categories of three or more values, contrasts are
    partly aliased with interactions, so all of these terms must be estimable at once.
    """
    matrix = model_matrix(corners, 2, factors)
    if any(f.many_categories or f.when for f in factors):
        return len(corners) >= matrix.shape[1] and not estimable(matrix)[1]
    columns = matrix.to_numpy()[:, 1:]
    correlations = np.abs(columns.T @ columns) / len(corners)
    orthogonal, aliased = correlations < REGULAR_TOLERANCE, correlations > 1 - REGULAR_TOLERANCE
    return bool((orthogonal | aliased).all())


def _terms_table(fit: Fit, alpha: float, spreads: CellSpreads | None) -> pd.DataFrame:
    """Return the terms; with `spreads`, their standard errors and tests are those of Welch."""
    table = fit.terms(alpha)
    if spreads is not None:
        error, df = spreads.std_error, spreads.df
        t = table["coefficient"] / error
        half = student.ppf(1 - alpha / 2, df) * error
        table = table.assign(
            std_error=error,
            t=t,
            p=2 * student.sf(t.abs(), df),
            ci_low=table["coefficient"] - half,
            ci_high=table["coefficient"] + half,
        )
    table.insert(1, "effect", 2 * table["coefficient"])
    table.loc[INTERCEPT, ["effect", "sum_of_squares"]] = np.nan
    return table[[not _is_nuisance(str(name)) for name in table.index]]


def _is_nuisance(name: str) -> bool:
    return name == CURVATURE or name.startswith(BLOCK)


def _lenth_margins(
    fit: Fit, alpha: float
) -> tuple["pd.Series[float]", "pd.Series[float]", Lenth | None]:
    """Return the effects of all orders, these over relative standard errors, and the margins."""
    at = _judged_columns(fit)
    effects = pd.Series(2 * fit.coefficients[at], index=[fit.names[i] for i in at], dtype=float)
    covariance = fit.covariance[np.ix_(at, at)]
    spread = np.sqrt(np.diag(covariance))
    scores = effects / (spread / np.median(spread))
    if len(at) < FEWEST_EFFECTS:
        return effects, scores, None
    correlation = _correlation(covariance)
    margins = lenth(scores.tolist(), alpha=alpha, correlation=correlation)
    return effects, scores, margins


def _judged_columns(fit: Fit) -> list[int]:
    return [i for i, n in enumerate(fit.names) if n != INTERCEPT and not _is_nuisance(n)]


def _correlation(covariance: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the correlation of effects (m, m); None if they are independent."""
    spread = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(spread, spread)
    return None if np.allclose(correlation, np.eye(len(spread)), atol=1e-6) else correlation


def _posterior(fit: Fit, scores: "pd.Series[float]") -> pd.DataFrame | None:
    """Return Box and Meyer's probabilities by term; None if the effects are not independent."""
    at = _judged_columns(fit)
    covariance = fit.covariance[np.ix_(at, at)]
    if _correlation(covariance) is not None:
        return None
    # The variance of an effect, which is twice a coefficient, over that of a run.
    unit = 4 * float(np.median(np.diag(covariance)))
    found = box_meyer(scores.tolist(), residual=unit * fit.residual_squares, df=fit.df)
    return found.set_axis(scores.index)


def _verdict(
    terms: pd.DataFrame,
    fit: Fit,
    spreads: CellSpreads | None,
    scores: "pd.Series[float]",
    margins: Lenth | None,
    alpha: float,
) -> Verdict:
    if fit.df >= ENOUGH_ERROR_DF and not fit.exact:
        tested, pure_df = terms.drop(INTERCEPT), fit.pure_error[1]
        if spreads is None:
            return verdicts.pooled(tested, fit.df, pure_df, alpha, margins)
        p = float(spreads.p)
        if p >= UNEQUAL_P:
            return verdicts.pooled(tested, fit.df, pure_df, alpha, margins, spread_p=p)
        df = pd.Series(spreads.df, index=fit.names)[tested.index]
        return verdicts.by_welch(tested, df, fit.df, pure_df, p, alpha, margins)
    if not fit.total:
        return verdicts.none(fit.df, alpha, exact=True)
    exact = fit.exact and fit.df > 0
    if margins is None:
        return verdicts.none(fit.df, alpha, exact=exact)
    return verdicts.by_lenth(scores, margins, fit.df, alpha, terms.drop(INTERCEPT), exact=exact)


def _in_two_parts(
    effects: Effects, block: str | None, images: int | None, *, equal_spread: bool
) -> Effects:
    """Return the effects without a verdict on all runs, and with both parts, if some collapsed."""
    if "collapsed" not in effects.runs:
        return effects
    collapsed = effects.runs["collapsed"].astype(bool)
    if not collapsed.any():
        return effects
    untested = verdicts.none(effects.residual_df, effects.alpha, collapsed=int(collapsed.sum()))
    effects = replace(effects, verdict=untested, posterior=None)
    if collapsed.all():
        return effects
    levels, p = collapse_by_level(effects.runs, effects.factors, effects.alpha)
    always = _always_collapsing(levels, p)
    strongest, working, dead = always or (_strongest(effects), None, None)
    learned = _learned(effects, block, images, equal_spread=equal_spread)
    return replace(
        effects, collapse=Collapse(levels, p, strongest, working, dead, learned, effects.alpha)
    )


def _always_collapsing(
    levels: pd.DataFrame, p: "pd.Series[float]"
) -> tuple[str, Level, Level] | None:
    """Return the factor of two levels of which one always collapses: both levels, that one last.

    If there are several, the factor with the lowest p; None if there is none.
    """
    found = []
    for name, own in levels.groupby("factor", sort=False):
        dead = own["runs"].gt(0) & own["collapsed"].eq(own["runs"])
        two = len(own) == 2 and bool(own["runs"].gt(0).all())  # noqa: PLR2004 # levels
        if two and dead.sum() == 1:
            found.append((str(name), *own["level"][~dead], *own["level"][dead]))
    return min(found, key=lambda candidate: p[candidate[0]], default=None)


def _strongest(effects: Effects) -> str:
    """Return the factor with the largest main effect on all runs."""
    sizes = {
        f.name: effects.terms["effect"].reindex(list(f.columns)).abs().max()
        for f in effects.factors
    }
    return max(sizes, key=lambda name: float(np.nan_to_num(sizes[name])))


def _learned(
    effects: Effects, block: str | None, images: int | None, *, equal_spread: bool
) -> Effects | None:
    """Fit the runs that learned, with the factors that vary among them; None if they are too few.

    A cell without such a run is no surprise here, so it is no caution.
    """
    given = effects.runs.drop(columns=[FITTED, RESIDUAL, STUDENTISED])
    runs = given[~given["collapsed"].astype(bool)]
    varying = [f for f in effects.factors if len(runs[f.name].unique()) > 1]
    try:
        part = fit_effects(
            runs,
            varying,
            effects.response,
            order=min(effects.order, len(varying))
            if effects.residual_df >= ENOUGH_ERROR_DF
            else None,
            alpha=effects.alpha,
            block=block,
            transform=effects.transform,
            images=images,
            constant=True,
            equal_spread=equal_spread,
        )
    except AnalysisError:
        return None
    kept = tuple(caution for caution in part.warnings if caution.kind != "missing_cells")
    return replace(part, warnings=kept)
