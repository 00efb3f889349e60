"""Trains in parts on one Keras backend, in a process of its own, and prints the results as JSON."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from support.array_cache import write_drawn_cache

from models.images.arrays import open_arrays
from models.spec import ModelSpec, ReplicateSpec, Scalar, TrainingSpec
from models.training import train
from models.training.backend import load_keras
from models.training.checkpoint import load_checkpoint, save_checkpoint
from models.training.engine import Engine, EngineJob
from models.training.engine_choice import engine_of
from models.training.train import fit_replicate

#: Together, these need everything that a checkpoint must keep: the seeds of random layers, moving
#: averages, momentum with its bias correction, mixed precision, averaged weights, and the weights
#: of the best epoch.
REPLICATES: Mapping[str, Mapping[str, Scalar]] = {
    "augmented": {"augment": True, "dropout": 0.3, "precision": "float32"},
    "normalised": {"optimizer": "sgd", "normalised": True, "precision": "bfloat16"},
    "kept": {
        "optimizer": "nesterov",
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "ema": 0.9,
        "label_smoothing": 0.1,
        "class_weight": "balanced",
        "keep": "best",
        "augment": "strong",
        "mixup": 0.4,
        "cutmix": 1.0,
        "erase": 0.3,
        "precision": "float32",
    },
}
SPEC = ReplicateSpec(
    ModelSpec(settings={"conv_layers": 1, "filters": 4, "dense_units": 8, "dropout": 0.0}),
    TrainingSpec(epochs=5, batch_size=24, deterministic=True, learning_rate=0.003),
    image_size=16,
    seed=3,
)
EVERYTHING = 10**9


def build_normalised(*_: object) -> Any:
    """Return a network whose training changes variables that have no gradients."""
    layers = load_keras().layers
    kinds = [layers.Input((16, 16, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3)]
    kinds += [layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D()]
    return load_keras().Sequential([*kinds, layers.Dense(2, dtype="float32")])


class Trainings:
    """Trainings on one set of images; checkpoints are named after the training that wrote them.

    Parameters
    ----------
    folder : gets the images and the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_drawn_cache(folder / "cache", 160)
        self.arrays = open_arrays(folder / "cache")
        self.results: dict[str, Any] = {}

    def train(
        self,
        name: str,
        levels: Mapping[str, Scalar],
        *,
        start: str = "",
        memory: int = EVERYTHING,
    ) -> None:
        """Train, and keep the result.

        Parameters
        ----------
        start : the training to continue from.
        memory : the most images that there is memory for at once.
        """
        jobs: list[EngineJob] = []

        def watched(job: EngineJob) -> Engine:
            if job.micro_batch > memory:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
            jobs.append(job)
            return engine_of(job)

        training: Any = train
        own = training.build_from
        training.engine_of = watched
        if levels.get("normalised"):
            training.build_from = build_normalised
        epochs: list[dict[str, Any]] = []
        try:
            result = fit_replicate(
                SPEC.with_levels(levels),
                self.arrays,
                on_epoch=epochs.append,
                checkpoint_to=self.file(name),
                continue_from=self.file(start) if start else None,
            )
        finally:
            training.engine_of, training.build_from = engine_of, own
        self.results[name] = {
            **result.to_dict(),
            "reported": epochs,
            "weights": _digest([*jobs[-1].network.get_weights(), *_values(jobs[-1].optimizer)]),
            "answers": _digest([result.val_probability, result.test_probability]),
            "has_checkpoint": self.file(name).exists(),
        }

    def file(self, name: str) -> Path:
        """Return the file of a training's checkpoint."""
        return self.folder / f"{name}.npz"


def _values(optimizer: Any) -> list[Any]:
    return [load_keras().ops.convert_to_numpy(variable) for variable in optimizer.variables]


def _digest(arrays: list[Any]) -> str:
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


def main(folder: Path) -> None:
    """Print everything."""
    trainings = Trainings(folder)
    for name, levels in REPLICATES.items():
        trainings.train(name, levels)
        trainings.train(f"{name} 2", {**levels, "epochs": 2})
        trainings.train(f"{name} 3", {**levels, "epochs": 3}, start=f"{name} 2")
        for first in ("2", "3"):
            trainings.train(f"{name} from {first}", levels, start=f"{name} {first}")
    levels = REPLICATES["augmented"]
    # Where 24 images at once do not have enough memory.
    trainings.train("small", levels, memory=12)
    trainings.train("small 2", {**levels, "epochs": 2}, memory=12)
    trainings.train("small from small 2", levels, start="small 2")
    trainings.train("small from large 2", levels, memory=12, start="augmented 2")
    # Checkpoints that cannot be used.
    trainings.train("from another network", {**levels, "filters": 5}, start="augmented 2")
    kept = load_checkpoint(trainings.file("augmented 2"))
    wider = [np.repeat(kept.state[0], 2, axis=0), *kept.state[1:]]
    for name, state in (("shorter", kept.state[:-1]), ("wider", wider)):
        save_checkpoint(replace(kept, state=state), trainings.file(name))
        trainings.train(f"from {name}", levels, start=name)
    content = trainings.file("augmented 2").read_bytes()
    trainings.file("damaged").write_bytes(content[: len(content) // 2])
    trainings.train("from damaged", levels, start="damaged")
    trainings.train("diverged", {"optimizer": "sgd", "learning_rate": 1e30})
    sys.stdout.write(json.dumps(trainings.results) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
