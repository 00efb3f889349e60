"""Least squares on an explicit matrix, with what an analyst asks of a fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.stats import f as fisher

from analysis.effects.model_matrix import CURVATURE, Lost, estimable
from analysis.errors import NotEstimableError

#: A run whose leverage is this close to 1 is fitted exactly.
EXACT = 1e-9
#: A residual sum of squares below this share of the total is rounding.
NIL = 1e-18


@dataclass(frozen=True)
class Fit:
    """A least-squares fit of N runs.

    Attributes
    ----------
    names : the columns that the runs tell apart, p of them.
    lost : the others.
    covariance : (p, p) of the coefficients, over the error variance: (X'X)^-1.
    results : statsmodels' own.
    pure : sum of squares and degrees of freedom of runs about the mean of their cell.
    """

    names: list[str]
    lost: list[Lost]
    covariance: NDArray[np.float64]
    results: Any
    pure: tuple[float, int]

    @property
    def df(self) -> int:
        """Residual degrees of freedom."""
        return round(float(self.results.df_resid))

    @property
    def exact(self) -> bool:
        """Whether nothing is left over but rounding: no error, so no test."""
        return self.df == 0 or float(self.results.ssr) <= NIL * float(self.results.centered_tss)

    @property
    def leverage(self) -> NDArray[np.float64]:
        """The diagonal (N,) of the hat matrix."""
        x = self.results.model.exog
        return np.asarray(np.einsum("ij,jk,ik->i", x, self.covariance, x))

    @property
    def r_squared(self) -> float:
        """Share of the sum of squares about the mean."""
        return float(self.results.rsquared)

    @property
    def r_squared_adjusted(self) -> float:
        """The same of the mean squares; NaN without residual degrees of freedom."""
        return float(self.results.rsquared_adj) if self.df else float("nan")

    @property
    def press(self) -> float:
        """Prediction sum of squares: each run predicted by the others; NaN where one cannot be.

        Montgomery (2013), section 10.6.
        """
        free = 1 - self.leverage
        if not self.df or (free < EXACT).any():
            return float("nan")
        return float(((self.results.resid / free) ** 2).sum())

    @property
    def r_squared_predicted(self) -> float:
        """1 - PRESS / total."""
        return 1 - self.press / float(self.results.centered_tss)

    def terms(self, alpha: float) -> pd.DataFrame:
        """Return a row a column: coefficient, std_error, t, p, interval, sum of squares.

        The sum of squares is what the residual would gain without the term: N times the squared
        coefficient where columns of -1 and +1 are orthogonal.
        """
        results, missing = self.results, np.full(len(self.names), np.nan)
        known = not self.exact
        interval = results.conf_int(alpha) if known else np.column_stack([missing, missing])
        return pd.DataFrame(
            {
                "coefficient": results.params,
                "std_error": results.bse if known else missing,
                "t": results.tvalues if known else missing,
                "p": results.pvalues if known else missing,
                "ci_low": interval[:, 0],
                "ci_high": interval[:, 1],
                "sum_of_squares": results.params**2 / np.diag(self.covariance),
            },
            index=pd.Index(self.names, name="term"),
        )

    def anova(self) -> pd.DataFrame:
        """Return the analysis of variance, a row a source; see `Effects`."""
        residual = float(self.results.ssr), self.df
        model = float(self.results.ess), round(float(self.results.df_model))
        rows = {"model": model, **self._parts(), "residual": residual}
        if self.pure[1]:
            lack = residual[0] - self.pure[0], residual[1] - self.pure[1]
            rows |= {"lack of fit": lack, "pure error": self.pure}
        rows["total"] = float(self.results.centered_tss), len(self.results.resid) - 1
        return _tested(rows)

    def _parts(self) -> dict[str, tuple[float, int]]:
        """Return the sums of squares of blocks and of curvature, each as if it came last."""
        parts = {}
        blocks = [i for i, name in enumerate(self.names) if name.startswith("block ")]
        curvature = [i for i, name in enumerate(self.names) if name == CURVATURE]
        for source, at in (("blocks", blocks), (CURVATURE, curvature)):
            if at:
                b, v = self.results.params[at], self.covariance[np.ix_(at, at)]
                parts[source] = float(b @ np.linalg.solve(v, b)), len(at)
        return parts

    def with_residuals(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return the runs with ``fitted``, ``residual`` and (internally) ``studentised``."""
        residual = np.asarray(self.results.resid)
        error = self.results.mse_resid if self.df else 0.0
        spread = np.sqrt(np.clip(1 - self.leverage, 0, None) * error)
        known = (1 - self.leverage > EXACT) & (spread > 0)
        studentised = np.where(known, residual / np.where(known, spread, 1), np.nan)
        fitted = np.asarray(self.results.fittedvalues)
        return runs.assign(fitted=fitted, residual=residual, studentised=studentised)


def fit_matrix(matrix: pd.DataFrame, y: "pd.Series[float]", groups: Sequence[Any]) -> Fit:
    """Fit the columns that the runs tell apart, the earlier first.

    Parameters
    ----------
    matrix : (N, p), in the order of preference.
    y : (N,) response.
    groups : columns (N,) that are equal for runs of the same cell and block.

    Raises
    ------
    NotEstimableError
        If only the intercept can be estimated.
    """
    names, lost = estimable(matrix)
    if len(names) < 2:  # noqa: PLR2004 # the intercept and an effect
        raise NotEstimableError(
            f"{len(y)} finished runs at one cell: no effect can be estimated; run the other cells"
        )
    x = matrix[names].to_numpy(dtype=float)
    results = sm.OLS(y.to_numpy(dtype=float), x).fit(method="qr")
    return Fit(names, lost, np.linalg.inv(x.T @ x), results, _pure_error(y, groups))


def _pure_error(y: "pd.Series[float]", groups: Sequence[Any]) -> tuple[float, int]:
    grouped = y.groupby(list(groups))
    about = y - grouped.transform("mean")
    return float((about**2).sum()), len(y) - int(grouped.ngroups)


def _tested(rows: dict[str, tuple[float, int]]) -> pd.DataFrame:
    """Return the table with mean squares, F and p: all on the residual but lack of fit."""
    found = {name: row for name, row in rows.items() if row[1] > 0}
    tested = {"model": "residual", "blocks": "residual", CURVATURE: "residual"}
    tested["lack of fit"] = "pure error"
    lines = []
    for name, (squares, df) in found.items():
        error = found.get(tested.get(name, ""))
        f = (squares / df) / (error[0] / error[1]) if error and error[0] > 0 else float("nan")
        p = float(fisher.sf(f, df, error[1])) if error else float("nan")
        lines.append((squares, df, squares / df, f, p))
    columns = ["sum_of_squares", "df", "mean_square", "f", "p"]
    return pd.DataFrame(lines, index=pd.Index(found, name="source"), columns=columns)


def value(table: pd.DataFrame, row: str, column: str) -> float:
    """Return a number of a table; NaN where it has no such row."""
    return float(table[column].to_dict().get(row, float("nan")))
