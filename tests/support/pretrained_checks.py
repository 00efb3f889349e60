"""Trains pretrained networks on one Keras backend, in a process of its own; prints JSON."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from support.array_cache import write_drawn_cache
from support.backbone_files import write_backbone

from models.images.arrays import open_arrays
from models.networks.build_network import build_from
from models.networks.pretrained import parts
from models.networks.weight_files import file_digest
from models.spec import PRETRAINED_BUILDER, ModelSpec, ReplicateSpec, TrainingSpec
from models.training import features
from models.training.backbone_rate import with_backbone_rate
from models.training.backend import load_keras
from models.training.result import ReplicateResult, probability
from models.training.train import fit_replicate


def spec_of(file: Path, **settings: Any) -> ReplicateSpec:
    own = {"backbone": str(file), "dropout": 0.0, **settings}
    return ReplicateSpec(
        ModelSpec(PRETRAINED_BUILDER, own, file_digest(file)),
        TrainingSpec(epochs=3, batch_size=24, precision="float32", learning_rate=0.02),
        image_size=16,
        seed=3,
    )


def weights_of(network: Any) -> dict[str, list[Any]]:
    """Return the weights of each layer of the backbone and of the head."""
    backbone, head = parts(network)
    base = next(x for x in backbone.layers if x.name == "small")
    return {x.name: x.get_weights() for x in [*base.layers, *head.layers] if x.weights}


def changed(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> list[str]:
    return [
        f"{layer}/{number}"
        for layer, weights in before.items()
        for number, weight in enumerate(weights)
        if not np.array_equal(weight, after[layer][number])
    ]


def trained(
    spec: ReplicateSpec, arrays: Any, cache: Path, weights_to: Path
) -> tuple[ReplicateResult, int]:
    """Train on a cache; return the result, and how often features or maps were reported."""
    done: list[int] = []
    result = fit_replicate(
        spec,
        arrays,
        weights_to=weights_to,
        arrays_folder=cache,
        on_features=lambda n, _: done.append(n),
    )
    return result, len(done)


def frozen(spec: ReplicateSpec, arrays: Any, cache: Path, folder: Path) -> dict[str, Any]:
    """Train twice on one cache: the answers of the saved network, and who computed features."""
    names = ("first", "second")
    answers, counts = zip(
        *(trained(spec, arrays, cache, folder / f"{name}.keras") for name in names), strict=True
    )
    network = load_keras().models.load_model(folder / "first.keras")
    found = {}
    for side in ("validation", "test"):
        logits = np.asarray(network.predict(arrays.images[arrays.side(side)], verbose=0))
        own = answers[0].val_probability if side == "validation" else answers[0].test_probability
        found[side] = float(abs(probability(logits) - own).max())
    fresh = weights_of(build_from(spec.model, 16, 2))
    return {
        "result": answers[0].to_dict(),
        "difference": found,
        "computed": counts,
        "equal": bool(np.array_equal(answers[0].val_probability, answers[1].val_probability)),
        "changed": changed(fresh, weights_of(network)),
        "folders": [f.name for f in cache.parent.iterdir()],
    }


def unfrozen(spec: ReplicateSpec, arrays: Any, folder: Path) -> list[str]:
    """Return which weights a training with an unfrozen block changes."""
    fit_replicate(spec, arrays, weights_to=folder / "unfrozen.keras")
    network = load_keras().models.load_model(folder / "unfrozen.keras")
    return changed(weights_of(build_from(spec.model, 16, 2)), weights_of(network))


def maps(spec: ReplicateSpec, arrays: Any, cache: Path, folder: Path) -> dict[str, Any]:
    """Train the last block on maps that are kept, twice, and on images."""
    first, of_first = trained(spec, arrays, cache, folder / "maps-first.keras")
    second, of_second = trained(spec, arrays, cache, folder / "maps-second.keras")
    features.MAP_BYTES = 0
    images, of_images = trained(spec, arrays, cache, folder / "maps-images.keras")
    network = load_keras().models.load_model(folder / "maps-first.keras")
    logits = np.asarray(network.predict(arrays.images[arrays.side("test")], verbose=0))
    fresh = weights_of(build_from(spec.model, 16, 2))
    return {
        "computed": [of_first, of_second, of_images],
        "equal": bool(np.array_equal(first.val_probability, second.val_probability)),
        "saved": float(abs(probability(logits) - first.test_probability).max()),
        "on_images": float(abs(images.val_probability - first.val_probability).max()),
        "losses": [[row["train_loss"] for row in x.history] for x in (first, images)],
        "changed": changed(fresh, weights_of(network)),
        "seconds": [x.seconds_per_image for x in (first, images)],
        "shapes": [
            list(np.load(f, mmap_mode="r").shape)
            for f in sorted(cache.parent.rglob("features.npy"))
        ],
    }


def rates(file: Path) -> list[float]:
    """Return the length of one step of gradient 1, of the backbone and of the head."""
    keras = load_keras()
    spec = spec_of(file, unfreeze=1, backbone_rate=0.25)
    found = []
    for optimizer in (keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1, weight_decay=0.5)):
        network = build_from(spec.model, 16, 2)
        optimizer = with_backbone_rate(optimizer, spec.model, network, network)  # noqa: PLW2901 # the same one
        variables = network.trainable_variables
        optimizer.build(variables)
        before = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
        ones = [keras.ops.ones(v.shape) for v in variables]
        if keras.backend.backend() == "jax":
            values, _ = optimizer.stateless_apply(
                [v.value for v in optimizer.variables], ones, [v.value for v in variables]
            )
        else:
            optimizer.apply(ones, variables)
            values = variables
        after = [np.array(keras.ops.convert_to_numpy(v)) for v in values]
        steps = [float(np.mean(b - a)) for b, a in zip(before, after, strict=True)]
        found += [steps[0], steps[-1]]
    return found


def main(folder: Path) -> None:
    cache = folder / "cache" / "drawn-16"
    write_drawn_cache(cache, 160)
    arrays = open_arrays(cache)
    other = folder / "other" / "drawn-16"
    write_drawn_cache(other, 160)
    file = write_backbone(folder / "small.keras")
    print(  # noqa: T201 # the answer
        json.dumps(
            {
                "frozen": frozen(spec_of(file), arrays, cache, folder),
                "maps": maps(spec_of(file, unfreeze=1), open_arrays(other), other, folder),
                "unfrozen": unfrozen(spec_of(file, unfreeze=1), arrays, folder),
                "augmented": unfrozen(
                    dataclasses.replace(
                        spec_of(file, unfreeze="all"),
                        training=dataclasses.replace(spec_of(file).training, augment=True),
                    ),
                    arrays,
                    folder,
                ),
                "rates": rates(file),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
