"""The stored answers of a run's network."""

import io

import numpy as np
from numpy.typing import NDArray

from tasks.tracking.artifact_paths import PREDICTIONS
from tasks.tracking.tracker import Tracker


def stored_probability(tracker: Tracker, run_id: str, side: str) -> NDArray[np.float32] | None:
    """Return the probabilities (N, classes) that a run's network gave; None if it has none.

    Parameters
    ----------
    run_id : a replicate's run; one that was reused has them in the original run.
    side : of the split, ``val`` or ``test``.
    """
    saved = tracker.read(tracker.trained_by(run_id), PREDICTIONS)
    if saved is None:
        return None
    with np.load(io.BytesIO(saved)) as arrays:
        probability: NDArray[np.float32] = arrays[f"{side}_probability"]
    return probability
