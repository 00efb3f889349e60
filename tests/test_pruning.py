"""The median stopping rule, and what a study does with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.pruning import ENOUGH, Pruner

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
