"""Networks on the same images: an accuracy with its interval, McNemar's test, constant answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from analysis.errors import AnalysisError


@dataclass(frozen=True)
class Proportion:
    """An accuracy over ``n`` images, with its confidence interval."""

    value: float
    low: float
    high: float
    n: int
    alpha: float

    def __str__(self) -> str:
        """Return it as ``0.912 (0.897 to 0.925, n = 1,500)``."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.n:,})"


def accuracy_with_interval(right: NDArray[np.bool_], *, alpha: float = 0.05) -> Proportion:
    """Return the share of correct predictions with Wilson's score interval.

    Parameters
    ----------
    right : (N,) whether each prediction is correct.
    alpha : 1 - confidence level.

    Raises
    ------
    AnalysisError
        If there are no predictions.

    References
    ----------
    Wilson, E. B. (1927), Journal of the American Statistical Association 22, 209-212;
    recommended for all n by Brown, Cai and DasGupta (2001), Statistical Science 16, 101-133.
    """
    n = len(right)
    if not n:
        raise AnalysisError("an accuracy needs at least one image; the test side has none")
    low, high = proportion_confint(int(right.sum()), n, alpha=alpha, method="wilson")
    return Proportion(float(right.mean()), float(low), float(high), n, alpha)


@dataclass(frozen=True)
class RecipeAccuracy:
    """The mean accuracy of all trainings with the same settings, with its confidence interval.

    Attributes
    ----------
    value, low, high : the mean of the trainings that were made, and the interval, 0 to 1.
    trainings : how many were made.
    n : number of images.
    alpha : 1 - confidence level.
    """

    value: float
    low: float
    high: float
    trainings: int
    n: int
    alpha: float


def accuracy_of_recipe(
    right: NDArray[np.bool_],
    spread: float,
    df: int,
    *,
    optimism: float = 0.0,
    alpha: float = 0.05,
) -> RecipeAccuracy:
    """Return the mean accuracy of several trainings, with an interval over images and seeds.

    Parameters
    ----------
    right : (m, N) whether each of m networks, trained with other seeds, is correct on each image.
    spread : standard deviation of the accuracy between seeds.
    df : degrees of freedom of that spread, at least 1.
    optimism : by how much the mean of these trainings is expected to be too high on the images by
        which they were chosen among others; see `analysis.search.best_cell.Selection`.
    alpha : 1 - confidence level.

    Raises
    ------
    AnalysisError
        If there are fewer than two images, no network or no spread.

    Notes
    -----
    The variance is that of the images' mean answers over N, plus spread^2 / m. What network and
    image share is in both parts, so that it is a little too large. The degrees of freedom are
    Satterthwaite's (1946), Biometrics Bulletin 2, 110-114.

    The images on which the trainings were chosen are no part of these, but the seeds are the same:
    a cell that was chosen because its seeds were good has a mean that is too high here, too, by at
    most `optimism`. The lower end is lower by that. `infra/benchmarks/winner.py` has the coverage.
    """
    m, n = right.shape
    if m < 1 or n < 2 or df < 1:  # noqa: PLR2004 # a variance
        raise AnalysisError(
            f"{m} networks, {n} test images, {df} degrees of freedom of the spread: an interval "
            "needs a network, two images and one degree of freedom; train more seeds"
        )
    images, seeds = float(right.mean(axis=0).var(ddof=1)) / n, spread**2 / m
    variance = images + seeds
    effective = df * (variance / seeds) ** 2 if seeds else np.inf
    half = float(student.ppf(1 - alpha / 2, effective)) * variance**0.5
    value = float(right.mean())
    low = value - half - max(0.0, optimism)
    return RecipeAccuracy(value, max(0.0, low), min(1.0, value + half), m, n, alpha)


@dataclass(frozen=True)
class McNemarResult:
    """McNemar's test: only the images on which exactly one network is correct count.

    Attributes
    ----------
    only_challenger, only_champion : numbers of images on which only that network is correct.
    n : number of images.
    p : two-sided p-value of the exact test.
    """

    only_challenger: int
    only_champion: int
    n: int
    p: float

    def challenger_is_better(self, alpha: float = 0.05) -> bool:
        """Whether the challenger is significantly better, not only different (two-sided)."""
        return self.only_challenger > self.only_champion and self.p < alpha

    def __str__(self) -> str:
        """Return the counts and the p-value as text."""
        return (
            f"of {self.n:,} test images, only the challenger is correct on "
            f"{self.only_challenger:,} and only the champion on {self.only_champion:,} "
            f"(McNemar's exact test, p {self.p_as_text})"
        )

    @property
    def p_as_text(self) -> str:
        """The p-value as text; see `p_as_text`."""
        return p_as_text(self.p)


def p_as_text(p: float) -> str:
    """Return a p-value in four digits: ``= 0.0312``, or ``< 0.0001``."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.4f}"  # noqa: PLR2004 # the last digit


def mcnemar_test(challenger: NDArray[np.bool_], champion: NDArray[np.bool_]) -> McNemarResult:
    """Compare two networks on the same images.

    Parameters
    ----------
    challenger, champion : (N,) whether each prediction is correct, in the same order.

    Raises
    ------
    AnalysisError
        If the two have different numbers of predictions.

    References
    ----------
    McNemar, Q. (1947), Psychometrika 12, 153-157; the exact binomial form.
    """
    if challenger.shape != champion.shape:
        raise AnalysisError(
            f"{len(challenger)} predictions against {len(champion)}: a paired test needs both "
            "networks on the same test images"
        )
    table = [
        [int((challenger & champion).sum()), int((challenger & ~champion).sum())],
        [int((~challenger & champion).sum()), int((~challenger & ~champion).sum())],
    ]
    p = float(mcnemar(table, exact=True).pvalue)
    return McNemarResult(table[0][1], table[1][0], len(champion), p)


#: From this share of its alpha on, a test side is used up: new test images are asked for.
USED_UP = 0.9


@dataclass(frozen=True)
class Look:
    """One of many comparisons with a champion on the same test images, and its share of alpha.

    Each comparison can promote a network that is not better. The k-th one has the share
    1 / (k (k + 1)) of alpha, and all shares together are 1: however many looks follow, the chance
    that any of them promotes a network that is not better is at most alpha (Bonferroni's
    inequality, so the answers on the same images may depend on each other in any way).

    Attributes
    ----------
    number : k, from 1; the same two networks compared again are the same look.
    alpha : the largest chance of a wrong promotion over all looks.

    References
    ----------
    Foster, D. P. and Stine, R. A. (2008), Journal of the Royal Statistical Society B 70, 429-444
    (alpha spending for a sequence of tests of unknown length).
    """

    number: int
    alpha: float

    @property
    def level(self) -> float:
        """The level for McNemar's two-sided p: half of it is for a challenger that is worse."""
        return 2 * self.alpha / (self.number * (self.number + 1))

    @property
    def spent(self) -> float:
        """The share of alpha that is spent after this look: k / (k + 1)."""
        return self.number / (self.number + 1)

    @property
    def used_up(self) -> bool:
        """Whether new test images are needed: what is left of alpha shows only large leads."""
        return self.spent >= USED_UP


@dataclass(frozen=True)
class ConstantComparison:
    """A network and the constant answer, the most frequent class, on the same images.

    Attributes
    ----------
    right : number of images on which the network is correct.
    constant_right : number of images of the most frequent class.
    only_network, only_constant : numbers of images on which only one of them is correct.
    n : number of images.
    p : one-sided p-value of McNemar's exact test: how often a network that is no better than the
        constant answer would look at least this much better.
    alpha : the level of the test.
    """

    right: int
    constant_right: int
    only_network: int
    only_constant: int
    n: int
    p: float
    alpha: float

    @property
    def network_is_better(self) -> bool:
        """Whether the network is shown to be better than the constant answer."""
        return self.p < self.alpha


def compare_with_constant(
    right: NDArray[np.bool_], labels: NDArray[np.int64], *, alpha: float = 0.05
) -> ConstantComparison:
    """Test whether a network is better than always answering the most frequent class.

    If several classes are the most frequent ones, the network must beat each of them: the
    comparison with the largest p-value counts.

    Parameters
    ----------
    right : (N,) whether each prediction is correct.
    labels : (N,) the true classes.
    alpha : the level of the test.

    Raises
    ------
    AnalysisError
        If there are no images.

    References
    ----------
    McNemar, Q. (1947), Psychometrika 12, 153-157; the exact binomial form, one-sided.
    """
    n = len(labels)
    if not n:
        raise AnalysisError("a comparison needs at least one image; the test side has none")
    counts = np.bincount(labels)
    found = []
    for constant in np.flatnonzero(counts == counts.max()):
        of_class = labels == constant
        only_network = int((right & ~of_class).sum())
        only_constant = int((~right & of_class).sum())
        differing = only_network + only_constant
        p = binomtest(only_network, differing, alternative="greater").pvalue if differing else 1.0
        own = (int(right.sum()), int(counts.max()), only_network, only_constant, n)
        found.append(ConstantComparison(*own, float(p), alpha))
    return max(found, key=lambda comparison: comparison.p)
