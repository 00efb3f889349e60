"""What the process expects of one change of a cell."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.factors import Factor, Level
from analysis.search.budget import rules_for_budget
from analysis.search.changes import changes_of_cell
from analysis.search.procedure import SearchRules

SLOPE, FLAT = Factor("slope", 0.0, 1.0), Factor("flat", 0.0, 1.0)
KIND = Factor("kind", "a", "c", "categorical", values=("a", "b", "c"))
MOMENTUM = Factor("momentum", 0.0, 0.9, when=(("kind", ("b",)),), otherwise=0.5)
WORTH = {"a": 0.0, "b": 0.2, "c": -0.2}


def _rules(*factors: Factor, response: str = "val_accuracy") -> SearchRules:
    return rules_for_budget(factors, response, 40)


def _runs(rules: SearchRules, n: int = 30, sign: float = 1.0) -> pd.DataFrame:
    """Return runs of random cells: 0.3 for each unit of slope, and what a kind is worth."""
    rng = np.random.default_rng(1)
    space = rules.space
    assert space is not None
    rows = [space.natural(cell) for cell in space.draw(rng, n)]
    return pd.DataFrame(
        {**row, rules.response: sign * _truth(row) + 0.005 * rng.normal(), "stage": "screen"}
        for row in rows
    )


def _truth(levels: dict[str, Level]) -> float:
    return 0.5 + 0.3 * float(levels["slope"]) + WORTH[str(levels.get("kind", "a"))]


@pytest.mark.parametrize(("response", "sign"), [("val_accuracy", 1.0), ("val_loss", -1.0)])
def test_changes_have_the_size_and_the_sign_of_the_response(response: str, sign: float) -> None:
    rules = _rules(SLOPE, FLAT, KIND, response=response)
    cell: dict[str, Level] = {"slope": 1.0, "flat": 0.5, "kind": "b"}
    found = changes_of_cell(rules, _runs(rules, sign=sign), cell)
    expected = {("slope", 0.0): -0.3, ("kind", "a"): -0.2, ("kind", "c"): -0.4}
    expected |= {("flat", 0.0): 0.0, ("flat", 1.0): 0.0}
    assert {(one.factor, one.level): sign * one.difference for one in found} == pytest.approx(
        expected, abs=0.03
    )
    for one in found:
        assert one.low <= one.difference <= one.high
        assert one.low - 0.02 <= sign * expected[one.factor, one.level] <= one.high + 0.02
        assert one.instead_of == cell[one.factor]
    assert {one.factor for one in found if one.is_clear} == {"slope", "kind"}


def test_a_factor_that_does_not_count_in_the_cell_has_no_changes() -> None:
    rules = _rules(SLOPE, KIND, MOMENTUM)
    runs = _runs(rules)
    without = changes_of_cell(rules, runs, {"slope": 1.0, "kind": "a", "momentum": 0.5})
    assert {one.factor for one in without} == {"slope", "kind"}
    counts = changes_of_cell(rules, runs, {"slope": 1.0, "kind": "b", "momentum": 0.9})
    assert {(one.factor, one.level) for one in counts} >= {("momentum", 0.0), ("kind", "a")}


def test_intervals_have_their_confidence_on_drawn_responses() -> None:
    """The share of intervals that have the true difference, on noisy slopes of 20 runs."""
    rules = _rules(SLOPE, FLAT, replace(FLAT, name="third"))
    rng, inside = np.random.default_rng(3), []
    space = rules.space
    assert space is not None
    for _ in range(60):
        slopes = rng.normal(size=3)
        cells = space.draw(rng, 20)
        y = space.points(cells) @ slopes / 2 + 0.3 * rng.normal(size=20)
        runs = pd.DataFrame([space.natural(cell) for cell in cells]).assign(val_accuracy=y)
        runs["stage"] = "screen"
        for one in changes_of_cell(rules, runs, {f.name: 1.0 for f in space.factors}):
            place = [f.name for f in space.factors].index(one.factor)
            inside.append(one.low <= -slopes[place] <= one.high)
    assert len(inside) == 180
    assert 0.88 <= np.mean(inside) <= 1.0


def test_a_level_at_an_end_of_its_range_has_one_other_end() -> None:
    rules = _rules(SLOPE)
    runs = pd.DataFrame({"slope": [0.0, 0.5, 1.0], "val_accuracy": [0.5, 0.6, 0.7]})
    (change,) = changes_of_cell(rules, runs.assign(stage="screen"), {"slope": 1.0})
    assert (change.level, change.instead_of) == (0.0, 1.0)
    assert change.difference < 0


@pytest.mark.parametrize(
    ("dead_from", "learned_above", "expected"),
    [(0.6, False, ((0.625, 0.75, 0.875, 1.0), 16)), (0.6, True, ()), (2.0, False, ())],
)
def test_levels_at_which_every_run_collapsed_are_named(
    dead_from: float, *, learned_above: bool, expected: tuple[object, ...]
) -> None:
    rules = _rules(SLOPE, FLAT, KIND)
    space = rules.space
    assert space is not None
    rows = [
        {"slope": level, "flat": flat, "kind": "abcc"[i], "collapsed": float(level) > dead_from}
        for level in space.levels[0]
        for i, flat in enumerate((0.0, 0.25, 0.5, 1.0))
    ]
    runs = pd.DataFrame(rows).assign(stage="screen")
    runs["val_accuracy"] = np.where(runs["collapsed"], 0.5, 0.8 + 0.01 * runs["flat"])
    if learned_above:
        runs.loc[len(runs) - 1, ["collapsed", "val_accuracy"]] = [False, 0.8]
    found = changes_of_cell(rules, runs, {"slope": 0.5, "flat": 0.0, "kind": "a"})
    dead = {(one.factor, one.level): (one.dead, one.collapsed) for one in found if one.dead}
    assert dead == ({("slope", 1.0): expected} if expected else {})
    assert all(one.is_clear for one in found if one.dead)


def test_a_category_of_which_every_run_collapsed_is_named_and_one_by_chance_is_not() -> None:
    rules = _rules(SLOPE, KIND)
    rows = [
        {"slope": slope, "kind": kind, "collapsed": kind == "c"}
        for slope in (0.0, 0.25, 0.5, 0.75, 1.0)
        for kind in "abc"
    ]
    runs = pd.DataFrame(rows).assign(stage="screen")
    runs["val_accuracy"] = np.where(runs["collapsed"], 0.5, 0.8)
    cell: dict[str, Level] = {"slope": 0.5, "kind": "a"}
    dead = {one.level: one.dead for one in changes_of_cell(rules, runs, cell) if one.dead}
    assert dead == {"c": ("c",)}
    # One run of "c" beside ten of the others, one of which collapsed.
    few = runs[(runs["kind"] != "c") | (runs["slope"] == 0.5)].copy()
    few.loc[few.index[0], "collapsed"] = True
    assert not any(one.dead for one in changes_of_cell(rules, few, cell))
