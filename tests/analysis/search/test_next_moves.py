"""The next moves: what a finished search calls for, from its own numbers."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis.designs.fractions import fraction
from analysis.effects.fit import fit_effects
from analysis.factors import Factor, Level
from analysis.search.best_cell import Selection, many_to_one, select
from analysis.search.budget import least_factorial_budget, rules_for_budget
from analysis.search.next_moves import (
    AnswerStands,
    BeyondEdge,
    FoldOver,
    LongerTraining,
    MeasureEffects,
    MoreSeeds,
    NarrowRange,
    NothingLearned,
    next_moves,
    seeds_to_distinguish,
)
from analysis.search.procedure import SearchRules, screen_runs
from analysis.search.space import typed_level

RATE = Factor("learning_rate", 1e-3, 1e-1, "log", (1e-8, 10.0))
DEPTH = Factor("depth", 3, 6, "integer", (1, 16))
DROPOUT = Factor("dropout", 0.0, 0.4, "linear", (0.0, 0.95))


def rules(*factors: Factor, **others: Any) -> SearchRules:
    design = fraction([f.name for f in factors], 0)
    return SearchRules(factors, "y", others.pop("design", design), **others)


def table(cells: Mapping[Any, Sequence[float]], factor: Factor, *collapsed: Level) -> pd.DataFrame:
    rows = [
        {factor.name: level, "y": y, "train_seconds": 1.0, "collapsed": level in collapsed}
        for level, figures in cells.items()
        for y in figures
    ]
    return pd.DataFrame(rows)


def moves_of(
    cells: Mapping[Any, Sequence[float]], factor: Factor, *collapsed: Level, **others: Any
) -> tuple[Any, ...]:
    selection = select(table(cells, factor, *collapsed), [factor], "y")
    return next_moves(rules(factor), None, selection, **others)


def test_a_winner_at_the_lowest_level_that_was_tried_asks_for_lower_ones() -> None:
    (move,) = moves_of({1e-4: [0.9, 0.91], 1e-3: [0.7, 0.71], 1e-2: [0.6, 0.61]}, RATE)
    assert isinstance(move, BeyondEdge)
    assert (move.level, move.end, move.tried) == (1e-4, "lowest", (1e-4, 1e-2))
    # As wide as what was tried, two decades, with the winner in the middle.
    assert (move.low, move.high) == (1e-5, 1e-3)


def test_levels_that_collapsed_do_not_widen_the_new_range() -> None:
    cells = {1e-4: [0.9, 0.91], 1e-3: [0.7, 0.71], 1e-1: [0.1, 0.1, 0.1, 0.1]}
    (move,) = moves_of(cells, RATE, 1e-1)
    assert isinstance(move, BeyondEdge)
    assert (move.tried, move.low, move.high) == ((1e-4, 1e-3), 3.16e-5, 3.16e-4)


def test_the_new_range_of_whole_numbers_has_whole_ends_beyond_the_winner() -> None:
    (move,) = moves_of({3: [0.7, 0.71], 4: [0.9, 0.91]}, DEPTH)
    assert (move.factor, move.end, move.low, move.high) == ("depth", "highest", 3, 5)


def test_the_new_range_ends_with_the_domain() -> None:
    (move,) = moves_of({0.6: [0.7, 0.71], 0.8: [0.8, 0.81], 0.9: [0.9, 0.91]}, DROPOUT)
    assert (move.low, move.high) == (0.75, 0.95)


def test_a_factor_without_a_domain_stays_at_or_above_zero() -> None:
    decay = Factor("weight_decay", 0.01, 0.1)
    (move,) = moves_of({0.01: [0.9, 0.91], 0.1: [0.7, 0.71]}, decay)
    assert (move.low, move.high) == (0.0, 0.055)
    # At zero, nothing below is known to be valid.
    at_zero = Factor("weight_decay", 0.0, 0.1)
    (move,) = moves_of({0.0: [0.9, 0.91], 0.1: [0.7, 0.71]}, at_zero)
    assert isinstance(move, AnswerStands)


def test_a_winner_that_leads_inside_of_what_was_tried_stands() -> None:
    cells = {1e-4: [0.7, 0.71], 1e-3: [0.9, 0.91], 1e-2: [0.6, 0.61]}
    assert moves_of(cells, RATE) == (AnswerStands({"learning_rate": 1e-3}, 3, 6),)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Factor, Selection]:
    """One factor, some levels that were tried, and a response that is best at one of them."""
    factor = draw(
        st.sampled_from([RATE, DEPTH, DROPOUT, Factor("width", 8, 64, "log", counts=True)])
    )
    assert factor.scale != "categorical"
    low, high = factor.domain or (1, 4096)
    numbers: st.SearchStrategy[Any] = (
        st.integers(int(low), int(high)) if factor.whole else st.floats(low, high)
    )
    # As MLflow returns them; see `typed_level`.
    numbers = numbers.map(lambda x: typed_level(factor, x))
    levels = draw(st.lists(numbers, min_size=2, max_size=6, unique=True))
    figures = {level: [draw(st.floats(0, 1)) for _ in range(2)] for level in levels}
    collapsed = [level for level in levels if draw(st.booleans())]
    return factor, select(table(figures, factor, *collapsed), [factor], "y")


@settings(max_examples=25)
@given(searches())
def test_every_new_range_is_valid_and_has_the_winner_inside(
    found: tuple[Factor, Selection],
) -> None:
    factor, selection = found
    moves = next_moves(rules(factor), None, selection)
    assert moves
    for move in moves:
        if not isinstance(move, BeyondEdge | NarrowRange):
            continue
        # A factor checks its levels against its scale and its domain.
        new = replace(factor, low=move.low, high=move.high)
        winner = selection.chosen[factor.name]
        if isinstance(move, BeyondEdge):
            assert float(new.low) < float(winner) < float(new.high)
            tried = selection.cells[factor.name]
            assert float(new.low) < tried.min() or float(new.high) > tried.max()
        else:
            assert float(new.low) <= float(winner) <= float(new.high)
            assert not any(float(new.low) <= float(x) <= float(new.high) for x in move.levels)


def test_collapsed_levels_are_left_out_of_the_next_range() -> None:
    cells = {1e-4: [0.7] * 4, 1e-3: [0.9] * 4, 1e-2: [0.8] * 4, 1e-1: [0.1] * 4}
    selection = select(table(cells, RATE, 1e-1), [RATE], "y")
    (move,) = [m for m in next_moves(rules(RATE), None, selection) if isinstance(m, NarrowRange)]
    assert (move.levels, move.collapsed, move.runs) == ((1e-1,), 4, 4)
    assert (move.low, move.high) == (1e-4, 1e-2)
    # All four of one level, and none of the other twelve.
    assert move.p == pytest.approx(1 / math.comb(16, 4))


def test_a_collapse_that_chance_explains_narrows_nothing() -> None:
    cells = {1e-4: [0.7], 1e-3: [0.9], 1e-2: [0.8], 1e-1: [0.1]}
    assert not any(isinstance(m, NarrowRange) for m in moves_of(cells, RATE, 1e-1))


def test_a_collapse_is_attributed_to_the_factor_that_explains_it_best() -> None:
    rows = [
        {"learning_rate": rate, "depth": depth, "y": 0.1 if rate == 0.1 else rate * depth}
        for rate, depth in itertools.product((1e-4, 1e-3, 1e-1), (3, 4, 6))
        for _ in range(2)
    ]
    # The highest depth was tried more often at the rate that collapses.
    rows += [{"learning_rate": 0.1, "depth": 6, "y": 0.1}] * 3
    runs = pd.DataFrame(rows)
    runs["collapsed"] = runs["learning_rate"] == 0.1
    selection = select(runs, [RATE, DEPTH], "y")
    narrowed = [
        m for m in next_moves(rules(RATE, DEPTH), None, selection) if isinstance(m, NarrowRange)
    ]
    assert [m.factor for m in narrowed] == ["learning_rate"]


def test_if_nothing_was_learned_this_is_the_only_move() -> None:
    (move,) = moves_of({1e-3: [0.5], 1e-1: [0.52]}, RATE, 1e-3, 1e-1)
    assert isinstance(move, NothingLearned)
    assert (move.runs, move.mean) == (2, 0.52)
    (new,) = move.learning_rates
    assert (new.low, new.high) == (1e-4, 1e-2)
    # Higher ones, where those that were tried are low already.
    (move,) = moves_of({1e-5: [0.5], 1e-4: [0.52]}, RATE, 1e-5, 1e-4)
    (new,) = move.learning_rates
    assert (new.low, new.high) == (3.2e-4, 1e-2)
    # If all usual rates were tried, the cause is another.
    (move,) = moves_of({1e-4: [0.5], 1e-3: [0.5], 1e-2: [0.52]}, RATE, 1e-4, 1e-3, 1e-2)
    assert move.learning_rates == ()


# -- seeds ----------------------------------------------------------------------------------------


def test_the_number_of_seeds_has_the_promised_power() -> None:
    """Simulate the rule of `select` with the returned number of seeds, and with one fewer."""
    cells, runs, df, lead = 3, 2, 8, 0.9
    more = seeds_to_distinguish(lead, 1.0, cells=cells, runs=runs, df=df)
    assert more is not None
    rng = np.random.default_rng(7)
    powers = []
    for extra in (more - 1, more):
        n, error_df = runs + extra, df + cells * extra
        limit = many_to_one(cells - 1, error_df, 0.05)
        means = rng.normal(0, 1 / math.sqrt(n), (40_000, 2))
        spread = np.sqrt(rng.chisquare(error_df, 40_000) / error_df)
        distance = lead + means[:, 0] - means[:, 1]
        powers.append(float((distance > limit * spread * math.sqrt(2 / n)).mean()))
    assert powers[1] > 0.79
    assert powers[0] < 0.81


# Each example simulates critical values.
@settings(max_examples=15)
@given(
    st.floats(0.1, 10), st.floats(1.05, 3), st.integers(2, 3), st.integers(1, 5), st.integers(1, 30)
)
def test_a_larger_lead_never_needs_more_seeds(
    lead: float, times: float, cells: int, runs: int, df: int
) -> None:
    few = seeds_to_distinguish(lead * times, 1.0, cells=cells, runs=runs, df=df)
    many = seeds_to_distinguish(lead, 1.0, cells=cells, runs=runs, df=df)
    assert few is not None
    assert many is not None
    assert 1 <= few <= many


def only_seeds(cells: Mapping[Any, Sequence[float]], **others: Any) -> MoreSeeds:
    selection = select(table(cells, DEPTH), [DEPTH], "y", **others)
    moves = next_moves(rules(DEPTH), None, selection)
    (move,) = [m for m in moves if isinstance(m, MoreSeeds)]
    return move


def test_cells_that_cannot_be_distinguished_ask_for_seeds() -> None:
    move = only_seeds({3: [0.7, 0.72], 4: [0.90, 0.92], 5: [0.88, 0.90], 6: [0.6, 0.62]})
    assert (move.best, move.other, move.cells, move.runs) == ({"depth": 4}, {"depth": 5}, 2, 2)
    assert move.lead == pytest.approx(0.02)
    assert move.spread == pytest.approx(0.02 / math.sqrt(2))
    expected = seeds_to_distinguish(0.02, move.spread, cells=2, runs=2, df=4)
    assert (move.reason, move.more) == ("seeds", expected)


def test_a_tiny_lead_is_impractical_and_no_lead_is_hopeless() -> None:
    move = only_seeds({3: [0.7, 0.72], 4: [0.901, 0.921], 5: [0.90, 0.92], 6: [0.6, 0.62]})
    assert move.reason == "impractical"
    assert move.more is None or move.more > 30
    assert only_seeds({3: [0.9, 0.92], 4: [0.92, 0.9], 5: [0.1, 0.12]}).reason == "equal"


def test_a_lead_that_the_images_cannot_show_asks_for_no_seeds() -> None:
    cells = {3: [0.7, 0.7001], 4: [0.9, 0.9001], 5: [0.895, 0.8951], 6: [0.6, 0.6001]}
    move = only_seeds(cells, images=1000)
    assert (move.reason, move.more) == ("images", None)
    # Six of the thousand images are the least lead, five are the lead.
    assert move.least_lead == 0.006
    assert move.image_ratio == pytest.approx(6 / 5)
    cells[5] = [0.894, 0.8941]  # the least lead itself, but for rounding
    assert only_seeds(cells, images=1000).image_ratio == pytest.approx(1, abs=1e-9)
    assert (only_seeds(cells, images=1000).image_ratio or 0) >= 1


def test_without_replicates_new_seeds_are_needed_first() -> None:
    move = only_seeds({3: [0.7], 4: [0.9], 5: [0.8], 6: [0.6]})
    assert (move.reason, move.more) == ("unknown", 1)
    assert math.isnan(move.spread)


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=2, max_size=4),
    st.sampled_from([None, 100, 10_000]),
)
@example([[0.0, 6.726816196459504e-159], [1.0]], None)
def test_what_is_said_of_seeds_is_what_the_selection_has(
    figures: list[list[float]], images: int | None
) -> None:
    cells = dict(enumerate(figures, 1))
    selection = select(table(cells, DEPTH), [DEPTH], "y", images=images)
    found = [m for m in next_moves(rules(DEPTH), None, selection) if isinstance(m, MoreSeeds)]
    assert bool(found) == (len(selection.tied) > 1)
    for move in found:
        assert move.best == selection.best
        assert move.other in selection.tied
        assert move.other != move.best
        means = {depth: np.mean(own) for depth, own in cells.items()}
        lead = means[int(move.best["depth"])] - means[int(move.other["depth"])]
        assert move.lead == pytest.approx(lead, abs=1e-12)
        assert (move.more is None) or move.more >= 1
        if move.reason == "seeds":
            assert move.more is not None
            assert move.more <= 30
            assert move.lead > move.least_lead
        if move.image_ratio is not None:
            assert images is not None
            again = select(table(cells, DEPTH), [DEPTH], "y", images=10 * images)
            assert (again.least_lead < move.lead) == (move.image_ratio < 10)


# -- fold-over ------------------------------------------------------------------------------------

FIVE = tuple(Factor(name, 0, 1, "integer", (0, 10)) for name in "ABCDE")


def screened(effect: Any, p: int, replicates: int = 2) -> tuple[SearchRules, Any, Selection]:
    """Screen five factors in a fraction; the response is a function of coded levels and noise."""
    plan = rules(*FIVE, design=fraction("ABCDE", p), replicates=replicates)
    cells = pd.DataFrame([run.levels for run in screen_runs(plan)])
    rng = np.random.default_rng(5)
    coded = {name.lower(): 2.0 * cells[name] - 1 for name in "ABCDE"}
    runs = cells.assign(y=effect(**coded) + 0.01 * rng.standard_normal(len(cells)))
    return plan, fit_effects(runs, FIVE, "y"), select(runs, FIVE, "y")


def fold_overs(effect: Any, p: int) -> list[FoldOver]:
    return [m for m in next_moves(*screened(effect, p)) if isinstance(m, FoldOver)]


def test_an_active_main_effect_of_a_small_fraction_asks_for_the_full_fold_over() -> None:
    (move,) = fold_overs(lambda a, **_: a, 2)
    # D = A:B and E = A:C in this fraction, so that A = B:D = C:E.
    assert move.chains == (("A", "B:D", "C:E"),)
    assert (move.on, move.separated, move.runs) == (tuple("ABCDE"), ("A",), 16)
    # The half fraction, I = A:B:C:D:E, has a quarter of these 16 cells: 4 of 8.
    assert (move.larger_cells, move.larger_runs) == (16, 2 * 12)


def test_an_active_interaction_asks_for_the_fold_over_of_one_of_its_factors() -> None:
    six = tuple(Factor(name, 0, 1, "integer", (0, 10)) for name in "ABCDEF")
    plan = SearchRules(six, "y", fraction("ABCDEF", 2), replicates=2)
    cells = pd.DataFrame([run.levels for run in screen_runs(plan)])
    noise = 0.01 * np.random.default_rng(5).standard_normal(len(cells))
    runs = cells.assign(y=(2 * cells["A"] - 1) * (2 * cells["B"] - 1) + noise)
    effects, selection = fit_effects(runs, six, "y"), select(runs, six, "y")
    (move,) = [m for m in next_moves(plan, effects, selection) if isinstance(m, FoldOver)]
    assert move.chains == (("A:B", "C:E"),)
    assert move.on == ("A",)
    assert move.separated == ("A:B",)
    assert move.larger_cells == 32


def test_a_design_without_aliases_and_inactive_effects_ask_for_no_fold_over() -> None:
    assert not fold_overs(lambda a, **_: a, 0)
    assert not fold_overs(lambda a, **_: a, 1)
    assert not fold_overs(lambda a, **_: 0 * a, 2)


def test_a_level_that_collapses_is_narrowed_before_a_fold_over() -> None:
    plan, _, _ = screened(lambda a, **_: a, 2)
    cells = pd.DataFrame([run.levels for run in screen_runs(plan)])
    dead = cells["A"] == 1
    y = np.where(dead, 0.1, 0.8 + 0.1 * cells["B"])
    noise = 0.001 * np.random.default_rng(5).standard_normal(len(cells))
    runs = cells.assign(y=y + noise, collapsed=dead)
    moves = next_moves(plan, fit_effects(runs, FIVE, "y"), select(runs, FIVE, "y"))
    assert not any(isinstance(m, FoldOver) for m in moves)


# -- longer training ------------------------------------------------------------------------------

INSIDE = {1e-4: [0.7, 0.71], 1e-3: [0.9, 0.91], 1e-2: [0.6, 0.61]}


def test_an_accuracy_that_was_still_rising_asks_for_longer_training() -> None:
    rising = [0.5 + 0.03 * epoch for epoch in range(12)]
    (move,) = moves_of(INSIDE, RATE, curves=[rising, rising])
    assert isinstance(move, LongerTraining)
    assert (move.epochs, move.runs, move.window) == (12, 2, 3)
    assert move.after - move.before == pytest.approx(0.09)


def test_a_flat_curve_short_curves_and_a_varied_length_ask_for_none() -> None:
    flat = [0.5, 0.7, 0.8, 0.85, *([0.9, 0.89] * 5)]
    for curves in ([flat], [[0.5, 0.6, 0.7]], []):
        assert moves_of(INSIDE, RATE, curves=curves) == (
            AnswerStands({"learning_rate": 1e-3}, 3, 6),
        )
    epochs = Factor("epochs", 4, 12, "integer", (1, 100))
    runs = table({4: [0.7, 0.71], 8: [0.9, 0.91], 12: [0.6, 0.61]}, epochs)
    selection = select(runs, [epochs], "y")
    rising = [0.1 * epoch for epoch in range(8)]
    assert isinstance(next_moves(rules(epochs), None, selection, [rising])[0], AnswerStands)


def test_noise_around_a_constant_is_rarely_called_a_rise() -> None:
    rng, found = np.random.default_rng(3), 0
    selection = select(table(INSIDE, RATE), [RATE], "y")
    for _ in range(400):
        curves = (0.8 + 0.01 * rng.standard_normal((2, 16))).tolist()
        for move in next_moves(rules(RATE), None, selection, curves):
            if isinstance(move, LongerTraining):
                found += 1
                assert move.after - move.before > 2 * move.standard_error
    # Two standard errors, on one side, with an estimated error.
    assert found < 0.1 * 400


# -- effects ---------------------------------------------------------------------------------------


def test_a_screen_without_effects_asks_for_the_budget_of_a_design() -> None:
    factors = [RATE, *(Factor(f"x{i}", 0.0, 1.0) for i in range(3))]
    plan = rules_for_budget(factors, "y", 12)
    assert plan.design is None
    runs = pd.DataFrame([{**run.levels, "y": 0.1 * i} for i, run in enumerate(screen_runs(plan))])
    found = [
        move
        for move in next_moves(plan, None, select(runs, factors, "y"))
        if isinstance(move, MeasureEffects)
    ]
    assert found == [MeasureEffects(6, least_factorial_budget(factors))]
    larger = rules_for_budget(factors, "y", found[0].budget)
    assert larger.design is not None
    moves = next_moves(larger, None, select(runs, factors, "y"))
    assert not any(isinstance(move, MeasureEffects) for move in moves)
    asked = rules_for_budget(factors, "y", 40, screen="latin_hypercube")
    assert MeasureEffects(6, 40) in next_moves(asked, None, select(runs, factors, "y"))


# -- order ----------------------------------------------------------------------------------------


def test_moves_that_may_find_a_better_cell_come_first() -> None:
    cells = {1e-3: [0.90, 0.92] * 2, 1e-2: [0.89, 0.91] * 2, 1e-1: [0.1] * 4}
    selection = select(table(cells, RATE, 1e-1), [RATE], "y")
    rising = [0.5 + 0.03 * epoch for epoch in range(12)]
    moves = next_moves(rules(RATE), None, selection, [rising])
    assert [m.code for m in moves] == ["beyond_edge", "longer_training", "more_seeds"]
