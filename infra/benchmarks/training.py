"""How fast a replicate trains, against the loop that a user would write.

    python infra/benchmarks/training.py

Method. The same network (6 convolutional layers of 64 filters, 1 fully-connected layer), batches of
64, Adam, on the same drawn pictures, saved as JPEG of 200 x 200 pixels. The user's loop: Keras's
`image_dataset_from_directory`, prefetched, and `model.fit` in float32. Ours: `models.training.fit`
on the cache, as a slot runs it, in the precision that ``auto`` means here. Each side in a fresh
process, in turn, `--rounds` times; the first epoch, which compiles, is left out of images a second
and counts in the whole cell. Ours saves its network and predicts for two sides more.

Measured on 2 cores with AVX512-BF16 and AMX, `--rounds 5 --epochs 4 --pictures 1500`, medians and
ranges of the ratios ours / theirs; the machine's own speed went up and down by a third meanwhile:

    size    images a second         whole cell
    64 px   2.44 (2.35 to 4.75)     0.41 (0.40 to 0.47)
    128 px  1.91 (1.88 to 2.80)     0.54 (0.40 to 0.57)

Accuracy is of one seed here (0.847 against 0.870, and 0.870 against 0.887) and proves nothing;
three seeds a side at 64 px gave 0.88 to 0.90 against 0.75 to 0.93.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

SETTINGS = {"conv_layers": 6, "fc_layers": 1, "filters": 64}
BATCH = 64


def draw_pictures(folder: Path, number: int) -> None:
    """Write JPEG files, a folder a class, for two sides; and our cache of each size beside them."""
    import cv2
    import numpy as np

    from models.drawn import draw_one

    for index in range(number):
        side = "validation" if index % 5 == 0 else "training"
        path = folder / side / ("cat", "dog")[index // 5 % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw_one(index // 5 % 2, 200, np.random.default_rng([7, index]))
        cv2.imwrite(str(path), image[:, :, ::-1])


def arrays_of(folder: Path, size: int) -> Any:
    """Decode the files as our cache has them, and return arrays in memory."""
    import numpy as np

    from models.decoding import decode

    class Arrays:
        classes = ("cat", "dog")

        def __init__(self) -> None:
            files = sorted(folder.glob("*/*/*.jpg"))
            self.images = np.stack([decode(file.read_bytes(), size) for file in files])
            self.labels = np.array([file.parent.name == "dog" for file in files], dtype=np.int64)
            self.where = np.array([file.parent.parent.name for file in files])

        def side(self, name: str) -> Any:
            return np.flatnonzero(
                self.where == ("training" if name == "training" else "validation")
            )

    return Arrays()


def run_theirs(folder: Path, size: int, epochs: int) -> dict[str, float]:
    import keras

    from models.cnn import build

    keras.utils.set_random_seed(1)
    started = time.perf_counter()
    data = {
        side: keras.utils.image_dataset_from_directory(
            folder / side, image_size=(size, size), batch_size=BATCH, verbose=False
        ).prefetch(2)
        for side in ("training", "validation")
    }
    model = build(image_size=size, classes=2, **SETTINGS)
    model.compile(
        optimizer=keras.optimizers.Adam(0.001),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    images = sum(1 for _ in (folder / "training").glob("*/*.jpg"))
    seconds: list[float] = []

    class Clock(keras.callbacks.Callback):
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


def run_ours(folder: Path, size: int, epochs: int) -> dict[str, float]:
    from models.backend import load_keras
    from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
    from models.training import fit

    load_keras()
    arrays = arrays_of(folder, size)
    training = TrainingSpec(epochs=epochs, batch_size=BATCH)
    spec = ReplicateSpec(ModelSpec(settings=SETTINGS), training, size, seed=1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        result = fit(spec, arrays, weights_to=Path(out) / "model.keras")
    return {
        "images_per_second": result.images_per_second,
        "cell_seconds": time.perf_counter() - started,
        "accuracy": result.history[-1]["val_accuracy"],
    }


SIDES = {"theirs": run_theirs, "ours": run_ours}


def apart(side: str, folder: Path, size: int, epochs: int) -> dict[str, float]:
    """Run one side in a fresh process."""
    words = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    words += ["--sizes", str(size), "--epochs", str(epochs)]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def compare(folder: Path, size: int, epochs: int, rounds: int) -> None:
    """Run both sides in turn, and print medians and ratios."""
    rows = [{side: apart(side, folder, size, epochs) for side in SIDES} for _ in range(rounds)]
    print(f"{size} x {size} pixels, {epochs} epochs, {rounds} rounds")
    for figure in ("images_per_second", "cell_seconds", "accuracy"):
        each = {side: [row[side][figure] for row in rows] for side in SIDES}
        ratios = sorted(a / b for a, b in zip(each["ours"], each["theirs"], strict=True))
        print(
            f"  {figure:18} theirs {median(each['theirs']):9.3f}  ours {median(each['ours']):9.3f}"
            f"  ours / theirs {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--pictures", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(SIDES[asked.side](asked.folder, asked.sizes[0], asked.epochs)))
        return
    with tempfile.TemporaryDirectory() as text:
        draw_pictures(Path(text), asked.pictures)
        for size in asked.sizes:
            compare(Path(text), size, asked.epochs, asked.rounds)


if __name__ == "__main__":
    main()
