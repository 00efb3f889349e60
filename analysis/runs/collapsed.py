"""Collapsed runs: networks that learnt nothing and answer as a guesser would."""

import math

import numpy as np
import pandas as pd
from scipy.stats import norm


def collapsed(
    accuracy: "pd.Series[float]",
    loss: "pd.Series[float] | None",
    *,
    chance: float,
    classes: int,
    images: int,
    alpha: float = 0.001,
) -> "pd.Series[bool]":
    """Name the runs whose accuracy is chance's and whose loss is no better than guessing.

    Parameters
    ----------
    accuracy : (N,) share of right answers; missing ones did not collapse, they failed.
    loss : (N,) cross-entropy in nats, on the same images; without it, accuracy alone speaks.
    chance : accuracy of the best constant answer: the share of the largest class.
    classes : how many.
    images : that the accuracy was read on.
    alpha : of the binomial band; small, since a screen reads many runs.

    Returns
    -------
    (N,) of booleans.

    Notes
    -----
    The band is the normal approximation of the binomial around `chance`. A network that only
    began to learn has left it, or its loss has fallen by more than 2 % of that of guessing, which
    is ln(classes).
    """
    band = float(norm.ppf(1 - alpha)) * math.sqrt(chance * (1 - chance) / max(images, 1))
    guessing = accuracy.le(chance + band)
    if loss is not None:
        # A loss that is no number belongs to a run that blew up: it learnt nothing either.
        guessing &= ~loss.lt(0.98 * math.log(classes))
    return guessing.astype(bool) & np.isfinite(accuracy.astype(float))
