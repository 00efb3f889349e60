"""A search in which the Gaussian process chooses several cells at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.factors import Factor
from analysis.search import budget, procedure
from analysis.search.procedure import CellRun, NextCells, SearchRules

RESPONSE = "val_accuracy"
FACTORS = (
    Factor("learning_rate", 1e-4, 0.1, "log", (1e-8, 10.0)),
    Factor("width", 8, 128, "log", counts=True),
    Factor("dropout", 0.0, 0.8, "linear"),
)


def rules_of(parallel: int, trainings: int = 16, epochs: int | None = 16) -> SearchRules:
    rules = budget.rules_for_budget(FACTORS, RESPONSE, trainings, epochs=epochs)
    return replace(rules, parallel=parallel)


def response(run: CellRun) -> float:
    """Return the response of a hill, less after few epochs."""
    coded = [factor.code(run.levels[factor.name]) for factor in FACTORS]
    height = 0.9 - 0.1 * float(((np.array(coded) - [0.3, 0.2, -0.5]) ** 2).sum())
    return height - (0.2 if run.epochs else 0.0)


def trained(runs: Sequence[CellRun], stage: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {**run.levels, "replicate": run.number, "epochs": run.epochs or 16}
        | {RESPONSE: response(run), "stage": stage, "collapsed": False}
        for run in runs
    ]
    return pd.DataFrame(rows)


def begin(rules: SearchRules) -> tuple[SearchRules, pd.DataFrame]:
    """Return the rules and the runs after pilot and screen."""
    pilot = trained(procedure.pilot_runs(rules), "pilot")
    rules, _ = procedure.narrow(rules, pilot)
    screen = trained(procedure.screen_runs(rules), "screen")
    return rules, pd.concat([pilot, screen], ignore_index=True)


def next_cells(
    rules: SearchRules, runs: pd.DataFrame, last: Sequence[dict[str, Any]] = ()
) -> NextCells:
    return procedure.refined_cells(rules, None, runs, runs[runs["stage"] == "refine"], last)


def carry_out(rules: SearchRules) -> tuple[list[NextCells], pd.DataFrame]:
    """Return what was chosen together, step by step, and all runs."""
    rules, runs = begin(rules)
    steps: list[NextCells] = []
    while (found := next_cells(rules, runs, steps[-1].cells if steps else ())).cells:
        steps.append(found)
        new = trained(procedure.refine_runs(rules, found), "refine")
        runs = pd.concat([runs, new], ignore_index=True)
    return steps, runs


@pytest.mark.parametrize("epochs", [16, None])
def test_several_cells_are_chosen_at_once_and_cost_no_more_than_one_after_the_other(
    epochs: int | None,
) -> None:
    one, together = (carry_out(rules_of(n, epochs=epochs)) for n in (1, 4))
    assert all(len(step.cells) == 1 for step in one[0])
    assert max(len(step.cells) for step in together[0]) == 4
    assert len(together[0]) < len(one[0]) / 2
    rules = rules_of(4, epochs=epochs)
    assert rules.trainings is not None
    costs = [procedure.cost(rules, runs) for _, runs in (one, together)]
    assert costs[1] == pytest.approx(costs[0])
    assert costs[1] <= rules.trainings
    for step in together[0]:
        assert len({tuple(cell.items()) for cell in step.cells}) == len(step.cells)
    keys = ["learning_rate", "width", "dropout", "epochs", "replicate"]
    assert not together[1].duplicated(keys).any()


def test_the_first_of_them_is_the_one_that_would_be_chosen_without_the_others() -> None:
    rules, runs = begin(rules_of(4))
    # As those that are chosen together sort the runs: sums of floats depend on the order.
    runs = runs.sort_values([*(f.name for f in FACTORS), "epochs", "replicate"], ignore_index=True)
    found = next_cells(rules, runs)
    alone = next_cells(replace(rules, parallel=1), runs)
    assert (found.cells[:1], found.epochs) == (alone.cells, alone.epochs)
    assert (found.expected, found.runs) == (alone.expected, alone.runs)


@given(
    parallel=st.integers(2, 6),
    trainings=st.integers(10, 14),
    cut=st.floats(0, 1),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=2, deadline=None)
def test_a_search_that_is_cut_off_continues_with_the_same_cells(
    parallel: int, trainings: int, cut: float, order: Any
) -> None:
    rules = rules_of(parallel, trainings)
    steps, runs = carry_out(rules)
    rules, start = begin(rules)
    step = int(cut * (len(steps) - 1))
    done = len(start) + sum(len(found.cells) for found in steps[:step])
    # Some of the cells that were chosen together were trained, in any order.
    last = runs[done : done + len(steps[step].cells)]
    some = order.sample(range(len(last)), order.randrange(len(last)))
    later = [runs[: len(start)], runs[len(start) : done].sample(frac=1, random_state=1)]
    resumed = pd.concat([*later, last.iloc[some]], ignore_index=True)
    found = next_cells(rules, resumed)
    assert (found.cells, found.epochs) == (steps[step].cells, steps[step].epochs)


def test_a_run_that_was_repeated_with_another_response_does_not_spend_the_budget_twice() -> None:
    rules = rules_of(3, trainings=10)
    steps, runs = carry_out(rules)
    rules, start = begin(rules)
    changed = runs[: len(start) + 6].copy()
    changed.loc[len(start), RESPONSE] = 0.99
    last: tuple[dict[str, Any], ...] = ()
    while (found := next_cells(rules, changed, last)).cells:
        last = found.cells
        new = trained(procedure.refine_runs(rules, found), "refine")
        changed = pd.concat([changed, new], ignore_index=True)
    assert rules.trainings is not None
    assert procedure.cost(rules, changed) <= rules.trainings
    assert not changed.duplicated(["learning_rate", "width", "dropout", "epochs"]).any()
    assert len(steps) > 2


def test_a_failed_training_counts_and_is_not_chosen_again() -> None:
    rules, runs = begin(rules_of(3))
    found = next_cells(rules, runs)
    new = trained(procedure.refine_runs(rules, found), "refine")
    new.loc[0, RESPONSE] = float("nan")
    later = next_cells(rules, pd.concat([runs, new], ignore_index=True))
    assert later.cells
    assert not set(map(str, later.cells)) & set(map(str, found.cells))
