"""The interface of an engine, which trains one epoch as one compiled call on the device.

Keras's own `fit` returns to Python at every step and copies each batch to the device. An engine
puts the images on the device once, and loops over the steps inside the compiled function. Each
backend compiles loops in its own way, so that there are two engines,
`models.training.tensorflow_engine` and `models.training.jax_engine`;
`models.training.engine_choice` selects one. ``infra/benchmarks/training.py`` measures them.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Images per step of an evaluation, which needs no gradients.
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class EngineJob:
    """What an engine trains.

    Attributes
    ----------
    network : the network to evaluate; it returns logits (B, classes).
    trained : the network to train: the same one, or one that augments the images and passes them
        on to it.
    optimizer : a Keras optimizer.
    images : the network's inputs: uint8 (N, H, W, 3), features, float32 (N, F), or maps, float32
        (N, h, w, F).
    labels : int64 (N,).
    micro_batch : the number of images whose gradients are in memory at once. It divides the batch;
        the gradients of the batch are the mean of those of its parts.
    compilation_key : jobs with equal keys differ only in weights, seed and learning rate, so that a
        process compiles once for all of them. Empty: nothing is shared with other jobs.
    deterministic : whether equal seeds give bit-equal weights.
    targets : float32 (classes, classes): row y is the target of an image of class y, and the loss
        is the cross-entropy with it, which may count some classes more than others. None: the loss
        is the cross-entropy with the labels.
    mixes : whether `trained` mixes images: it then takes [images, targets] and returns
        [logits, targets].
    """

    network: Any
    trained: Any
    optimizer: Any
    images: NDArray[Any]
    labels: NDArray[np.int64]
    micro_batch: int
    compilation_key: str = ""
    deterministic: bool = False
    targets: NDArray[np.float32] | None = None
    mixes: bool = False


@dataclass(frozen=True)
class EpochFigures:
    """The figures of one epoch of training.

    Attributes
    ----------
    loss, accuracy : means over the images of the epoch, during training. Of an image that is mixed
        of two classes, the right answer is the class with the larger target.
    bad_step : the first step, counted from 0, whose loss was NaN or infinite; the epoch ended
        there. -1 if there was none.
    """

    loss: float
    accuracy: float
    bad_step: int


class Engine(Protocol):
    """Trains and evaluates the network of a job."""

    def train(
        self, batches: NDArray[np.int32], rates: NDArray[np.float32] | None = None
    ) -> EpochFigures:
        """Train one step per row of `batches`, (steps, batch): indices of images.

        Parameters
        ----------
        rates : the learning rate of each step, (steps,); None: that of the optimizer.
        """
        ...

    def logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the network's logits (n, classes) for n images, given by their indices.

        Of a network that makes features or maps, these are returned: (n, F) or (n, h, w, F).
        """
        ...


def evaluation_batches(rows: NDArray[np.intp]) -> NDArray[np.int32]:
    """Return indices of images in batches of equal size, (steps, batch).

    Equal shapes are compiled once. The last batch is filled up with the first image; the caller
    drops the logits after the first ``len(rows)`` ones.
    """
    size = min(EVALUATION_BATCH, len(rows))
    missing = -len(rows) % size
    filled = np.concatenate([rows, np.repeat(rows[:1], missing)])
    return filled.reshape(-1, size).astype(np.int32)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator did not have enough memory for a step; knows both backends' errors."""
    return "RESOURCE_EXHAUSTED" in str(error) or type(error).__name__ == "ResourceExhaustedError"
