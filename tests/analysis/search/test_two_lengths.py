"""A search whose first trainings have a quarter of the epochs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.comparison.replay import CellOfLength, Run, SeedLookup, Table, run_search
from analysis.comparison.tuners import RESPONSE, BudgetTuner, carry_out
from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search import budget, procedure
from analysis.search.lengths import ranking_at_lengths
from analysis.search.procedure import SearchRules, ShortTrainings
from analysis.search.space import Space

FACTORS = (
    Factor("learning_rate", 1e-4, 0.1, "log", (1e-8, 10.0)),
    Factor("width", 8, 128, "log", counts=True),
    Factor("dropout", 0.0, 0.8, "linear"),
)
SPACE = Space(FACTORS, ((1e-4, 1e-3, 1e-2, 1e-1), (8, 32, 128), (0.0, 0.2, 0.4, 0.6, 0.8)))


def table(*, reversed_short: bool = False, seed: int = 1) -> Table:
    """Return cells with one hill, and their responses after 4 and after 16 epochs."""
    rng = np.random.default_rng(seed)
    coded = SPACE.points(list(SPACE.cells()))
    full = 0.9 - 0.1 * ((coded - [0.3, 0.2, -0.5]) ** 2).sum(axis=1)
    short = 1 - full if reversed_short else full - 0.2
    noise = 0.002 * rng.standard_normal((len(full), 5))
    return Table("hill", SPACE, full[:, None] + noise, shorter={4: short[:, None] + noise})


def replayed(searched: Table, trainings: int, seed: int = 1, epochs: int = 16) -> tuple[Any, Any]:
    search = BudgetTuner(epochs)(SPACE, trainings, np.random.default_rng(seed))
    return run_search(search, SeedLookup(searched, seed).next_response)


def cost_of(history: list[Run]) -> float:
    """Return the cost in trainings of 16 epochs, counted by the epochs that are trained."""
    reached: dict[Any, int] = {}
    trained = 0
    for cell, _ in history:
        assert isinstance(cell, CellOfLength)
        key = (tuple(cell), cell.number)
        trained += cell.epochs - reached.get(key, 0)
        reached[key] = cell.epochs
    return trained / 16


@given(trainings=st.integers(8, 20), seed=st.integers(0, 5))
@settings(max_examples=2, deadline=None)
def test_a_search_of_two_lengths_trains_no_more_epochs_than_its_budget(
    trainings: int, seed: int
) -> None:
    history, delivered = replayed(table(), trainings, seed)
    assert trainings - 1 < cost_of(history) <= trainings
    whole = [cell for cell, _ in history if cell.epochs == 16]
    assert delivered in whole
    # Nothing is trained twice: neither short trainings, nor those that continue them.
    keys = [(tuple(cell), cell.number, cell.epochs) for cell, _ in history]
    assert len(set(keys)) == len(keys)
    assert all(cell.epochs in {4, 16} for cell, _ in history)


def test_the_best_cell_is_found_among_many_more_than_the_budget_could_train() -> None:
    searched = table()
    history, delivered = replayed(searched, 12)
    assert len({tuple(cell) for cell, _ in history}) > 20
    assert searched.regret(delivered) < 0.1


def test_what_is_delivered_is_judged_at_full_length_also_if_the_order_is_reversed() -> None:
    searched = table(reversed_short=True)
    history, delivered = replayed(searched, 16)
    whole = {tuple(c): searched.truth[searched.row(c)] for c, _ in history if c.epochs == 16}
    assert whole[tuple(delivered)] > max(whole.values()) - 0.01


def rules_of(trainings: int = 16, **changes: Any) -> SearchRules:
    rules = budget.rules_for_budget(FACTORS, RESPONSE, trainings, space=SPACE, epochs=16)
    return replace(rules, **changes)


def runs_of(rows: list[tuple[float, int, float, int, int, float]]) -> pd.DataFrame:
    columns = ["learning_rate", "width", "dropout", "replicate", "epochs", RESPONSE]
    return pd.DataFrame(rows, columns=columns).assign(stage="refine")


A, B, C = (0.01, 32, 0.2), (0.01, 32, 0.4), (0.001, 32, 0.2)


def test_costs_are_counted_in_trainings_of_full_length() -> None:
    rules = rules_of()
    runs = runs_of([(*A, 1, 4, 0.6), (*A, 1, 16, 0.8), (*A, 2, 16, 0.8), (*B, 1, 4, 0.5)])
    assert procedure.cost(rules, runs) == pytest.approx(0.25 + 0.75 + 1 + 0.25)
    assert rules.short is not None
    again = replace(rules, short=replace(rules.short, continues=False))
    assert procedure.cost(again, runs) == pytest.approx(0.25 + 1 + 1 + 0.25)
    assert procedure.cost(replace(rules, short=None), runs) == 4


def test_short_trainings_are_not_selected_unless_there_are_no_others() -> None:
    rules = rules_of()
    runs = runs_of([(*A, 1, 4, 0.95), (*B, 1, 16, 0.8), (*C, 1, 16, 0.7)])
    assert procedure.select_cell(rules, runs).best["dropout"] == 0.4
    assert len(procedure.select_cell(rules, runs).cells) == 2
    assert procedure.select_cell(rules, runs[:1]).best["dropout"] == 0.2


def test_a_level_of_short_trainings_is_a_level_that_was_tried() -> None:
    rows = [(*A, 1, 4, 0.7), (*A, 1, 16, 0.8), (*B, 1, 16, 0.7), (*C, 1, 4, 0.5)]
    higher = (0.1, 32, 0.0, 1, 4, 0.5)
    for runs, edges in ((rows, ["highest", "lowest"]), ([*rows, higher], [])):
        found = procedure.select_cell(rules_of(), runs_of(runs))
        assert found.chosen["learning_rate"] == 0.01
        assert list(found.ends) == edges


def test_a_cell_that_failed_at_full_length_is_not_trained_again() -> None:
    rules = rules_of(short=ShortTrainings(4, 16, 3))
    runs = runs_of([(*A, 1, 4, 0.7), (*B, 1, 4, 0.6), (*C, 1, 4, 0.5), (*A, 1, 16, float("nan"))])
    found = procedure.refined_cells(rules, None, runs, runs)
    assert found.epochs is None
    assert found.cells[0]["dropout"] != 0.2 or found.cells[0]["learning_rate"] != 0.01


def test_a_search_that_is_resumed_chooses_the_same_cell_at_the_same_length() -> None:
    rules = rules_of()
    runs = runs_of([(*A, 1, 4, 0.7), (*B, 1, 4, 0.6), (*C, 1, 4, 0.5)])
    first = procedure.refined_cells(rules, None, runs, runs)
    assert first.epochs == 4
    confirm = runs_of([(*A, 2, 16, 0.99)]).assign(stage="confirm")
    later = pd.concat([runs, confirm], ignore_index=True)
    assert procedure.refined_cells(rules, None, later, later) == first


def test_where_nothing_learns_in_a_quarter_the_whole_length_is_tried_before_it_ends() -> None:
    rules = rules_of()
    rows = [(*cell, 1, 4, 0.5) for cell in (A, B, C)] + [(0.1, 8, 0.0, 1, 4, 0.5)]
    runs = runs_of(rows).assign(collapsed=True)
    for _ in range(4):
        found = procedure.refined_cells(rules, None, runs, runs)
        assert found.epochs is None
        (cell,) = found.cells
        new = runs_of([(*cell.values(), 1, 16, 0.5)]).assign(collapsed=True)  # type: ignore[list-item] # numbers
        runs = pd.concat([runs, new], ignore_index=True)
    assert procedure.refined_cells(rules, None, runs, runs).cells == ()
    runs.loc[runs.index[-1], ["collapsed", RESPONSE]] = [False, 0.7]
    assert procedure.refined_cells(rules, None, runs, runs).cells


def test_a_budget_for_two_lengths_needs_fewer_trainings_for_a_screen() -> None:
    assert budget.least_factorial_budget(FACTORS) == 7
    assert budget.least_factorial_budget(FACTORS, 7) == 7
    many = (*FACTORS, *(Factor(f"x{i}", 0.0, 1.0, "linear") for i in range(6)))
    assert budget.least_factorial_budget(many) == 24
    assert budget.least_factorial_budget(many, 16) == 8
    assert budget.least_budget(many, screen="factorial") == 15
    assert budget.least_budget(many, 16, screen="factorial") == 8
    with pytest.raises(
        DesignError, match=r"budget 7: a search of 9 factors needs at least 8 train"
    ):
        budget.rules_for_budget(many, RESPONSE, 7, epochs=16, screen="factorial")
    rules = budget.rules_for_budget(many, RESPONSE, 7, epochs=16)
    assert (rules.short, rules.design, rules.trainings) == (None, None, 7)
    rules = budget.rules_for_budget(many, RESPONSE, 8, epochs=16)
    assert rules.short is not None
    assert rules.design is not None


@pytest.mark.parametrize(("epochs", "trainings"), [(None, 20), (7, 20), (16, 7)])
def test_few_epochs_or_trainings_have_one_length(epochs: int | None, trainings: int) -> None:
    assert budget.short_trainings(trainings, epochs) is None


def test_the_order_at_both_lengths_is_compared_in_the_cells_that_have_both() -> None:
    rules = rules_of()
    cells = [(0.01, 32, x / 10) for x in range(0, 10, 2)]
    short = [(*cell, 1, 4, 0.5 + i / 100) for i, cell in enumerate(cells)]
    whole = [(*cell, 1, 16, 0.8 - i / 100) for i, cell in enumerate(cells[:4])]
    found = ranking_at_lengths(rules, runs_of(short + whole))
    assert found is not None
    assert (found.epochs, found.full, found.cells) == (4, 16, 4)
    assert found.correlation == pytest.approx(-1)
    few = ranking_at_lengths(rules, runs_of(short + whole[:3]))
    assert few is not None
    assert np.isnan(few.correlation)
    assert ranking_at_lengths(replace(rules, short=None), runs_of(short)) is None


def test_a_replay_without_lengths_is_as_before() -> None:
    rules = replace(rules_of(), short=None)
    history, _ = run_search(carry_out(rules, SPACE, 16), SeedLookup(table(), 1).next_response)
    assert len(history) == 16
    assert not any(isinstance(cell, CellOfLength) for cell, _ in history)
