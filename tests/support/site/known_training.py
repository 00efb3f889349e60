"""Training whose accuracy a test decides.

A tiny network on a few pictures learns by luck: which one wins depends on the processor. Here the
product builds the real network, goes through its epochs and writes its files, but the engine
answers with the accuracy of a table instead of the network's own. The network itself is saved as it
was built, without training.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.spec import ReplicateSpec
from models.training.engine import EngineJob, EpochFigures

#: Accuracy before the first step, with two classes.
CHANCE = 0.5
#: An epoch takes this long, so that a test can interrupt a study of many epochs.
EPOCH_SECONDS = 0.05
#: Accuracies stay inside, so that the loss is finite.
LIMITS = (0.02, 0.98)


def install(train: Any) -> None:
    """Replace the engine in the module of the training loop, and the seconds that it measures."""
    table = json.loads(os.environ["TESTS_ACCURACY"])
    fit_replicate = train.fit_replicate

    def fit_with_known_accuracy(spec: ReplicateSpec, *arguments: Any, **options: Any) -> Any:
        train.engine_of = lambda job: KnownEngine(job, spec, accuracy_of(spec, table), table)
        result = fit_replicate(spec, *arguments, **options)
        # Of the network, so that the reports of two executions can be compared.
        return dataclasses.replace(result, train_seconds=result.parameters / 1000)

    train.fit_replicate = fit_with_known_accuracy


def accuracy_of(spec: ReplicateSpec, table: Mapping[str, Any]) -> float:
    """Return a cell's accuracy: the best one, less the loss of each factor at its level.

    Between the levels of the table, the loss is interpolated; beyond them it stays as it is. A
    learning rate is interpolated on its logarithm.
    """
    lost = 0.0
    for factor, losses in table["losses"].items():
        position = math.log10 if factor == "learning_rate" else float
        points = sorted((position(float(level)), loss) for level, loss in losses.items())
        level = position(_setting(spec, factor))
        lost += float(np.interp(level, *np.transpose(points)))
    return float(table["best"] - lost)


def _setting(spec: ReplicateSpec, name: str) -> float:
    value = spec.model.settings.get(name)
    return float(getattr(spec.training, name) if value is None else value)


class KnownEngine:
    """An engine whose answers have the accuracy it was given, and some noise that the seed decides.

    The accuracy rises in equal steps from chance to its value after the last epoch.
    """

    def __init__(
        self, job: EngineJob, spec: ReplicateSpec, accuracy: float, table: Mapping[str, Any]
    ) -> None:
        self.labels, self.spec, self.final = job.labels, spec, accuracy
        self.classes = int(job.network.output_shape[1])
        self.noise = float(table["noise"])
        self.epochs = 0
        # Where a checkpoint keeps the epochs that were trained.
        self.trained_before = getattr(getattr(job, "optimizer", None), "iterations", None)

    def train(
        self,
        order: NDArray[np.int32],  # noqa: ARG002 # of the protocol
        rates: NDArray[np.float32] | None = None,  # noqa: ARG002 # of the protocol
    ) -> EpochFigures:
        """Count an epoch; the training images have the same accuracy as the others."""
        time.sleep(EPOCH_SECONDS)
        if self.trained_before is not None:
            self.epochs = max(self.epochs, int(self.trained_before.numpy()))
            self.trained_before.assign(self.epochs + 1)
        self.epochs += 1
        accuracy = self._accuracy()
        return EpochFigures(_loss(accuracy), accuracy, -1)

    def logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return answers to these rows of the images, (n, classes).

        Each answer is as sure as the network is accurate, right or wrong.
        """
        # Not by the rows' numbers: they differ between two caches of one dataset version.
        random = np.random.default_rng([self.spec.seed, len(rows)])
        accuracy = self._accuracy() + random.uniform(-self.noise, self.noise)
        wrong = random.permutation(len(rows))[round(accuracy * len(rows)) :]
        answers = self.labels[rows].copy()
        answers[wrong] = (answers[wrong] + 1) % self.classes
        chosen = np.clip(accuracy, *LIMITS)
        sure = math.log(chosen / (1 - chosen)) + math.log(self.classes - 1)
        return (sure * np.eye(self.classes)[answers]).astype(np.float32)

    def _accuracy(self) -> float:
        progress = self.epochs / self.spec.training.epochs
        return CHANCE + (self.final - CHANCE) * progress


def _loss(accuracy: float) -> float:
    """Return the cross-entropy in nats of answers that are as sure as they are accurate."""
    share = min(max(accuracy, LIMITS[0]), LIMITS[1])
    return -share * math.log(share) - (1 - share) * math.log(1 - share)
