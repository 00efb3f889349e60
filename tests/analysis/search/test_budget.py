"""The division of a budget between the stages, and what it must always leave room for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.comparison.tuners import budget_driven
from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search import budget, pilot, procedure
from analysis.search.refined_grid import refined_levels

RATE = Factor("learning_rate", 1e-4, 0.1, "log", (1e-8, 10.0))
OTHERS = [Factor(f"x{i}", 0.0, 1.0, "linear") for i in range(14)]


def _factors(k: int, *, with_rate: bool) -> list[Factor]:
    return [RATE, *OTHERS][:k] if with_rate else OTHERS[:k]


@given(k=st.integers(1, 14), extra=st.integers(0, 80), with_rate=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_stages_never_take_more_than_the_budget(k: int, extra: int, *, with_rate: bool) -> None:
    factors = _factors(k, with_rate=with_rate)
    trainings = budget.least_budget(factors) + extra
    rules = budget.rules_for_budget(factors, "y", trainings)
    known = len(procedure.pilot_runs(rules))
    if rules.design is None:
        assert trainings < budget.least_factorial_budget(factors)
        known += rules.spread_cells
    else:
        assert rules.design.resolution >= 3 or k < 3
        known += rules.design.n_runs
    assert known + rules.budget + rules.most_confirmed == trainings
    assert rules.most_confirmed in {0, *range(2, trainings)}
    assert rules.trainings == trainings - rules.most_confirmed


@given(k=st.integers(1, 14), with_rate=st.booleans())
@settings(max_examples=28, deadline=None)
def test_a_budget_below_the_smallest_start_is_refused_with_what_it_needs(
    k: int, *, with_rate: bool
) -> None:
    factors = _factors(k, with_rate=with_rate)
    least = budget.least_budget(factors)
    assert least == (3 if with_rate else 0) + (2 if k == 1 else 4)
    with pytest.raises(DesignError, match=rf"budget {least - 1}: .* needs at least {least} train"):
        budget.rules_for_budget(factors, "y", least - 1)
    assert budget.rules_for_budget(factors, "y", least).trainings == least


@given(k=st.integers(1, 14), with_rate=st.booleans(), epochs=st.sampled_from([None, 16]))
@settings(max_examples=40, deadline=None)
def test_a_search_has_a_screen_where_it_leaves_enough_of_the_budget(
    k: int, epochs: int | None, *, with_rate: bool
) -> None:
    factors = _factors(k, with_rate=with_rate)
    least = budget.least_factorial_budget(factors, epochs)
    assert budget.rules_for_budget(factors, "y", least, epochs=epochs).design is not None
    if least > budget.least_budget(factors, epochs):
        rules = budget.rules_for_budget(factors, "y", least - 1, epochs=epochs)
        assert (rules.design, rules.short) == (None, None)


def test_the_usual_budget_has_room_for_a_screen_at_every_number_of_factors() -> None:
    for k in range(1, 16):
        factors = _factors(k, with_rate=True)
        assert budget.default_budget(k) >= budget.least_factorial_budget(factors)


def test_a_budget_of_20_has_a_pilot_a_screen_of_8_and_confirms_twice() -> None:
    rules = budget.rules_for_budget(_factors(7, with_rate=True), "y", 20)
    assert rules.design is not None
    assert (len(procedure.pilot_runs(rules)), rules.design.n_runs) == (3, 8)
    assert (rules.budget, rules.most_confirmed) == (7, 2)


def test_a_budget_of_12_starts_from_a_latin_hypercube_inside_the_ranges() -> None:
    kind = Factor("kind", "a", "c", "categorical", values=("a", "b", "c"))
    rules = budget.rules_for_budget([*_factors(5, with_rate=True), kind], "y", 12)
    assert rules.design is None
    rows = [
        {**run.levels, "y": y}
        for run, y in zip(procedure.pilot_runs(rules), (5, 9, 7), strict=True)
    ]
    narrow, _ = procedure.narrow(rules, pd.DataFrame(rows))
    cells = pd.DataFrame([run.levels for run in procedure.screen_runs(narrow)])
    assert len(cells) == 6
    assert cells["kind"].value_counts().to_dict() == {"a": 2, "b": 2, "c": 2}
    # The levels of a range are half decades and eighths: 4 or 5 of those are in its inner half.
    assert set(cells["learning_rate"]) == {3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2}
    for name in ("x0", "x1", "x2", "x3"):
        assert cells[name].between(0.25, 0.75).all()
        assert cells[name].nunique() >= 4
    again = [run.levels for run in procedure.screen_runs(narrow)]
    assert again == cells.to_dict("records")


def test_the_pilot_narrows_the_factors_that_it_varies_and_others_as_far_as_requested() -> None:
    factors = [RATE, OTHERS[0]]
    rate, other = pilot.screen_ranges(factors, [0.6, 0.7, 0.5])
    assert (rate.low, rate.high, other.low, other.high) == (-0.5, 0.5, -1, 1)
    rate, other = pilot.screen_ranges(factors, [0.6, 0.7, 0.5], 0.25)
    assert (rate.low, rate.high, other.low, other.high) == (-0.5, 0.5, -0.25, 0.25)


def test_a_refined_level_outside_the_domain_is_replaced_by_its_end() -> None:
    batch = Factor("batch_size", 40, 160, "log", (16, 512), counts=True)
    assert refined_levels(batch, 40) == (16, 40, 400)
    assert refined_levels(batch, 160) == (16, 160, 512)
    drop = Factor("dropout", 0.1, 0.5, "linear", (0.0, 0.95))
    assert refined_levels(drop, 0.1) == (0.0, 0.1, 0.3)


def test_the_search_reaches_an_optimum_at_the_ends_of_all_ranges() -> None:
    """Before, the pilot drew every factor to the middle half, and the ends were never run."""
    factors = _factors(5, with_rate=True)
    space = budget.space_of(factors)
    search = budget_driven(space, 40, np.random.default_rng(1))
    cells = next(search)
    tried = list(cells)
    while True:
        points = space.points(cells)
        responses = -np.abs(points[:, :1] + 1).sum(axis=1) - (1 - points[:, 1:]).sum(axis=1)
        try:
            cells = search.send(responses.tolist())
        except StopIteration as end:
            delivered = end.value
            break
        tried += cells
    assert len(tried) <= 40
    assert space.points([delivered])[0].tolist() == [-1, 1, 1, 1, 1]


def test_the_process_ends_when_the_trainings_are_used_or_every_cell_was_tried() -> None:
    factors = [Factor("a", 1, 2, "integer", (1, 2)), Factor("b", 1, 2, "integer", (1, 2))]
    rules = budget.rules_for_budget(factors, "y", 30)
    asked = procedure.screen_runs(rules)
    rows = [{**run.levels, "y": float(i), "stage": "screen"} for i, run in enumerate(asked)]
    runs = pd.DataFrame(rows)
    assert len(runs) == 4
    assert procedure.refined_cells(rules, None, runs, runs[:0]).cells == ()
    few = budget.rules_for_budget([RATE, *OTHERS[:2]], "y", 14)
    asked = [*procedure.pilot_runs(few), *procedure.screen_runs(few)]
    rows = [{**run.levels, "y": float(i), "stage": "screen"} for i, run in enumerate(asked)]
    runs = pd.DataFrame(rows)
    assert len(procedure.refined_cells(few, None, runs, runs[:0]).cells) == 1
    more = pd.concat([runs, runs], ignore_index=True)[: few.trainings]
    assert few.trainings == len(more) == 12
    assert len(procedure.refined_cells(few, None, more[:-1], runs[:0]).cells) == 1
    assert procedure.refined_cells(few, None, more, runs[:0]).cells == ()


def test_the_best_cells_are_confirmed_in_turn() -> None:
    rules = budget.rules_for_budget([RATE, *OTHERS[:2]], "y", 40)
    cells = [run.levels for run in procedure.screen_runs(rules)]
    runs = pd.DataFrame([{**c, "y": -float(i), "stage": "screen"} for i, c in enumerate(cells)])
    asked = procedure.confirm_runs(rules, procedure.select_cell(rules, runs), runs)
    assert [run.levels for run in asked] == [*cells[:3], *cells[:2]]
    assert [run.number for run in asked] == [2, 2, 2, 3, 3]
