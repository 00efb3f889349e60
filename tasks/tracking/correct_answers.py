"""Reading the stored answers of a study's networks to its validation pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import ArraysError
from models.images.arrays import open_arrays
from tasks.errors import UserError
from tasks.tracking.artifact_paths import PICTURES, PREDICTIONS
from tasks.tracking.execution import Execution
from tasks.tracking.predictions import stored_probability

#: The response that is the share of correct answers.
ACCURACY = "val_accuracy"


def correct_answers(
    execution: Execution, run_ids: Sequence[str], accuracies: Sequence[float]
) -> NDArray[np.bool_]:
    """Return whether the network of each run classified each validation picture correctly.

    Parameters
    ----------
    execution : the study.
    run_ids : R runs of its replicates.
    accuracies : (R,) their validation accuracies.

    Returns
    -------
    (R, P), one row per run, for the same P pictures in the same order.

    Raises
    ------
    UserError
        If the labels or a run's answers are not stored, or a run was judged on other pictures.
    """
    labels = _validation_labels(execution)
    return np.stack(
        [
            _answers(execution, run_id, accuracy, labels)
            for run_id, accuracy in zip(run_ids, accuracies, strict=True)
        ]
    )


def _validation_labels(execution: Execution) -> NDArray[np.int64]:
    """Return the true classes (P,) of the validation pictures: as logged, else from the cache."""
    logged = execution.tracker.read_json(execution.run_id, PICTURES) or {}
    if "validation_labels" in logged:
        return np.asarray(logged["validation_labels"], dtype=np.int64)
    name = f"{execution.version}-{execution.study.data.image_size}"
    try:
        arrays = open_arrays(execution.tracker.settings.cache / name)
    except ArraysError:
        raise UserError(
            f"study {execution.study.name}: was run before the labels of validation pictures were "
            "logged, and its pictures are not cached on this machine; run the study here again, "
            "which prepares its pictures and trains nothing twice"
        ) from None
    return np.asarray(arrays.labels[arrays.side("validation")], dtype=np.int64)


def _answers(
    execution: Execution, run_id: str, accuracy: float, labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    tracker = execution.tracker

    def fault(text: str) -> UserError:
        return UserError(f"run {tracker.trained_by(run_id)}: {text}")

    probability = stored_probability(tracker, run_id, "val")
    if probability is None:
        raise fault(
            f"no {PREDICTIONS}, its answers to the validation pictures; delete "
            "the run and train it again"
        )
    answers = probability.argmax(axis=1)
    if len(answers) != len(labels):
        raise fault(
            f"has answers to {len(answers):,} validation pictures, but the study "
            f"has {len(labels):,}: runs of different pictures have no common uncertainty"
        )
    correct = answers == labels
    # One picture more or less may be a tie between two classes.
    if abs(correct.mean() - accuracy) > 1.5 / len(labels):
        raise fault(
            f"its answers are right for {correct.mean():.4f} of the validation "
            f"pictures, but its {ACCURACY} is {accuracy:.4f}: it was judged on other pictures"
        )
    return np.asarray(correct, dtype=bool)
