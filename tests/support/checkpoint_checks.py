"""Trains in parts on one Keras backend, each part in a process of its own.

    python checkpoint_checks.py FOLDER NAME OPTIONS

The options are JSON: ``epochs``, other levels of the spec, and the names of the checkpoints
``checkpoint_to`` and ``continue_from``. The folder gets NAME.json with the result, and NAME.npz
with the weights and the class probabilities.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.images.arrays import open_arrays
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.training import train
from models.training.engine import Engine, EngineJob
from models.training.engine_choice import engine_of
from models.training.train import fit_replicate

#: With everything that a checkpoint must keep: random layers, momentum and its bias correction.
SPEC = ReplicateSpec(
    ModelSpec(settings={"conv_layers": 1, "filters": 4, "dense_units": 8, "dropout": 0.3}),
    TrainingSpec(epochs=5, batch_size=24, augment=True, deterministic=True, learning_rate=0.003),
    image_size=16,
    seed=3,
)


def train_part(folder: Path, options: dict[str, Any]) -> tuple[Any, list[Any], list[Any]]:
    """Train, and return the result, the reported epochs and the network's weights."""
    jobs: list[EngineJob] = []
    most = options.pop("memory", 10**9)

    def watched(job: EngineJob) -> Engine:
        if job.micro_batch > most:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes")
        jobs.append(job)
        return engine_of(job)

    files = {
        name: folder / options.pop(name)
        for name in ("checkpoint_to", "continue_from")
        if name in options
    }
    epochs: list[Any] = []
    training: Any = train
    training.engine_of = watched
    try:
        result = fit_replicate(
            SPEC.with_levels(options),
            open_arrays(folder / "cache"),
            on_epoch=epochs.append,
            **files,
        )
    finally:
        training.engine_of = engine_of
    return result, epochs, jobs[-1].network.get_weights()


def main(folder: Path, name: str, options: str) -> None:
    """Train one part, and write what came out."""
    result, epochs, weights = train_part(folder, json.loads(options))
    np.savez(folder / f"{name}.npz", *weights, result.val_probability, result.test_probability)
    content = {**result.to_dict(), "reported": epochs}
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
