"""Losses are minimised everywhere; two responses at once: the front and the rules that pick."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.factors import Factor
from analysis.search import procedure
from analysis.search.best_cell import Pick, select
from analysis.search.budget import rules_for_budget
from analysis.search.front import front, second_findings
from analysis.search.next_moves import next_moves

FACTORS = (
    Factor("learning_rate", 1e-4, 1e-1, "log"),
    Factor("filters", 8, 64, "integer"),
)
DEPTH = Factor("depth", 1, 60, "integer")


def measured(cell: Mapping[str, Any], number: int) -> float:
    """Return a score with one best cell and some noise."""
    noise = np.random.default_rng([number, int(1e6 * float(cell["learning_rate"]))]).normal() / 200
    rate = np.log10(float(cell["learning_rate"])) + 3
    return float(0.8 - 0.05 * rate**2 + 0.001 * float(cell["filters"]) + noise)


def searched(response: str, sign: float) -> list[object]:
    """Return every decision of a search whose response is a score times a sign."""
    rules = rules_for_budget(FACTORS, response, 14, seed=1, epochs=None)
    decisions: list[object] = []
    rows: list[dict[str, Any]] = []

    def train(stage: str, runs: list[procedure.CellRun]) -> pd.DataFrame:
        for run in runs:
            y = sign * measured(run.levels, run.number)
            rows.append({**run.levels, response: y, "stage": stage, "replicate": run.number})
        decisions.append([(run.levels, run.number) for run in runs])
        return pd.DataFrame(rows)

    runs = train("pilot", procedure.pilot_runs(rules))
    if len(runs):
        rules, _ = procedure.narrow(rules, runs)
    runs = train("screen", procedure.screen_runs(rules))
    decision = None
    if rules.design is not None:
        effects = procedure.screen_effects(rules, runs[runs["stage"] == "screen"])
        decision = procedure.decide(rules, effects)
        decisions.append((decision.corner, decision.grid))
    for _ in range(rules.steps):
        refined = runs[runs["stage"] == "refine"]
        found = procedure.refined_cells(rules, decision, runs, refined)
        if not found.cells:
            break
        assert found.expected is not None
        assert np.sign(found.expected) == sign
        runs = train("refine", procedure.refine_runs(rules, found))
    selection = procedure.select_cell(rules, runs)
    runs = train("confirm", procedure.confirm_runs(rules, selection, runs))
    selection = procedure.select_cell(rules, runs)
    moves = next_moves(rules, None, selection, [(sign * np.linspace(0.5, 0.9, 12)).tolist()])
    decisions += [selection.best, selection.chosen, selection.tied, [m.code for m in moves]]
    assert selection.cells["mean"].iloc[0] == selection.best_mean
    return decisions


def test_a_search_that_minimises_a_loss_decides_as_one_that_maximises_its_negative() -> None:
    assert searched("val_loss", -1.0) == searched("val_accuracy", 1.0)


def test_the_published_grid_of_a_loss_moves_to_the_lower_side() -> None:
    rows = [
        {"depth": depth, "val_loss": loss, "stage": "refine", "replicate": 1}
        for depth, loss in ((1, 0.9), (2, 0.5), (3, 0.7))
    ]
    found = select(pd.DataFrame(rows), [DEPTH], "val_loss")
    assert found.best == {"depth": 2}
    assert found.cells["mean"].tolist() == [0.5, 0.7, 0.9]


def cells(rows: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"depth": i, "y": y, "parameters": size, "stage": "screen", "replicate": 1}
            for i, (y, size) in enumerate(rows, 1)
        ]
    )


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7]), st.integers(1, 4)), min_size=1))
def test_no_cell_beats_one_of_the_front_and_every_other_is_beaten(
    rows: list[tuple[float, int]],
) -> None:
    table = select(cells([(y, float(size)) for y, size in rows]), [DEPTH], "y").cells
    found = set(front(table, "y", "parameters")["depth"])
    for depth, (y, size) in enumerate(rows, 1):
        beaten = any(a >= y and b <= size and (a, b) != (y, size) for a, b in rows)
        assert (depth in found) != beaten


def test_the_smallest_of_the_nearly_best_cells_is_picked() -> None:
    runs = cells([(0.90, 400), (0.897, 100), (0.896, 200), (0.80, 10)])
    chosen = select(runs, [DEPTH], "y", pick=Pick("parameters", within=0.005))
    assert (chosen.best, chosen.chosen) == ({"depth": 1}, {"depth": 2})
    wider = select(runs, [DEPTH], "y", pick=Pick("parameters", within=0.2))
    assert wider.chosen == {"depth": 4}


def test_a_cell_over_the_limit_cannot_be_chosen() -> None:
    runs = cells([(0.90, 400), (0.85, 100), (0.80, 50), (0.95, np.nan)])
    found = select(runs, [DEPTH], "y", pick=Pick("parameters", at_most=100))
    assert found.chosen == {"depth": 2}
    assert found.pick_met
    left_out = dict(zip(found.cells["depth"], found.cells["left_out"], strict=True))
    assert left_out == {1: "over_limit", 2: "", 3: "", 4: "over_limit"}


def test_if_no_cell_keeps_the_limit_the_smallest_is_chosen_and_this_is_said() -> None:
    runs = cells([(0.90, 400), (0.85, 100)])
    found = select(runs, [DEPTH], "y", pick=Pick("parameters", at_most=10))
    assert found.chosen == {"depth": 2}
    assert not found.pick_met


def test_the_smallest_of_the_nearly_best_cells_are_confirmed_with_the_best() -> None:
    rules = rules_for_budget((DEPTH,), "y", 12, seed=1, epochs=None)
    pick = Pick("parameters", within=0.05)
    rules = replace(rules, second="parameters", pick=pick, confirm_cells=3, confirm_trainings=3)
    runs = cells([(0.90, 400), (0.89, 300), (0.88, 100), (0.87, 200), (0.5, 1)])
    selection = procedure.select_cell(rules, runs)
    confirmed = {run.levels["depth"] for run in procedure.confirm_runs(rules, selection, runs)}
    assert confirmed == {1, 3, 4}


def test_the_second_response_has_effects_that_no_noise_changes() -> None:
    rows = [
        {"a": a, "b": b, "y": 0.5 + a / 10, "parameters": 100.0 * a + 10 * b, "replicate": n}
        for a, b, n in product([0, 1], [0, 1], [1, 2])
    ]
    runs = pd.DataFrame(rows).assign(stage="screen")
    factors = (Factor("a", 0, 1, "linear"), Factor("b", 0, 1, "linear"))
    rules = procedure.SearchRules(factors, "y", None, second="parameters")
    found = second_findings(rules, runs, procedure.select_cell(rules, runs))
    assert found is not None
    assert found.effects["a"] == pytest.approx(100)
    assert found.effects["b"] == pytest.approx(10)
    assert found.front[["a", "b"]].to_numpy().tolist() == [[1, 0], [0, 0]]
    unknown = runs.assign(parameters=runs["parameters"].where(runs["a"] == 0))
    again = second_findings(rules, unknown, procedure.select_cell(rules, unknown))
    assert again is not None
    assert again.effects == {}
