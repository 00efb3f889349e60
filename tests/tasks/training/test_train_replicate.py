"""One replicate from its plan to its run in MLflow, with a slot that replays accuracies."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from support.small_study import STUDY, write_study

from models.training.result import ReplicateResult
from tasks.errors import CellError, SlotDiedError, SlotsClosedError
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study.replicates import Stage, planned
from tasks.study.study_file import load_study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, open_execution
from tasks.tracking.tracker import Tracker
from tasks.training.context import TrainingContext
from tasks.training.early_stopping import MIN_FINISHED_REPLICATES
from tasks.training.train_replicate import train_replicate

GOOD, BAD = [0.6, 0.7, 0.8, 0.8], [0.5, 0.5, 0.5, 0.5]
IMAGES = 12


@dataclass
class ReplayedTraining:
    """Stands for `tasks.training.slots.Training`: reports accuracies, or raises an error."""

    accuracies: Sequence[float]
    error: Exception | None

    def finish(
        self,
        out_folder: Path,
        *,
        on_epoch: Callable[[dict[str, Any]], None],
        on_trained: Callable[[], None],
    ) -> ReplicateResult:
        history = [
            {
                "epoch": epoch,
                "val_accuracy": accuracy,
                "train_accuracy": accuracy,
                "train_loss": 1.0,
                "val_loss": 1.0,
                "epoch_seconds": 2.0,
                "images_per_second": 100.0,
            }
            for epoch, accuracy in enumerate(self.accuracies, 1)
        ]
        for figures in history:
            on_epoch(figures)
        on_trained()
        if self.error is not None:
            raise self.error
        out_folder.mkdir(parents=True)
        (out_folder / "model.keras").write_bytes(b"network")
        halves = np.full((IMAGES, 2), 0.5, dtype=np.float32)
        return ReplicateResult(
            status="finished",
            reason="",
            history=history,
            val_probability=halves,
            test_probability=halves,
            parameters=10,
            train_seconds=8.0,
            images_per_second=100.0,
            peak_memory_mb=50.0,
            device="cpu",
            backend="tensorflow",
            precision="float32",
            deterministic=False,
            micro_batch=32,
        )


class ReplayingPool:
    """Stands for `tasks.training.slots.SlotPool`, and counts the slots that are held."""

    def __init__(self) -> None:
        self.training = ReplayedTraining(GOOD, None)
        self.held = 0

    @contextlib.contextmanager
    def slot(self, _cost: float) -> Iterator["ReplayingPool"]:
        self.held += 1
        try:
            yield self
        finally:
            self.held -= 1

    @contextlib.contextmanager
    def begin(self, *_: object, **__: object) -> Iterator[ReplayedTraining]:
        yield self.training


@pytest.fixture
def context(tmp_path: Path) -> Iterator[TrainingContext]:
    content = STUDY.replace("rounds = 1", "rounds = 1\nprune = true")
    study = load_study(str(write_study(tmp_path, content)))
    settings = Settings(tmp_path / "home", f"sqlite:///{tmp_path / 'mlflow.db'}")
    images = SimpleNamespace(source="drawn", accepted=IMAGES, arrays_folder=tmp_path, version="v1")
    arrays = SimpleNamespace(
        images=np.zeros((IMAGES, 16, 16, 3), np.uint8),
        labels=np.arange(IMAGES) % 2,
        classes=("cat", "dog"),
        side=lambda _: np.arange(IMAGES),
    )
    facts = DatasetFacts(2, IMAGES, 0.5, "drawn pictures")
    with open_execution(Tracker.open(settings), study, "v1", facts) as execution:
        yield TrainingContext(
            settings,
            Progress(),
            cast("Any", ReplayingPool()),
            cast("Any", images),
            cast("Any", arrays),
            execution,
        )


def _train(
    context: TrainingContext,
    stage: Stage,
    number: int,
    accuracies: Sequence[float],
    error: Exception | None = None,
) -> str | None:
    pool = cast("ReplayingPool", context.pool)
    pool.training = ReplayedTraining(accuracies, error)
    levels = {"conv_layers": 1, "learning_rate": 0.001}
    try:
        return train_replicate(planned(context.study, "v1", stage, levels, number), context)
    finally:
        assert pool.held == 0


def _last_run(execution: Execution) -> Any:
    return execution.children()[-1]


def test_a_finished_replicate_has_its_epochs_figures_and_network(context: TrainingContext) -> None:
    run_id = _train(context, "screen", 1, GOOD)
    assert run_id is not None
    client = context.execution.tracker.client
    assert client.get_run(run_id).info.status == "FINISHED"
    history = client.get_metric_history(run_id, "val_accuracy")
    assert [point.value for point in history] == GOOD
    for folder, count in {"plots": 3, "model": 1}.items():
        assert len(client.list_artifacts(run_id, folder)) == count


def test_a_replicate_with_a_finished_run_is_not_trained_again(context: TrainingContext) -> None:
    run_id = _train(context, "screen", 1, GOOD)
    assert _train(context, "refine", 1, BAD) == run_id
    assert len(context.execution.children()) == 1


@pytest.mark.parametrize(("stage", "stopped"), [("refine", True), ("screen", False)])
def test_only_the_refined_grid_stops_replicates_below_the_median(
    context: TrainingContext, stage: Stage, *, stopped: bool
) -> None:
    for number in range(1, MIN_FINISHED_REPLICATES + 1):
        _train(context, "refine", number, GOOD)
    run_id = _train(context, stage, MIN_FINISHED_REPLICATES + 1, BAD)
    assert (run_id is None) == stopped
    run = _last_run(context.execution)
    assert run.info.status == ("FAILED" if stopped else "FINISHED")
    assert run.data.metrics.get("pruned_epochs_saved") == (2 if stopped else None)
    assert run.data.metrics.get("pruned_seconds_saved") == (4 if stopped else None)
    assert ("the median of" in run.data.tags.get("factorgrid.status", "")) == stopped


def test_a_cell_that_cannot_be_trained_fails_and_the_study_continues(
    context: TrainingContext,
) -> None:
    assert _train(context, "screen", 1, GOOD, CellError("no such layer", "Traceback")) is None
    run = _last_run(context.execution)
    assert run.info.status == "FAILED"
    assert run.data.tags["factorgrid.status"] == "no such layer"
    assert context.execution.tracker.read(run.info.run_id, "traceback.txt") == b"Traceback"


@pytest.mark.parametrize(
    ("error", "status"), [(SlotDiedError("died"), "FAILED"), (SlotsClosedError("over"), "KILLED")]
)
def test_an_error_that_is_not_the_cells_is_raised_and_ends_the_run(
    context: TrainingContext, error: Exception, status: str
) -> None:
    with pytest.raises(type(error)):
        _train(context, "screen", 1, GOOD, error)
    assert _last_run(context.execution).info.status == status
