"""By how much the chosen cell leads, for other seeds and other pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.effects.over_pictures import common_part
from analysis.errors import AnalysisError
from analysis.factors import Level

Scores = NDArray[np.bool_] | NDArray[np.float64]


@dataclass(frozen=True)
class Lead:
    """The difference between the mean of the chosen cell and that of another one.

    Attributes
    ----------
    other : levels of the other cell.
    size : the difference; negative if the other cell has the better mean.
    seeds : its standard error over seeds, for these pictures; NaN if no cell was trained twice.
    pictures : that over pictures, for these networks.
    both : that over other seeds and other pictures; NaN if `seeds` is.
    df : degrees of freedom of `both`.
    low, high : the interval of the difference over both.
    n_pictures : how many pictures.
    alpha : 1 less the confidence of the interval.
    """

    other: Mapping[str, Level]
    size: float
    seeds: float
    pictures: float
    both: float
    df: float
    low: float
    high: float
    n_pictures: int
    alpha: float


def lead_over(
    other: Mapping[str, Level],
    own_scores: Scores,
    other_scores: Scores,
    spread: float,
    df: int,
    *,
    alpha: float = 0.05,
) -> Lead:
    """Return the lead of a cell over another one.

    Parameters
    ----------
    other : levels of the other cell.
    own_scores, other_scores : (n, P) for each run of the cell and of the other one, whether its
        network classified each picture correctly; of the same P pictures.
    spread, df : standard deviation between the runs of a cell, pooled over the cells of the study,
        and its degrees of freedom; NaN and 0 if no cell was trained twice.
    alpha : 1 less the confidence of the interval.

    Raises
    ------
    AnalysisError
        If a cell has no run, or the pictures are fewer than two or differ in number.

    Notes
    -----
    The difference is the mean over pictures of the difference of the cells' mean scores, so its
    variance over pictures is the variance of these over P. The part of it that is of one network
    and one picture is in the variance over seeds, too, and is taken off once, as in
    `analysis.effects.over_pictures`. The degrees of freedom are Satterthwaite's. The interval is of
    these two cells; that the chosen one is the best of several is in `Selection.optimism`.
    """
    own, others = np.asarray(own_scores, float), np.asarray(other_scores, float)
    pictures = own.shape[-1]
    if not (len(own) and len(others)) or pictures < 2 or others.shape[-1] != pictures:  # noqa: PLR2004 # a variance needs two
        raise AnalysisError(
            f"answers of {len(own)} and {len(others)} runs to {pictures} and {others.shape[-1]} "
            "pictures: give the answers of at least one run of each cell to the same pictures"
        )
    difference = own.mean(axis=0) - others.mean(axis=0)
    over_pictures = float(difference.var(ddof=1)) / pictures
    numbers = np.repeat([0, 1], [len(own), len(others)])
    each = common_part(np.vstack([own, others]), numbers)
    weights = np.where(numbers == 0, 1 / len(own), 1 / len(others))
    beyond = max(over_pictures - float(weights**2 @ each) / pictures, 0.0)
    over_seeds = spread**2 * (1 / len(own) + 1 / len(others)) if df else np.nan
    both = over_seeds + beyond
    freedom = both**2 / (over_seeds**2 / df + beyond**2 / (pictures - 1)) if df and both else np.nan
    half = float(student.ppf(1 - alpha / 2, freedom) * np.sqrt(both)) if both else 0.0
    size = float(difference.mean())
    return Lead(
        other,
        size,
        float(np.sqrt(over_seeds)),
        float(np.sqrt(over_pictures)),
        float(np.sqrt(both)),
        float(freedom),
        size - half,
        size + half,
        pictures,
        alpha,
    )
