"""Whether short trainings rank the cells as trainings of full length do."""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import spearmanr

from analysis.search.procedure import SearchRules, means_at_lengths

#: Fewer cells at both lengths say nothing about their order.
FEWEST_CELLS = 4


@dataclass(frozen=True)
class RankingAtLengths:
    """What the cells that were trained at both lengths show.

    Attributes
    ----------
    epochs, full : of a short training, and of one of full length.
    cells : number of cells that have both.
    correlation : Spearman's rank correlation of their mean responses; NaN with fewer than 4 cells,
        or if all of them are equal at one length.
    """

    epochs: int
    full: int
    cells: int
    correlation: float


def ranking_at_lengths(rules: SearchRules, runs: pd.DataFrame) -> RankingAtLengths | None:
    """Compare the order of cells at both lengths; None if the search has only one length.

    Only cells that looked promising after a short training have both, so the correlation is lower
    than it would be among all cells.

    Parameters
    ----------
    runs : of all stages.
    """
    if rules.short is None:
        return None
    both = means_at_lengths(rules, runs)
    enough = len(both) >= FEWEST_CELLS and both.nunique().gt(1).all()
    correlation = float(spearmanr(both[True], both[False]).statistic) if enough else float("nan")
    return RankingAtLengths(rules.short.epochs, rules.short.full, len(both), correlation)
