"""One replicate from its plan to its run in MLflow, with a slot that replays accuracies."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from support.small_study import STUDY, write_study

from analysis.runs.response import RESPONSES
from models.training.result import ReplicateResult
from tasks.errors import CellError, SlotDiedError, SlotsClosedError
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study.replicates import Stage, planned
from tasks.study.study_file import load_study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, open_execution
from tasks.tracking.replicate_runs import ATTEMPTS, trained_runs
from tasks.tracking.tags import REUSED_FROM
from tasks.tracking.tracker import Tracker
from tasks.training.context import TrainingContext
from tasks.training.earlier_runs import add_missing_figures
from tasks.training.early_stopping import MIN_FINISHED_REPLICATES
from tasks.training.train_replicate import train_replicate

GOOD, BAD = [0.6, 0.7, 0.8, 0.8], [0.5, 0.5, 0.5, 0.5]
IMAGES = 12


@dataclass
class ReplayedTraining:
    """Stands for `tasks.training.slots.Training`: reports accuracies, or raises an error."""

    accuracies: Sequence[float]
    error: Exception | None
    not_counted: tuple[str, ...] = ()

    def finish(
        self,
        out_folder: Path,
        *,
        on_epoch: Callable[[dict[str, Any]], None],
        on_trained: Callable[[], None],
        allowed_silence: float,  # noqa: ARG002 # what it stands for has it
        on_features: object = None,  # noqa: ARG002 # likewise
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
            multiply_adds=1234,
            not_counted=self.not_counted,
        )


class ReplayingPool:
    """Stands for `tasks.training.slots.SlotPool`, and counts the slots that are held."""

    def __init__(self) -> None:
        self.training = ReplayedTraining(GOOD, None)
        self.held = 0
        self.begun = 0

    @contextlib.contextmanager
    def slot(self, _cost: float) -> Iterator["ReplayingPool"]:
        self.held += 1
        try:
            yield self
        finally:
            self.held -= 1

    @contextlib.contextmanager
    def begin(self, *_: object, **__: object) -> Iterator[ReplayedTraining]:
        self.begun += 1
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
    not_counted: tuple[str, ...] = (),
) -> str | None:
    pool = cast("ReplayingPool", context.pool)
    pool.training = ReplayedTraining(accuracies, error, not_counted)
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


def test_the_cost_of_the_network_is_in_the_run_and_in_the_table_of_runs(
    context: TrainingContext,
) -> None:
    whole = _train(context, "screen", 1, GOOD)
    part = _train(context, "screen", 2, GOOD, not_counted=("Mine a", "Mine b"))
    rows = {str(row["run_id"]): row for row in context.execution.runs().to_dict("records")}
    tags = {run.info.run_id: run.data.tags for run in context.execution.children()}
    assert whole is not None
    assert part is not None
    assert (rows[whole]["parameters"], rows[whole]["multiply_adds"]) == (10, 1234)
    # The count of a part of the network is shown, but no cell is compared by it.
    assert np.isnan(rows[part]["multiply_adds"])
    assert rows[part]["multiply_adds_of_counted_layers"] == 1234
    assert tags[part]["factorgrid.not_counted"] == "Mine a, Mine b"
    assert "factorgrid.not_counted" not in tags[whole]


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
    ("error", "status"), [(OSError("disk"), "FAILED"), (SlotsClosedError("over"), "KILLED")]
)
def test_an_error_that_is_not_the_cells_is_raised_and_ends_the_run(
    context: TrainingContext, error: Exception, status: str
) -> None:
    with pytest.raises(type(error)):
        _train(context, "screen", 1, GOOD, error)
    assert _last_run(context.execution).info.status == status


KILLED = SlotDiedError("ended: signal SIGKILL, peak memory 700 MiB", "signal SIGKILL", 700.0)


def test_a_cell_whose_process_always_dies_fails_after_the_last_attempt(
    context: TrainingContext,
) -> None:
    pool = cast("ReplayingPool", context.pool)
    assert _train(context, "screen", 1, GOOD, KILLED) is None
    assert pool.begun == ATTEMPTS
    runs = context.execution.children()
    assert [run.info.status for run in runs] == ["FAILED"] * ATTEMPTS
    assert {run.data.tags["factorgrid.died"] for run in runs} == {"signal SIGKILL"}
    assert {run.data.metrics["peak_memory_mb"] for run in runs} == {700.0}
    table = context.execution.runs("screen")
    assert table["val_accuracy"].isna().tolist() == [True]
    assert table["status"].tolist() == [str(KILLED)]


def test_a_cell_whose_process_always_died_is_not_tried_again_by_a_resumed_study(
    context: TrainingContext,
) -> None:
    assert _train(context, "screen", 1, GOOD, KILLED) is None
    # The next process knows only what is in MLflow; now the training would finish.
    assert _train(context, "refine", 1, GOOD) is None
    assert len(context.execution.children()) == ATTEMPTS


def test_a_process_that_died_less_often_is_tried_again_and_finishes(
    context: TrainingContext,
) -> None:
    class DiesOnce(ReplayedTraining):
        def finish(self, *given: Any, **named: Any) -> ReplicateResult:
            if pool.begun == 1:
                raise KILLED
            return super().finish(*given, **named)

    pool = cast("ReplayingPool", context.pool)
    pool.training = DiesOnce(GOOD, None)
    levels = {"conv_layers": 1, "learning_rate": 0.001}
    run_id = train_replicate(planned(context.study, "v1", "screen", levels, 1), context)
    assert [run.info.status for run in context.execution.children()] == ["FAILED", "FINISHED"]
    assert context.execution.runs("screen")["run_id"].tolist() == [run_id]
    assert context.execution.runs("screen")["val_accuracy"].tolist() == [GOOD[-1]]


def test_a_result_that_another_machine_took_over_is_discarded_and_its_result_used(
    context: TrainingContext, tmp_path: Path
) -> None:
    """This machine is suspended while it trains: another one takes the replicate over."""
    output = io.StringIO()
    context = replace(context, progress=Progress(output))
    execution = context.execution
    replicate = planned(
        context.study, "v1", "screen", {"conv_layers": 1, "learning_rate": 0.001}, 1
    )
    other = Tracker.open(replace(context.settings, home=tmp_path / "other"))

    class Suspended(ReplayedTraining):
        def finish(self, *given: Any, **named: Any) -> ReplicateResult:
            result = super().finish(*given, **named)
            if pool.begun == 1:
                with open_execution(other, context.study, "v1", execution.facts) as second:
                    assert second.run_id != execution.run_id
                    (run,) = execution.children()
                    assert other.leases.take_over(run.info.run_id)
                    second.replicates._end_as_cut_off(run)
                    run_id = second.replicates.begin(replicate)
                    assert run_id is not None
                    second.writer.log(run_id, metrics={"val_accuracy": 0.75})
                    second.replicates.finish(run_id)
            return result

    pool = cast("ReplayingPool", context.pool)
    pool.training = Suspended(GOOD, None)
    finished = train_replicate(replicate, context)
    assert finished is not None
    assert pool.begun == 1
    run = execution.tracker.client.get_run(finished)
    assert run.data.metrics["val_accuracy"] == 0.75
    assert [r.info.status for r in execution.children()] == ["KILLED", "FINISHED"]
    runs = execution.tracker.search(
        [execution.experiment], f"tags.`factorgrid.key` = '{replicate.key}'"
    )
    finished_runs = [r for r in runs if r.info.status == "FINISHED"]
    assert len(trained_runs(finished_runs)) == 1
    assert "the result of this one is discarded; trying again" in output.getvalue()


def test_a_replicate_has_every_response_and_the_size_of_its_file(context: TrainingContext) -> None:
    run_id = _train(context, "screen", 1, GOOD)
    assert run_id is not None
    metrics = context.execution.tracker.client.get_run(run_id).data.metrics
    assert set(RESPONSES) <= metrics.keys()
    # All probabilities are equal.
    assert (metrics["val_auc"], metrics["val_balanced_accuracy"]) == (0.5, 0.5)
    assert metrics["bytes_on_disk"] == len(b"network")


def test_a_run_of_an_earlier_version_gets_the_response_from_its_probabilities(
    context: TrainingContext, tmp_path: Path
) -> None:
    run_id = _train(context, "screen", 1, GOOD)
    assert run_id is not None
    client = context.execution.tracker.client
    file = tmp_path / "predictions.npz"
    np.savez(file, val_probability=np.full((IMAGES, 2), 0.5, np.float32))
    client.log_artifact(run_id, str(file), "model")
    old = client.create_run(context.execution.experiment, tags={REUSED_FROM: run_id}).info.run_id
    assert "val_auc" not in client.get_run(old).data.metrics
    study = context.study.model_copy(update={"response": "val_auc", "second": "bytes_on_disk"})
    other = replace(context, execution=replace(context.execution, study=study))
    add_missing_figures(other, old)
    metrics = client.get_run(old).data.metrics
    assert (metrics["val_auc"], metrics["bytes_on_disk"]) == (0.5, len(b"network"))
