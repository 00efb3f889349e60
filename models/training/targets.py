"""What the network is trained towards, one row per class."""

import numpy as np
from numpy.typing import NDArray

from models.spec import TrainingSpec


def target_table(
    training: TrainingSpec, labels: NDArray[np.int64], classes: int, *, mixed: bool
) -> NDArray[np.float32] | None:
    """Return the target of an image of each class; None if the labels are enough.

    With label smoothing s, the target of class y is 1 - s + s / classes for y and s / classes for
    each other class [1]_. With balanced class weights, the row of class y is multiplied by
    n / (classes * n of y), as in scikit-learn's ``class_weight="balanced"``. The loss is linear in
    the targets, so that a weighted target is a weighted loss.

    Parameters
    ----------
    training : its `label_smoothing` and `class_weight`.
    labels : of the training images, (n,).
    classes : how many classes.
    mixed : whether targets are mixed, and thus needed.

    Returns
    -------
    float32 (classes, classes), or None.

    References
    ----------
    .. [1] Szegedy, C. et al. (2015), arXiv:1512.00567, section 7.
    """
    smoothing, balanced = training.label_smoothing, training.class_weight == "balanced"
    if not (smoothing or balanced or mixed):
        return None
    table = np.eye(classes) * (1 - smoothing) + smoothing / classes
    if balanced:
        counts = np.bincount(labels, minlength=classes)
        # A class without a training image has no target that is used.
        weights = len(labels) / (classes * np.maximum(counts, 1))
        table *= weights[:, None]
    return table.astype(np.float32)
