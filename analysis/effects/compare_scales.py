"""On which scale the residuals of a response that is a share are well-behaved."""

import math
from collections.abc import Sequence

import pandas as pd
from scipy.stats import shapiro, spearmanr

from analysis.effects.fit import fit_effects
from analysis.effects.least_squares import FITTED, STUDENTISED
from analysis.effects.model_matrix import INTERCEPT, factors_of
from analysis.effects.response_scale import SCALES, Transform
from analysis.effects.result import Effects
from analysis.errors import AnalysisError


def fit_on_scales(effects: Effects, *, images: int | None = None) -> list[Effects]:
    """Fit the same model on every scale that suits the response: only raw if it is not a share.

    Parameters
    ----------
    effects : the model, on any scale.
    images : number of images that the share was measured on, see
        `analysis.effects.response_scale.transform_response`.
    """
    names = [str(name) for name in effects.terms.index if name != INTERCEPT]
    terms = list(dict.fromkeys(":".join(factors_of(name, effects.factors)) for name in names))
    whole = len(terms) == sum(
        math.comb(len(effects.factors), size) for size in range(1, effects.order + 1)
    )
    requested = None if whole else terms
    fits = [_refit(effects, requested, scale, images) for scale in SCALES]
    return [fit for fit in fits if fit is not None]


def _refit(
    effects: Effects, terms: list[str] | None, scale: Transform, images: int | None
) -> Effects | None:
    try:
        return fit_effects(
            effects.runs,
            effects.factors,
            effects.response,
            order=effects.order,
            terms=terms,
            alpha=effects.alpha,
            transform=scale,
            images=images,
        )
    except AnalysisError:
        return None


def compare_scales(fits: Sequence[Effects]) -> pd.DataFrame:
    """Compare the residuals of the same model on several scales.

    Returns
    -------
    One row per scale: ``funnel``, the rank correlation of |studentised residual| with the fitted
    value, and its p-value, ``funnel_p``: a spread that grows or shrinks with the mean;
    ``normal_p``, the p-value of the Shapiro-Wilk test; ``r_squared_predicted``; ``active``, the
    number of active terms. A suitable scale has no funnel. With few residual degrees of freedom
    these figures are not informative: look at the plots (`analysis.plots.effects.scales`).

    References
    ----------
    Box, G. E. P. and Cox, D. R. (1964), Journal of the Royal Statistical Society B 26, 211-252;
    Montgomery (2013), section 3.4.3.
    """
    rows = {fit.transform: _residual_tests(fit) for fit in fits}
    return pd.DataFrame(rows).T.rename_axis("scale")


def _residual_tests(fit: Effects) -> dict[str, float]:
    known = fit.runs.dropna(subset=STUDENTISED)
    if len(known) < 4 or fit.residual_df < 2:  # noqa: PLR2004 # too few to look at
        missing = float("nan")
        return {"funnel": missing, "funnel_p": missing, "normal_p": missing}
    funnel = spearmanr(known[STUDENTISED].abs(), known[FITTED])
    return {
        "funnel": float(funnel.statistic),
        "funnel_p": float(funnel.pvalue),
        "normal_p": float(shapiro(known[STUDENTISED]).pvalue),
        "r_squared_predicted": fit.r_squared_predicted,
        "active": len(fit.active),
    }
