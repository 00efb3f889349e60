"""Effects where a factor is hard to change: runs share a whole plot, for example a machine.

In a split-plot experiment the levels of some factors are set once for several runs, the whole plot.
These runs are no independent observations of such a factor. A random effect of the whole plot,
fitted by restricted maximum likelihood (REML), compares it with the variation between plots, and
the other factors with the variation within them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

from analysis.effects.model_matrix import INTERCEPT
from analysis.effects.result import Effects, fitted_columns
from analysis.errors import DesignError

Array = NDArray[np.float64]

#: The largest ratio of the variances, between whole plots and within them, that is looked at.
LARGEST_RATIO = 1e6
#: A ratio below this is none.
SMALLEST_RATIO = 1e-6
#: Relative step of the numerical derivatives of the likelihood.
STEP = 1e-3


@dataclass(frozen=True)
class WholePlots:
    """Effects with a random effect of whole plots.

    Attributes
    ----------
    terms : one row per term: coefficient, effect (twice the coefficient), std_error, df, t, p, and
        ci_low and ci_high of the effect, at `alpha`.
    column : the column of the whole plots.
    plots, runs : how many.
    between, within : standard deviations of the whole plots, and of the runs in them, in units of
        the response.
    alpha : of the intervals.
    """

    terms: pd.DataFrame
    column: str
    plots: int
    runs: int
    between: float
    within: float
    alpha: float


def whole_plot_effects(effects: Effects, column: str) -> WholePlots:
    """Fit the model of effects again, with a random effect of whole plots.

    Parameters
    ----------
    effects : a model without blocks.
    column : of its runs: the whole plot of each run.

    Raises
    ------
    DesignError
        See `fit_whole_plots`; and if the runs do not have the column, or one of them has no value,
        or if the effects are not those of the response itself.
    """
    if column not in effects.runs:
        known = ", ".join(map(str, effects.runs.columns))
        raise DesignError(f"no column {column!r} among: {known}; correct the name")
    if missing := int(effects.runs[column].isna().sum()):
        raise DesignError(
            f"{column}: {missing} of {len(effects.runs)} runs have no value; give the whole plot "
            "of each run"
        )
    if effects.transform != "raw":
        raise DesignError(f"{column}: whole plots need the response as it was measured")
    y = effects.runs[effects.response].tolist()
    plots = effects.runs[column].tolist()
    return fit_whole_plots(fitted_columns(effects), y, plots, column, effects.alpha)


def fit_whole_plots(
    matrix: pd.DataFrame, y: Sequence[float], plots: Sequence[Any], column: str, alpha: float = 0.05
) -> WholePlots:
    """Fit a linear model with a random effect of whole plots by REML.

    Parameters
    ----------
    matrix : (N, p) columns of the model, independent of each other.
    y : (N,) responses.
    plots : (N,) the whole plot of each run.
    column : what the whole plots are called in messages.

    Raises
    ------
    DesignError
        If there are fewer than two whole plots, if each run has its own, or if the model leaves no
        degree of freedom between whole plots, or none within them.

    Notes
    -----
    Degrees of freedom are Satterthwaite's: 2 v^2 / Var(v), where v is the variance of a coefficient
    and Var(v) follows from the observed information of the two variances. If no variation between
    whole plots is found, they are those of least squares.

    References
    ----------
    Goos, P. and Jones, B. (2011), Optimal Design of Experiments, Wiley, chapter 10. Patterson, H.
    D. and Thompson, R. (1971), Biometrika 58, 545-554. Giesbrecht, F. G. and Burns, J. C. (1985),
    Biometrics 41, 477-486.
    """
    labels = pd.factorize(pd.Series(list(plots)))[0]
    model = _Model(matrix.to_numpy(dtype=float), np.asarray(y, dtype=float), labels)
    _check(model, column)
    ratio = model.best_ratio()
    covariance, coefficients, squares = model.solve(ratio)
    within = squares / model.df
    variances = within * np.diag(covariance)
    df = model.satterthwaite(within, ratio) if ratio else np.full(len(variances), float(model.df))
    errors = np.sqrt(variances)
    t = coefficients / errors
    margins = 2 * student.ppf(1 - alpha / 2, df) * errors
    terms = pd.DataFrame(
        {
            "coefficient": coefficients,
            "effect": 2 * coefficients,
            "std_error": errors,
            "df": df,
            "t": t,
            "p": 2 * student.sf(np.abs(t), df),
            "ci_low": 2 * coefficients - margins,
            "ci_high": 2 * coefficients + margins,
        },
        index=pd.Index(matrix.columns, name="term"),
    )
    # The mean is no difference of two levels.
    terms.loc[terms.index == INTERCEPT, ["effect", "ci_low", "ci_high"]] = math.nan
    between = math.sqrt(ratio * within)
    return WholePlots(
        terms, column, model.sizes.size, len(labels), between, math.sqrt(within), alpha
    )


def _check(model: "_Model", column: str) -> None:
    plots, runs = model.sizes.size, len(model.y)
    if plots < 2:  # noqa: PLR2004 # nothing varies between them
        raise DesignError(f"{column}: all runs have one value; whole plots need two or more")
    if plots == runs:
        raise DesignError(
            f"{column}: each run has its own value; runs of one whole plot have the same one"
        )
    both = np.linalg.matrix_rank(np.hstack([model.x, model.indicators()]))
    of_plots = plots - (model.x.shape[1] + plots - both)
    if of_plots < 1 or runs - both < 1:
        where = "between" if of_plots < 1 else "within"
        raise DesignError(
            f"{column}: the model leaves no degree of freedom {where} the {plots} whole plots; fit "
            "fewer terms, or run more whole plots"
        )


class _Model:
    """A model with a random effect of groups."""

    def __init__(self, x: Array, y: Array, labels: NDArray[np.intp]) -> None:
        self.x, self.y, self.labels = x, y, labels
        self.sizes = np.bincount(labels)
        self.df = len(y) - x.shape[1]

    def indicators(self) -> Array:
        """Return (N, groups) the group of each run as columns of 0 and 1."""
        return np.equal.outer(self.labels, np.arange(self.sizes.size)).astype(float)

    def weighted(self, columns: Array, ratio: float) -> Array:
        """Return the columns times the inverse of I + ratio Z Z'."""
        sums = np.zeros((self.sizes.size, columns.shape[1]))
        np.add.at(sums, self.labels, columns)
        shares = ratio / (1 + ratio * self.sizes)
        return np.asarray(columns - (shares[:, None] * sums)[self.labels])

    def solve(self, ratio: float) -> tuple[Array, Array, float]:
        """Return covariance (units of the variance within) and coefficients, and the squares."""
        weighted = self.weighted(self.x, ratio)
        covariance = np.asarray(np.linalg.inv(self.x.T @ weighted), dtype=np.float64)
        coefficients = covariance @ (weighted.T @ self.y)
        residual = self.y - self.x @ coefficients
        squares = float(residual @ self.weighted(residual[:, None], ratio)[:, 0])
        return covariance, coefficients, squares

    def deviance(self, within: float, ratio: float) -> float:
        """Return -2 times the restricted log likelihood, but for a constant."""
        return self._deviance(within, ratio, self.solve(ratio))

    def profile(self, ratio: float) -> float:
        """Return the deviance at the best variance within whole plots."""
        solved = self.solve(ratio)
        return self._deviance(max(solved[2] / self.df, 1e-300), ratio, solved)

    def _deviance(self, within: float, ratio: float, solved: tuple[Array, Array, float]) -> float:
        covariance, _, squares = solved
        determinants = np.log1p(ratio * self.sizes).sum() - np.linalg.slogdet(covariance)[1]
        return float(self.df * math.log(within) + determinants + squares / within)

    def best_ratio(self) -> float:
        """Return the ratio of the variances with the largest restricted likelihood; 0 if small."""
        low, high = math.log(SMALLEST_RATIO), math.log(LARGEST_RATIO)
        grid = np.linspace(low, high, 60)
        best = int(np.argmin([self.profile(math.exp(x)) for x in grid]))
        around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        found = minimize_scalar(
            lambda x: self.profile(math.exp(x)), bounds=around, method="bounded"
        )
        ratio = math.exp(found.x)
        nothing = self.profile(0.0) <= found.fun or ratio < 2 * SMALLEST_RATIO
        return 0.0 if nothing else ratio

    def satterthwaite(self, within: float, ratio: float) -> Array:
        """Return the degrees of freedom of each coefficient."""
        at = np.array([within, ratio * within])
        steps = STEP * at

        def variances(point: Array) -> Array:
            covariance = self.solve(point[1] / point[0])[0]
            return np.asarray(point[0] * np.diag(covariance))

        def deviance(point: Array) -> float:
            return self.deviance(point[0], point[1] / point[0])

        moves = np.diag(steps)
        gradient = [
            (variances(at + move) - variances(at - move)) / (2 * step)
            for move, step in zip(moves, steps, strict=True)
        ]
        hessian = np.empty((2, 2))
        for i in range(2):
            for j in range(2):
                corners = [
                    a * b * deviance(at + a * moves[i] + b * moves[j])
                    for a in (1, -1)
                    for b in (1, -1)
                ]
                hessian[i, j] = sum(corners) / (4 * steps[i] * steps[j])
        # The information of the variances is half of the second derivative of the deviance.
        of_variances = np.linalg.inv(hessian / 2)
        slopes = np.stack(gradient)
        spread = np.einsum("ik,ij,jk->k", slopes, of_variances, slopes)
        return np.asarray(2 * variances(at) ** 2 / spread)
