"""The path of steepest ascent, and ridge analysis."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from analysis.errors import AnalysisError
from analysis.surface.fit import natural_levels
from analysis.surface.result import WITH_SQUARES, Surface, Vector


def steepest_ascent(
    surface: Surface,
    *,
    steps: int = 5,
    base: str | None = None,
    step: float = 1.0,
    maximise: bool = True,
) -> pd.DataFrame:
    """Return the path of steepest ascent from the centre, one row per step.

    Parameters
    ----------
    surface : the fit. For a second-order surface the path is that of ridge analysis: the best point
        at each distance.
    steps : how many points after the centre.
    base : the factor whose coded step is `step`; by default the one with the largest coefficient.
        For a second-order surface `step` is the distance between points.
    step : in coded units.
    maximise : whether to go to higher responses.

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
    second = surface.model in WITH_SQUARES
    if not np.any(surface.gradient) and not (second and np.any(surface.quadratic)):
        raise AnalysisError(
            "the surface is flat: it has no direction of ascent; run a wider range of levels"
        )
    if second:
        points = [_ridge(surface, step * i, sign) for i in range(steps + 1)]
    else:
        points = [_delta(surface, base) * step * i * sign for i in range(steps + 1)]
    return _path(surface, points)


def _delta(surface: Surface, base: str | None) -> Vector:
    """Return the coded step of each factor for one unit of the base factor."""
    names = [f.name for f in surface.factors]
    if base is not None and base not in names:
        raise AnalysisError(
            f"steepest ascent on {base}: not a factor; there are {', '.join(names)}"
        )
    b = surface.gradient
    at = int(np.argmax(np.abs(b))) if base is None else names.index(base)
    if not b[at]:
        raise AnalysisError(
            f"steepest ascent on {base}: its coefficient is zero; name another factor"
        )
    return np.asarray(b / abs(b[at]))


def _ridge(surface: Surface, radius: float, sign: float) -> Vector:
    """Return the best point at a distance: (B - mu I) x = -b / 2 with mu beyond all eigenvalues.

    If the centre is the stationary point, b is zero, and the best point is on the axis on which the
    response rises most, or falls least.
    """
    b, quadratic = sign * surface.gradient, sign * surface.quadratic
    if not radius:
        return np.zeros(len(b))
    if not np.any(b):
        axis = np.linalg.eigh(quadratic)[1][:, -1]
        return np.asarray(radius * axis * np.sign(axis[np.argmax(np.abs(axis))]))

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
            **natural_levels(surface.factors, point),
            "predicted": float(surface.predict(point)[0]),
        }
        for i, point in enumerate(points)
    ]
    return pd.DataFrame(rows)
