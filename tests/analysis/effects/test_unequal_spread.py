"""Tests of effects with the spread of each cell, compared with published tests of two samples."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from analysis.effects.fit import fit_effects
from analysis.effects.least_squares import table_value
from analysis.effects.unequal_spread import UNEQUAL_P, cell_spreads
from analysis.factors import Factor

FACTOR = Factor("a", 0, 1)
LOW, HIGH = [5.1, 5.0, 5.2, 4.9, 5.05], [3.0, 9.0, 6.5, 8.0, 1.5]


def _two_cells() -> pd.DataFrame:
    return pd.DataFrame({"a": [0] * 5 + [1] * 5, "y": [*LOW, *HIGH]})


def test_two_cells_of_unequal_spread_are_compared_by_welchs_test() -> None:
    effects = fit_effects(_two_cells(), [FACTOR], "y")
    theirs = ttest_ind(HIGH, LOW, equal_var=False)
    assert effects.verdict.test == "welch"
    assert table_value(effects.terms, "a", "t") == pytest.approx(theirs.statistic)
    assert table_value(effects.terms, "a", "p") == pytest.approx(theirs.pvalue)
    assert effects.verdict.welch_df == pytest.approx(theirs.df)
    interval = theirs.confidence_interval()
    assert 2 * table_value(effects.terms, "a", "ci_low") == pytest.approx(interval.low)


def test_equal_spread_that_is_requested_has_the_pooled_test() -> None:
    effects = fit_effects(_two_cells(), [FACTOR], "y", equal_spread=True)
    assert effects.verdict.test == "pooled"
    pooled = ttest_ind(HIGH, LOW)
    assert table_value(effects.terms, "a", "p") == pytest.approx(pooled.pvalue)


def _factorial(spread: list[float], seed: int) -> pd.DataFrame:
    cells = [(a, b) for b in (-1, 1) for a in (-1, 1)] * 3
    runs = pd.DataFrame(cells, columns=["a", "b"])
    sd = np.tile(spread, 3)
    return runs.assign(y=np.random.default_rng(seed).normal(size=12) * sd)


FACTORS = [Factor("a", -1, 1), Factor("b", -1, 1)]


def test_in_a_balanced_design_only_the_degrees_of_freedom_change() -> None:
    table = _factorial([1, 1, 1, 20], 4)
    ours = fit_effects(table, FACTORS, "y", order=2)
    pooled = fit_effects(table, FACTORS, "y", order=2, equal_spread=True)
    assert ours.verdict.test == "welch"
    np.testing.assert_allclose(ours.terms["std_error"], pooled.terms["std_error"])
    # One cell has nearly all of the variance: 2 degrees of freedom.
    assert ours.verdict.welch_df == pytest.approx(2, abs=0.2)
    assert (ours.terms["p"] >= pooled.terms["p"]).all()
    assert ours.verdict.margin > pooled.verdict.margin


def test_active_terms_are_those_with_a_small_p() -> None:
    table = _factorial([1, 1, 1, 6], 5)
    table["y"] += 20 * table["a"]
    effects = fit_effects(table, FACTORS, "y", order=2)
    assert effects.verdict.test == "welch"
    small = effects.terms["p"].drop("intercept").lt(0.05)
    assert list(effects.active) == [str(name) for name in small.index[small]]
    assert "a" in effects.active


def test_many_experiments_at_once_have_the_spreads_of_each() -> None:
    x = np.array([[1, a, b, a * b] for b in (-1, 1) for a in (-1, 1)] * 3, dtype=float)
    cells = np.tile(np.arange(4), 3)
    y = np.random.default_rng(2).normal(size=(5, 12))
    every = cell_spreads(x, y, cells)
    assert every is not None
    for number, own in enumerate(y):
        one = cell_spreads(x, own, cells)
        assert one is not None
        np.testing.assert_allclose(every.std_error[number], one.std_error)
        np.testing.assert_allclose(every.df[number], one.df)
        assert every.p[number] == one.p


def test_the_test_of_equal_spread_has_its_level() -> None:
    x = np.array([[1, a, b, a * b] for b in (-1, 1) for a in (-1, 1)] * 3, dtype=float)
    y = np.random.default_rng(3).normal(size=(4000, 12))
    found = cell_spreads(x, y, np.tile(np.arange(4), 3))
    assert found is not None
    assert (found.p < UNEQUAL_P).mean() == pytest.approx(UNEQUAL_P, abs=0.03)


def test_blocks_do_not_count_as_spread() -> None:
    table = _factorial([1, 1, 1, 1], 6)
    table["seed"] = np.repeat([1, 2, 3], 4)
    shifted = table.assign(y=table["y"] + 100 * table["seed"])
    plain = fit_effects(table, FACTORS, "y", order=2, block="seed")
    moved = fit_effects(shifted, FACTORS, "y", order=2, block="seed")
    assert moved.verdict.spread_p == pytest.approx(plain.verdict.spread_p)
    np.testing.assert_allclose(moved.terms["p"].iloc[1:], plain.terms["p"].iloc[1:])


def test_without_replicates_in_half_of_the_cells_the_spread_is_not_tested() -> None:
    x = np.array([[1, a, b, a * b] for b in (-1, 1) for a in (-1, 1)], dtype=float)
    x = np.vstack([x, x[:1], x[:1], x[:1]])
    cells = np.array([0, 1, 2, 3, 0, 0, 0])
    assert cell_spreads(x, np.arange(7.0), cells) is None
