"""Trains with each training setting on one Keras backend, by us and by Keras's own `fit`.

Runs in its own process and prints the results as JSON.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from support.array_cache import write_drawn_cache

from models.images.arrays import open_arrays
from models.networks.build_network import build_from
from models.networks.residual_cnn import IDENTIFIER
from models.spec import ModelSpec, ReplicateSpec, Scalar, TrainingSpec
from models.training import train
from models.training.augmentation import Mix, RandomErase, StrongAugmentation
from models.training.backend import load_keras
from models.training.engine import Engine, EngineJob
from models.training.engine_choice import engine_of
from models.training.schedule import epoch_rates
from models.training.train import fit_replicate

BATCH, EPOCHS, MEMORY = 24, 2, 10**9
SPEC = ReplicateSpec(
    ModelSpec(settings={"conv_layers": 1, "filters": 4, "dense_units": 8, "dropout": 0.0}),
    TrainingSpec(epochs=EPOCHS, batch_size=BATCH, precision="float32", learning_rate=0.01),
    image_size=16,
    seed=3,
)
#: Each of these is compared with Keras's `fit`. Together they have all settings without chance.
SETTINGS: Mapping[str, Mapping[str, Scalar]] = {
    "neutral": {},
    "adamw": {
        "optimizer": "adamw",
        "weight_decay": 0.5,
        "label_smoothing": 0.2,
        "schedule": "cosine",
        "warmup": 0.3,
    },
    "nesterov": {
        "optimizer": "nesterov",
        "weight_decay": 0.1,
        "clip_norm": 0.05,
        "class_weight": "balanced",
        "label_smoothing": 0.1,
    },
    "lion": {"optimizer": "lion", "learning_rate": 0.001, "schedule": "one_cycle"},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.001, "ema": 0.8},
    "modern": {"modern": True, "optimizer": "sgd", "learning_rate": 0.001},
}
#: A small network of the second family with all of its parts that do not draw random numbers.
MODERN: Mapping[str, Scalar] = {
    "stages": 2,
    "width": 8,
    "downsample": "stride",
    "head": "flatten",
    "squeeze_excitation": True,
    "activation": "silu",
}


def build_normalized(*_: object) -> Any:
    """Return a network with batch normalization."""
    layers = load_keras().layers
    kinds = [layers.Input((16, 16, 3)), layers.Rescaling(1 / 127.5, -1), layers.Conv2D(4, 3)]
    kinds += [layers.BatchNormalization(momentum=0.7), layers.ReLU()]
    kinds += [layers.MaxPooling2D(4), layers.Flatten(), layers.Dense(2, dtype="float32")]
    return load_keras().Sequential(kinds)


class Trainings:
    """Trainings on one set of images, 3 of 4 of them of the first class."""

    def __init__(self, folder: Path) -> None:
        write_drawn_cache(folder / "cache", 400)
        self.arrays = open_arrays(folder / "cache")
        rows = self.arrays.side("training")
        first, second = (rows[self.arrays.labels[rows] == label] for label in (0, 1))
        self.rows = np.sort(np.concatenate([first[:90], second[:30]]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.arrays, name)

    def side(self, name: str) -> Any:
        """Return the rows of a side."""
        return self.rows if name == "training" else self.arrays.side(name)

    def ours(
        self, levels: Mapping[str, Scalar], memory: int = MEMORY, **files: Any
    ) -> tuple[dict[str, Any], list[Any]]:
        """Return our result, and the weights of the network."""
        jobs: list[EngineJob] = []

        def watched(job: EngineJob) -> Engine:
            if job.micro_batch > memory:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
            jobs.append(job)
            return engine_of(job)

        training: Any = train
        training.engine_of = watched
        if levels.get("normalized"):
            training.build_from = build_normalized
        try:
            result = fit_replicate(_spec(levels), self, **files)
        finally:
            training.engine_of, training.build_from = engine_of, build_from
        return result.to_dict(), jobs[-1].network.get_weights()

    def keras_fit(self, levels: Mapping[str, Scalar], batch_size: int = BATCH) -> list[Any]:
        """Return the weights after Keras's `fit` on the same images in the same order."""
        keras = load_keras()
        spec = _spec(levels)
        training = spec.training
        policy = "mixed_bfloat16" if training.precision == "bfloat16" else "float32"
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(spec.seed)
        network = build_normalized() if levels.get("normalized") else build_from(spec.model, 16, 2)
        per_epoch = len(self.rows) // BATCH
        order, rates = [], []
        for epoch in range(EPOCHS):
            shuffled = np.random.default_rng([spec.seed, epoch]).permutation(self.rows)
            order.append(shuffled[: per_epoch * BATCH])
            found = epoch_rates(training, per_epoch, epoch)
            rates += [training.learning_rate] * per_epoch if found is None else list(found)
        rows = np.concatenate(order)
        network.compile(
            optimizer=_keras_optimizer(training, network),
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=training.label_smoothing
            ),
        )

        class Rates(keras.callbacks.Callback):  # type: ignore[misc, name-defined] # Keras ships no types
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 # Keras's own signature
                self.model.optimizer.learning_rate = float(rates[batch * batch_size // BATCH])

        labels = self.arrays.labels[rows]
        counts = np.bincount(self.arrays.labels[self.rows], minlength=2)
        weights = {label: len(self.rows) / (2 * count) for label, count in enumerate(counts)}
        network.fit(
            self.arrays.images[rows].astype(np.float32),
            np.eye(2, dtype=np.float32)[labels],
            batch_size=batch_size,
            shuffle=False,
            verbose=0,
            class_weight=weights if training.class_weight == "balanced" else None,
            callbacks=[Rates()],
        )
        answer: list[Any] = network.get_weights()
        return answer


def _spec(levels: Mapping[str, Scalar]) -> ReplicateSpec:
    kinds = {"normalized", "modern"}
    spec = SPEC.with_levels({k: v for k, v in levels.items() if k not in kinds})
    if "normalized" in levels:
        # Programs are shared by networks of equal specs.
        return replace(spec, model=ModelSpec("normalized:build"))
    return replace(spec, model=ModelSpec(IDENTIFIER, MODERN)) if "modern" in levels else spec


def _keras_optimizer(training: TrainingSpec, network: Any) -> Any:
    """Return the optimizer that a user of Keras would write."""
    known = load_keras().optimizers
    decay = {"weight_decay": training.weight_decay or None}
    more: dict[str, Any] = {"global_clipnorm": training.clip_norm or None}
    more |= {"use_ema": bool(training.ema), "ema_momentum": training.ema or 0.99}
    rate = training.learning_rate
    kinds = {
        "adam": lambda: known.Adam(rate, **decay, **more),
        "adamw": lambda: known.AdamW(rate, **decay, **more),
        "sgd": lambda: known.SGD(rate, momentum=0.9, **decay, **more),
        "nesterov": lambda: known.SGD(rate, momentum=0.9, nesterov=True, **decay, **more),
        "rmsprop": lambda: known.RMSprop(rate, **decay, **more),
        "lion": lambda: known.Lion(rate, **decay, **more),
    }
    optimizer = kinds[training.optimizer]()
    if training.weight_decay:
        biases = [v for v in network.trainable_variables if v.path.endswith("bias")]
        optimizer.exclude_from_weight_decay(var_list=biases)
    return optimizer


def difference(ours: list[Any], theirs: list[Any]) -> float:
    """Return the largest difference of two lists of weights, as a share of the largest weight."""
    pairs = list(zip(ours, theirs, strict=True))
    return max(float(np.abs(a - b).max() / (np.abs(b).max() + 1e-6)) for a, b in pairs)


def flipped(trainings: Trainings, file: Path) -> dict[str, Any]:
    """Return figures of a network that averages over the mirrored image, and of one that does not.

    Stochastic depth and dropout draw random numbers; the mirrored image is seen in evaluation only.
    """
    model = ModelSpec(IDENTIFIER, {**MODERN, "stochastic_depth": 0.5, "dropout": 0.3})
    spec = replace(SPEC, model=model)
    plain = fit_replicate(spec, trainings)
    with_flip = fit_replicate(spec.with_levels({"average_flip": True}), trainings, weights_to=file)
    network = load_keras().saving.load_model(file)
    images = trainings.images[trainings.side("test")].astype(np.float32)
    logits = [network.predict(x, verbose=0) for x in (images, images[:, :, ::-1])]
    losses = [[row["train_loss"] for row in x.history] for x in (plain, with_flip)]
    exponent = np.exp(logits[0] - logits[0].max(axis=1, keepdims=True))
    saved = exponent / exponent.sum(axis=1, keepdims=True)
    return {
        "multiply_adds": [plain.multiply_adds, with_flip.multiply_adds],
        "losses": losses,
        "mirrored": float(np.abs(logits[0] - logits[1]).max()),
        "saved": float(np.abs(saved - with_flip.test_probability).max()),
        "different": float(np.abs(plain.test_probability - with_flip.test_probability).max()),
    }


def changed_images() -> dict[str, Any]:
    """Return figures of images of one value per class, after each random change."""
    keras = load_keras()
    keras.utils.set_random_seed(1)
    labels = np.arange(64) % 2
    images = np.full((64, 16, 16, 3), 0, np.float32) + (50 + 100 * labels)[:, None, None, None]
    targets = np.eye(2, dtype=np.float32)[labels]
    figures: dict[str, Any] = {}
    for name, mix in (
        ("mixup", Mix(0.5, 0.0, 1)),
        ("cutmix", Mix(0.0, 1.0, 1)),
        ("both", Mix(0.5, 1.0, 1)),
    ):
        mixed, shares = map(keras.ops.convert_to_numpy, mix([images, targets]))
        expected = shares @ np.array([50.0, 150.0])
        figures[name] = {
            "error": float(np.abs(mixed.mean(axis=(1, 2, 3)) - expected).max()),
            "sum": float(np.abs(shares.sum(axis=1) - 1).max()),
            "between": float(((shares > 0.01) & (shares < 0.99)).mean()),
            "values": len(np.unique(mixed.round(2))),
        }
    noise = np.random.default_rng(1).uniform(0, 255, (64, 16, 16, 3)).astype(np.float32)
    erased = keras.ops.convert_to_numpy(RandomErase(0.5, 1)(noise))
    share = (erased != noise).any(axis=-1).mean(axis=(1, 2))
    figures["erased"] = {"images": float((share > 0).mean()), "area": float(share.max())}
    strong = keras.ops.convert_to_numpy(StrongAugmentation(1)(noise))
    figures["strong"] = {
        "range": [float(strong.min()), float(strong.max())],
        "shape": list(strong.shape),
        "changed": float((np.abs(strong - noise).max(axis=(1, 2, 3)) > 1).mean()),
    }
    return figures


def main(folder: Path) -> None:
    """Print everything."""
    trainings = Trainings(folder)
    figures: dict[str, Any] = {"fit": {}, "start": {}, "effects": {}}
    of_neutral: list[Any] = []
    for name, levels in SETTINGS.items():
        result, weights = trainings.ours(levels)
        figures["fit"][name] = difference(weights, trainings.keras_fit(levels))
        figures["start"][name] = result["status"]
        of_neutral = of_neutral or weights
        if name not in {"neutral", "modern"}:
            figures["effects"][name] = difference(weights, of_neutral)
    parts: dict[str, Scalar] = {
        "optimizer": "sgd",
        "label_smoothing": 0.1,
        "class_weight": "balanced",
        "ema": 0.8,
    }
    parts |= {"schedule": "cosine", "clip_norm": 0.5, "weight_decay": 0.1}
    figures["parts"] = difference(trainings.ours(parts)[1], trainings.ours(parts, memory=12)[1])
    # Weights that do not change: what is left are the moving statistics.
    still: dict[str, Scalar] = {"normalized": True, "optimizer": "sgd", "learning_rate": 1e-30}
    figures["statistics of parts"] = difference(
        trainings.ours(still, memory=12)[1], trainings.keras_fit(still, batch_size=12)
    )
    still["precision"] = "bfloat16"
    figures["statistics in bfloat16"] = difference(
        trainings.ours(still)[1], trainings.keras_fit(still)
    )
    figures["flipped"] = flipped(trainings, folder / "flipped.keras")
    everything: dict[str, Scalar] = {"augment": "strong", "erase": 0.3, "mixup": 0.2, "cutmix": 1.0}
    for precision in ("float32", "bfloat16"):
        result = trainings.ours({**everything, "precision": precision, "optimizer": "lion"})[0]
        figures[f"everything in {precision}"] = result
    kept = trainings.ours(
        {"keep": "best", "epochs": 6, "learning_rate": 0.05}, weights_to=folder / "best.keras"
    )[0]
    network = load_keras().saving.load_model(folder / "best.keras")
    rows = trainings.side("validation")
    logits = network.predict(trainings.images[rows].astype(np.float32), verbose=0)
    accuracy = float((logits.argmax(axis=1) == trainings.labels[rows]).mean())
    figures["kept"] = {**kept, "saved_accuracy": accuracy}
    averaged = trainings.ours({"ema": 0.9, "epochs": 3}, weights_to=folder / "averaged.keras")[0]
    network = load_keras().saving.load_model(folder / "averaged.keras")
    logits = network.predict(trainings.images[rows].astype(np.float32), verbose=0)
    accuracy = float((logits.argmax(axis=1) == trainings.labels[rows]).mean())
    figures["averaged"] = {**averaged, "saved_accuracy": accuracy}
    figures["changed"] = changed_images()
    if load_keras().backend.backend() == "jax":
        figures["programs"] = programs(trainings)
    sys.stdout.write(json.dumps(figures) + "\n")


def programs(trainings: Trainings) -> list[int]:
    """Return how many programs are compiled for cells that differ in what is passed as data."""
    from models.training import jax_engine

    counts = []
    base: dict[str, Scalar] = {"schedule": "cosine", "label_smoothing": 0.1}
    for levels in (base, {**base, "warmup": 0.2, "label_smoothing": 0.2}, {**base, "ema": 0.5}):
        trainings.ours(levels)
        counts.append(jax_engine._cached_program.cache_info().misses)
    return [count - counts[0] for count in counts]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
