"""Collapsed runs: networks that learnt nothing and predict as well as guessing."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

#: Numbers of classes that a guess considers.
USUAL_CLASSES = (*range(2, 21), 100, 1000)
#: How far the lowest accuracy may be from that of guessing, as a share of it.
NEAR_CHANCE, NEAR_MAJORITY = 0.01, 0.1
#: At least this many runs with the same lowest accuracy have given a constant answer.
CONSTANT_RUNS = 3
#: Images that an accuracy is taken to be measured on if their number is not known.
ASSUMED_IMAGES = 1000
#: Significance level of the band around the accuracy of guessing; small, because there are many
#: runs.
BAND_ALPHA = 0.001


@dataclass(frozen=True)
class Guessing:
    """The accuracy of guessing in a table of runs.

    Attributes
    ----------
    classes : number of classes.
    chance : accuracy of the constant answer, as a share.
    limit : accuracies up to this one are no better than guessing.
    images : number of images that `limit` is for.
    collapsed : (N,) which runs are no better.
    """

    classes: int
    chance: float
    limit: float
    images: int
    collapsed: "pd.Series[bool]"


def find_guessing(
    accuracy: "pd.Series[float]", *, classes: int | None = None, images: int | None = None
) -> Guessing | None:
    """Return which runs are no better than guessing; None if the accuracies show no such run.

    Parameters
    ----------
    accuracy : (N,) shares, or percentages if one is above 1; NaN for a failed run.
    classes : number of classes. If it is not known, it is guessed: the lowest accuracy is within 1
        % of that of guessing among 2 to 20, 100 or 1,000 classes, or at most 10 % above it and the
        same in three or more runs, as that of a constant answer is if one class is larger. A guess
        leaves at least one run that learned.
    images : number of images that the accuracies were measured on; by default 1,000.
    """
    shares = pd.to_numeric(accuracy, errors="coerce").astype(float)
    known = shares[np.isfinite(shares)]
    if known.empty or known.min() < 0 or known.max() > 100:  # noqa: PLR2004 # percent
        return None
    if known.max() > 1:
        shares, known = shares / 100, known / 100
    given = classes is not None
    chance = 1 / classes if classes is not None else _guessed_chance(known)
    if chance is None:
        return None
    classes = classes or round(1 / chance)
    n = images or ASSUMED_IMAGES
    limit = chance_band(chance, n)
    collapsed = shares.le(limit) & np.isfinite(shares)
    if not collapsed.any() or (not given and collapsed.sum() == len(known)):
        return None
    return Guessing(classes, chance, limit, n, collapsed)


def _guessed_chance(known: "pd.Series[float]") -> float | None:
    """Return the accuracy of guessing that the lowest accuracy shows, or None."""
    lowest = float(known.min())
    nearest: int = min(USUAL_CLASSES, key=lambda classes: abs(lowest * classes - 1))
    distance = lowest * nearest - 1
    if abs(distance) <= NEAR_CHANCE:
        return 1 / nearest
    constant = int(known.eq(lowest).sum()) >= CONSTANT_RUNS
    return lowest if constant and 0 < distance <= NEAR_MAJORITY else None


def chance_band(chance: float, images: int, alpha: float = BAND_ALPHA) -> float:
    """Return the highest accuracy that is no better than guessing; see `find_collapsed`."""
    return chance + float(norm.ppf(1 - alpha)) * math.sqrt(chance * (1 - chance) / max(images, 1))


def find_collapsed(
    accuracy: "pd.Series[float]",
    loss: "pd.Series[float] | None",
    *,
    chance: float,
    classes: int,
    images: int,
    alpha: float = BAND_ALPHA,
    balanced: "pd.Series[float] | None" = None,
    smallest_class: int = 0,
    constant_loss: float | None = None,
) -> "pd.Series[bool]":
    """Return which runs have an accuracy and a loss that are no better than guessing.

    This is a property of the network, and does not depend on the response of the study.

    Parameters
    ----------
    accuracy : (N,) share of correct predictions; a run without one failed, it did not collapse.
    loss : (N,) cross-entropy in nats, on the same images; without it, only the accuracy counts.
    chance : accuracy of the best constant prediction: the share of the largest class.
    classes : number of classes.
    images : number of images that the accuracy was measured on.
    alpha : significance level of the binomial band; small, because a screen has many runs.
    balanced : (N,) mean of the accuracies of the classes; NaN if it is not known.
    smallest_class : number of images of the smallest class, on which `balanced` depends most.
    constant_loss : loss of the best constant answer; by default that of equally large classes,
        ln(classes).

    Returns
    -------
    (N,) booleans.

    Notes
    -----
    The band is the normal approximation of the binomial around `chance`. A network that has begun
    to learn is above it, or its loss is more than 2 % below that of guessing. If one class is much
    larger, a network that finds the small ones may have a lower accuracy than the constant answer;
    it has learned if its balanced accuracy is above the band around 1 / classes.
    """
    guessing = accuracy.le(chance_band(chance, images, alpha))
    if loss is not None:
        # A loss that is not a number is that of a run that diverged: it learnt nothing either.
        known = math.log(classes) if constant_loss is None else constant_loss
        guessing &= ~loss.lt(0.98 * known)
    if balanced is not None and smallest_class:
        guessing &= ~balanced.gt(chance_band(1 / classes, classes * smallest_class, alpha))
    return guessing.astype(bool) & np.isfinite(accuracy.astype(float))
