"""Box and Meyer's method: the probability that each effect of an unreplicated design is active."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from analysis.errors import AnalysisError

#: The chance that an effect is active, before the data; Box and Meyer's average of ten experiments.
ALPHA = 0.2
#: How many times as much active effects scatter as the others; the same source.
K = 10.0
#: The k over which Box and Meyer show how much a probability depends on it.
K_RANGE = (5.0, 15.0)
#: Points of the integral over the standard deviation, on a log scale; more change no sixth digit.
POINTS = 4000
#: The integral ends where the standard deviation is this many times as small or large as the
#: effects can be explained by; with three effects, 1e-9 of the probability is beyond.
BEYOND = 1e3


def box_meyer(effects: Sequence[float], *, residual: float = 0.0, df: int = 0) -> pd.DataFrame:
    """Return the posterior probability that each effect is active.

    Parameters
    ----------
    effects : (m,) independent effects of a two-level design, all of equal variance.
    residual : sum of squares of the residual, in units of a squared effect.
    df : degrees of freedom of the residual.

    Returns
    -------
    Columns ``probability``, with the prior of `ALPHA` and `K`; ``low`` and ``high``, the smallest
    and largest one for whole k in `K_RANGE`. In the order of `effects`.

    Raises
    ------
    AnalysisError
        If there is no effect, or all of them and the residual are zero.
    """
    sizes = np.asarray(effects, dtype=float)
    at = posterior(sizes, residual=residual, df=df)[0]
    low, high = K_RANGE
    others = np.array(
        [posterior(sizes, k=k, residual=residual, df=df)[0] for k in np.arange(low, high + 1)]
    )
    return pd.DataFrame({"probability": at, "low": others.min(axis=0), "high": others.max(axis=0)})


def posterior(
    effects: NDArray[np.float64],
    *,
    alpha: float = ALPHA,
    k: float = K,
    residual: float = 0.0,
    df: int = 0,
) -> tuple[NDArray[np.float64], float]:
    """Return the probability (m,) that each effect is active, and that none is.

    Parameters
    ----------
    effects, residual, df : as for `box_meyer`.
    alpha : the probability of an active effect before the data.
    k : the standard deviation of an active effect over that of another.

    Notes
    -----
    An effect is N(0, s²), or N(0, k² s²) if it is active; log s has a constant prior. Given s the
    effects are independent, so the probabilities are integrals over s only, whatever the number of
    effects: the sum over all 2^m sets of active effects is not needed.

    References
    ----------
    Box, G. E. P. and Meyer, R. D. (1986), An analysis for unreplicated fractional factorials,
    Technometrics 28, 11-18.
    """
    squares = effects**2
    total, count = float(squares.sum()) + residual, len(effects) + df
    if not len(effects) or not total > 0:
        raise AnalysisError("no effect differs from zero: none can be judged; run other levels")
    middle = np.log(total / count) / 2
    log_s = np.linspace(middle - np.log(k * BEYOND), middle + np.log(BEYOND), POINTS)[:, None]
    inert = np.log1p(-alpha) - log_s - squares / 2 * np.exp(-2 * log_s)
    active = np.log(alpha / k) - log_s - squares / (2 * k**2) * np.exp(-2 * log_s)
    density = np.logaddexp(inert, active).sum(axis=1, keepdims=True)
    density -= df * log_s + residual / 2 * np.exp(-2 * log_s)
    weight = np.exp(density - logsumexp(density))
    odds = active - inert
    none = np.exp(-np.logaddexp(0, odds).sum(axis=1))
    return np.asarray((weight * expit(odds)).sum(axis=0)), float(weight[:, 0] @ none)
