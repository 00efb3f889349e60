"""Response surfaces for the last mile: second-order designs, fits, and where they lead.

The two-step way, a factorial screen and then a response surface, is that of Lujan-Moreno et al.
(2018), Expert Systems with Applications 109, 195-205, for random forests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from analysis.errors import AnalysisError, DesignError, NotEstimableError
from analysis.factors import Factor, Level
from analysis.fitting import Fit, fit_matrix
from analysis.matrix import INTERCEPT, block_columns, code
from analysis.runs import checked_runs

Model = Literal["first", "interactions", "second"]
Vector = NDArray[np.floating[Any]]

#: Curvature less than this share of the strongest is that of a ridge.
RIDGE = 0.1


@dataclass(frozen=True)
class Stationary:
    """Where a second-order surface is level, and what lies around it.

    Attributes
    ----------
    coded, natural : the point; natural levels are not rounded.
    predicted : response there.
    eigenvalues : (k,) of the quadratic part, largest first: curvature along each axis.
    eigenvectors : (k, k), a column an eigenvalue.
    kind : ``maximum``, ``minimum`` or ``saddle``.
    ridge : axes along which the response hardly changes, numbered from 0.
    inside : whether it lies no farther from the centre than the farthest run.
    """

    coded: dict[str, float]
    natural: dict[str, float]
    predicted: float
    eigenvalues: Vector
    eigenvectors: Vector
    kind: str
    ridge: tuple[int, ...]
    inside: bool


@dataclass(frozen=True)
class Surface:
    """A fitted response surface, in coded units.

    Attributes
    ----------
    terms : a row a term (``x``, ``x^2``, ``x:y``): coefficient, std_error, t, p, ci_low, ci_high,
        sum_of_squares.
    anova : model, blocks, residual, lack of fit, pure error, total: df, sum_of_squares,
        mean_square, f, p.
    stationary : None for a model without quadratic terms.
    radius : coded distance of the farthest run from the centre.
    warnings : what bears on the use of it.
    """

    factors: tuple[Factor, ...]
    response: str
    model: Model
    terms: pd.DataFrame
    anova: pd.DataFrame
    residual_df: int
    r_squared: float
    r_squared_adjusted: float
    press: float
    r_squared_predicted: float
    stationary: Stationary | None
    radius: float
    runs: pd.DataFrame = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def gradient(self) -> Vector:
        """The first-order coefficients (k,), the direction of steepest ascent from the centre."""
        return np.array([self._coefficient(f.name) for f in self.factors])

    @property
    def quadratic(self) -> Vector:
        """The symmetric matrix (k, k) of the second-order part: interactions are halved."""
        names = [f.name for f in self.factors]
        matrix = np.diag([self._coefficient(f"{name}^2") for name in names])
        for i, j in combinations(range(len(names)), 2):
            matrix[i, j] = matrix[j, i] = self._coefficient(f"{names[i]}:{names[j]}") / 2
        return matrix

    def _coefficient(self, term: str) -> float:
        return float(self.terms["coefficient"].to_dict().get(term, 0.0))

    def predict(self, coded: Vector) -> Vector:
        """Return the response at coded points (N, k) -> (N,), in the first block."""
        points = np.atleast_2d(coded)
        second = np.einsum("ij,jk,ik->i", points, self.quadratic, points)
        return np.asarray(self._coefficient(INTERCEPT) + points @ self.gradient + second)


def fit_surface(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    *,
    model: Model = "second",
    alpha: float = 0.05,
    block: str | None = None,
    coded: pd.DataFrame | None = None,
) -> Surface:
    """Fit a response surface by least squares on coded levels.

    Parameters
    ----------
    runs : a row a run: factors in natural units, and the response (NaN where the run failed).
    factors : k numeric factors.
    response : the column.
    model : ``first`` order, with ``interactions``, or ``second`` order.
    alpha : of the intervals and warnings.
    block : a column whose values are blocks; the intercept is that of the first.
    coded : coded levels, where they are known better than natural ones tell.

    Raises
    ------
    DesignError
        If a factor is categorical, or the table is none.
    NotEstimableError
        If the runs cannot tell the terms apart; they are named.

    References
    ----------
    Montgomery (2013), chapter 11; Myers, Montgomery and Anderson-Cook (2009), Response Surface
    Methodology, 3rd ed., chapters 5 and 6.
    """
    for factor in factors:
        if factor.scale == "categorical":
            raise DesignError(f"factor {factor.name}: categorical, so it has no surface; fix it")
    usable = checked_runs(runs, factors, response)
    levels = code(usable, factors) if coded is None else coded.loc[usable.index]
    matrix = surface_matrix(levels, model)
    cells = [levels[name].round(9) for name in levels]
    if block:
        matrix = pd.concat([matrix, block_columns(usable[block], about="first")], axis=1)
        cells.append(usable[block])
    fit = fit_matrix(matrix, usable[response], cells)
    if fit.lost:
        raise NotEstimableError(
            f"{len(usable)} runs cannot tell {', '.join(x.term for x in fit.lost)} from the other "
            "terms; add axial points, or fit interactions alone"
        )
    return _gathered(fit, usable, levels, factors, response, model, alpha)


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
    point = stationary_point(plain) if model == "second" else None
    return replace(plain, stationary=point, warnings=tuple(_warnings(plain, point, alpha)))


def surface_matrix(coded: pd.DataFrame, model: Model = "second") -> pd.DataFrame:
    """Return intercept, first-order, interaction and quadratic columns, (N, p) by name."""
    names = [str(name) for name in coded.columns]
    columns = {INTERCEPT: np.ones(len(coded)), **{n: coded[n].to_numpy(float) for n in names}}
    if model != "first":
        columns |= {f"{a}:{b}": columns[a] * columns[b] for a, b in combinations(names, 2)}
    if model == "second":
        columns |= {f"{name}^2": columns[name] ** 2 for name in names}
    return pd.DataFrame(columns, index=coded.index)


def stationary_point(surface: Surface) -> Stationary | None:
    """Return the stationary point with its canonical analysis; None where there is none.

    x = -B^-1 b / 2, the eigenvalues of B say what it is: Montgomery (2013), section 11.3.
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
        natural=_natural(surface.factors, at),
        predicted=float(surface.predict(at)[0]),
        eigenvalues=values,
        eigenvectors=vectors,
        kind=kind,
        ridge=ridge,
        inside=float(np.linalg.norm(at)) <= surface.radius,
    )


def _natural(factors: Sequence[Factor], coded: Vector) -> dict[str, float]:
    """Return natural levels, between whole numbers too."""
    free = [
        Factor(f.name, f.low, f.high, "linear" if f.scale == "integer" else f.scale)
        for f in factors
    ]
    return {f.name: _float(f.decode(float(x))) for f, x in zip(free, coded, strict=True)}


def _float(level: Level) -> float:
    return float(level)


def _warnings(surface: Surface, point: Stationary | None, alpha: float) -> list[str]:
    lines = []
    lack = float(surface.anova["p"].to_dict().get("lack of fit", float("nan")))
    if lack < alpha:
        lines.append(
            f"the {surface.model}-order model does not fit (lack of fit p = {lack:.2g}): do not "
            "follow it; take a smaller region, or another scale of the response"
        )
    if surface.model == "second" and point is None:
        lines.append("no stationary point: the surface is a ridge that rises; follow it uphill")
    if point is not None:
        lines += _about(point, surface)
    return lines


def _about(point: Stationary, surface: Surface) -> list[str]:
    lines = []
    if not point.inside:
        lines.append(
            f"the {point.kind} lies outside the region that was run (coded radius "
            f"{surface.radius:.2f}): move the region along the steepest ascent"
        )
    if point.ridge:
        names = [_direction(point.eigenvectors[:, i], surface.factors) for i in point.ridge]
        lines.append(
            f"a ridge: along {'; '.join(names)} the response hardly changes, so the best is a line "
            "of levels and the cheapest on it will do"
        )
    return lines


def _direction(vector: Vector, factors: Sequence[Factor]) -> str:
    parts = [f"{x:+.2f} {f.name}" for x, f in zip(vector, factors, strict=True) if abs(x) > 0.1]  # noqa: PLR2004 # a part that shows
    return " ".join(parts)


def steepest_ascent(
    surface: Surface,
    *,
    steps: int = 5,
    base: str | None = None,
    step: float = 1.0,
    maximise: bool = True,
) -> pd.DataFrame:
    """Return the path of steepest ascent from the centre, a row a step.

    Parameters
    ----------
    surface : the fit. Of a second-order one the path is that of ridge analysis: the best point at
        each distance.
    steps : how many, after the centre.
    base : the factor whose coded step is `step`; by default that of the largest coefficient. For a
        second-order surface `step` is the distance itself.
    step : in coded units.
    maximise : whether to go up.

    Returns
    -------
    Columns ``step``, ``distance`` (coded), for each factor its coded level ``coded NAME`` and its
    natural level ``NAME``, and ``predicted``.

    Raises
    ------
    AnalysisError
        If the surface is flat, or there is no such factor.

    References
    ----------
    Montgomery (2013), section 11.2. Draper, N. R. (1963), "Ridge analysis" of response surfaces,
    Technometrics 5, 469-479.
    """
    sign = 1.0 if maximise else -1.0
    if not np.any(surface.gradient):
        raise AnalysisError("a flat surface: no direction of ascent; run a wider range of levels")
    if surface.model == "second":
        points = [_ridge(surface, step * i, sign) for i in range(steps + 1)]
    else:
        points = [_delta(surface, base) * step * i * sign for i in range(steps + 1)]
    return _path(surface, points)


def _delta(surface: Surface, base: str | None) -> Vector:
    """Return the coded step of each factor for one unit of the base factor."""
    names = [f.name for f in surface.factors]
    if base is not None and base not in names:
        raise AnalysisError(f"steepest ascent on {base}: no factor; there are {', '.join(names)}")
    b = surface.gradient
    at = int(np.argmax(np.abs(b))) if base is None else names.index(base)
    if not b[at]:
        raise AnalysisError(f"steepest ascent on {base}: its coefficient is nil; name another")
    return np.asarray(b / abs(b[at]))


def _ridge(surface: Surface, radius: float, sign: float) -> Vector:
    """Return the best point at a distance: (B - mu I) x = -b / 2 with mu beyond all eigenvalues."""
    b, quadratic = sign * surface.gradient, sign * surface.quadratic
    if not radius:
        return np.zeros(len(b))

    def point(mu: float) -> Vector:
        return np.asarray(np.linalg.solve(quadratic - mu * np.eye(len(b)), -b / 2))

    top = float(np.linalg.eigvalsh(quadratic).max())
    low, high = top + 1e-9 * (1 + abs(top)), top + np.linalg.norm(b) / radius + 1e-6
    if np.linalg.norm(point(low)) < radius:  # b has no part along the steepest axis
        return point(low) * radius / float(np.linalg.norm(point(low)))
    return point(float(brentq(lambda mu: np.linalg.norm(point(mu)) - radius, low, high)))


def _path(surface: Surface, points: list[Vector]) -> pd.DataFrame:
    rows = [
        {
            "step": i,
            "distance": float(np.linalg.norm(point)),
            **{f"coded {f.name}": float(x) for f, x in zip(surface.factors, point, strict=True)},
            **_natural(surface.factors, point),
            "predicted": float(surface.predict(point)[0]),
        }
        for i, point in enumerate(points)
    ]
    return pd.DataFrame(rows)


def explain(surface: Surface) -> list[str]:
    """Return what the surface says in words, a line each."""
    lines = [f"R^2 = {surface.r_squared:.4f}, {surface.residual_df} residual degrees of freedom"]
    point = surface.stationary
    if point is not None:
        levels: Mapping[str, float] = point.natural
        where = ", ".join(f"{name} = {level:.6g}" for name, level in levels.items())
        lines.append(f"{point.kind} at {where}: {point.predicted:.4f}")
    return [*lines, *surface.warnings]
