"""The median stopping rule, and what a study does with it."""

import json
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

from tasks.training.early_stopping import ENOUGH, Pruner

GOOD = [0.6, 0.7, 0.8, 0.8, 0.8]


def pruner(finished: int = ENOUGH) -> Pruner:
    made = Pruner()
    for _ in range(finished):
        made.finished(GOOD)
    return made


@pytest.mark.parametrize(
    ("accuracies", "ended"),
    [
        ([0.5], False),  # its grace: 0.4 of 5 epochs
        ([0.5, 0.5], True),
        ([0.64, 0.6], True),  # the average of 0.6 and 0.7 is 0.65
        ([0.65, 0.6], False),
        ([0.7, 0.5, 0.5], False),  # its best counts, against the average 0.7
        ([0.69, 0.5, 0.5], True),
        ([0.1, 0.1, 0.1, 0.1, 0.1], False),  # nothing is left to save
    ],
)
def test_a_replicate_is_ended_below_the_median_of_the_running_averages(
    accuracies: list[float], *, ended: bool
) -> None:
    assert bool(pruner().hopeless(accuracies, 5)) == ended


def test_few_finished_replicates_end_nobody() -> None:
    assert not pruner(ENOUGH - 1).hopeless([0.1, 0.1, 0.1], 5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.integers(5, 9))
def test_the_best_so_far_is_never_ended(accuracies: list[float], finished: int) -> None:
    made = Pruner()
    for _ in range(finished):
        made.finished(accuracies)
    best = [max(accuracies)] * len(accuracies)
    assert not made.hopeless(best[: max(1, len(best) - 1)], len(accuracies))


PRUNED = """
name = "tiny"
replicates = 2
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
def test_a_study_that_prunes_ends_hopeless_replicates_of_its_grid_only(tmp_path: Path) -> None:
    path, home = write_study(tmp_path, PRUNED), tmp_path / "home"
    ended = factorgrid("search", path, "--json", home=home, **known_accuracy(STEEP))
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert outcome["registered"]["alias"] == "champion"
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    pruned = [run.data for run in runs if "pruned_epochs_saved" in run.data.metrics]
    cells = sorted((data.params["conv_layers"], data.params["learning_rate"]) for data in pruned)
    assert cells == [("2", "0.0001")] * 2 + [("3", "0.0001")] * 2 + [("3", "0.01")] * 2
    assert outcome["best"] == BEST
    for data in pruned:
        assert "factorgrid.in_screen" not in data.tags
        assert data.metrics["pruned_epochs_saved"] in {1, 2, 3}
        assert data.tags["factorgrid.status"].startswith(data.tags["factorgrid.cell"])
    assert all(
        run.info.status == "FINISHED" for run in runs if "factorgrid.in_screen" in run.data.tags
    )
