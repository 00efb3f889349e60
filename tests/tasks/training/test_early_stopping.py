"""The median stopping rule, the histories it reads from MLflow, and a study that uses it."""

import json
import math
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_study import (
    ACCURACY,
    BEST,
    factorgrid,
    known_accuracy,
    last_execution,
    write_study,
)

from analysis.runs.response import response_of
from tasks.errors import SlotsClosedError
from tasks.search.refine import stored_first
from tasks.settings import Settings
from tasks.study.replicates import Planned, Stage, planned
from tasks.study.study_file import load_study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, open_execution
from tasks.tracking.metric_history import MetricHistories
from tasks.tracking.run_writer import metric_rows
from tasks.tracking.tracker import Tracker
from tasks.training.early_stopping import MIN_FINISHED_REPLICATES, stop_reason

GOOD = [0.6, 0.7, 0.8, 0.8, 0.8]
FINISHED = [GOOD] * MIN_FINISHED_REPLICATES


@pytest.mark.parametrize(
    ("accuracies", "stopped"),
    [
        ([0.5], False),  # 0.4 of 5 epochs are trained in any case
        ([0.5, 0.5], True),
        ([0.64, 0.6], True),  # the average of 0.6 and 0.7 is 0.65
        ([0.65, 0.6], False),
        ([0.7, 0.5, 0.5], False),  # its best epoch is compared with the average 0.7
        ([0.69, 0.5, 0.5], True),
        ([0.1, 0.1, 0.1, 0.1, 0.1], False),  # no epoch is left to save
    ],
)
def test_a_replicate_is_stopped_below_the_median_of_the_running_averages(
    accuracies: list[float], *, stopped: bool
) -> None:
    assert bool(stop_reason(accuracies, FINISHED, 5)) == stopped


def test_a_replicate_with_a_loss_above_the_median_is_stopped() -> None:
    loss, finished = response_of("val_loss"), [[0.5, 0.4, 0.3, 0.3, 0.3]] * 5
    reason = stop_reason([0.9, 0.9, 0.9], finished, 5, loss)
    assert "best loss 0.9000 is above 0.4000" in reason
    assert not stop_reason([0.9, 0.9, 0.2], finished, 5, loss)


def test_a_replicate_whose_response_is_not_known_at_an_epoch_is_not_stopped() -> None:
    assert not stop_reason([math.nan, 0.1, 0.1], FINISHED, 5)


def test_too_few_finished_replicates_stop_no_replicate() -> None:
    assert not stop_reason([0.1, 0.1, 0.1], FINISHED[1:], 5)


def test_a_finished_replicate_with_fewer_epochs_does_not_count() -> None:
    assert not stop_reason([0.1, 0.1, 0.1], [*FINISHED[1:], GOOD[:2]], 5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.integers(5, 9))
def test_the_best_replicate_so_far_is_never_stopped(accuracies: list[float], finished: int) -> None:
    best = [max(accuracies)] * len(accuracies)
    running = best[: max(1, len(best) - 1)]
    assert not stop_reason(running, [accuracies] * finished, len(accuracies))


# -- the histories in MLflow --------------------------------------------------------------------


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return _new_tracker(tmp_path)


def _new_tracker(folder: Path) -> Tracker:
    """Connect as a new process does, without anything in memory."""
    return Tracker.open(Settings(folder / "home", f"sqlite:///{folder / 'mlflow.db'}"))


def _open(tracker: Tracker, folder: Path) -> AbstractContextManager[Execution]:
    study = load_study(str(write_study(folder)))
    return open_execution(tracker, study, "v1", DatasetFacts(2, 36, 0.5, "drawn pictures"))


def _replicate(execution: Execution, stage: Stage, number: int) -> Planned:
    levels = {"conv_layers": 1, "learning_rate": 0.001}
    return planned(execution.study, execution.version, stage, levels, number)


def _log_replicate(
    execution: Execution, number: int, stage: Stage = "refine", status: str = "FINISHED"
) -> str:
    run_id = execution.replicates.begin(_replicate(execution, stage, number))
    assert run_id is not None
    for epoch, accuracy in enumerate(GOOD, 1):
        execution.writer.log_metrics(run_id, metric_rows({"val_accuracy": accuracy}, epoch))
    execution.replicates.end(run_id, status)
    return run_id


def test_a_resumed_study_compares_with_the_replicates_that_finished_before(
    tmp_path: Path,
) -> None:
    with suppress(SlotsClosedError), _open(_new_tracker(tmp_path), tmp_path) as first:
        for number in range(1, MIN_FINISHED_REPLICATES + 1):
            _log_replicate(first, number)
        raise SlotsClosedError
    with _open(_new_tracker(tmp_path), tmp_path) as second:
        assert second.resumed
        assert second.run_id == first.run_id
        finished = MetricHistories().finished_replicates(second, "refine")
        assert [list(history) for history in finished] == FINISHED
        assert stop_reason([0.5, 0.5], finished, 5)


def test_only_finished_replicates_of_the_stage_count(tracker: Tracker, tmp_path: Path) -> None:
    with _open(tracker, tmp_path) as execution:
        _log_replicate(execution, 1, "screen")
        _log_replicate(execution, 2, "refine", "FAILED")
        _log_replicate(execution, 3, "refine")
        # A replicate of the screen that the refined grid uses too.
        with execution.replicates.claim(_replicate(execution, "refine", 1)) as reused:
            assert reused is not None
        assert len(MetricHistories().finished_replicates(execution, "refine")) == 2


def test_the_replicates_that_a_study_has_come_before_those_that_it_trains(
    tracker: Tracker, tmp_path: Path
) -> None:
    with _open(tracker, tmp_path) as execution:
        _log_replicate(execution, 2, "screen")
        _log_replicate(execution, 3, "screen", "FAILED")
        grid = [_replicate(execution, "refine", number) for number in (1, 2, 3)]
        stored, new = stored_first(execution, grid)
    assert stored == [grid[1]]
    assert new == [grid[0], grid[2]]


def test_a_replicate_of_an_earlier_study_has_the_history_of_its_training(
    tracker: Tracker, tmp_path: Path
) -> None:
    with _open(tracker, tmp_path) as first:
        _log_replicate(first, 1)
    with _open(tracker, tmp_path) as second:
        assert second.run_id != first.run_id
        with second.replicates.claim(_replicate(second, "refine", 1)) as reused:
            assert reused is not None
        assert MetricHistories().finished_replicates(second, "refine") == [tuple(GOOD)]


def test_the_history_of_a_finished_run_is_read_once(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = tracker.client.get_metric_history

    def counting_read(run_id: str, metric: str) -> object:
        reads.append(run_id)
        return read(run_id, metric)

    monkeypatch.setattr(tracker.client, "get_metric_history", counting_read, raising=False)
    with _open(tracker, tmp_path) as execution:
        histories = MetricHistories()
        runs = []
        for number in (1, 2):
            runs.append(_log_replicate(execution, number))
            assert len(histories.finished_replicates(execution, "refine")) == number
    assert reads == runs


# -- a study ------------------------------------------------------------------------------------

#: With a learning rate of 0.1 these networks would give the same answer for every image.
PRUNED = """
name = "tiny"
replicates = 3
[data]
drawn = 1200
image_size = 24
[factors.conv_layers]
low = 1
high = 2
[factors.learning_rate]
low = 0.001
high = 0.01
[model]
filters = 8
dense_units = 8
[training]
epochs = 5
batch_size = 32
[refine]
budget = 9
rounds = 1
prune = true
[confirm]
replicates = 1
cells = 2
"""


#: Every cell of the grid that the screen did not train is far below the median, but one.
STEEP = {
    **ACCURACY,
    "noise": 0.005,
    "losses": {
        "conv_layers": {1: 0.16, 2: 0.0, 3: 0.14},
        "learning_rate": {1e-4: 0.31, 1e-3: 0.0, 1e-2: 0.17},
    },
}


@pytest.mark.slow
def test_a_study_that_prunes_stops_replicates_of_its_refined_grid_only(tmp_path: Path) -> None:
    path, home = write_study(tmp_path, PRUNED), tmp_path / "home"
    ended = factorgrid("search", path, "--json", home=home, **known_accuracy(STEEP))
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert outcome["registered"]["alias"] == "champion"
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    pruned = [run.data for run in runs if "pruned_epochs_saved" in run.data.metrics]
    cells = sorted((data.params["conv_layers"], data.params["learning_rate"]) for data in pruned)
    # The six replicates of the screen that the grid uses too are enough for a median, and are known
    # before the grid trains its first replicate: each bad one is stopped.
    assert cells == [("2", "0.0001")] * 3 + [("3", "0.0001")] * 3 + [("3", "0.01")] * 3
    assert outcome["best"] == BEST
    for data in pruned:
        assert "factorgrid.in_screen" not in data.tags
        assert data.metrics["pruned_epochs_saved"] in {1, 2, 3}
        assert data.tags["factorgrid.status"].startswith(data.tags["factorgrid.cell"])
    assert all(
        run.info.status == "FINISHED" for run in runs if "factorgrid.in_screen" in run.data.tags
    )
