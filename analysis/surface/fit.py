"""Fitting a response surface, and its stationary point.

A factorial screen followed by a response surface is the procedure of Lujan-Moreno et al. (2018),
Expert Systems with Applications 109, 195-205, for random forests.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.effects.least_squares import Fit, fit_matrix
from analysis.effects.model_matrix import INTERCEPT, block_columns, code_levels, estimable
from analysis.errors import DesignError, NotEstimableError
from analysis.factors import Factor, Level
from analysis.runs.checks import checked_runs
from analysis.surface.result import WITH_SQUARES, Model, Stationary, Surface, Vector
from analysis.surface.warnings import surface_warnings

#: Curvature less than this share of the strongest is that of a ridge.
RIDGE = 0.1
#: A share of an interaction below this is zero except for rounding.
SHARE_TOLERANCE = 1e-9


def fit_surface(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    *,
    model: Model | None = "second",
    alpha: float = 0.05,
    block: str | None = None,
    coded: pd.DataFrame | None = None,
) -> Surface:
    """Fit a response surface by least squares on coded levels.

    Parameters
    ----------
    runs : one row per run: factors in natural units, and the response (NaN if the run failed).
    factors : k numeric factors.
    response : the column.
    model : ``first`` order, with ``interactions``, ``quadratic`` (main effects and quadratic terms)
        or ``second`` order; None: the second order if the runs can distinguish its terms, else
        quadratic.
    alpha : of the intervals and warnings.
    block : a column whose values are blocks; the intercept is that of the first.
    coded : (N, k) coded levels; by default those of the natural levels.

    Raises
    ------
    DesignError
        If a factor is categorical, or the table has no usable runs.
    NotEstimableError
        If the runs cannot distinguish the terms; the terms are named.

    References
    ----------
    Montgomery (2013), chapter 11; Myers, Montgomery and Anderson-Cook (2009), Response Surface
    Methodology, 3rd ed., chapters 5 and 6.
    """
    for factor in factors:
        if factor.scale == "categorical":
            raise DesignError(
                f"factor {factor.name}: categorical, so it has no surface; leave it out"
            )
    usable = checked_runs(runs, factors, response)
    levels = code_levels(usable, factors) if coded is None else coded.loc[usable.index]
    cells = [levels[name].round(9) for name in levels]
    blocks = pd.DataFrame(index=levels.index)
    if block:
        blocks = block_columns(usable[block], about="first")
        cells.append(usable[block])
    model = model or largest_model(levels, blocks)
    matrix = pd.concat([surface_matrix(levels, model), blocks], axis=1)
    fit = fit_matrix(matrix, usable[response], cells)
    if fit.aliased:
        aliased = ", ".join(term.term for term in fit.aliased)
        raise NotEstimableError(
            f"{len(usable)} runs cannot distinguish {aliased} from the "
            "other terms; add axial points, or fit the interactions only"
        )
    return _gathered(fit, usable, levels, factors, response, model, alpha)


def largest_model(levels: pd.DataFrame, blocks: pd.DataFrame | None = None) -> Model:
    """Return the model with quadratic terms that runs can distinguish: the second order, if any.

    Parameters
    ----------
    levels : (N, k) coded levels.
    blocks : (N, b) columns of the blocks.
    """
    second = pd.concat([surface_matrix(levels, "second"), blocks], axis=1)
    return "quadratic" if estimable(second)[1] else "second"


def _gathered(
    fit: Fit,
    usable: pd.DataFrame,
    levels: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    model: Model,
    alpha: float,
) -> Surface:
    plain = Surface(
        factors=tuple(factors),
        response=response,
        model=model,
        terms=fit.terms(alpha),
        anova=fit.anova(),
        residual_df=fit.df,
        r_squared=fit.r_squared,
        r_squared_adjusted=fit.r_squared_adjusted,
        press=fit.press,
        r_squared_predicted=fit.r_squared_predicted,
        stationary=None,
        radius=float(np.sqrt((levels.to_numpy() ** 2).sum(axis=1)).max()),
        runs=fit.with_residuals(usable),
    )
    point = stationary_point(plain) if model in WITH_SQUARES else None
    biased = _biased_by_interactions(levels) if model == "quadratic" else ()
    warnings = surface_warnings(plain, point, alpha, biased)
    return replace(plain, stationary=point, warnings=warnings)


def _biased_by_interactions(levels: pd.DataFrame) -> tuple[str, ...]:
    """Return the factors whose main effects contain interactions that are not in the model.

    By the alias matrix of Montgomery (2013), section 10.7 (supplement S8.1).
    """
    fitted, every = surface_matrix(levels, "quadratic"), surface_matrix(levels, "interactions")
    left_out = every.drop(columns=[name for name in fitted if name in every])
    shares, *_ = np.linalg.lstsq(fitted.to_numpy(), left_out.to_numpy(), rcond=None)
    contains = np.abs(shares).max(axis=1, initial=0) > SHARE_TOLERANCE
    return tuple(str(name) for name in fitted.columns[contains] if name in levels)


def surface_matrix(coded: pd.DataFrame, model: Model = "second") -> pd.DataFrame:
    """Return intercept, first-order, interaction and quadratic columns, (N, p) by name."""
    names = [str(name) for name in coded.columns]
    columns = {INTERCEPT: np.ones(len(coded)), **{n: coded[n].to_numpy(float) for n in names}}
    if model in {"interactions", "second"}:
        columns |= {f"{a}:{b}": columns[a] * columns[b] for a, b in combinations(names, 2)}
    if model in WITH_SQUARES:
        columns |= {f"{name}^2": columns[name] ** 2 for name in names}
    return pd.DataFrame(columns, index=coded.index)


def stationary_point(surface: Surface) -> Stationary | None:
    """Return the stationary point with its canonical analysis; None if there is none.

    x = -B^-1 b / 2; the eigenvalues of B give its kind: Montgomery (2013), section 11.3.
    """
    values, vectors = np.linalg.eigh(surface.quadratic)
    values, vectors = values[::-1], vectors[:, ::-1]
    strongest = float(np.abs(values).max())
    if not strongest or np.abs(values).min() < 1e-9 * strongest:
        return None
    at = np.asarray(-0.5 * np.linalg.solve(surface.quadratic, surface.gradient), dtype=float)
    kind = "maximum" if (values < 0).all() else "minimum" if (values > 0).all() else "saddle"
    ridge = tuple(i for i, value in enumerate(values) if abs(value) < RIDGE * strongest)
    return Stationary(
        coded={f.name: float(x) for f, x in zip(surface.factors, at, strict=True)},
        natural=natural_levels(surface.factors, at),
        predicted=float(surface.predict(at)[0]),
        eigenvalues=values,
        eigenvectors=vectors,
        kind=kind,
        ridge=ridge,
        inside=float(np.linalg.norm(at)) <= surface.radius,
    )


def natural_levels(factors: Sequence[Factor], coded: Vector) -> dict[str, float]:
    """Return natural levels; those of an integer factor are not rounded."""
    free = [
        Factor(f.name, f.low, f.high, "linear" if f.scale == "integer" else f.scale)
        for f in factors
    ]
    return {f.name: _float(f.decode(float(x))) for f, x in zip(free, coded, strict=True)}


def _float(level: Level) -> float:
    return float(level)
