"""Compare the time of 20 cells with KerasTuner's and Optuna's grids over a user's own loop.

    python infra/benchmarks/grid.py

Method. The same 20 cells (3 to 6 convolutional layers x 5 learning rates), the same drawn images as
JPEG of 200 x 200 pixels, the same split, batches of 64, Adam, the same epochs. Ours: the path of a
study's stage, from the folder of images to 20 finished MLflow runs with their figures and networks
(validation, cache, Prefect, slots, tracking). Theirs: `image_dataset_from_directory` and
`model.fit` in float32, driven by `keras_tuner.GridSearch` and by Optuna's `GridSampler`. Each side
runs in a new process, alternating, `--rounds` times; seconds are those of whole processes,
including imports.

Measured on 2 idle cores with AVX512-BF16 and AMX, `--pictures 3000 --epochs 8`, two rounds on a
machine whose own speed varied: ours 189 and 129 s, Optuna 627 and 418 s (3.3 and 3.2 times).
KerasTuner once, beside other work that slowed ours: 572 s (2.4 times ours, 1.3 times Optuna). Of
ours, the training of the 20 cells alone took 160 and 108 s, 8.0 and 5.4 s each; the stage took 5.1
and 4.2 % more, the whole process 18 and 19 % more. Then only ours, `--epochs 14`, 8.8 s per cell:
the stage 2.7 % more, the process 10.8 %; with a Prefect server that is already running (`--served`;
8.6 s per cell) 2.6 and 8.2 %.

Also printed: the sum of the training seconds of our cells, and how much longer the stage (from its
first cell to its last run) and the whole process took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

SIZE, BATCH, FILTERS = 64, 64, 32
GRID: dict[str, list[Any]] = {
    "conv_layers": [3, 4, 5, 6],
    "learning_rate": [0.0003, 0.0006, 0.001, 0.002, 0.003],
}
STUDY = """
name = "grid"
[data]
source = "{source}"
image_size = {size}
training = 0.8
validation = 0.15
[factors.conv_layers]
low = 3
high = 6
[factors.learning_rate]
low = 0.0003
high = 0.003
[model]
filters = {filters}
[training]
epochs = {epochs}
batch_size = {batch}
"""


def draw_pictures(folder: Path, number: int) -> None:
    """Write JPEG files, one folder per class."""
    import cv2
    import numpy as np

    from models.images.drawn import draw_one

    for index in range(number):
        path = folder / ("cat", "dog")[index % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw_one(index % 2, 200, np.random.default_rng([7, index]))
        cv2.imwrite(str(path), image[:, :, ::-1])


def load(folder: Path, epochs: int) -> Any:
    import tomllib

    from tasks.study.study_file import parse_study

    text = STUDY.format(
        source=folder / "pictures", size=SIZE, filters=FILTERS, epochs=epochs, batch=BATCH
    )
    return parse_study(tomllib.loads(text), "grid")


def split_pictures(folder: Path) -> None:
    """Link the images for `image_dataset_from_directory`, on the same sides as ours."""
    from models.images.arrays import open_arrays
    from models.images.split import SIDES
    from tasks.data.dataset import DatasetRequest, SplitShares, prepare_dataset
    from tasks.data.find_images import find_images
    from tasks.data.metadata_store import MetadataStore

    pictures = find_images(folder / "pictures", folder / "unpacked")
    prepared = prepare_dataset(
        pictures,
        DatasetRequest(SIZE, SplitShares(0.8, 0.15)),
        MetadataStore(folder / "metadata.db", folder / "locks"),
        folder / "cache",
    )
    arrays = open_arrays(prepared.arrays_folder)
    for name, side in zip(arrays.names, arrays.sides, strict=True):
        link = folder / "sides" / SIDES[side] / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder / "pictures" / name)


def run_ours(folder: Path, epochs: int) -> dict[str, float]:
    """Train the grid as a stage of a study does."""
    from tasks.environment import prepare_environment

    settings = prepare_environment().create()
    study = load(folder, epochs)
    from tasks.service.local_prefect import local_prefect
    from tasks.training.slot_child import start_fork_server

    start_fork_server()
    with local_prefect(settings) as server:
        from prefect import flow
        from prefect.task_runners import ThreadPoolTaskRunner

        from analysis.search.procedure import NextCells
        from analysis.search.space import grid_cells
        from tasks.data.rules import load_great_expectations
        from tasks.search.refine import plan_cells
        from tasks.session import open_session, open_training
        from tasks.steps import prepare, train_stage
        from tasks.tracking.tracker import connect_to_mlflow

        # As `factorgrid search` does while the server starts.
        connect_to_mlflow(settings)
        load_great_expectations()

        @flow(
            task_runner=cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=8))
        )
        def stage() -> dict[str, float]:
            with open_session(study) as session:
                images = prepare(session)
                with open_training(session, images) as context:
                    started = time.perf_counter()
                    train_stage(
                        context,
                        plan_cells(study, images.version, NextCells(tuple(grid_cells(GRID)))),
                    )
                    seconds = time.perf_counter() - started
                    runs = context.execution.runs()
                    return {"stage": seconds, "bare": float(runs["train_seconds"].sum())}

        if server is not None:
            server.wait()
        return stage()


def plain_fit(folder: Path, epochs: int, model: Any) -> float:
    """Train with the usual Keras loop, and return the last accuracy."""
    import keras

    data = {
        side: keras.utils.image_dataset_from_directory(
            folder / "sides" / side, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
        ).prefetch(2)
        for side in ("training", "validation")
    }
    history = model.fit(
        data["training"], validation_data=data["validation"], epochs=epochs, verbose=0
    )
    return float(history.history["val_accuracy"][-1])


def plain_model(levels: dict[str, Any]) -> Any:
    import keras

    from models.networks.plain_cnn import build

    model = build(image_size=SIZE, classes=2, conv_layers=levels["conv_layers"], filters=FILTERS)
    model.compile(
        optimizer=keras.optimizers.Adam(levels["learning_rate"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def run_keras_tuner(folder: Path, epochs: int) -> dict[str, float]:
    import keras
    import keras_tuner

    def build(hp: Any) -> Any:
        return plain_model({name: hp.Choice(name, levels) for name, levels in GRID.items()})

    data = {
        side: keras.utils.image_dataset_from_directory(
            folder / "sides" / side, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
        ).prefetch(2)
        for side in ("training", "validation")
    }
    with tempfile.TemporaryDirectory() as text:
        tuner = keras_tuner.GridSearch(
            build, objective="val_accuracy", max_trials=20, directory=text, project_name="grid"
        )
        tuner.search(data["training"], validation_data=data["validation"], epochs=epochs, verbose=0)
        return {"cells": float(len(tuner.oracle.trials))}


def run_optuna(folder: Path, epochs: int) -> dict[str, float]:
    import optuna

    def objective(trial: Any) -> float:
        levels = {name: trial.suggest_categorical(name, values) for name, values in GRID.items()}
        return plain_fit(folder, epochs, plain_model(levels))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(GRID))
    study.optimize(objective, n_trials=len(list(product(*GRID.values()))))
    return {"cells": float(len(study.trials))}


SIDES: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "ours": run_ours,
    "KerasTuner": run_keras_tuner,
    "Optuna": run_optuna,
}


def in_new_process(side: str, folder: Path, epochs: int) -> dict[str, float]:
    """Run one side in a new process and an empty home; return its figures and seconds."""
    words = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    words += ["--epochs", str(epochs)]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "FACTORGRID_HOME": home, "TF_CPP_MIN_LOG_LEVEL": "3"}
        ended = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=env)
        seconds = time.perf_counter() - started
    answer: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return {**answer, "process": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument(
        "--served", action="store_true", help="with a Prefect server that is already running"
    )
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.folder, options.epochs)))
        return
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        folder = Path(text)
        if options.served:
            stack.enter_context(prefect_server(folder / "server"))
        draw_pictures(folder / "pictures", options.pictures)
        split_pictures(folder)
        rows: dict[str, list[dict[str, float]]] = {side: [] for side in options.sides}
        for _ in range(options.rounds):
            for side in options.sides:
                rows[side].append(in_new_process(side, folder, options.epochs))
                print(side, rows[side][-1], flush=True)
    report(rows)


@contextmanager
def prefect_server(home: Path) -> Iterator[None]:
    """Run a Prefect server, as a service does, so that ours starts none."""
    from tasks.environment import prepare_environment
    from tasks.service.local_prefect import local_prefect

    os.environ["FACTORGRID_HOME"] = str(home)
    with local_prefect(prepare_environment().create()) as server:
        if server is not None:
            server.wait()
        yield


def report(rows: dict[str, list[dict[str, float]]]) -> None:
    """Print seconds and ratios, medians over the rounds."""
    whole = {side: median(row["process"] for row in each) for side, each in rows.items()}
    for side, seconds in whole.items():
        times = f", {seconds / whole['ours']:.2f} times ours" if "ours" in whole else ""
        print(f"{side:12} {seconds:7.1f} s{times}")
    if "ours" in rows:
        for part in ("stage", "process"):
            over = median(row[part] / row["bare"] - 1 for row in rows["ours"])
            print(f"our {part}, longer than the training of its cells alone: {over:.1%}")


if __name__ == "__main__":
    main()
