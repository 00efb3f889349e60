"""Measure what a cell costs beside its training: task, claim, MLflow, artifacts, on each runner.

A trivial cell takes the whole path of a real one (Prefect task, search for its key, nested run,
params, metrics, dataset, three figures, the network's file) except for the training: its slot
returns the files of one real training. The result is seconds per cell for each runner.

    python infra/benchmarks/fanout.py                       # 1,000 cells, threads
    python infra/benchmarks/fanout.py --cells 100 dask      # or ray

Measured on 2 cores that two other processes kept busy, with threads: 1,000 cells, 0.300 s per cell
(0.279 of processor time in this process, 0.039 in Prefect's server). With idle cores: 400 cells,
0.256 s per cell. Once each.
"""

import argparse
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil

from tasks.environment import prepare_environment

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

    from tasks.training.slots import SlotPool

STUDY = {
    "name": "fanout",
    "data": {"drawn": 240, "image_size": 16},
    "factors": {"conv_layers": {"low": 1, "high": 2}, "learning_rate": {"low": 0.001, "high": 0.1}},
    "model": {"filters": 4, "dense_units": 8},
    "training": {"epochs": 2, "batch_size": 32},
}


@dataclass(frozen=True)
class TrivialSlot:
    """Returns the files of a real training."""

    left: Path

    @contextlib.contextmanager
    def begin(self, *_: Any, **__: Any) -> Iterator["TrivialSlot"]:
        """Return this slot; nothing is started."""
        yield self

    def finish(self, out: Path, **_: Any) -> Any:
        """Give them out as those of this training."""
        from models.training.result import load_result

        shutil.copytree(self.left, out)
        return load_result(out)


@dataclass(frozen=True)
class TrivialPool:
    """Always has a free slot."""

    left: Path

    @contextlib.contextmanager
    def slot(self, _cost: float = 0.0) -> Iterator[TrivialSlot]:
        """Return a slot."""
        yield TrivialSlot(self.left)


def processor_seconds() -> tuple[float, float]:
    """Return the processor seconds of this process, and of its children."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return time.process_time(), sum(t.user + t.system for t in times)


def measure(cells: int, runner: str) -> float:
    """Return the seconds that the cells took, without the start of the cluster."""
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    from analysis.search.procedure import cell_runs
    from tasks.progress import Progress
    from tasks.session import Session, open_training
    from tasks.settings import read_settings
    from tasks.steps import prepare, train_stage, train_there
    from tasks.study.replicates import plan
    from tasks.study.study_file import parse_study
    from tasks.tracking.tracker import Tracker
    from tasks.training.cluster import Cluster, ExecutionDescription

    @dataclass(frozen=True)
    class TrivialDescription(ExecutionDescription):
        left: Path = Path()

        def open(self) -> Any:
            """Open the context with trivial slots."""
            return replace(super().open(), pool=cast("SlotPool", TrivialPool(self.left)))

    settings = read_settings()
    study = parse_study(STUDY, "fanout")
    left = settings.home / "left"

    def on_cluster(context: Any, planned: list[Any], cluster: Cluster) -> float:
        description = TrivialDescription(**vars(ExecutionDescription.of(context)), left=left)
        submit = cluster.runner.submit
        # The first two bring the processes up: their imports are no cell's.
        first = [
            submit(train_there, {"planned": p, "description": description}) for p in planned[:2]
        ]
        [future.result() for future in first]
        started = time.perf_counter()
        futures = [
            submit(train_there, {"planned": p, "description": description}) for p in planned[2:]
        ]
        [future.result() for future in futures]
        return time.perf_counter() - started

    @flow(task_runner=cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=8)))
    def fan_out() -> float:
        progress = Progress(Path(os.devnull).open("w"))  # noqa: SIM115 # closed when the process ends
        session = Session(study, Tracker.open(settings), progress)
        images = prepare(session)
        cell = {"conv_layers": 1, "learning_rate": 0.001}
        with open_training(session, images) as context:
            planned = plan(study, images.version, "screen", cell_runs([cell], range(1, cells + 3)))
            with context.pool.slot() as slot:
                slot.run(planned[0].spec, images.arrays_folder, left)
            if runner != "threads":
                with Cluster.open(replace(settings, runner=runner), train_there) as cluster:
                    return on_cluster(context, planned, cluster)
            trivial = replace(context, pool=cast("SlotPool", TrivialPool(left)))
            train_stage(trivial, planned[:2])
            started, worked = time.perf_counter(), processor_seconds()
            train_stage(trivial, planned[2:])
            here, others = (
                (now - then) / cells for now, then in zip(processor_seconds(), worked, strict=True)
            )
            print(
                f"processor time {here:.3f} s per cell in this process, "
                f"{others:.3f} in its children (Prefect's server)"
            )
            return time.perf_counter() - started

    return float(fan_out())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("runner", nargs="?", default="threads")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FACTORGRID_HOME"] = folder
        settings = prepare_environment().create()
        from tasks.service.local_prefect import local_prefect

        with local_prefect(settings) as server:
            if server is not None:
                server.wait()
            seconds = measure(options.cells, options.runner)
    print(f"{options.runner}: {options.cells} cells, {seconds / options.cells:.3f} s per cell")


if __name__ == "__main__":
    main()
