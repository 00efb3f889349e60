"""Least squares on an explicit matrix: coefficients, analysis of variance, residuals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.stats import f as fisher

from analysis.effects.model_matrix import BLOCK, CURVATURE, AliasedTerm, estimable
from analysis.errors import NotEstimableError

#: Columns that a fit adds to the runs. They are named as no factor is: ``residual``, for example,
#: is a setting of the modern network.
FITTED, RESIDUAL, STUDENTISED = "(fitted)", "(residual)", "(studentised)"
#: In the analysis of variance, what the name of a category follows.
CATEGORY = "factor "
#: A run whose leverage is this close to 1 is fitted exactly.
LEVERAGE_TOLERANCE = 1e-9
#: A residual sum of squares below this share of the total is rounding.
ROUNDING_SHARE = 1e-18
#: What is left of a response by rounding, as a share of its largest value: 64 units in the last
#: place.
ROUNDING = 64 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Fit:
    """A least-squares fit of N runs.

    Attributes
    ----------
    names : the p columns that the runs can distinguish.
    aliased : the other columns.
    covariance : covariance (p, p) of the coefficients over the error variance: (X'X)^-1.
    results : the results of statsmodels.
    pure_error : sum of squares and degrees of freedom of runs about the mean of their cell.

    Notes
    -----
    What only rounding left of a coefficient or of a sum of squares is 0, so that the same figures
    have the same tests in any unit and in any order.
    """

    names: list[str]
    aliased: list[AliasedTerm]
    covariance: NDArray[np.float64]
    results: Any
    pure_error: tuple[float, int]

    @property
    def df(self) -> int:
        """Residual degrees of freedom."""
        return round(float(self.results.df_resid))

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """The coefficients (p,)."""
        found = np.asarray(self.results.params, dtype=float)
        return np.where(np.abs(found) > ROUNDING * self._largest, found, 0.0)

    @property
    def total(self) -> float:
        """The sum of squares about the mean: 0 if the response never changes."""
        return self._squares(float(self.results.centered_tss))

    @property
    def exact(self) -> bool:
        """Whether the residual is only rounding: no error, so no test."""
        return self.df == 0 or self.residual_squares <= ROUNDING_SHARE * self.total

    @property
    def residual_squares(self) -> float:
        """The residual sum of squares."""
        return self._squares(float(self.results.ssr))

    @property
    def _largest(self) -> float:
        return float(np.abs(self.results.model.endog).max())

    def _squares(self, found: float) -> float:
        """Return a sum of squares; 0 if it is one of rounding errors."""
        least = len(self.results.model.endog) * (ROUNDING * self._largest) ** 2
        return found if found > least else 0.0

    @property
    def leverage(self) -> NDArray[np.float64]:
        """The diagonal (N,) of the hat matrix."""
        x = self.results.model.exog
        return np.asarray(np.einsum("ij,jk,ik->i", x, self.covariance, x))

    @property
    def r_squared(self) -> float:
        """Share of the sum of squares about the mean that the model explains; NaN if that is 0."""
        return float(self.results.rsquared) if self.total else float("nan")

    @property
    def r_squared_adjusted(self) -> float:
        """R squared of mean squares; NaN without residual degrees of freedom."""
        return float(self.results.rsquared_adj) if self.df and self.total else float("nan")

    @property
    def press(self) -> float:
        """Prediction sum of squares: each run predicted from the others; NaN if one cannot be.

        Montgomery (2013), section 10.6.
        """
        free = 1 - self.leverage
        if not self.df or (free < LEVERAGE_TOLERANCE).any():
            return float("nan")
        return float(((self.results.resid / free) ** 2).sum())

    @property
    def r_squared_predicted(self) -> float:
        """1 - PRESS / total; NaN if the response never changes."""
        return 1 - self.press / self.total if self.total else float("nan")

    def terms(self, alpha: float) -> pd.DataFrame:
        """Return one row per column: coefficient, std_error, t, p, interval, sum of squares.

        The sum of squares is the increase of the residual's without the term: N times the squared
        coefficient if the columns are orthogonal and of -1 and +1.
        """
        results, missing = self.results, np.full(len(self.names), np.nan)
        known = not self.exact
        interval = results.conf_int(alpha) if known else np.column_stack([missing, missing])
        return pd.DataFrame(
            {
                "coefficient": self.coefficients,
                "std_error": results.bse if known else missing,
                "t": self.coefficients / results.bse if known else missing,
                "p": results.pvalues if known else missing,
                "ci_low": interval[:, 0],
                "ci_high": interval[:, 1],
                "sum_of_squares": self.coefficients**2 / np.diag(self.covariance),
            },
            index=pd.Index(self.names, name="term"),
        )

    def anova(self, groups: Mapping[str, Sequence[str]] | None = None) -> pd.DataFrame:
        """Return the analysis of variance, one row per source; see `Effects`.

        Parameters
        ----------
        groups : by name, columns that are tested together: the contrasts of a category.
        """
        residual = 0.0 if self.exact else self.residual_squares, self.df
        model = self._squares(float(self.results.ess)), round(float(self.results.df_model))
        tested = self._tested_together(groups or {})
        rows = {"model": model, **tested, "residual": residual}
        if self.pure_error[1]:
            pure = min(self._squares(self.pure_error[0]), residual[0]), self.pure_error[1]
            lack = residual[0] - pure[0], residual[1] - pure[1]
            rows |= {"lack of fit": lack, "pure error": pure}
        rows["total"] = self.total, len(self.results.resid) - 1
        return _with_f_tests(rows)

    def _tested_together(self, groups: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, int]]:
        """Return the sums of squares of blocks, categories and curvature, as if entered last."""
        parts = {}
        blocks = [i for i, name in enumerate(self.names) if name.startswith(BLOCK)]
        curvature = [i for i, name in enumerate(self.names) if name == CURVATURE]
        categories = [
            (f"{CATEGORY}{name}", [i for i, own in enumerate(self.names) if own in columns])
            for name, columns in groups.items()
        ]
        for source, at in (("blocks", blocks), *categories, (CURVATURE, curvature)):
            if at:
                b, v = self.coefficients[at], self.covariance[np.ix_(at, at)]
                parts[source] = float(b @ np.linalg.solve(v, b)), len(at)
        return parts

    def with_residuals(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return the runs with fitted values, residuals and internally studentised ones."""
        residual = np.asarray(self.results.resid)
        error = 0.0 if self.exact else self.results.mse_resid
        spread = np.sqrt(np.clip(1 - self.leverage, 0, None) * error)
        known = (1 - self.leverage > LEVERAGE_TOLERANCE) & (spread > 0)
        studentised = np.where(known, residual / np.where(known, spread, 1), np.nan)
        fitted = np.asarray(self.results.fittedvalues)
        return runs.assign(**{FITTED: fitted, RESIDUAL: residual, STUDENTISED: studentised})


def fit_matrix(matrix: pd.DataFrame, y: "pd.Series[float]", groups: Sequence[Any]) -> Fit:
    """Fit the columns that the runs can distinguish; of two that they cannot, the earlier one.

    Parameters
    ----------
    matrix : (N, p), in the order of preference.
    y : (N,) response.
    groups : columns (N,), all equal for runs of the same cell and block.

    Raises
    ------
    NotEstimableError
        If only the intercept can be estimated.
    """
    names, aliased = estimable(matrix)
    if len(names) < 2:  # noqa: PLR2004 # the intercept and an effect
        raise NotEstimableError(
            f"{len(y)} finished runs in one cell: no effect can be estimated; run the other cells"
        )
    x = matrix[names].to_numpy(dtype=float)
    results = sm.OLS(y.to_numpy(dtype=float), x).fit(method="qr")
    return Fit(names, aliased, np.linalg.inv(x.T @ x), results, _pure_error(y, groups))


def _pure_error(y: "pd.Series[float]", groups: Sequence[Any]) -> tuple[float, int]:
    grouped = y.groupby(list(groups))
    deviations = y - grouped.transform("mean")
    return float((deviations**2).sum()), len(y) - int(grouped.ngroups)


def _with_f_tests(rows: dict[str, tuple[float, int]]) -> pd.DataFrame:
    """Return the table with mean squares, F and p.

    Lack of fit is tested against the pure error, every other source against the residual.
    """
    found = {name: row for name, row in rows.items() if row[1] > 0}
    errors = {"model": "residual", "blocks": "residual", CURVATURE: "residual"}
    errors |= {name: "residual" for name in rows if name.startswith(CATEGORY)}
    errors["lack of fit"] = "pure error"
    lines = []
    for name, (squares, df) in found.items():
        error = found.get(errors.get(name, ""))
        f = (squares / df) / (error[0] / error[1]) if error and error[0] > 0 else float("nan")
        p = float(fisher.sf(f, df, error[1])) if error else float("nan")
        lines.append((squares, df, squares / df, f, p))
    columns = ["sum_of_squares", "df", "mean_square", "f", "p"]
    return pd.DataFrame(lines, index=pd.Index(found, name="source"), columns=columns)


def table_value(table: pd.DataFrame, row: str, column: str) -> float:
    """Return a number of a table; NaN if the table has no such row."""
    return float(table[column].to_dict().get(row, float("nan")))
