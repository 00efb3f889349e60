"""Measure what MLflow costs: tracking a replicate, reading studies back, resuming a study.

    python infra/benchmarks/tracking.py replicate    # start, params, 20 epochs x 6 metrics, figures
    python infra/benchmarks/tracking.py analyse      # studies of 1,000 and 10,000 runs, read back
    python infra/benchmarks/tracking.py resume       # a finished study of 20 cells, again

All on SQLite. Each prints wall-clock time and processor time: on a machine that is busy with other
work, only the latter is meaningful.

replicate : 64 x 64 pixels, 6 convolutional layers of 64 filters; everything that a replicate writes
    to MLflow, with its model file and without. Aims: 1.5 s and 0.5 s.
analyse : `tasks.report.outcome.outcome_of` of a study with three factors, four fifths of its runs
    in the screen; the runs are inserted into the database directly. Aims: 10,000 in 20 s, and
    linear.
resume : the whole command `factorgrid search`, as seen from the shell. Aim: 10 s, and no training.

Measured on 2 idle cores: a replicate 0.29 s without its model file (1.1 MB; median of 7, 0.28 to
0.75) and 0.30 s with it (0.29 to 0.30); 1,000 runs 1.69 s, 10,000 runs 17.9 s (medians of 5), 10.7
times as much; a finished study of 8 + 12 cells, two seeds per cell, again 8.9 s (median of 5, 8.8
to 9.1), of which Prefect's server takes 3.3 s to start.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

STUDY = """
name = "memory"
replicates = 2
[data]
drawn = 400
image_size = 16
[factors.conv_layers]
low = 1
high = 2
[factors.fc_layers]
low = 1
high = 2
[factors.learning_rate]
low = 0.001
high = 0.1
[model]
filters = 4
dense_units = 8
[training]
epochs = 1
[refine]
budget = 12
rounds = 1
[confirm]
replicates = 1
"""
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "epoch_seconds")


@dataclass
class Clock:
    """Wall-clock and processor seconds of each turn, including children."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Time the block."""
        wall, used = time.perf_counter(), _used()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(_used() - used)

    def __str__(self) -> str:
        middle, least, most = statistics.median(self.wall), min(self.wall), max(self.wall)
        return (
            f"{middle:.2f} s (median of {len(self.wall)}; {least:.2f} to {most:.2f}), "
            f"{statistics.median(self.processor):.2f} s of processor time"
        )


def _used() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _study(folder: Path, text: str = STUDY) -> Any:
    from tasks.study.study_file import load_study

    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    return load_study(str(file))


# -- a replicate ----------------------------------------------------------------------------------


def replicate(rounds: int) -> None:
    from models.networks.plain_cnn import build
    from tasks.environment import prepare_environment

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        os.environ["FACTORGRID_HOME"] = str(folder / "home")
        settings = prepare_environment()
        network = folder / "model.keras"
        build(image_size=64, classes=2, conv_layers=6, filters=64).save(network)
        print(f"model file: {network.stat().st_size / 1e6:.1f} MB")
        for file in (None, network):
            clock = _track(settings, folder, file, rounds)
            print(f"a replicate {'with' if file else 'without'} its model file: {clock}")


def _track(settings: Any, folder: Path, network: Path | None, rounds: int) -> Clock:
    from tasks.progress import Progress
    from tasks.study.replicates import planned
    from tasks.tracking.dataset_facts import DatasetFacts
    from tasks.tracking.execution import open_execution
    from tasks.tracking.tracker import Tracker
    from tasks.training import train_replicate
    from tasks.training.context import TrainingContext

    arrays, result = _arrays(), _result()
    images = SimpleNamespace(source="drawn", accepted=1000, arrays_folder=folder)
    execution = open_execution(
        Tracker.open(settings), _study(folder), "v1", DatasetFacts(2, 900, 0.5, "drawn")
    )
    clock = Clock()
    with execution as opened, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        context: Any = TrainingContext(settings, Progress(nowhere), Any, images, arrays, opened)  # type: ignore[arg-type]
        for number in range(rounds + 1):
            levels = {"conv_layers": 1, "fc_layers": 1, "learning_rate": 0.001}
            one = planned(opened.study, f"v1 {network}", "screen", levels, number + 1)
            training: Any = SimpleNamespace(finish=_finish(result, network))
            with clock.turn(), opened.replicates.claim(one):
                run_id: Any = opened.replicates.begin(one)
                # The task without Prefect.
                train = partial(
                    train_replicate._train_in_slot,  # noqa: SLF001 # likewise
                    one,
                    context,
                    training,
                    free_slot=lambda: None,
                    end_child=lambda: None,
                )
                train_replicate._train_and_track(one, context, run_id, train)  # noqa: SLF001 # likewise
    # The first turn loads libraries.
    return Clock(clock.wall[1:], clock.processor[1:])


def _finish(result: Any, network: Path | None) -> Any:
    """Return a replacement of `Training.finish`: its epochs come at once, its files are linked."""
    from models.training.result import save_result

    def finish(folder: Path, *, on_epoch: Any, **_: object) -> Any:
        folder.mkdir(parents=True)
        save_result(result, folder)
        if network is not None:
            os.link(network, folder / "model.keras")
        for report in result.history:
            on_epoch(report)
        return result

    return finish


def _arrays() -> Any:
    import numpy as np

    from models.images.drawn import draw

    images, labels, classes = draw(60, 64, seed=1)
    images, labels = np.tile(images, (15, 1, 1, 1)), np.tile(labels, 15)
    rows = np.arange(len(labels))
    return SimpleNamespace(
        images=images, labels=labels, classes=classes, side=lambda _: rows, image_size=64
    )


def _result() -> Any:
    import numpy as np

    from models.training.result import ReplicateResult

    history = [
        {
            "epoch": n,
            **{name: 1 / (n + k) for k, name in enumerate(METRICS)},
            "images_per_second": n,
        }
        for n in range(1, 21)
    ]
    rng = np.random.default_rng(1)
    probability = rng.dirichlet([1, 1], 900).astype(np.float32)
    return ReplicateResult(
        "finished",
        "",
        history,
        probability,
        probability,
        1000,
        60.0,
        500.0,
        900.0,
        "cpu",
        "tensorflow",
        "float32",
        False,  # noqa: FBT003 # a field
        32,
    )


# -- reading back ---------------------------------------------------------------------------------


def analyse(rounds: int) -> None:
    from tasks.environment import prepare_environment

    seconds = {}
    for runs in (1000, 10_000):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            os.environ["FACTORGRID_HOME"] = str(folder / "home")
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            settings = prepare_environment()
            _fill(settings, folder, runs)
            clock = _analyse(settings, rounds)
        seconds[runs] = statistics.median(clock.processor)
        print(f"a study of {runs:,} runs, read back and analysed: {clock}")
    print(f"10,000 runs take {seconds[10_000] / seconds[1000]:.1f} times the processor of 1,000")


def _analyse(settings: Any, rounds: int) -> Clock:
    from tasks.report.as_json import outcome_as_json
    from tasks.report.outcome import outcome_of
    from tasks.report.text import outcome_as_text
    from tasks.tracking.execution import past_execution
    from tasks.tracking.tracker import Tracker

    clock = Clock()
    for _ in range(rounds):
        with clock.turn():
            tracker = Tracker.open(settings)
            run = tracker.last_execution(tracker.existing_experiment("memory"))
            outcome = outcome_of(past_execution(tracker, run))
            outcome_as_text(outcome)
            outcome_as_json(outcome)
    return clock


def _fill(settings: Any, folder: Path, number: int) -> None:
    """Insert a study with `number` finished replicates into the database."""
    import sqlalchemy as sql
    from mlflow.store.tracking.dbmodels import models as tables

    from analysis.search.procedure import cell_runs
    from tasks.study.replicates import plan
    from tasks.tracking.dataset_facts import DatasetFacts
    from tasks.tracking.execution import open_execution
    from tasks.tracking.tracker import Tracker

    study = _study(folder)
    with open_execution(
        Tracker.open(settings), study, "v1", DatasetFacts(2, 1500, 0.5, "drawn")
    ) as execution:
        parent = execution.run_id
    screened, refined = number * 4 // 5 // 8, number // 5 // 8
    todo = plan(
        study, "v1", "screen", cell_runs(_cells((1, 2), (0.001, 0.1)), range(1, screened + 1))
    )
    fresh = range(screened + 1, screened + refined + 1)
    todo += plan(study, "v1", "refine", cell_runs(_cells((2, 3), (0.001, 0.01)), fresh))
    rows: dict[Any, list[dict[str, Any]]] = {}
    for index, item in enumerate(todo):
        _put(rows, index, item, parent, int(execution.experiment))
    engine = sql.create_engine(settings.tracking_uri)
    with engine.begin() as connection:
        for table in (tables.SqlRun, tables.SqlParam, tables.SqlLatestMetric, tables.SqlTag):
            connection.execute(sql.insert(table), rows[table])
    engine.dispose()


def _cells(layers: tuple[int, int], rates: tuple[float, float]) -> list[dict[str, Any]]:
    names = ("conv_layers", "fc_layers", "learning_rate")
    return [dict(zip(names, cell, strict=True)) for cell in product(layers, (1, 2), rates)]


def _put(rows: dict[Any, Any], index: int, item: Any, parent: str, experiment: int) -> None:
    """Add a replicate's rows for each table, as MLflow would."""
    from mlflow.store.tracking.dbmodels import models as tables

    from tasks.tracking.replicate_runs import replicate_params
    from tasks.tracking.tags import KEY, KIND, PARENT, stage_tag

    run_id, rng = f"{index:032x}", random.Random(index)
    effect = 0.02 * item.coded["conv_layers"] - 0.1 * item.coded["learning_rate"]
    accuracy = 0.8 + effect + rng.gauss(0, 0.01)
    metrics = dict.fromkeys(METRICS, 0.5) | {"val_accuracy": accuracy, "train_seconds": 60.0}
    metrics |= {"val_loss": 1 - accuracy, "parameters": 1000.0, "peak_memory_mb": 900.0}
    metrics |= {"median_images_per_second": 500.0, "images_per_second": 500.0}
    tags = {PARENT: parent, KIND: "replicate", KEY: item.key, stage_tag(item.stage): "true"}
    tags |= {"mlflow.runName": item.short_name, "factorgrid.cell": item.cell}
    tags |= {f"factorgrid.coded.{name}": str(level) for name, level in item.coded.items()}
    tags |= {f"factorgrid.{name}": "of the run" for name in ("device", "backend", "precision")}
    run = {"name": item.short_name, "status": "FINISHED", "start_time": index, "end_time": index}
    run |= {"lifecycle_stage": "active", "experiment_id": experiment, "source_type": "LOCAL"}
    run |= {"user_id": "user"}
    row = {"run_uuid": run_id}
    rows.setdefault(tables.SqlRun, []).append(row | run)
    for table, values in ((tables.SqlParam, replicate_params(item)), (tables.SqlTag, tags)):
        rows.setdefault(table, []).extend(
            row | {"key": key, "value": str(value)} for key, value in values.items()
        )
    moment = {"timestamp": index, "step": 20, "is_nan": False}
    rows.setdefault(tables.SqlLatestMetric, []).extend(
        row | moment | {"key": key, "value": value} for key, value in metrics.items()
    )


# -- resuming -------------------------------------------------------------------------------------


def resume(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "study.toml").write_text(STUDY, encoding="utf-8")
        first, clock = _search(folder), Clock()
        cells = len(json.loads(first.stdout)["grid"])
        for _ in range(rounds):
            with clock.turn():
                again = _search(folder)
            if ": accuracy" in again.stderr:
                sys.exit(f"the finished study was trained again: {again.stderr}")
        print(f"a finished study (8 cells of the screen, {cells} of the grid), again: {clock}")


def _search(folder: Path) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "search", str(folder / "study.toml"), "--json"],
        env={**os.environ, "FACTORGRID_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["replicate", "analyse", "resume"])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    {"replicate": replicate, "analyse": analyse, "resume": resume}[given.what](given.rounds)
