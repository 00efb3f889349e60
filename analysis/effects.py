"""The effects model of a two-level design, fitted on coded levels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray

from analysis.errors import DesignError, NotEstimableError
from analysis.factors import Factor
from analysis.lenth import Lenth, lenth

#: Fewer error degrees of freedom than this, and Lenth's method speaks.
ENOUGH_ERROR_DF = 3


@dataclass(frozen=True)
class Verdict:
    """Which test spoke, what it calls active, and what it cannot say."""

    test: str
    active: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Effects:
    """The fitted model.

    Attributes
    ----------
    terms : a row a term, by name (``a:b`` an interaction): coefficient, effect (twice that),
        std_error, t, p, ci_low, ci_high (of the coefficient), sum_of_squares.
    contrasts : every estimable effect, of any order, that Lenth's method judges.
    runs : what was fitted, with its responses.
    """

    factors: tuple[Factor, ...]
    response: str
    order: int
    alpha: float
    terms: pd.DataFrame
    contrasts: pd.Series
    residual_df: int
    r_squared: float
    r_squared_adjusted: float
    lenth: Lenth | None
    verdict: Verdict
    runs: pd.DataFrame = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The terms that the verdict calls active."""
        return self.verdict.active


def fit_effects(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    *,
    order: int | None = None,
    alpha: float = 0.05,
) -> Effects:
    """Fit main effects and interactions by least squares on coded levels.

    Parameters
    ----------
    runs : a row a run: factors in natural units, and the response (NaN where the run failed).
    factors : k factors.
    response : the column.
    order : the highest interaction; by default k where there are replicates, else k - 1, which
        leaves the highest to the residual.
    alpha : of the verdict and the intervals.

    Raises
    ------
    DesignError
        If there is no run, or the response never changes.
    NotEstimableError
        If the runs cannot tell the terms apart.

    References
    ----------
    Montgomery, D. C. (2013), Design and Analysis of Experiments, 8th ed., chapter 6.
    """
    usable = runs[runs[response].notna()]
    y = usable[response].to_numpy(dtype=float)
    if len(y) < 2 or np.ptp(y) == 0:  # noqa: PLR2004 # two runs make a difference
        raise DesignError(
            f"{len(y)} runs whose {response} never changes: no effect can be estimated; "
            "look at the runs, or choose another response"
        )
    coded = code(usable, factors)
    k = len(factors)
    replicated = usable.duplicated([f.name for f in factors]).any()
    highest = order if order is not None else (k if replicated or k == 1 else k - 1)
    matrix = model_matrix(coded, highest)
    rank = np.linalg.matrix_rank(matrix.to_numpy())
    if rank < matrix.shape[1]:
        raise NotEstimableError(
            f"{len(y)} finished runs cannot tell {matrix.shape[1]} terms apart; run the missing "
            f"cells, or fit a lower order than {highest}"
        )
    fit = sm.OLS(y, matrix.to_numpy()).fit()
    terms = _terms(fit, list(matrix.columns), alpha, y)
    contrasts = _contrasts(coded, y)
    judged = lenth(contrasts.tolist(), alpha=alpha) if len(contrasts) >= 3 else None  # noqa: PLR2004
    verdict = _judge(terms, int(fit.df_resid), contrasts, judged, alpha)
    return Effects(
        factors=tuple(factors),
        response=response,
        order=highest,
        alpha=alpha,
        terms=terms,
        contrasts=contrasts,
        residual_df=int(fit.df_resid),
        r_squared=float(fit.rsquared),
        r_squared_adjusted=float(fit.rsquared_adj) if fit.df_resid else float("nan"),
        lenth=judged,
        verdict=verdict,
        runs=usable,
    )


def code(runs: pd.DataFrame, factors: Sequence[Factor]) -> pd.DataFrame:
    """Return coded levels, a column a factor."""
    return pd.DataFrame({f.name: [f.code(level) for level in runs[f.name]] for f in factors})


def model_matrix(coded: pd.DataFrame, order: int) -> pd.DataFrame:
    """Return the columns of intercept, main effects and interactions, by term name."""
    columns = {"intercept": np.ones(len(coded))}
    for size in range(1, order + 1):
        for names in combinations(coded.columns, size):
            columns[":".join(names)] = coded[list(names)].prod(axis=1).to_numpy()
    return pd.DataFrame(columns)


def _terms(
    fit: "sm.regression.linear_model.RegressionResultsWrapper",
    names: list[str],
    alpha: float,
    y: NDArray[np.float64],
) -> pd.DataFrame:
    missing = np.full(len(names), np.nan)
    known = fit.df_resid > 0
    interval = fit.conf_int(alpha) if known else np.column_stack([missing, missing])
    table = pd.DataFrame(
        {
            "coefficient": fit.params,
            "effect": 2 * fit.params,
            "std_error": fit.bse if known else missing,
            "t": fit.tvalues if known else missing,
            "p": fit.pvalues if known else missing,
            "ci_low": interval[:, 0],
            "ci_high": interval[:, 1],
            "sum_of_squares": len(y) * fit.params**2,
        },
        index=pd.Index(names, name="term"),
    )
    table.loc["intercept", ["effect", "sum_of_squares"]] = np.nan
    return table


def _contrasts(coded: pd.DataFrame, y: NDArray[np.float64]) -> pd.Series:
    """Return the effects of all orders over cell means, where the cells make a whole 2^k."""
    k = coded.shape[1]
    means = coded.assign(y=y).groupby(list(coded.columns))["y"].mean().reset_index()
    corners = means[(means[list(coded.columns)].abs() == 1).all(axis=1)]
    if len(corners) != 2**k:
        return pd.Series(dtype=float)
    matrix = model_matrix(corners[list(coded.columns)].reset_index(drop=True), k)
    effects = 2 * matrix.to_numpy().T @ corners["y"].to_numpy() / len(corners)
    return pd.Series(effects, index=matrix.columns).drop("intercept")


def _judge(
    terms: pd.DataFrame, df: int, contrasts: pd.Series, judged: Lenth | None, alpha: float
) -> Verdict:
    if df >= ENOUGH_ERROR_DF:
        effects = terms.drop("intercept")
        active = tuple(str(name) for name in effects.index[effects["p"] < alpha])
        words = f"t-tests on {df} error degrees of freedom, each at {alpha:.0%}."
        return Verdict("pooled", active, words)
    if judged is None:
        return Verdict("none", (), "Too few runs for any test.")
    active = tuple(str(name) for name in contrasts.index[contrasts.abs() > judged.me])
    words = (
        f"{df} error degree{'s' * (df != 1)} of freedom: the t-tests above say next to nothing. "
        f"Lenth's method with its simulated reference distribution judged {judged.m} effects: "
        f"margin of error {judged.me:.4g}, for all of them at once {judged.sme:.4g} "
        f"(by t(m/3) {judged.me_t:.4g} and {judged.sme_t:.4g}). It assumes that most effects "
        "are nil."
    )
    return Verdict("lenth", active, words)
