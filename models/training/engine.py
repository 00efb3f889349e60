"""Engines: one epoch as one compiled call, with the images where the arithmetic is.

Keras's own `fit` goes back to Python at every step and copies each batch there. An engine maps the
images once, and loops over the steps inside the compiled function; each backend has its own, since
each compiles loops in its own way. What is measured of it: ``infra/benchmarks/training.py``.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Images in a step of an evaluation, which needs no gradients.
EVALUATED_AT_ONCE = 256


@dataclass(frozen=True)
class EngineJob:
    """What an engine trains.

    Attributes
    ----------
    network : answers logits (B, classes).
    trained : sees what is trained on: the network itself, or one that changes pictures before it.
    optimizer : Keras's.
    images : uint8 (N, H, W, 3).
    labels : int64 (N,).
    micro_batch : images whose gradients are in memory at once; it divides the batch, whose
        gradients are the mean of its parts'.
    kind : of equal kinds, networks and training are the same but for weights, seed and learning
        rate, so that a process may compile once for all; empty: of no other's.
    deterministic : whether equal seeds give bit-equal weights.
    """

    network: Any
    trained: Any
    optimizer: Any
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    micro_batch: int
    kind: str = ""
    deterministic: bool = False


@dataclass(frozen=True)
class EpochFigures:
    """What an epoch of training gave.

    Attributes
    ----------
    loss, accuracy : means over its images, as they were trained on.
    bad_step : the first step, from 0, whose loss was no number; the epoch ended there. -1: none.
    """

    loss: float
    accuracy: float
    bad_step: int


class Engine(Protocol):
    """Trains a job's network, and reads its answers."""

    def train(self, order: NDArray[np.int32]) -> EpochFigures:
        """Take a step for each row of `order`, (steps, batch) rows of the images."""
        ...

    def logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the network's answers to these rows of the images, (n, classes)."""
        ...


def in_steps(rows: NDArray[np.intp]) -> NDArray[np.int32]:
    """Return rows in equal steps of an evaluation, filled up with the first row.

    Equal shapes are compiled once; who reads the answers leaves those beyond ``len(rows)`` away.
    """
    step = min(EVALUATED_AT_ONCE, len(rows))
    missing = -len(rows) % step
    filled = np.concatenate([rows, np.repeat(rows[:1], missing)])
    return filled.reshape(-1, step).astype(np.int32)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator had no room for a step, in the words of either backend."""
    return "RESOURCE_EXHAUSTED" in str(error) or type(error).__name__ == "ResourceExhaustedError"
