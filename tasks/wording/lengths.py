"""The two lengths of training as text: how long the screen's trainings were, and what it means."""

import math

from analysis.search.lengths import RankingAtLengths
from tasks.languages import Translate


def lengths_as_text(found: RankingAtLengths | None, translate: Translate) -> list[str]:
    """Return at which length the effects were measured, and whether the order of cells held.

    Parameters
    ----------
    found : None if all trainings had full length; then there is nothing to say.
    """
    if found is None:
        return []
    effects = translate("lengths", epochs=found.epochs, full=found.full)
    return [effects, *ranking_as_text(found, translate)]


def ranking_as_text(found: RankingAtLengths | None, translate: Translate) -> list[str]:
    """Return how both lengths rank the cells, if that is known.

    Parameters
    ----------
    found : None if all trainings had full length; then there is nothing to say.
    """
    if found is None or math.isnan(found.correlation):
        return []
    correlation = f"{found.correlation:.2f}"
    return [translate("lengths_ranking", cells=found.cells, correlation=correlation)]
