"""Two networks on the same pictures: one's accuracy with its interval, both by McNemar's test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from analysis.errors import AnalysisError


@dataclass(frozen=True)
class Proportion:
    """An accuracy over ``n`` pictures, with its confidence interval."""

    value: float
    low: float
    high: float
    n: int
    alpha: float

    def __str__(self) -> str:
        """Return it as ``0.912 (0.897 to 0.925, n = 1,500)``."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.n:,})"


def accuracy(right: NDArray[np.bool_], *, alpha: float = 0.05) -> Proportion:
    """Return the share of right answers with Wilson's score interval.

    Parameters
    ----------
    right : (N,) whether each answer was right.
    alpha : 1 - confidence.

    Raises
    ------
    AnalysisError
        If there are no answers.

    References
    ----------
    Wilson, E. B. (1927), Journal of the American Statistical Association 22, 209-212;
    recommended for all n by Brown, Cai and DasGupta (2001), Statistical Science 16, 101-133.
    """
    n = len(right)
    if not n:
        raise AnalysisError("an accuracy needs at least one picture; the test side has none")
    low, high = proportion_confint(int(right.sum()), n, alpha=alpha, method="wilson")
    return Proportion(float(right.mean()), float(low), float(high), n, alpha)


@dataclass(frozen=True)
class Paired:
    """McNemar's comparison: only the pictures on which the two differ speak."""

    only_challenger: int
    only_champion: int
    n: int
    p: float

    def better(self, alpha: float = 0.05) -> bool:
        """Whether the challenger is better, not only different, at this two-sided level."""
        return self.only_challenger > self.only_champion and self.p < alpha

    def __str__(self) -> str:
        """Return the counts and the p-value in words."""
        return (
            f"of {self.n:,} test images {self.only_challenger:,} were right with the challenger "
            f"alone and {self.only_champion:,} with the champion alone "
            f"(McNemar's exact test, p {self.relation})"
        )

    @property
    def relation(self) -> str:
        """What p is, in four digits: ``= 0.0312``, or ``< 0.0001``."""
        return "< 0.0001" if self.p < 1e-4 else f"= {self.p:.4f}"  # noqa: PLR2004 # the last digit


def mcnemar_test(challenger: NDArray[np.bool_], champion: NDArray[np.bool_]) -> Paired:
    """Compare two networks on the same pictures.

    Parameters
    ----------
    challenger, champion : (N,) whether each answered right, in the same order.

    Raises
    ------
    AnalysisError
        If the two have not answered the same number of pictures.

    References
    ----------
    McNemar, Q. (1947), Psychometrika 12, 153-157; the exact binomial form.
    """
    if challenger.shape != champion.shape:
        raise AnalysisError(
            f"{len(challenger)} answers against {len(champion)}: a paired test needs both networks "
            "on the same test images"
        )
    table = [
        [int((challenger & champion).sum()), int((challenger & ~champion).sum())],
        [int((~challenger & champion).sum()), int((~challenger & ~champion).sum())],
    ]
    p = float(mcnemar(table, exact=True).pvalue)
    return Paired(table[0][1], table[1][0], len(champion), p)
