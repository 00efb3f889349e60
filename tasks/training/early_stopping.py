"""Early stopping of replicates of the refined grid: the median stopping rule.

A study uses it if its file has ``[refine] prune = true``. The screen is never stopped early: the
effects need the response of every cell, and that of the bad cells most.

This module has only the rule. What finished replicates reached is read from MLflow
(`tasks.tracking.metric_history`), so that a study that is resumed, or that trains on several
machines, compares with all of them.
"""

import math
from collections.abc import Sequence
from statistics import median

from analysis.runs.response import DEFAULT, Response, response_of

#: The rule stops no replicate before this many others have finished.
MIN_FINISHED_REPLICATES = 5
ACCURACY = response_of(DEFAULT)
#: The share of its epochs that every replicate is trained for.
MIN_SHARE_OF_EPOCHS = 0.4


def can_stop(epoch: int, epochs: int) -> bool:
    """Whether the rule may stop a replicate after this epoch: not too early, and not at the end."""
    return MIN_SHARE_OF_EPOCHS * epochs <= epoch < epochs


def stop_reason(
    figures: Sequence[float],
    finished: Sequence[Sequence[float]],
    epochs: int,
    response: Response = ACCURACY,
) -> str:
    """Return why a replicate is to be stopped now; empty if it is to be continued.

    It is stopped if its best response so far is worse than the median of the running averages that
    the finished replicates had at this epoch (Golovin et al. 2017, "Google Vizier: A Service for
    Black-Box Optimization", section 3.2.2). It is not if a response is not known at some epoch.

    Parameters
    ----------
    figures : the response of the replicate at each epoch so far.
    finished : the same of each finished replicate, at all of its epochs.
    epochs : how many epochs the replicate would train.
    response : what the figures are.
    """
    epoch, sign = len(figures), response.sign
    averages = [
        sign * sum(history[:epoch]) / epoch for history in finished if len(history) >= epoch
    ]
    if len(averages) < MIN_FINISHED_REPLICATES or not can_stop(epoch, epochs):
        return ""
    if not all(map(math.isfinite, (*figures, *averages))):
        return ""
    threshold, best = median(averages), max(sign * figure for figure in figures)
    # The average of equal numbers may be above them in its last bit.
    if best >= threshold or math.isclose(best, threshold):
        return ""
    return (
        f"pruned after epoch {epoch} of {epochs}: its best {response.title} {sign * best:.4f} is "
        f"{'above' if response.lower else 'below'} {sign * threshold:.4f}, the median of the "
        f"running averages of {len(averages)} finished replicates at this epoch"
    )
