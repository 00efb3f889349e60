"""Trains on one Keras backend, in a process of its own, and prints what came out as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.backend import load_keras
from models.cnn import build
from models.drawn import draw
from models.engine import Engine, Job, engine_of
from models.images import digest_of, open_arrays, side_of, write_arrays
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.training import fit

SPEC = ReplicateSpec(
    ModelSpec(settings={"conv_layers": 1, "filters": 8, "dense_units": 16, "dropout": 0.0}),
    TrainingSpec(epochs=6, batch_size=24, precision="float32", learning_rate=0.003),
    image_size=16,
    seed=3,
)


def write(folder: Path) -> None:
    """Write a small cache of drawn pictures."""
    images, labels, classes = draw(640, 16, seed=1)
    digests = [digest_of(image.tobytes()) for image in images]
    write_arrays(
        folder,
        images,
        size=16,
        labels=labels.tolist(),
        sides=[side_of(digest, 0.7, 0.15) for digest in digests],
        names=digests,
        classes=classes,
        version="drawn",
    )


def engine(arrays: Any, micro_batch: int) -> Engine:
    """Return an engine on fresh weights, always the same."""
    keras = load_keras()
    keras.utils.set_random_seed(1)
    network = build(image_size=16, classes=2, **SPEC.model.settings)
    optimizer = keras.optimizers.SGD(0.01)
    return engine_of(Job(network, network, optimizer, arrays.images, arrays.labels, micro_batch))


def parts(arrays: Any) -> list[list[float]]:
    """Train an epoch of batches of 24, whole and in three parts."""
    order = arrays.side("training")[:240].reshape(10, 24).astype(np.int32)
    rows = arrays.side("validation")[:9]
    answers = []
    for micro_batch in (24, 8):
        trained = engine(arrays, micro_batch)
        figures = trained.train(order)
        answers.append([figures.loss, figures.accuracy, *trained.logits(rows).ravel().tolist()])
    return answers


def without_memory(arrays: Any) -> dict[str, Any]:
    """Train where more than 12 images at once find no memory, in the words of an accelerator."""
    import models.training

    def small(job: Job) -> Engine:
        if job.micro_batch > 12:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes")
        return engine_of(job)

    models.training.engine_of = small
    try:
        return fit(SPEC, arrays).to_dict()
    finally:
        models.training.engine_of = engine_of


def main(folder: Path) -> None:
    """Print everything."""
    write(folder / "cache")
    arrays = open_arrays(folder / "cache")
    figures = {
        "whole": fit(SPEC, arrays, weights_to=folder / "model.keras").to_dict(),
        "augmented": fit(SPEC.with_levels({"augment": True}), arrays).to_dict(),
        "parts": parts(arrays),
        "without_memory": without_memory(arrays),
        "diverged": fit(
            SPEC.with_levels({"optimizer": "sgd", "learning_rate": 1e30}), arrays
        ).to_dict(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
