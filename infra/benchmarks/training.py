"""Compare the speed of training a replicate with a user's own loop.

    python infra/benchmarks/training.py [--source train.zip]
    python infra/benchmarks/training.py --sides ours deterministic   # the cost of equal bits
    python infra/benchmarks/training.py --network modern             # the other built-in network
    python infra/benchmarks/training.py --network modern --sides ours as_built unnormalized strided

Method. The same network (6 convolutional layers of 64 filters, 1 fully-connected layer), batches of
64, Adam, on the same images as JPEG: drawn ones of 200 x 200 pixels, or those of `--source`. The
user's loop: Keras's `image_dataset_from_directory`, prefetched, and `model.fit` in float32. Ours:
`models.training.train.fit_replicate` on the cache, as a slot runs it, in the precision that
``auto`` selects on this machine. Each side runs in a new process, alternating, `--rounds` times,
with another seed each time; the first epoch, which compiles, is not counted in images per second
but is counted in the whole cell. Ours also saves its network and predicts for two sides.

`--network modern` trains the default residual network with batch normalization, with what a user of
Keras would add to it: flip, shift and zoom by Keras's layers in front of the network, AdamW, and a
cosine schedule. Both sides have the same parts.

Three more sides train in another way: ``as_built`` with the operations that Keras uses
(`models.training.tensorflow_normalization` and `tensorflow_pooling`), and the modern network
``unnormalized`` without normalization, ``strided`` with maps that are halved by strides instead of
pooling.

Measured on 2 idle cores with AVX512-BF16 and AMX, `--rounds 5`, medians and ranges of the ratios
ours / theirs:

    size    images                   epochs   images per second       whole cell
    64 px   2,500 real ones          6        2.86 (2.71 to 3.11)     0.33 (0.32 to 0.35)
    64 px   1,200 drawn ones         3        2.71 (2.57 to 4.27)     0.41 (0.32 to 0.42)
    128 px  800 drawn ones           3        3.93 (3.64 to 4.90)     0.31 (0.24 to 0.34)

The modern network, on the same kind of machine (`--network modern --rounds 3`, 4 epochs of 2,500
real images):

    64 px    2.37 (2.16 to 2.70) times the images per second, 0.40 (0.36 to 0.44) times the seconds
             of the cell; accuracy 0.702 (0.019), theirs 0.650 (0.037)
    128 px   2.97 (2.21 to 3.18) and 0.36 (0.34 to 0.43); 0.711 (0.003), theirs 0.687 (0.046)

Against ``as_built`` at 64 pixels: 1.43 (1.37 to 1.87) times the images per second, 0.69 (0.64 to
0.81) times the seconds of the cell; accuracy 0.702 (0.019) and 0.701 (0.015).

On 2 idle cores of an Intel CPU with AVX512-BF16 but without AMX, where ``auto`` selects float32
(`--rounds 3`, 4 epochs of 2,500 real images; the plain network 3 epochs of 1,000):

    network   size     images per second       whole cell
    modern    64 px    2.06 (2.06 to 2.15)     0.49 (0.48 to 0.50)
    modern    128 px   2.31 (2.31 to 2.35)     0.48 (0.45 to 0.49)
    plain     64 px    1.31 (1.23 to 1.42)     0.67 (0.63 to 0.76)
    plain     128 px   1.92 (1.51 to 1.94)     0.62 (0.56 to 0.64)

There, float32 has 1.56 (1.54 to 1.73) times the images per second of bfloat16 with the modern
network at 64 px, and 1.55 (1.52 to 1.55) with the plain one (`--sides bfloat16 ours`, 2,500 images,
4 epochs).

`--avx2` limits both sides to the instructions of AVX2, and ours to float32, on any CPU. It stands
for a CPU with AVX2 alone in the convolutions only: memory and caches are those of this one. On a
shared machine, mostly quiet, `--pictures 1000 --epochs 3 --source train.zip`:

    network   size     rounds   images per second       whole cell
    plain     64 px    5        1.21 (1.15 to 1.64)     0.76 (0.60 to 0.78)
    plain     128 px   5        1.23 (1.20 to 1.93)     0.81 (0.61 to 0.83)
    modern    64 px    6        1.56 (1.32 to 2.09)     0.52 (0.47 to 0.55)
    modern    128 px   3        2.06 (1.97 to 2.08)     0.48 (0.47 to 0.48)

The same on an Intel CPU without AMX, quiet, `--rounds 3` (these trainings of about 40 steps are too
short to compare accuracies):

    plain     64 px    3        1.78 (1.73 to 2.24)     0.56 (0.54 to 0.65)
    plain     128 px   3        2.21 (2.18 to 2.21)     0.56 (0.47 to 0.57)
    modern    64 px    3        1.99 (1.92 to 2.02)     0.51 (0.51 to 0.51)
    modern    128 px   3        1.48 (1.29 to 1.50)     0.67 (0.67 to 0.68)

Other work on the machine takes more from their pipeline than from ours: beside it, the plain
network had 1.84 (1.50 to 1.97) at 64 px, 5 rounds. Pooling before bias and ReLU
(`models.training.tensorflow_pooling`) gives the plain network 1.13 (1.11 to 1.19) times the images
per second at 64 px and 1.18 (1.14 to 1.20) at 128 px (`--sides as_built ours`, 4 rounds).

Accuracy at the end, mean and standard deviation over 5 seeds: for the real images (Kaggle's Dogs vs
Cats, `--source train.zip --pictures 2500 --epochs 6`) ours 0.704 (0.027), theirs 0.716 (0.022), a
difference of 0.012 with a standard error of 0.016; for the drawn ones ours 0.709 (0.023) and 0.622
(0.018), theirs 0.629 (0.051) and 0.564 (0.026).

`deterministic = true` on the same real images (`--sides ours deterministic`, 5 rounds): 0.99 (0.97
to 1.03) times the images per second, 1.00 (0.98 to 1.02) times the seconds of the cell; accuracy
0.714 (0.019).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

#: The networks: their identifiers, and their settings.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("models.cnn:build", {"conv_layers": 6, "fc_layers": 1, "filters": 64}),
    "modern": ("models.residual:build", {}),
}
#: How each of them is trained, besides batch size and epochs.
TRAINING: dict[str, dict[str, Any]] = {
    "plain": {},
    "modern": {
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "schedule": "cosine",
        "augment": "light",
    },
}
BATCH, RATE = 64, 0.001
#: Limits oneDNN, which carries out the convolutions, to the instructions of AVX2.
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}


def write_pictures(folder: Path, number: int, source: Path | None) -> None:
    """Write JPEG files, one folder per class, for two sides."""
    for index, (label, data) in enumerate(
        drawn(number) if source is None else real(source, number)
    ):
        side = "validation" if index // 2 % 5 == 0 else "training"
        path = folder / side / label / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def drawn(number: int) -> Iterator[tuple[str, bytes]]:
    """Yield labels and JPEG bytes of images that the project draws."""
    import cv2
    import numpy as np

    from models.images.drawn import draw_one

    for index in range(number):
        image = draw_one(index % 2, 200, np.random.default_rng([7, index]))
        yield ("cat", "dog")[index % 2], cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes()


def real(source: Path, number: int) -> Iterator[tuple[str, bytes]]:
    """Yield labels and bytes of images from Kaggle's train.zip, alternating the classes."""
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        cats, dogs = (
            [name for name in names if Path(name).name.startswith(label)]
            for label in ("cat", "dog")
        )
        for pair in list(zip(cats, dogs, strict=False))[: number // 2]:
            for name in pair:
                yield Path(name).name[:3], archive.read(name)


def write_cache(folder: Path, size: int) -> None:
    """Decode the files once, as a study does."""
    from models.images.arrays import write_arrays
    from models.images.decoding import decode

    files = sorted(folder.glob("*/*/*.jpg"))
    write_arrays(
        folder / "cache" / str(size),
        (decode(file.read_bytes(), size) for file in files),
        size=size,
        labels=[int(file.parent.name == "dog") for file in files],
        sides=[int(file.parent.parent.name == "validation") for file in files],
        names=[str(file.relative_to(folder)) for file in files],
        classes=["cat", "dog"],
        version=str(size),
    )


class ValidationAsTest:
    """The cache, with its validation images also as its test images."""

    classes = ("cat", "dog")

    def __init__(self, folder: Path) -> None:
        from models.images.arrays import open_arrays

        self._arrays = open_arrays(folder)
        self.images, self.labels = self._arrays.images, self._arrays.labels
        self.version = self._arrays.version

    def side(self, name: str) -> Any:
        """Return the rows of a side."""
        return self._arrays.side("training" if name == "training" else "validation")


def their_network(name: str, size: int, steps: int) -> tuple[Any, Any]:
    """Return the network and the optimizer of a user's own script.

    Parameters
    ----------
    steps : of the whole training.
    """
    import keras

    from models.networks.build_network import BUILT_IN

    builder, settings = NETWORKS[name]
    network = BUILT_IN[builder](image_size=size, classes=2, **settings)
    if name == "plain":
        return network, keras.optimizers.Adam(RATE)
    layers = keras.layers
    changes = [layers.RandomFlip("horizontal"), layers.RandomTranslation(0.1, 0.1)]
    front = [keras.Input((size, size, 3)), *changes, layers.RandomZoom(0.1)]
    schedule = keras.optimizers.schedules.CosineDecay(RATE, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=TRAINING[name]["weight_decay"])
    return keras.Sequential([*front, network]), optimizer


def run_theirs(folder: Path, size: int, epochs: int, seed: int, network: str) -> dict[str, float]:
    import keras

    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    data = {
        side: keras.utils.image_dataset_from_directory(
            folder / side, image_size=(size, size), batch_size=BATCH, verbose=False
        ).prefetch(2)
        for side in ("training", "validation")
    }
    images = sum(1 for _ in (folder / "training").glob("*/*.jpg"))
    model, optimizer = their_network(network, size, epochs * -(-images // BATCH))
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    seconds: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc] # Keras ships no types
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_test_begin(self, *_: Any, **__: Any) -> None:
            seconds.append(time.perf_counter() - self.started)

    history = model.fit(
        data["training"],
        validation_data=data["validation"],
        epochs=epochs,
        verbose=0,
        callbacks=[Clock()],
    )
    return {
        "images_per_second": images / median(seconds[1:]),
        "cell_seconds": time.perf_counter() - started,
        "accuracy": history.history["val_accuracy"][-1],
    }


def run_ours(
    folder: Path,
    size: int,
    epochs: int,
    seed: int,
    network: str,
    *,
    deterministic: bool = False,
    as_built: bool = False,
    precision: str | None = None,
    **parts: str,
) -> dict[str, float]:
    """Train a replicate; `as_built`: with the operations of the layers of the network."""
    from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
    from models.training import train
    from models.training.backend import load_keras

    load_keras()
    if as_built:
        vars(train)["cheapest_network"] = lambda network, **_: network
    arrays = ValidationAsTest(folder / "cache" / str(size))
    own = TRAINING[network] if precision is None else {**TRAINING[network], "precision": precision}
    training = TrainingSpec(epochs, BATCH, RATE, deterministic=deterministic, **own)
    builder, settings = NETWORKS[network]
    spec = ReplicateSpec(ModelSpec(builder, {**settings, **parts}), training, size, seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        result = train.fit_replicate(spec, arrays, weights_to=Path(out) / "model.keras")
    return {
        "images_per_second": result.images_per_second,
        "cell_seconds": time.perf_counter() - started,
        "accuracy": result.history[-1]["val_accuracy"],
    }


SIDES: dict[str, Callable[[Path, int, int, int, str], dict[str, float]]] = {
    "theirs": run_theirs,
    "ours": run_ours,
    "deterministic": partial(run_ours, deterministic=True),
    "bfloat16": partial(run_ours, precision="bfloat16"),
    "float32": partial(run_ours, precision="float32"),
    "as_built": partial(run_ours, as_built=True),
    "unnormalized": partial(run_ours, normalization="none"),
    "strided": partial(run_ours, downsample="stride"),
}


def in_new_process(
    side: str, folder: Path, size: int, epochs: int, seed: int, network: str, *, avx2: bool
) -> dict[str, float]:
    """Run one side in a new process."""
    words = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    words += ["--sizes", str(size), "--epochs", str(epochs), "--seed", str(seed)]
    words += ["--network", network, *(["--avx2"] if avx2 else [])]
    variables = {**os.environ, **(AVX2 if avx2 else {})}
    ended = subprocess.run(words, capture_output=True, text=True, check=True, env=variables)
    answer: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def compare(
    folder: Path,
    size: int,
    epochs: int,
    rounds: int,
    sides: Sequence[str],
    network: str,
    *,
    avx2: bool = False,
) -> None:
    """Run the sides alternating; print medians, ratios to the first, accuracies over the seeds."""
    write_cache(folder, size)
    rows = [
        {
            side: in_new_process(side, folder, size, epochs, seed, network, avx2=avx2)
            for side in sides
        }
        for seed in range(1, rounds + 1)
    ]
    limit = ", limited to AVX2" if avx2 else ""
    print(f"{network} network, {size} x {size} pixels, {epochs} epochs, {rounds} rounds{limit}")
    for side in sides:
        for figure in ("images_per_second", "cell_seconds"):
            each = [row[side][figure] for row in rows]
            ratios = sorted(row[side][figure] / row[sides[0]][figure] for row in rows)
            print(
                f"  {side:13} {figure:18} {median(each):9.3f}, {median(ratios):.2f} "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f}) times {sides[0]}"
            )
        found = [row[side]["accuracy"] for row in rows]
        spread = stdev(found) if rounds > 1 else float("nan")
        print(f"  {side:13} accuracy: mean {mean(found):.4f}, s.d. {spread:.4f}, n = {rounds}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--pictures", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", type=Path, help="Kaggle's train.zip, instead of drawn images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["theirs", "ours"])
    parser.add_argument("--network", choices=NETWORKS, default="plain")
    parser.add_argument("--avx2", action="store_true", help="limit both to AVX2 and float32")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        run = SIDES[options.side]
        size, network = options.sizes[0], options.network
        if options.avx2:
            TRAINING[network]["precision"] = "float32"
        found = run(options.folder, size, options.epochs, options.seed, network)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as text:
        write_pictures(Path(text), options.pictures, options.source)
        for size in options.sizes:
            sides, network = options.sides, options.network
            compare(
                Path(text),
                size,
                options.epochs,
                options.rounds,
                sides,
                network,
                avx2=options.avx2,
            )


if __name__ == "__main__":
    main()
