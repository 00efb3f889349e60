"""The smallest effect that a design finds, against other programs and against simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestIndPower

from analysis.designs.factorial import full_factorial
from analysis.effects.fit import fit_effects
from analysis.effects.power import smallest_effect
from analysis.factors import Factor

FACTORS = tuple(Factor(name, -1, 1) for name in "abc")


def _cells(replicates: int, factors: tuple[Factor, ...] = FACTORS, centre: int = 0) -> pd.DataFrame:
    design = full_factorial(factors, replicates=replicates, centre_points=centre, seed=1)
    return design.cells


def test_one_factor_is_a_comparison_of_two_means() -> None:
    found = smallest_effect(_cells(8, FACTORS[:1]), FACTORS[:1])
    assert (found.test, found.error_df) == ("pooled", 14)
    expected = TTestIndPower().solve_power(nobs1=8, alpha=0.05, power=0.8)
    # Where the spread of both cells does not look equal, the test is Welch's; by simulation.
    assert found.size == pytest.approx(float(expected), rel=0.05)
    assert found.size >= 0.99 * float(expected)


@pytest.mark.slow  # a simulation
@pytest.mark.parametrize("replicates", [1, 2])
def test_the_verdict_finds_such_an_effect_as_often_as_promised(replicates: int) -> None:
    cells = _cells(replicates)
    found = smallest_effect(cells, FACTORS)
    assert found.test == ("lenth" if replicates == 1 else "pooled")
    rng = np.random.default_rng(7)
    coded = cells["b"].to_numpy(float)
    trials = 80
    active = 0
    for _ in range(trials):
        y = found.size / 2 * coded + rng.standard_normal(len(cells))
        active += "b" in fit_effects(cells.assign(y=y), FACTORS, "y").active
    # Three standard errors of a share of 0.8.
    assert active / trials == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / trials))


def test_more_replicates_find_smaller_effects_and_more_power_wants_larger_ones() -> None:
    sizes = [smallest_effect(_cells(n), FACTORS).size for n in (1, 2, 4, 8)]
    assert sizes == sorted(sizes, reverse=True)
    cells = _cells(2)
    sizes = [smallest_effect(cells, FACTORS, power=p).size for p in (0.5, 0.8, 0.95)]
    assert sizes == sorted(sizes)


def test_centre_points_give_degrees_of_freedom_and_no_precision() -> None:
    found = smallest_effect(_cells(1, centre=4), FACTORS)
    assert (found.test, found.error_df) == ("pooled", 3)


def test_two_runs_find_nothing() -> None:
    found = smallest_effect(_cells(1, FACTORS[:1]), FACTORS[:1])
    assert (found.size, found.test) == (math.inf, "none")
