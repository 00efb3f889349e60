"""Collapsed runs: networks that learnt nothing and predict as well as guessing."""

import math

import numpy as np
import pandas as pd
from scipy.stats import norm


def find_collapsed(
    accuracy: "pd.Series[float]",
    loss: "pd.Series[float] | None",
    *,
    chance: float,
    classes: int,
    images: int,
    alpha: float = 0.001,
) -> "pd.Series[bool]":
    """Return which runs have an accuracy and a loss that are no better than guessing.

    Parameters
    ----------
    accuracy : (N,) share of correct predictions; a run without one failed, it did not collapse.
    loss : (N,) cross-entropy in nats, on the same images; without it, only the accuracy counts.
    chance : accuracy of the best constant prediction: the share of the largest class.
    classes : number of classes.
    images : number of images that the accuracy was measured on.
    alpha : significance level of the binomial band; small, because a screen has many runs.

    Returns
    -------
    (N,) booleans.

    Notes
    -----
    The band is the normal approximation of the binomial around `chance`. A network that has begun
    to learn is above it, or its loss is more than 2 % below that of guessing, which is
    ln(classes).
    """
    band = float(norm.ppf(1 - alpha)) * math.sqrt(chance * (1 - chance) / max(images, 1))
    guessing = accuracy.le(chance + band)
    if loss is not None:
        # A loss that is not a number is that of a run that diverged: it learnt nothing either.
        guessing &= ~loss.lt(0.98 * math.log(classes))
    return guessing.astype(bool) & np.isfinite(accuracy.astype(float))
