"""The rules of the search: pure functions from runs to the next cells."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.comparison.replay import run_search
from analysis.comparison.tuners import TUNERS, FactorGridTuner, carry_out
from analysis.designs.fractions import fraction
from analysis.errors import DesignError
from analysis.factors import Factor, Level
from analysis.search import procedure
from analysis.search.procedure import Method, NextCells, SearchRules
from analysis.search.space import Cell, Space

FACTORS = (
    Factor("conv_layers", 3, 6, "integer", (1, 16)),
    Factor("fc_layers", 1, 3, "integer", (1, 16)),
    Factor("learning_rate", 0.001, 0.1, "log", (1e-8, 10.0)),
)
RULES = SearchRules(FACTORS, "accuracy", fraction([f.name for f in FACTORS], 0))
#: The eight accuracies of the published study's screen (recovered from its table 2).
SCREEN = dict(
    zip(
        [(c, f, r) for c in (3, 6) for f in (1, 3) for r in (0.001, 0.1)],
        (0.80875, 0.58205, 0.79965, 0.50155, 0.88805, 0.66115, 0.90795, 0.50125),
        strict=True,
    )
)
#: Its grid (table 3).
GRID = {
    (6, 1): (0.7050, 0.9118, 0.8578),
    (6, 2): (0.6425, 0.9037, 0.8240),
    (7, 1): (0.6198, 0.9142, 0.8605),
    (7, 2): (0.5390, 0.9141, 0.8326),
}
RATES = (0.0001, 0.001, 0.01)


def _runs(stage: str, cells: list[procedure.CellRun], figures: list[float]) -> pd.DataFrame:
    rows = [
        {**run.levels, "stage": stage, "replicate": run.number, "accuracy": figure}
        for run, figure in zip(cells, figures, strict=True)
    ]
    return pd.DataFrame(rows)


def _layers_of(numbers: Iterable[int]) -> NextCells:
    return NextCells(
        tuple({"conv_layers": n, "fc_layers": 1, "learning_rate": 0.01} for n in numbers)
    )


def test_the_published_screen_leads_to_the_published_grid_and_its_winner() -> None:
    asked = procedure.screen_runs(RULES)
    screen = _runs("screen", asked, [SCREEN[tuple(run.levels.values())] for run in asked])  # type: ignore[index] # numbers
    decision = procedure.decide(RULES, procedure.screen_effects(RULES, screen))
    first = procedure.refined_cells(RULES, decision, screen, screen[:0])
    assert {tuple(cell.values()) for cell in first.cells} == {
        (*layers, rate) for layers in GRID for rate in RATES
    }
    asked = procedure.refine_runs(RULES, first)
    figures = [
        GRID[run.levels["conv_layers"], run.levels["fc_layers"]][  # type: ignore[index] # numbers
            RATES.index(float(run.levels["learning_rate"]))
        ]
        for run in asked
    ]
    refined = _runs("refine", asked, figures)
    runs = pd.concat([screen, refined], ignore_index=True)
    # The best cell lies on the edge of the convolutional layers: the grid moves outward.
    moved = procedure.refined_cells(RULES, decision, runs, refined, first.cells)
    assert {cell["conv_layers"] for cell in moved.cells} == {7, 8}
    best = procedure.select_cell(RULES, runs).best
    assert best == {"conv_layers": 7, "fc_layers": 1, "learning_rate": 0.001}


def test_confirmation_takes_seeds_that_no_stage_before_has_used() -> None:
    rules = replace(RULES, replicates=2, refine_replicates=3, confirm_replicates=2, confirm_cells=2)
    asked = procedure.refine_runs(rules, _layers_of((3, 4, 5)))
    assert [run.number for run in asked] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    runs = _runs("refine", asked, [0.80, 0.81, 0.50, 0.82, 0.79, 0.52, 0.81, 0.80, 0.51])
    selection = procedure.select_cell(rules, runs)
    again = procedure.confirm_runs(rules, selection, runs)
    assert [run.number for run in again] == [4, 4, 5, 5]
    assert {run.levels["conv_layers"] for run in again} == {3, 4}


def test_one_cell_that_leads_is_not_confirmed() -> None:
    asked = procedure.refine_runs(replace(RULES, refine_replicates=3), _layers_of((3, 4)))
    runs = _runs("refine", asked, [0.80, 0.50, 0.81, 0.51, 0.80, 0.50])
    assert procedure.confirm_runs(RULES, procedure.select_cell(RULES, runs), runs) == []


def test_an_execution_that_is_resumed_refines_and_confirms_the_same_cells() -> None:
    asked = procedure.screen_runs(RULES)
    screen = _runs("screen", asked, [SCREEN[tuple(run.levels.values())] for run in asked])  # type: ignore[index] # numbers
    decision = procedure.decide(RULES, procedure.screen_effects(RULES, screen))
    first = procedure.refined_cells(RULES, decision, screen, screen[:0])
    asked = procedure.refine_runs(RULES, first)
    # The best cell has the most layers, so it is outside the first grid once the grid has moved.
    refined = _runs("refine", asked, [0.8 + 0.01 * _layers(run) for run in asked])
    moved = procedure.refined_cells(RULES, decision, screen, refined, first.cells)
    asked = procedure.refine_runs(RULES, moved)
    later = pd.concat([refined, _runs("refine", asked, [0.8 + 0.01 * _layers(r) for r in asked])])
    both = pd.concat([screen, later])
    assert procedure.refined_cells(RULES, decision, both, later, first.cells) == moved
    assert {cell["conv_layers"] for cell in moved.cells} == {7, 8}

    rules = replace(RULES, confirm_replicates=1, confirm_cells=3)
    runs = pd.concat([screen, later], ignore_index=True)
    confirm = procedure.confirm_runs(rules, procedure.select_cell(rules, runs), runs)
    assert len(confirm) == 3
    # One of three was confirmed when the execution was cut off.
    cut_off = pd.concat([runs, _runs("confirm", confirm[:1], [0.5])], ignore_index=True)
    searched = procedure.before_confirm(cut_off)
    selection = procedure.select_cell(rules, searched)
    assert procedure.confirm_runs(rules, selection, cut_off) == confirm


@pytest.mark.parametrize("method", ["gp", "surface"])
def test_confirmed_runs_do_not_lead_a_refinement_that_is_repeated(method: Method) -> None:
    rules = replace(RULES, method=method)
    asked = procedure.screen_runs(rules)
    screen = _runs("screen", asked, [SCREEN[tuple(run.levels.values())] for run in asked])  # type: ignore[index] # numbers
    decision = procedure.decide(rules, procedure.screen_effects(rules, screen))
    first = procedure.refined_cells(rules, decision, screen, screen[:0])
    confirmed = _runs("confirm", asked[:2], [0.1, 0.99])
    runs = pd.concat([screen, confirmed], ignore_index=True)
    assert procedure.refined_cells(rules, decision, runs, screen[:0]) == first


def _layers(run: procedure.CellRun) -> int:
    return int(run.levels["conv_layers"])


def test_a_pilot_whose_run_failed_names_it() -> None:
    rules = replace(RULES, pilot=True)
    asked = procedure.pilot_runs(rules)
    runs = _runs("pilot", asked, [0.7, float("nan"), 0.5])
    with pytest.raises(DesignError, match=r"learning_rate=0\.01\b.*has no accuracy"):
        procedure.narrow(rules, runs)


SPACE = Space(
    (Factor("a", 1, 9, "integer"), Factor("learning_rate", 1e-4, 1e-1, "log")),
    (tuple(range(1, 10)), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)),
)


def _hill(cell: Cell) -> float:
    a, rate = SPACE.points([cell])[0]
    return float(0.8 - 0.1 * (a - 0.25) ** 2 - 0.2 * (rate + 0.2) ** 2)


OURS = [name for name, start in TUNERS.items() if isinstance(start, FactorGridTuner)]


@pytest.mark.parametrize("name", OURS)
@given(budget=st.integers(4, 30), seed=st.integers(0, 99))
@settings(max_examples=3, deadline=None)
def test_a_search_keeps_to_its_budget_and_delivers_a_cell_that_it_ran(
    name: str, budget: int, seed: int
) -> None:
    history, delivered = run_search(TUNERS[name](SPACE, budget, np.random.default_rng(seed)), _hill)
    assert 0 < len(history) <= budget
    assert delivered in {cell for cell, _ in history}


@pytest.mark.parametrize("name", OURS)
def test_a_search_that_is_repeated_runs_the_same_cells(name: str) -> None:
    searches = [
        run_search(TUNERS[name](SPACE, 20, np.random.default_rng(7)), _hill) for _ in range(2)
    ]
    assert searches[0] == searches[1]


def test_a_search_on_a_space_of_all_levels_runs_what_its_rules_ask_for() -> None:
    """Without a table in the way, a replay asks for the cells of the functions above."""
    levels = ((3, 4, 5, 6, 7, 8), (1, 2, 3), (0.0001, 0.001, 0.01, 0.1))
    space = Space(FACTORS, levels)
    figures: dict[tuple[Level, ...], float] = {
        **{(*cell,): figure for cell, figure in SCREEN.items()},
        **{(*k, r): y for k, own in GRID.items() for r, y in zip(RATES, own, strict=True)},
    }
    figures |= {(*k, r): figures[(*k, r)] for k in GRID for r in RATES}

    def answer(cell: Cell) -> float:
        return figures.get(tuple(space.natural(cell).values()), 0.6)

    rules = replace(RULES, response="response", rounds=1, confirm_replicates=0)
    history, delivered = run_search(carry_out(rules, space, 100), answer)
    cells = [tuple(space.natural(cell).values()) for cell, _ in history]
    assert set(cells[:8]) == set(SCREEN)
    # The two cells that the screen has run already are not run again.
    assert set(cells[8:]) == {(*k, r) for k in GRID for r in RATES} - set(SCREEN)
    assert tuple(space.natural(delivered).values()) == (7, 1, 0.001)


def test_a_screen_whose_cells_are_all_equal_is_decided_and_its_grid_stays() -> None:
    asked = procedure.screen_runs(RULES)
    screen = _runs("screen", asked, [1.0] * len(asked))
    effects = procedure.screen_effects(RULES, screen)
    assert effects.active == ()
    decision = procedure.decide(RULES, effects)
    first = procedure.refined_cells(RULES, decision, screen, screen[:0])
    refined = _runs("refine", procedure.refine_runs(RULES, first), [1.0] * len(first.cells))
    runs = pd.concat([screen, refined], ignore_index=True)
    assert procedure.refined_cells(RULES, decision, runs, refined, first.cells).cells == ()


def test_a_pilot_whose_runs_are_all_equal_leaves_the_levels_in_the_middle() -> None:
    rules = replace(RULES, pilot=True)
    pilot = _runs("pilot", procedure.pilot_runs(rules), [0.5, 0.5, 0.5])
    narrowed, (*_, rate) = procedure.narrow(rules, pilot)
    assert (rate.low, rate.high) == (-0.5, 0.5)
    low, high = narrowed.factors[2].levels
    assert low == pytest.approx(0.00316)
    assert high == pytest.approx(0.0316)
