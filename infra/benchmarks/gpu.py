"""Train the published study's 20 cells on one accelerator: tables, images per second, utilization.

    factorgrid search paper --data train.zip --elsewhere trip     # writes trip/arrays, once
    KERAS_BACKEND=jax python infra/benchmarks/gpu.py --arrays trip/arrays --out trip/results

This needs only `models/`, Keras and JAX (or TensorFlow), and resumes after an interruption.

Method. The 8 cells of the published screen and the 12 of its refined grid, one of which is in both;
`--replicates` new seeds each, 20 epochs, batches of 64, in one process. Images per second are
medians over the epochs after the first, which compiles. The ceiling is the speed of products of two
bfloat16 matrices, 8,192 x 8,192, measured in the same process. A network's floating-point
operations per image are counted from the shapes of its layers, three times the forward pass. Every
run is a row of `screen.csv` or `grid.csv`, which `factorgrid analyze --csv` accepts. Without
`--out`, the network as Keras builds it and the variant that is trained on JAX run alternating
epochs.

Measured on one H200, JAX 0.11.2, 9,993 real images (Kaggle's Dogs vs Cats), 6,982 of them for
training, 3 replicates: 57 trainings in 5.5 minutes, 5.1 of them epochs, 0.4 of these compiling. The
first replicate of the 19 cells took 2.1 minutes with all compiling, the others 1.7. 30,000 to
32,500 images per second, 165 to 170 TFLOP/s: 26 % of the 648 TFLOP/s that such a product reached.
Every run is in infra/docs/paper-gpu-screen.csv and paper-gpu-grid.csv.

What contributes to the speed, for 6 convolutional layers, in images per second on cards of that
type: as Keras builds it 10,200; with the pooling of `models.training.jax_pooling`, in the same
process, 22,200; with images of few channels in blocks in addition, at another time, 30,700.
Convolution algorithms that are timed but whose results are not compared: 9 s until the end of the
first epoch; compared, as is XLA's default, 150 s (four programs at a time). Bit-identical results
(`deterministic = true`): 27,200. Tried and not used: filling up the channels of the first
convolution without blocks (23,200), storing the position of the largest pixel without ReLU's part
in it (21,100), a loop that need not test whether to continue (1 % faster). The comparison without
`--out` was run only on a CPU.
"""

import argparse
import csv
import math
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np

# It runs as a script on a machine where only Keras and a backend are installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.errors import ArraysError
from models.images.arrays import ImageArrays, open_arrays
from models.networks import plain_cnn
from models.networks.build_network import build_from
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.standalone import train_all
from models.training.backend import load_keras, resolve_precision
from models.training.engine import EngineJob
from models.training.engine_choice import cheapest_network, engine_of
from models.training.result import load_result

SCREEN = list(product((3, 6), (1, 3), (0.001, 0.1)))
REFINED = list(product((6, 7), (1, 2), (0.0001, 0.001, 0.01)))
#: The published accuracies, percent.
FIRST_TABLE = (80.875, 58.205, 79.965, 50.155, 88.805, 66.115, 90.795, 50.125)
SECOND_TABLE = (70.50, 91.18, 85.78, 64.25, 90.37, 82.4, 61.98, 91.42, 86.05, 53.9, 91.41, 83.26)
#: If one class is predicted for more than this share of the images, nothing was learned.
ALIKE = 0.99
Cell = tuple[int, int, float]


def specs(options: argparse.Namespace, image_size: int) -> Iterator[tuple[Cell, ReplicateSpec]]:
    """Return each cell once, longest first, for each seed."""
    cells = sorted({*SCREEN, *REFINED}, key=lambda cell: (-cell[0], -cell[1], cell[2]))
    for seed, (conv, fc, rate) in product(range(1, options.replicates + 1), cells):
        settings = {"conv_layers": conv, "fc_layers": fc, "filters": options.filters}
        training = TrainingSpec(epochs=options.epochs, learning_rate=rate)
        model = ModelSpec(settings={**settings, "dropout": 0.2})
        yield (conv, fc, rate), ReplicateSpec(model, training, image_size, seed)


def operations(spec: ReplicateSpec) -> float:
    """Return the floating-point operations of training per image: three times the forward pass.

    A convolution takes 2 operations per weight and position, a dense layer 2 per weight; the
    backward pass takes twice the forward pass (gradients of inputs and of weights).
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
    """Measure operations per second of the device: ten matrix products, one after another."""
    keras = load_keras()
    first = keras.ops.cast(keras.random.normal((side, side)), "bfloat16")
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        products = [keras.ops.matmul(first, first) for _ in range(10)]
        # Read a value back: the backends return before they have multiplied.
        keras.ops.convert_to_numpy(keras.ops.cast(products[-1][0, 0], "float32"))
        best = min(best, (time.perf_counter() - started) / len(products))
    return 2.0 * side**3 / best


def train(todo: list[tuple[Cell, ReplicateSpec]], arrays: ImageArrays, out: Path) -> None:
    """Train what is missing, and print the progress."""
    started = time.perf_counter()
    for number, (spec, _, how) in enumerate(
        train_all([spec for _, spec in todo], arrays, out), start=1
    ):
        settings = spec.model.settings
        words = f"{settings['conv_layers']} {settings['fc_layers']} {spec.training.learning_rate:g}"
        passed = time.perf_counter() - started
        print(f"{number}/{len(todo)} {passed:.0f} s, {words}: {how}", flush=True)
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")


def finished_rows(
    todo: list[tuple[Cell, ReplicateSpec]], arrays: ImageArrays, out: Path
) -> list[dict[str, Any]]:
    """Return one row per finished replicate."""
    rows = []
    test = arrays.labels[arrays.side("test")]
    for cell, spec in todo:
        folder = out / spec.key(arrays.version)
        if not folder.exists():
            continue
        result = load_result(folder)
        if result.status != "finished":
            continue
        each = [row["epoch_seconds"] for row in result.history]
        answers = result.test_probability.argmax(axis=1)
        rows.append(
            {
                **dict(zip(("conv_layers", "fc_layers", "learning_rate"), cell, strict=True)),
                "seed": spec.seed,
                "accuracy": round(result.history[-1]["val_accuracy"], 6),
                "test_accuracy": round(float((answers == test).mean()), 6),
                # Almost all images get the same answer.
                "collapsed": bool(np.bincount(answers).max() > ALIKE * len(answers)),
                "images_per_second": round(result.images_per_second),
                "seconds": round(sum(each), 2),
                "compiling": round(max(0.0, each[0] - median(each)), 2),
            }
        )
    return rows


def show(cells: list[Cell], published: tuple[float, ...], rows: list[dict[str, Any]]) -> None:
    """Print a table: published and our accuracy, in percent, with the spread over seeds."""
    print("conv fc  rate    published  ours (mean, sd, n)  on the test images")
    for cell, known in zip(cells, published, strict=True):
        mine = [row for row in rows if cell_of(row) == cell]
        ours, test = ([100 * row[key] for row in mine] for key in ("accuracy", "test_accuracy"))
        spread = stdev(ours) if len(ours) > 1 else float("nan")
        figures = f"{mean(ours):6.2f} {spread:5.2f} {len(ours):4}" if ours else "no result"
        words = f"{mean(test):13.2f}" if test else ""
        print(f"{cell[0]:4} {cell[1]:2}  {cell[2]:<7g} {known:8.2f}   {figures}{words}")


def cell_of(row: dict[str, Any]) -> Cell:
    return row["conv_layers"], row["fc_layers"], row["learning_rate"]


def compare(arrays: ImageArrays, filters: int, steps: int, rounds: int) -> None:
    """Train the network as Keras builds it and its cheaper variant in turn; print the ratio."""
    import keras

    network = plain_cnn.build(
        image_size=arrays.image_size, classes=2, conv_layers=6, filters=filters
    )
    rows = np.random.default_rng(1).choice(arrays.side("training"), (steps, 64))
    engines = {}
    for name, trained in (("as built", network), ("variant", cheapest_network(network))):
        optimizer = keras.optimizers.Adam(0.0001)
        job = EngineJob(trained, trained, optimizer, arrays.images, arrays.labels, 64)
        engines[name] = engine_of(job)
        engines[name].train(rows.astype(np.int32))
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            started = time.perf_counter()
            engine.train(rows.astype(np.int32))
            rates[name].append(rows.size / (time.perf_counter() - started))
    for name, each in rates.items():
        print(f"{name}: {median(each):,.0f} images/s ({min(each):,.0f} to {max(each):,.0f})")
    ratios = sorted(b / a for a, b in zip(*rates.values(), strict=True))
    print(f"ratio {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--arrays", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, help="folder of the results; without it, only the comparison runs"
    )
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument(
        "--ceiling", type=int, default=8192, help="rows and columns of the matrices"
    )
    parser.add_argument("--steps", type=int, default=100, help="steps per epoch of the comparison")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the comparison")
    options = parser.parse_args()
    keras = load_keras()
    try:
        arrays = open_arrays(options.arrays)
    except ArraysError as error:
        parser.error(str(error))
    if options.out is None:
        precision = resolve_precision("auto")
        keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
        compare(arrays, options.filters, options.steps, options.rounds)
        return
    todo = list(specs(options, arrays.image_size))
    most = 0.0
    if any(not (options.out / spec.key(arrays.version)).exists() for _, spec in todo):
        most = ceiling(options.ceiling)
        print(f"ceiling: {most / 1e12:.1f} TFLOP/s", flush=True)
        train(todo, arrays, options.out)
    rows = finished_rows(todo, arrays, options.out)
    if not rows:
        sys.exit("no training has finished; the lines above give the reasons")
    minutes, compiling = (sum(row[key] for row in rows) / 60 for key in ("seconds", "compiling"))
    print(f"{len(rows)} trainings: {minutes:.2f} minutes, {compiling:.2f} of them compiling")
    for cell, spec in dict(todo).items():
        rates = [row["images_per_second"] for row in rows if cell_of(row) == cell]
        if rates:
            # The ceiling is known only if this process measured it: on the machine that trained.
            did = median(rates) * operations(spec)
            share = f", {did / most:.0%} of the ceiling" if most else ""
            print(f"{cell}: {median(rates):,.0f} images/s, {did / 1e12:.0f} TFLOP/s{share}")
    show(SCREEN, FIRST_TABLE, rows)
    show(REFINED, SECOND_TABLE, rows)
    for name, cells in (("screen", SCREEN), ("grid", REFINED)):
        with (options.out / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            names = [name for name in rows[0] if name != "compiling"]
            table = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
            table.writeheader()
            table.writerows(row for row in rows if cell_of(row) in cells)
    print(f"every run: {options.out}/screen.csv and grid.csv")


if __name__ == "__main__":
    main()
