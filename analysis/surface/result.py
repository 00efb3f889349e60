"""A fitted response surface and its stationary point."""

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.effects.caution import Caution
from analysis.effects.model_matrix import INTERCEPT
from analysis.factors import Factor

Model = Literal["first", "interactions", "quadratic", "second"]
#: The models with quadratic terms: that of all terms up to the second order, and that without
#: interactions, which a definitive screening design allows.
WITH_SQUARES: tuple[Model, ...] = ("second", "quadratic")
Vector = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Stationary:
    """The stationary point of a second-order surface, with its canonical analysis.

    Attributes
    ----------
    coded, natural : the point; natural levels are not rounded.
    predicted : response there.
    eigenvalues : (k,) of the quadratic part, largest first: curvature along each axis.
    eigenvectors : (k, k), one column per eigenvalue.
    kind : ``maximum``, ``minimum`` or ``saddle``.
    ridge : axes along which the response changes very little, numbered from 0.
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
    terms : one row per term (``x``, ``x^2``, ``x:y``): coefficient, std_error, t, p, ci_low,
        ci_high, sum_of_squares.
    anova : model, blocks, residual, lack of fit, pure error, total: df, sum_of_squares,
        mean_square, f, p.
    stationary : None for a model without quadratic terms.
    radius : coded distance of the farthest run from the centre.
    warnings : reasons to trust the surface less, see `analysis.surface.warnings`.
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
    warnings: tuple[Caution, ...] = ()

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
