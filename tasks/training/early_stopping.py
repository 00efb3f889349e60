"""Ending replicates of the refined grid that will not be chosen: the median stopping rule.

Off unless a study says ``[refine] prune = true``. The screen is never pruned: the effects need the
response of every cell, of the bad ones above all.
"""

import math
import threading
from collections.abc import Sequence
from statistics import median

#: Replicates that must have finished before one is ended.
ENOUGH = 5
#: The share of its epochs that every replicate gets.
GRACE = 0.4


class Pruner:
    """What the finished replicates of an execution had at each epoch; any thread may call it."""

    def __init__(self) -> None:
        self._averages: list[list[float]] = []
        self._lock = threading.Lock()

    def finished(self, accuracies: Sequence[float]) -> None:
        """Remember a finished replicate, by its accuracy at each epoch."""
        averages = [sum(accuracies[: n + 1]) / (n + 1) for n in range(len(accuracies))]
        with self._lock:
            self._averages.append(averages)

    def hopeless(self, accuracies: Sequence[float], epochs: int) -> str:
        """Say why a replicate is not worth its remaining epochs; empty: it is.

        It is not where its best accuracy so far is below the median of the finished ones' running
        averages at this epoch (Golovin et al. 2017, "Google Vizier", section 3.2.2).

        Parameters
        ----------
        accuracies : of its epochs so far.
        epochs : that it would train.
        """
        done = len(accuracies)
        with self._lock:
            known = [averages[done - 1] for averages in self._averages if len(averages) >= done]
        if len(known) < ENOUGH or done < GRACE * epochs or done == epochs:
            return ""
        bar, best = median(known), max(accuracies)
        if best >= bar or math.isclose(best, bar):  # an average of equals may be a bit above them
            return ""
        return (
            f"pruned after epoch {done} of {epochs}: its best accuracy {best:.4f} is below "
            f"{bar:.4f}, the median of {len(known)} finished replicates' averages by then"
        )
