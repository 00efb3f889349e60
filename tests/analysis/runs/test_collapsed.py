"""Which runs of a table of accuracies are no better than guessing."""

import numpy as np
import pandas as pd
import pytest

from analysis.runs.collapsed import find_guessing

MAJORITY = [0.51338, 0.51338, 0.51338, 0.7]


@pytest.mark.parametrize(
    ("accuracies", "classes", "collapsed"),
    [
        ([0.8, 0.5, 0.501, 0.6], 2, [False, True, True, False]),
        ([80.0, 50.0, 50.1, 60.0], 2, [False, True, True, False]),
        ([0.10, 0.4, 0.6, 0.7], 10, [True, False, False, False]),
        ([0.01, 0.4, 0.6, 0.7], 100, [True, False, False, False]),
        (MAJORITY, 2, [True, True, True, False]),
        ([0.5, np.nan, 0.9, 0.8], 2, [True, False, False, False]),
    ],
)
def test_the_number_of_classes_is_guessed_from_the_lowest_accuracy(
    accuracies: list[float], classes: int, collapsed: list[bool]
) -> None:
    found = find_guessing(pd.Series(accuracies))
    assert found is not None
    assert found.classes == classes
    assert found.collapsed.tolist() == collapsed


@pytest.mark.parametrize(
    "accuracies",
    [
        [0.8, 0.9, 0.7],
        [0.515, 0.52, 0.6],
        [0.5, 0.5, 0.5],
        [-0.1, 0.5, 0.8],
        [3.0, 500.0, 20.0],
        [np.nan, np.nan],
    ],
)
def test_no_number_of_classes_is_guessed_where_no_run_looks_like_guessing(
    accuracies: list[float],
) -> None:
    assert find_guessing(pd.Series(accuracies)) is None


def test_with_classes_that_are_given_all_runs_may_have_collapsed() -> None:
    found = find_guessing(pd.Series([0.5, 0.51, 0.49]), classes=2)
    assert found is not None
    assert found.collapsed.all()


def test_the_limit_is_the_binomial_band_of_the_number_of_images() -> None:
    found = find_guessing(pd.Series([0.5, 0.9]), images=10_000)
    assert found is not None
    assert found.limit == pytest.approx(0.5 + 3.0902 * 0.005, abs=1e-5)
