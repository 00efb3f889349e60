"""The figures of a network on images of known class, from its probabilities.

They are the metrics of scikit-learn with the same names. They are computed here because a machine
that only trains needs neither scikit-learn nor pandas.
"""

import numpy as np
from numpy.typing import NDArray

#: What `metrics_of` returns; ``auc`` is missing if a class has no image.
NAMES = ("accuracy", "balanced_accuracy", "f1_macro", "auc", "log_loss")


def metrics_of(
    probability: NDArray[np.float32], labels: NDArray[np.int64], prefix: str = ""
) -> dict[str, float]:
    """Return the figures of `NAMES`, each with a prefix before its name.

    Parameters
    ----------
    probability : (n, classes); each row adds up to 1.
    labels : (n,) class indices.
    prefix : as in ``val_``.

    Notes
    -----
    Accuracy: the share of right answers. Balanced accuracy: the mean over the classes of the share
    of right answers among the images of the class. F1, macro: the mean over the classes of the
    harmonic mean of precision and recall. AUC, macro, one versus rest: the mean over the classes
    of the probability that an image of the class has a higher probability for it than an image of
    the others; equal ones count one half. Log loss: the mean cross-entropy in nats.

    References
    ----------
    scikit-learn 1.9: ``accuracy_score``, ``balanced_accuracy_score``, ``f1_score`` and
    ``roc_auc_score`` with ``average="macro"`` (``multi_class="ovr"``), ``log_loss``.
    Hand, D. J. and Till, R. J. (2001), Machine Learning 45, 171-186 (AUC by ranks).
    """
    counts = confusion(probability, labels)
    of_class, answered, right = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    present, met = of_class > 0, of_class + answered > 0
    found = {
        "accuracy": right.sum() / of_class.sum(),
        "balanced_accuracy": (right[present] / of_class[present]).mean(),
        "f1_macro": (2 * right[met] / (of_class + answered)[met]).mean(),
        "log_loss": _log_loss(probability, labels),
    }
    if present.all() and len(present) > 1:
        found["auc"] = _auc(probability, labels)
    return {f"{prefix}{name}": float(found[name]) for name in NAMES if name in found}


def confusion(probability: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the images (classes, classes) by true class, in rows, and by answer."""
    size = probability.shape[1]
    pairs = labels * size + probability.argmax(axis=1)
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def _log_loss(probability: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    # Rounded probabilities may be 0; scikit-learn, too, takes the smallest step of the type.
    smallest = float(np.finfo(probability.dtype).eps)
    own = probability[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(own, smallest, 1 - smallest)).mean())


def _auc(probability: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    classes = range(probability.shape[1])
    return float(np.mean([_auc_of(probability[:, own], labels == own) for own in classes]))


def _auc_of(score: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """Return the area under the curve by the mean ranks: Mann and Whitney's U over all pairs."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks = (last - (count - 1) / 2)[place]
    n = int(positive.sum())
    u = ranks[positive].sum() - n * (n + 1) / 2
    return float(u / (n * (len(positive) - n)))
