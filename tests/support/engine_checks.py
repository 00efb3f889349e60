"""Trains on one Keras backend, in a process of its own, and prints what came out as JSON."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from support.array_cache import write_drawn_cache

from models.images.arrays import open_arrays
from models.networks.build_network import build_from
from models.networks.plain_cnn import build
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.training import train
from models.training.backend import load_keras
from models.training.engine import Engine, EngineJob
from models.training.engine_choice import cheapest_network, engine_of
from models.training.train import fit_replicate

SPEC = ReplicateSpec(
    ModelSpec(settings={"conv_layers": 1, "filters": 8, "dense_units": 16, "dropout": 0.0}),
    TrainingSpec(epochs=6, batch_size=24, precision="float32", learning_rate=0.003),
    image_size=16,
    seed=3,
)


def engine(arrays: Any, micro_batch: int) -> Engine:
    """Return an engine on fresh weights, always the same."""
    keras = load_keras()
    keras.utils.set_random_seed(1)
    network = build_from(SPEC.model, image_size=16, classes=2)
    optimizer = keras.optimizers.SGD(0.01)
    return engine_of(
        EngineJob(network, network, optimizer, arrays.images, arrays.labels, micro_batch)
    )


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


@contextmanager
def engines(choose: Callable[[EngineJob], Engine]) -> Iterator[None]:
    """Let the training loop choose its engine by another function."""
    training: Any = train
    training.engine_of = choose
    try:
        yield
    finally:
        training.engine_of = engine_of


def without_memory(arrays: Any) -> dict[str, Any]:
    """Train where more than 12 images at once find no memory, in the words of an accelerator."""

    def small(job: EngineJob) -> Engine:
        if job.micro_batch > 12:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes")
        return engine_of(job)

    with engines(small):
        return fit_replicate(SPEC, arrays).to_dict()


def twins() -> dict[str, float]:
    """Return by how much networks and their cheaper twins differ in answers and gradients."""
    keras = load_keras()
    import jax

    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 5, padding="valid", activation="relu")(inputs)
    held = layers.Conv2D(4, 3, padding="same", activation="relu", kernel_regularizer="l2")
    shared = layers.MaxPooling2D()(held(inputs))
    of_any_size = keras.Input((None, None, 3))
    some = layers.Conv2D(4, 3, activation="relu")(of_any_size)
    some = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(some))
    normed = layers.BatchNormalization()(
        layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    )
    normed = layers.MaxPooling2D()(layers.ReLU()(normed))
    odd = layers.MaxPooling2D()(layers.MaxPooling2D(3)(x))
    flat = [layers.Flatten()(part) for part in (x, shared, normed, odd)]
    outputs = layers.Dense(2)(layers.Concatenate()(flat))
    chain = [layers.Input((16, 16, 3)), layers.Conv2D(3, 3, activation="relu", padding="same")]
    chain += [layers.MaxPooling2D(), layers.Conv2D(3, 3, activation="tanh"), layers.MaxPooling2D()]
    networks = {
        "own": build(image_size=16, classes=2, conv_layers=3, filters=4),
        "branches": keras.Model(inputs, outputs),
        "any size": keras.Model(of_any_size, layers.Dense(2)(some)),
        "chain": keras.Sequential([*chain, layers.Flatten(), layers.Dense(2)]),
    }
    # No two pixels are equal, so that nothing is decided by the last bit.
    images = np.random.default_rng(1).normal(size=(8, 16, 16, 3)).astype(np.float32)
    differences = {}
    for name, network in networks.items():
        twin = cheapest_network(network)
        assert {id(v) for v in twin.variables} == {id(v) for v in network.variables}

        def loss(weights: Any, model: Any, network: Any = network) -> Any:
            values = dict(zip(map(id, network.trainable_variables), weights, strict=True))
            mine = [values[id(variable)] for variable in model.trainable_variables]
            rest = [variable.value for variable in model.non_trainable_variables]
            answers, _, losses = model.stateless_call(
                mine, rest, images, training=True, return_losses=True
            )
            return sum(losses, start=(answers**2).sum()), answers

        weights = [variable.value for variable in network.trainable_variables]
        both = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
        of_two = [both(weights, model) for model in (network, twin)]
        (gradients, answers), (of_twin, answers_of_twin) = of_two
        pairs = zip([answers, *gradients], [answers_of_twin, *of_twin], strict=True)
        differences[name] = max(float(abs(a - b).max() / (abs(a).max() + 1e-12)) for a, b in pairs)
    return differences


def programs(arrays: Any) -> dict[str, Any]:
    """Train by what another replicate compiled, afresh, and by the loop that a GPU compiles."""
    import jax

    from models.training import jax_engine

    def weights(changed: dict[str, Any], seed: int) -> list[Any]:
        found = []

        def watched(job: EngineJob) -> Engine:
            found.append(job)
            return engine_of(job)

        spec = dataclasses.replace(SPEC, seed=seed).with_levels({"epochs": 2, **changed})
        with engines(watched):
            fit_replicate(spec, arrays)
        return [v.value.tolist() for v in found[0].trained.trainable_variables]

    jax_engine._cached_program.cache_clear()
    weights({"augment": True, "dropout": 0.5}, 1)
    second = weights({"augment": True, "dropout": 0.5, "learning_rate": 0.01}, 2)
    hits = jax_engine._cached_program.cache_info().hits
    weights({"augment": True, "dropout": 0.4}, 1)
    others = jax_engine._cached_program.cache_info().hits - hits
    jax_engine._cached_program.cache_clear()
    alone = weights({"augment": True, "dropout": 0.5, "learning_rate": 0.01}, 2)
    order = arrays.side("training")[:240].reshape(10, 24).astype(np.int32)
    ended = []
    for looped in (False, True):
        trained = engine(arrays, 8)
        if looped:
            trained._program.epoch = jax.jit(trained._program._compiled_loop)  # type: ignore[attr-defined]
        figures = trained.train(order)
        answers = trained.logits(order[0]).ravel().tolist()
        ended.append([figures.loss, figures.accuracy, figures.bad_step, *answers])
    return {"hits": hits, "others": others, "equal": second == alone, "ended": ended}


def main(folder: Path) -> None:
    """Print everything."""
    write_drawn_cache(folder / "cache", 640)
    arrays = open_arrays(folder / "cache")
    figures = {
        "whole": fit_replicate(SPEC, arrays, weights_to=folder / "model.keras").to_dict(),
        "augmented": fit_replicate(SPEC.with_levels({"augment": True}), arrays).to_dict(),
        "parts": parts(arrays),
        "without_memory": without_memory(arrays),
        "diverged": fit_replicate(
            SPEC.with_levels({"optimizer": "sgd", "learning_rate": 1e30}), arrays
        ).to_dict(),
    }
    if load_keras().backend.backend() == "jax":
        figures |= {"twins": twins(), "programs": programs(arrays)}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
