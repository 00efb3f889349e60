"""Verdicts: which effects are active, which test says so, and what it cannot say."""

from dataclasses import dataclass, field

import pandas as pd
from scipy.stats import t as student

from analysis.effects.lenth import Lenth

#: Fewer error degrees of freedom than this, and Lenth's method speaks.
ENOUGH_ERROR_DF = 3
#: An effect below this share of the largest is nil but for rounding.
NIL = 1e-9


@dataclass(frozen=True)
class Verdict:
    """Which test spoke, what it calls active, and what it cannot say.

    Attributes
    ----------
    test : ``pooled``, ``lenth`` or ``none``.
    active : terms beyond the margin for one effect.
    surely : those beyond the simultaneous margin, which holds for all effects at once.
    scores : (m,) the effects judged, each over its relative standard error: 1 where all have the
        same, as they have in a whole design.
    margin, simultaneous : for the scores; NaN where no test spoke.
    words : all of it for people.
    """

    test: str
    active: tuple[str, ...]
    words: str
    surely: tuple[str, ...] = ()
    scores: "pd.Series[float]" = field(default_factory=lambda: pd.Series(dtype=float), repr=False)
    margin: float = float("nan")
    simultaneous: float = float("nan")


def pooled(
    terms: pd.DataFrame, df: int, pure_df: int, alpha: float, judged: Lenth | None
) -> Verdict:
    """Judge by t-tests on the residual, which has enough degrees of freedom.

    Parameters
    ----------
    terms : effects and their standard errors, without the intercept.
    df : residual degrees of freedom, `pure_df` of them from runs of the same cell.
    alpha : of each test; the simultaneous margin is Sidak's for all of them.
    judged : Lenth's margins beside it, where they exist.

    References
    ----------
    Montgomery (2013), section 6.5; Sidak, Z. (1967), Journal of the American Statistical
    Association 62, 626-633.
    """
    m = len(terms)
    error = float((2 * terms["std_error"]).median())
    margin = float(student.ppf(1 - alpha / 2, df)) * error
    simultaneous = float(student.ppf(0.5 * (1 + (1 - alpha) ** (1 / m)), df)) * error
    scores = terms["effect"] / (2 * terms["std_error"] / error)
    words = (
        f"t-tests on {df} error degrees of freedom ({_origin(df, pure_df)}), each at {alpha:.0%}: "
        f"were all {m} effects nil, one or more would be called active in "
        f"{1 - (1 - alpha) ** m:.0%} of such experiments. {_surely_words(scores, simultaneous)}"
    )
    if not pure_df and judged is not None:
        words += (
            " No cell was run twice: the error is what the model leaves out, taken to be nil. "
            f"Lenth's method, which takes only most effects to be nil, has the margin of error "
            f"{judged.me:.4g}."
        )
    return _beyond("pooled", scores, margin, simultaneous, words)


def _origin(df: int, pure_df: int) -> str:
    if pure_df == df:
        return "all from runs of the same cell"
    if not pure_df:
        return "all from interactions left out of the model"
    return f"{pure_df} from runs of the same cell, {df - pure_df} from terms left out of the model"


def by_lenth(
    scores: "pd.Series[float]", judged: Lenth, df: int, alpha: float, terms: pd.DataFrame
) -> Verdict:
    """Judge by Lenth's margins, simulated reference distribution.

    Parameters
    ----------
    scores : (m,) effects over their relative standard errors.
    judged : the margins.
    df : what the t-tests of `terms` had.
    alpha : of each test.
    terms : without the intercept; what a t-test says yes to is told, since its yes is worth
        something on however few degrees of freedom.
    """
    words = (
        f"{_t_tests_say(df, alpha, terms)} "
        "Lenth's method with its simulated reference distribution "
        f"judged {judged.m} effects: margin of error {judged.me:.4g}, for all of them at once "
        f"{judged.sme:.4g} (by t(m/3) {judged.me_t:.4g} and {judged.sme_t:.4g}). It assumes that "
        "most effects are nil, and says nothing of an effect below its margin: that one is not "
        f"shown, which is not absent. {_surely_words(scores, judged.sme)}"
    )
    if judged.pse <= NIL * scores.abs().max():
        words += (
            " More than half of the effects are exactly nil: rounded or made-up figures, for which "
            "no margin means anything."
        )
    return _beyond("lenth", scores, judged.me, judged.sme, words)


def _t_tests_say(df: int, alpha: float, terms: pd.DataFrame) -> str:
    if not df:
        return "No error degrees of freedom: no t-test."
    bar = float(student.ppf(1 - alpha / 2, df))
    yes = [str(name) for name in terms.index[terms["p"].lt(alpha)]]
    return (
        f"{df} error degree{'s' * (df != 1)} of freedom: a t-test calls an effect active only "
        f"beyond {bar:.1f} of its standard errors, so a large p-value above says nothing."
        + (f" It does so call: {', '.join(yes)}." if yes else "")
    )


def _surely_words(scores: "pd.Series[float]", simultaneous: float) -> str:
    names = _names(scores, simultaneous)
    return f"Beyond the margin for all at once: {', '.join(names) or 'none'}."


def none(df: int) -> Verdict:
    """Say that nothing can be judged."""
    words = (
        f"Too few runs for any test: {df} error degree{'s' * (df != 1)} of freedom, fewer than 3 "
        "effects. Run every cell again with another seed."
    )
    return Verdict("none", (), words)


def _beyond(
    test: str, scores: "pd.Series[float]", margin: float, simultaneous: float, words: str
) -> Verdict:
    return Verdict(
        test,
        _names(scores, margin),
        words,
        _names(scores, simultaneous),
        scores,
        margin,
        simultaneous,
    )


def _names(scores: "pd.Series[float]", margin: float) -> tuple[str, ...]:
    size = scores.abs()
    beyond = size.gt(margin) & size.gt(NIL * size.max())
    return tuple(str(name) for name in scores.index[beyond])
