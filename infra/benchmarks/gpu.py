"""The published study's 20 cells on one accelerator: tables, images a second, share of the ceiling.

    factorgrid search paper --data train.zip --elsewhere trip     # writes trip/arrays, once
    KERAS_BACKEND=jax python infra/benchmarks/gpu.py --arrays trip/arrays --out trip/results

It needs `models/`, Keras and JAX (or TensorFlow) alone, and goes on where it was cut off.

Method. The 8 cells of the published screen and the 12 of its refined grid, one of them in both,
`--replicates` fresh seeds each, 20 epochs, batches of 64, in one process. Images a second are
medians over the epochs after the first, which compiles. The ceiling is that of a product of two
bfloat16 matrices, 8,192 a side, measured in the same process; a network's floating-point operations
a picture are counted from its layers' shapes, three times the forward pass.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

# Run as a script on a machine where nothing is installed but Keras and a backend.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.alone import train_all
from models.backend import load_keras
from models.cnn import build_from
from models.images import open_arrays
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec

SCREEN = list(product((3, 6), (1, 3), (0.001, 0.1)))
REFINED = list(product((6, 7), (1, 2), (0.0001, 0.001, 0.01)))
#: The published accuracies, percent.
FIRST_TABLE = (80.875, 58.205, 79.965, 50.155, 88.805, 66.115, 90.795, 50.125)
SECOND_TABLE = (70.50, 91.18, 85.78, 64.25, 90.37, 82.4, 61.98, 91.42, 86.05, 53.9, 91.41, 83.26)
Cell = tuple[int, int, float]


def specs(asked: argparse.Namespace, image_size: int) -> Iterator[tuple[Cell, ReplicateSpec]]:
    """Return each cell once, longest first, for each seed."""
    cells = sorted({*SCREEN, *REFINED}, key=lambda cell: (-cell[0], -cell[1], cell[2]))
    for seed, (conv, fc, rate) in product(range(1, asked.replicates + 1), cells):
        settings = {"conv_layers": conv, "fc_layers": fc, "filters": asked.filters}
        training = TrainingSpec(epochs=asked.epochs, learning_rate=rate)
        model = ModelSpec(settings={**settings, "dropout": 0.2})
        yield (conv, fc, rate), ReplicateSpec(model, training, image_size, seed)


def operations(spec: ReplicateSpec) -> float:
    """Return floating-point operations of training on one picture: thrice the forward pass.

    A convolution takes 2 operations a weight and place, a dense layer 2 a weight; the backward pass
    is twice the forward (gradients of inputs and of weights).
    """
    import keras

    forward = 0.0
    for layer in build_from(spec.model, spec.image_size, 2).layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            forward += 2.0 * height * width * math.prod(map(int, layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            forward += 2.0 * math.prod(map(int, layer.kernel.shape))
    return 3 * forward


def ceiling(side: int) -> float:
    """Measure what the device multiplies, operations a second: the best of ten matrix products."""
    keras = load_keras()
    first = keras.ops.cast(keras.random.normal((side, side)), "bfloat16")
    best = float("inf")
    for _ in range(11):
        started = time.perf_counter()
        # Read back: the backends answer before they have multiplied.
        keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.matmul(first, first)[0, 0], "float32"))
        best = min(best, time.perf_counter() - started)
    return 2.0 * side**3 / best


def show(
    cells: list[Cell], published: tuple[float, ...], results: dict[Cell, list[dict[str, Any]]]
) -> None:
    """Print a table: published and our accuracy, in percent, with the spread over seeds."""
    print("conv fc  rate    published  ours (mean, sd, n)")
    for cell, known in zip(cells, published, strict=True):
        ours = [100 * r["history"][-1]["val_accuracy"] for r in results[cell] if r["history"]]
        spread = stdev(ours) if len(ours) > 1 else float("nan")
        figures = f"{mean(ours):6.2f} {spread:5.2f} {len(ours)}" if ours else "no result"
        print(f"{cell[0]:4} {cell[1]:2}  {cell[2]:<7g} {known:8.2f}   {figures}")


def seconds(result: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds of the epochs, and by how much the first, which compiles, was longer."""
    each = [row["epoch_seconds"] for row in result["history"]]
    return sum(each), each[0] - median(each[1:]) if len(each) > 1 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--arrays", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--ceiling", type=int, default=8192, help="pixels a side of the matrices")
    asked = parser.parse_args()
    load_keras()
    arrays = open_arrays(asked.arrays)
    todo = list(specs(asked, arrays.image_size))
    most = ceiling(asked.ceiling)
    print(f"ceiling: {most / 1e12:.1f} TFLOP/s", flush=True)
    started = time.perf_counter()
    specs_to_train = [spec for _, spec in todo]
    for number, (spec, _, how) in enumerate(train_all(specs_to_train, arrays, asked.out), start=1):
        settings = spec.model.settings
        words = f"{settings['conv_layers']} {settings['fc_layers']} {spec.training.learning_rate:g}"
        passed = time.perf_counter() - started
        print(f"{number}/{len(todo)} {passed:.0f} s, {words}: {how}", flush=True)
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")
    results: dict[Cell, list[dict[str, Any]]] = {cell: [] for cell in (*SCREEN, *REFINED)}
    for cell, spec in todo:
        file = asked.out / spec.key(arrays.version) / "result.json"
        if file.exists():
            results[cell].append(json.loads(file.read_bytes()))
    times = [seconds(result) for each in results.values() for result in each if result["history"]]
    epochs, compiling = (sum(column) / 60 for column in zip(*times, strict=True))
    print(
        f"{len(times)} trainings: {epochs:.2f} minutes of epochs, {compiling:.2f} of it compiling"
    )
    for cell, spec in {cell: spec for cell, spec in todo if results[cell]}.items():
        rate = median(result["images_per_second"] for result in results[cell])
        share = rate * operations(spec) / most
        print(f"{cell}: {rate:,.0f} images/s, {share:.0%} of the ceiling")
    show(SCREEN, FIRST_TABLE, results)
    show(REFINED, SECOND_TABLE, results)


if __name__ == "__main__":
    main()
