"""How a budget is divided: what has no design, and runs that fail."""

import math

import pandas as pd
import pytest

from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search import procedure
from analysis.search.best_cell import select
from analysis.search.budget import least_budget, rules_for_budget, smallest_screen
from analysis.search.next_moves import next_moves
from analysis.search.procedure import CellRun, SearchRules
from analysis.search.space import Space

RATE = Factor("learning_rate", 1e-4, 1.0, "log", (1e-8, 10.0))
DROPOUT = Factor("dropout", 0.0, 0.5, "linear", (0.0, 0.95))
#: No fraction has a place for all values, and the full design has 5^6 cells.
TOO_MANY = [Factor(f"c{i}", "a", "e", "categorical", values=tuple("abcde")) for i in range(6)]


def table(stage: str, runs: list[CellRun], figures: list[float]) -> pd.DataFrame:
    rows = [
        {**run.levels, "stage": stage, "replicate": run.number, "y": y}
        for run, y in zip(runs, figures, strict=True)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["stage", "replicate", "y"])


def test_categories_without_any_design_are_an_error_and_no_endless_search() -> None:
    assert smallest_screen(TOO_MANY) is None
    with pytest.raises(DesignError, match="6 factors: no design has all of their categories"):
        least_budget(TOO_MANY)
    with pytest.raises(DesignError, match="no design has all"):
        rules_for_budget(TOO_MANY, "y", 100)
    assert rules_for_budget(TOO_MANY, "y", 100, anything=True).design is None


def narrowed(rules: SearchRules, figures: list[float]) -> SearchRules:
    pilot = table("pilot", procedure.pilot_runs(rules), figures)
    return procedure.narrow(rules, pilot)[0]


@pytest.mark.parametrize(
    ("figures", "low", "high"),
    [
        ([0.7, 0.8, math.nan], 1e-3, 1e-1),
        ([0.7, math.nan, math.nan], 1e-4, 1e-3),
        ([0.5, 0.5, math.nan], 1e-3, 1e-1),  # equal: the middle
    ],
)
def test_a_learning_rate_at_which_training_fails_is_the_worst_of_the_pilot(
    figures: list[float], low: float, high: float
) -> None:
    rate, _ = narrowed(rules_for_budget([RATE, DROPOUT], "y", 16), figures).factors
    assert (rate.low, rate.high) == (low, high)


@pytest.mark.parametrize(
    ("values", "figures", "low", "high"),
    [
        ((1e-4, 1e-3, 1e-2), [0.6, 0.8, 0.7], 1e-3, 1e-2),
        ((1e-4, 1e-3, 1e-2), [0.7, 0.8, 0.6], 1e-4, 1e-3),
        ((1e-4, 1e-3, 1e-2), [0.7, 0.8, math.nan], 1e-4, 1e-3),
        ((1e-4, 1e-3, 1e-2), [math.nan, 0.8, math.nan], 1e-4, 1e-3),
        ((1e-4, 1e-3, 1e-2), [0.8, 0.7, 0.6], 1e-4, 1e-3),
        ((1e-4, 1e-3, 1e-2), [0.6, 0.7, 0.8], 1e-3, 1e-2),
        ((1e-4, 2e-4, 1e-2), [0.6, 0.8, 0.7], 2e-4, 1e-2),
        ((1e-4, 1e-2), [0.6, 0.8], 1e-4, 1e-2),
        ((1e-4, 1e-3, 1e-2, 1e-1), [0.6, 0.8, 0.7], 1e-3, 1e-2),
    ],
)
def test_the_screen_of_few_learning_rates_has_the_best_one_of_the_pilot(
    values: tuple[float, ...], figures: list[float], low: float, high: float
) -> None:
    listed = Factor("learning_rate", values[0], values[-1], "log", (1e-8, 10.0), values=values)
    for space in (None, Space((listed, DROPOUT), (values, (0.0, 0.25, 0.5)))):
        rules = rules_for_budget([listed, DROPOUT], "y", 16, space=space)
        rate, _ = narrowed(rules, figures).factors
        assert (rate.low, rate.high) == (low, high)


def test_a_pilot_in_which_all_trainings_fail_is_an_error() -> None:
    with pytest.raises(DesignError, match="has no y"):
        narrowed(rules_for_budget([RATE], "y", 12), [math.nan] * 3)


def test_a_cell_whose_training_fails_is_not_chosen_again() -> None:
    start = rules_for_budget([RATE, DROPOUT], "y", 16)
    pilot = table("pilot", procedure.pilot_runs(start), [0.7, 0.8, 0.6])
    rules, _ = procedure.narrow(start, pilot)
    asked = procedure.screen_runs(rules)
    screen = table("screen", asked, [0.8 + 0.01 * i for i in range(len(asked))])
    runs, refined = pd.concat([pilot, screen], ignore_index=True), screen[:0]
    chosen = []
    while (found := procedure.refined_cells(rules, None, runs, refined)).cells:
        chosen.append(found.cells[0])
        new = table("refine", procedure.refine_runs(rules, found), [math.nan])
        refined = pd.concat([refined, new], ignore_index=True)
        runs = pd.concat([runs, new], ignore_index=True)
    assert len(runs) == rules.trainings
    assert all(cell not in chosen[:i] for i, cell in enumerate(chosen))


@pytest.mark.parametrize("values", [(8, 20, 32), (0.0, 0.25, 0.5), (1, 2)])
def test_the_screen_of_a_list_of_values_has_levels_on_both_sides_of_the_middle(
    values: tuple[float, ...],
) -> None:
    listed = Factor("x", values[0], values[-1], "linear", (values[0], values[-1]), values=values)
    on_log = Factor("z", 8, 32, "log", (8, 32), values=(8, 16, 32))
    rules = rules_for_budget([listed, on_log, DROPOUT], "y", 12)
    found, other, _ = procedure.narrow(rules, table("pilot", [], []))[0].factors
    assert (found.low, found.high) == (values[0], values[-1])
    assert (other.low, other.high) == (8, 32)


def test_a_winner_inside_the_ranges_of_a_budget_asks_for_no_wider_range() -> None:
    whole = Factor("dropout", 0.0, 0.8, "linear", (0.0, 0.95))
    rules = rules_for_budget([whole], "y", 12)
    inside = pd.DataFrame({"dropout": [0.2, 0.4, 0.6], "y": [0.5, 0.6, 0.9]})
    at_end = pd.DataFrame({"dropout": [0.2, 0.4, 0.8], "y": [0.5, 0.6, 0.9]})
    found = [
        [move.code for move in next_moves(rules, None, select(runs, [whole], "y"))]
        for runs in (inside, at_end)
    ]
    assert "beyond_edge" not in found[0]
    assert "beyond_edge" in found[1]
