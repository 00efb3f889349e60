"""Make a table of real trainings for replays: every cell of three factors, several seeds each.

    nice -n 19 python infra/benchmarks/cells.py --data train.zip --out infra/docs/cells-48.csv

The factors are 3 to 7 convolutional layers, 1 to 3 fully-connected layers, and learning rates from
1e-4 to 1e-1 in half decades: 105 cells. Each is trained with the seeds 1 to `--seeds` on the same
split by `models.training.train.fit_replicate` in a child process of a slot, as in a study. A row is
appended when its training ends, so the same command resumes after an interruption. While the file
`--pause` exists, no further training starts. All cells get their first seed before any cell gets
its second.

`infra/docs/cells-48.csv` was made this way: 4,000 of Kaggle's Dogs vs Cats images (2,000 per class,
chosen by content) at 48 x 48 pixels, 2,395 of them for training, 1,009 for validation, 596 for the
test; 16 filters, dropout 0.2, 8 epochs of Adam, batches of 64, precision `auto` (bfloat16), two
slots on 2 cores of a machine that was very busy with other work. The last 55 rows were trained by a
later version of the engine; their figures differ from those of the same cells' other seeds by 0.000
in the median.

Columns: the three factors; seed; val_accuracy after the last epoch, on images that were not used
for training; test_accuracy, likewise; parameters; train_seconds, wall-clock time on a machine that
also did other work; status.
"""

import argparse
import csv
import itertools
import os
import random
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from models.images.arrays import open_arrays
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.training.result import ReplicateResult
from tasks.data.dataset import DatasetRequest, SplitShares, prepare_dataset
from tasks.data.find_images import find_images
from tasks.data.metadata_store import MetadataStore
from tasks.environment import prepare_environment
from tasks.settings import Settings
from tasks.training.devices import Device
from tasks.training.slots import SlotPool

FACTORS: dict[str, list[Any]] = {
    "conv_layers": [3, 4, 5, 6, 7],
    "fc_layers": [1, 2, 3],
    "learning_rate": [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
}
COLUMNS = [
    *FACTORS,
    "seed",
    "val_accuracy",
    "test_accuracy",
    "parameters",
    "train_seconds",
    "status",
]


def done_in(path: Path) -> set[tuple[str, ...]]:
    """Return the rows of the file: levels and seed, as text."""
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {tuple(row[k] for k in (*FACTORS, "seed")) for row in csv.DictReader(file)}


def to_do(seeds: int, done: set[tuple[str, ...]]) -> list[tuple[dict[str, Any], int]]:
    """Return the trainings that are missing: seed by seed, the cells of each in random order."""
    cells = [
        dict(zip(FACTORS, levels, strict=True)) for levels in itertools.product(*FACTORS.values())
    ]
    left = []
    for seed in range(1, seeds + 1):
        order = random.Random(seed).sample(cells, len(cells))
        left += [(c, seed) for c in order if (*map(str, c.values()), str(seed)) not in done]
    return left


def accuracy(result: ReplicateResult, side: str, labels: Any) -> float:
    probability = result.val_probability if side == "validation" else result.test_probability
    return round(float((probability.argmax(axis=1) == labels).mean()), 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=48, help="pixels per side")
    parser.add_argument("--per-class", type=int, default=2000)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--home", type=Path, default=Path(".factorgrid"))
    parser.add_argument("--pause", type=Path, default=Path("pause-cells"))
    options = parser.parse_args()
    settings = Settings(options.home.absolute(), prepare_environment().tracking_uri).create()
    prepared = prepare_dataset(
        find_images(options.data, settings.unpacked),
        DatasetRequest(options.size, SplitShares(0.6, 0.25), per_class=options.per_class, seed=1),
        MetadataStore(settings.metadata, settings.locks),
        settings.cache,
    )
    arrays = open_arrays(prepared.arrays_folder)
    labels = {side: arrays.labels[arrays.side(side)] for side in ("validation", "test")}
    base = ReplicateSpec(
        ModelSpec(settings={"filters": options.filters, "dropout": 0.2}),
        TrainingSpec(epochs=options.epochs, batch_size=options.batch),
        options.size,
        seed=0,
    )
    lock = threading.Lock()

    def train(job: tuple[dict[str, Any], int]) -> None:
        cell, seed = job
        while options.pause.exists():
            time.sleep(1)
        spec = ReplicateSpec.from_dict({**base.with_levels(cell).to_dict(), "seed": seed})
        with pool.slot() as slot, tempfile.TemporaryDirectory() as text:
            result = slot.run(spec, prepared.arrays_folder, Path(text) / "out")
        row = {
            **cell,
            "seed": seed,
            "val_accuracy": accuracy(result, "validation", labels["validation"]),
            "test_accuracy": accuracy(result, "test", labels["test"]),
            "parameters": result.parameters,
            "train_seconds": round(result.train_seconds, 2),
            "status": result.status,
        }
        with lock, options.out.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        print(*row.values(), flush=True)

    jobs = to_do(options.seeds, done_in(options.out))
    if not options.out.exists():
        options.out.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    print(
        f"{prepared.description}; sides {[len(v) for v in labels.values()]}; {len(jobs)} to train"
    )
    threads = max(1, len(os.sched_getaffinity(0)) // options.slots)
    devices = (Device("", threads),) * options.slots
    with SlotPool(devices) as pool, ThreadPoolExecutor(options.slots) as threads:
        list(threads.map(train, jobs))


if __name__ == "__main__":
    main()
