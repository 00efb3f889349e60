"""The verdict: which effects are active, by which test, and what that test cannot show."""

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd
from scipy.stats import t as student

from analysis.effects.lenth import Lenth

#: With fewer error degrees of freedom than this, Lenth's method judges instead of t-tests.
ENOUGH_ERROR_DF = 3
#: An effect below this share of the largest differs from zero by rounding only.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Verdict:
    """Which test judged the effects, and which of them it calls active.

    Attributes
    ----------
    test : ``pooled``: t-tests on the pooled error; ``welch``: t-tests with the spread of each cell,
        because the spread is unequal; ``lenth``: Lenth's method; ``none``: too few
        runs for either.
    error_df : degrees of freedom of the error.
    active : terms beyond the margin for one effect.
    active_jointly : those beyond the simultaneous margin, which holds for all effects at once.
    scores : (m,) the effects judged, each over its relative standard error: 1 if all have the
        same standard error, as in a full design.
    margin, simultaneous : margins for the scores; NaN without a test.
    alpha : of each test.
    pure_df : degrees of freedom of the error that come from runs of the same cell.
    lenth : the margins of Lenth's method, also where t-tests judged; None if not available.
    t_limit : a t-test calls an effect active beyond this many standard errors; NaN without error
        degrees of freedom.
    active_by_t : terms that a t-test calls active although Lenth's method judged: such a result
        counts with any number of degrees of freedom, its absence does not.
    mostly_zero : whether more than half of the effects are exactly zero, so that no margin of
        Lenth's method is meaningful.
    exact : whether the model fits every run, although it has error degrees of freedom, or the
        response never changes: there is no error to test against.
    spread_p : p-value of equal spread in all cells; NaN if it was not tested.
    welch_df : degrees of freedom of Welch's test, the median of the effects; NaN without it.
    collapsed : number of collapsed runs among those of the model, because of which no effect on
        all of them is tested; see `analysis.effects.result.Collapse`.
    """

    test: Literal["pooled", "welch", "lenth", "none"]
    error_df: int
    active: tuple[str, ...] = ()
    active_jointly: tuple[str, ...] = ()
    scores: "pd.Series[float]" = field(default_factory=lambda: pd.Series(dtype=float), repr=False)
    margin: float = float("nan")
    simultaneous: float = float("nan")
    alpha: float = 0.05
    pure_df: int = 0
    lenth: Lenth | None = None
    t_limit: float = float("nan")
    active_by_t: tuple[str, ...] = ()
    mostly_zero: bool = False
    exact: bool = False
    spread_p: float = float("nan")
    welch_df: float = float("nan")
    collapsed: int = 0

    @property
    def false_alarm_rate(self) -> float:
        """The chance that at least one of independent tests calls a zero effect active."""
        return float(1 - (1 - self.alpha) ** len(self.scores))


def pooled(
    terms: pd.DataFrame,
    df: int,
    pure_df: int,
    alpha: float,
    judged: Lenth | None,
    *,
    spread_p: float = float("nan"),
) -> Verdict:
    """Judge by t-tests on the residual, which has enough degrees of freedom.

    Parameters
    ----------
    terms : effects and their standard errors, without the intercept.
    df : residual degrees of freedom, `pure_df` of them from runs of the same cell.
    alpha : of each test; the simultaneous margin is Sidak's for all of them.
    judged : Lenth's margins, to be reported beside the tests, or None.
    spread_p : p-value of equal spread; NaN if it was not tested.

    References
    ----------
    Montgomery (2013), section 6.5; Sidak, Z. (1967), Journal of the American Statistical
    Association 62, 626-633.
    """
    m = len(terms)
    error = float((2 * terms["std_error"]).median())
    t_limit = float(student.ppf(1 - alpha / 2, df))
    margin = t_limit * error
    simultaneous = float(student.ppf(0.5 * (1 + (1 - alpha) ** (1 / m)), df)) * error
    scores = terms["effect"] / (2 * terms["std_error"] / error)
    return Verdict(
        "pooled",
        df,
        _beyond(scores, margin),
        _beyond(scores, simultaneous),
        scores,
        margin,
        simultaneous,
        alpha,
        pure_df,
        judged,
        t_limit,
        spread_p=spread_p,
    )


def by_welch(
    terms: pd.DataFrame,
    df: "pd.Series[float]",
    pooled_df: int,
    pure_df: int,
    spread_p: float,
    alpha: float,
    judged: Lenth | None,
) -> Verdict:
    """Judge by t-tests with the spread of each cell.

    Parameters
    ----------
    terms : effects and their standard errors by `unequal_spread.cell_spreads`, without the
        intercept.
    df : degrees of freedom by term.
    pooled_df, pure_df : those of the pooled error, and how many of them are from runs of the same
        cell.
    spread_p : p-value of equal spread.
    alpha : of each test; the simultaneous margin is Sidak's for all of them.
    judged : Lenth's margins, to be reported beside the tests, or None.
    """
    m = len(terms)
    error = 2 * terms["std_error"]
    each = error * student.ppf(1 - alpha / 2, df)
    jointly = error * student.ppf(0.5 * (1 + (1 - alpha) ** (1 / m)), df)
    margin = float(each.median())
    scores = terms["effect"] * margin / each
    sizes = terms["effect"].abs()
    return Verdict(
        "welch",
        pooled_df,
        _beyond(scores, margin),
        tuple(str(name) for name in terms.index[sizes.gt(jointly)]),
        scores,
        margin,
        float((jointly * margin / each).median()),
        alpha,
        pure_df,
        judged,
        float(student.ppf(1 - alpha / 2, float(df.median()))),
        spread_p=spread_p,
        welch_df=float(df.median()),
    )


def by_lenth(
    scores: "pd.Series[float]",
    judged: Lenth,
    df: int,
    alpha: float,
    terms: pd.DataFrame,
    *,
    exact: bool = False,
) -> Verdict:
    """Judge by Lenth's margins with the simulated reference distribution.

    Parameters
    ----------
    scores : (m,) effects over their relative standard errors.
    judged : the margins.
    df : error degrees of freedom of the t-tests of `terms`; too few for them to judge.
    alpha : of each test.
    terms : without the intercept, with the p-values of their t-tests.
    exact : whether the model fits every run, although `df` is not 0.
    """
    return Verdict(
        "lenth",
        df,
        _beyond(scores, judged.me),
        _beyond(scores, judged.sme),
        scores,
        judged.me,
        judged.sme,
        alpha,
        lenth=judged,
        t_limit=float(student.ppf(1 - alpha / 2, df)) if df else float("nan"),
        active_by_t=tuple(str(name) for name in terms.index[terms["p"].lt(alpha)]) if df else (),
        mostly_zero=bool(judged.pse <= ROUNDING * scores.abs().max()),
        exact=exact,
    )


def none(df: int, alpha: float = 0.05, *, exact: bool = False, collapsed: int = 0) -> Verdict:
    """Return the verdict on runs without a test: too few, without any error, or some collapsed."""
    return Verdict("none", df, alpha=alpha, exact=exact, collapsed=collapsed)


def _beyond(scores: "pd.Series[float]", margin: float) -> tuple[str, ...]:
    size = scores.abs()
    beyond = size.gt(margin) & size.gt(ROUNDING * size.max())
    return tuple(str(name) for name in scores.index[beyond])
