"""The learning rate of each step, computed before an epoch: the compiled code gets it as data."""

import numpy as np
from numpy.typing import NDArray

from models.errors import SpecError
from models.spec import TrainingSpec

#: Of one_cycle: the largest learning rate divided by the first one, and the first one divided by
#: the last one (the defaults of PyTorch's `OneCycleLR`).
FIRST_DIVISOR, LAST_DIVISOR = 25.0, 1e4
#: Of one_cycle: the share of the steps in which the learning rate rises, if `warmup` is 0.
RISING_SHARE = 0.3


def epoch_rates(training: TrainingSpec, steps: int, epoch: int) -> NDArray[np.float32] | None:
    """Return the learning rate of each step of an epoch; None if it never changes.

    ``constant`` and ``cosine`` rise linearly in the first `warmup` share of all steps: the step i
    of w has (i + 1) / w of the learning rate. ``cosine`` then falls as half a cosine, to 0 after
    the last step [1]_. ``one_cycle`` rises from 1/25 of the learning rate and falls to 1/250,000 of
    it, both as half a cosine; the momentum stays constant [2]_.

    Parameters
    ----------
    training : schedule, warmup, learning rate and number of epochs.
    steps : steps per epoch.
    epoch : from 0.

    Returns
    -------
    (steps,), or None.

    Raises
    ------
    SpecError
        If the schedule is unknown.

    References
    ----------
    .. [1] Loshchilov, I., Hutter, F. (2017), SGDR, arXiv:1608.03983, equation 5 without restarts.
    .. [2] Smith, L. N., Topin, N. (2018), Super-convergence, arXiv:1708.07120.
    """
    total = steps * training.epochs
    step = np.arange(epoch * steps, (epoch + 1) * steps, dtype=np.float64)
    match training.schedule:
        case "constant" if not training.warmup:
            return None
        case "constant":
            factors = _warmup(step, training.warmup * total)
        case "cosine":
            rising = round(training.warmup * total)
            part = np.clip((step - rising) / max(total - rising, 1), 0, 1)
            factors = np.minimum(_warmup(step, rising), _half_cosine(1, 0, part))
        case "one_cycle":
            factors = _one_cycle(step, total, training.warmup or RISING_SHARE)
        case other:
            raise SpecError(
                f"schedule {other!r}: not constant, cosine or one_cycle; use one of them"
            )
    return (training.learning_rate * factors).astype(np.float32)


def _warmup(step: NDArray[np.float64], steps: float) -> NDArray[np.float64]:
    return np.minimum((step + 1) / max(round(steps), 1), 1.0)


def _half_cosine(start: float, end: float, part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values from `start` (part 0) to `end` (part 1)."""
    return end + (start - end) * (1 + np.cos(np.pi * part)) / 2


def _one_cycle(step: NDArray[np.float64], total: int, share: float) -> NDArray[np.float64]:
    first, last = 1 / FIRST_DIVISOR, 1 / FIRST_DIVISOR / LAST_DIVISOR
    top = max(share * total - 1, 1)
    rising = _half_cosine(first, 1, np.clip(step / top, 0, 1))
    falling = _half_cosine(1, last, np.clip((step - top) / max(total - 1 - top, 1), 0, 1))
    return np.where(step < top, rising, falling)
