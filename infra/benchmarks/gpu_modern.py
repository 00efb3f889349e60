"""Train the modern network on one accelerator: accuracy, and what its parts cost in speed.

    factorgrid search paper --data train.zip --elsewhere trip     # writes trip/arrays, once
    KERAS_BACKEND=jax python infra/benchmarks/gpu_modern.py --arrays trip/arrays --out trip/modern

This needs only `models/`, Keras and JAX (or TensorFlow), and resumes after an interruption.

Method. `--replicates` seeds of the modern network with batch normalization, residual blocks, strong
augmentation, AdamW and one cycle of the learning rate, `--epochs` epochs of the training images.
Then the same network for `--short` epochs without augmentation, without normalization, and without
both, and the published network, for their images per second: medians over the epochs after the
first, which compiles. The classes of the test images are predicted once per network, averaged over
the mirrored image.

It has not been measured on a GPU yet; on 2 cores with JAX it ran through with small drawn images.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

# It runs as a script on a machine where only Keras and a backend are installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.errors import ArraysError
from models.images.arrays import ImageArrays, open_arrays
from models.networks import residual_cnn
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.standalone import train_all
from models.training.result import load_result

#: The best accuracy of the published study, percent.
PUBLISHED = 91.42
MODERN, PLAIN = "modern", "published network"
#: What is left out of the modern network and its training.
WITHOUT: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "without augmentation": ({}, {"augment": "none"}),
    "without normalization": ({"normalization": "none"}, {}),
    "without both": ({"normalization": "none"}, {"augment": "none"}),
}


def specs(options: argparse.Namespace, image_size: int) -> Iterator[tuple[str, ReplicateSpec]]:
    """Yield the name and the spec of each training."""
    network = {"stages": options.stages, "depth": options.depth, "width": options.width}
    training = {
        "batch_size": options.batch,
        "learning_rate": options.rate,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "schedule": "one_cycle",
        "augment": "strong",
        "average_flip": True,
    }

    def modern(
        seed: int, epochs: int, settings: dict[str, Any], others: dict[str, Any]
    ) -> ReplicateSpec:
        model = ModelSpec(residual_cnn.IDENTIFIER, {**network, **settings})
        return ReplicateSpec(
            model, TrainingSpec(epochs, **{**training, **others}), image_size, seed
        )

    for seed in range(1, options.replicates + 1):
        yield MODERN, modern(seed, options.epochs, {}, {})
    for name, (settings, others) in WITHOUT.items():
        yield name, modern(1, options.short, settings, others)
    plain = ModelSpec(settings={"conv_layers": 6, "fc_layers": 1, "filters": 64})
    yield PLAIN, ReplicateSpec(plain, TrainingSpec(options.short, options.batch), image_size, 1)


def result_of(spec: ReplicateSpec, arrays: ImageArrays, out: Path) -> dict[str, float] | None:
    """Return the figures of a training; None if it has not finished."""
    folder = out / spec.key(arrays.version)
    if not folder.exists():
        return None
    result = load_result(folder)
    if result.status != "finished":
        return None
    right = result.test_probability.argmax(axis=1) == arrays.labels[arrays.side("test")]
    return {
        "validation": 100 * result.history[-1]["val_accuracy"],
        "test": 100 * float(right.mean()),
        "rate": result.images_per_second,
        "minutes": sum(row["epoch_seconds"] for row in result.history) / 60,
    }


def show(found: dict[str, list[dict[str, float]]]) -> None:
    """Print accuracies and images per second."""
    ours = found[MODERN]
    for name in ("validation", "test"):
        each = [figures[name] for figures in ours]
        spread = stdev(each) if len(each) > 1 else float("nan")
        print(f"{name}: {mean(each):.2f} % (s.d. {spread:.2f}, n = {len(each)})")
    print(f"published: {PUBLISHED} %")
    print(f"{median(figures['minutes'] for figures in ours):.2f} minutes a training")
    rates = {name: median(one["rate"] for one in each) for name, each in found.items() if each}
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} images/s, modern has {rates[MODERN] / rate:.2f} times these")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--arrays", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--short", type=int, default=3, help="epochs of the others, for their speed"
    )
    parser.add_argument("--stages", type=int, default=6)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.01)
    options = parser.parse_args()
    try:
        arrays = open_arrays(options.arrays)
    except ArraysError as error:
        parser.error(str(error))
    todo = list(specs(options, arrays.image_size))
    names = {spec.key(arrays.version): name for name, spec in todo}
    for spec, _, how in train_all([spec for _, spec in todo], arrays, options.out):
        print(f"{names[spec.key(arrays.version)]}, seed {spec.seed}: {how}", flush=True)
    found: dict[str, list[dict[str, float]]] = {name: [] for name, _ in todo}
    for name, spec in todo:
        if figures := result_of(spec, arrays, options.out):
            found[name].append(figures)
    if not found[MODERN]:
        sys.exit("no training of the modern network has finished; the lines above give the reasons")
    show(found)


if __name__ == "__main__":
    main()
