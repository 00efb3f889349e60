"""Factors may have any name: also that of a column which the program adds to a table."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis.designs.factorial import full_factorial
from analysis.effects.compare_scales import compare_scales, fit_on_scales
from analysis.effects.dispersion import dispersion
from analysis.effects.fit import fit_effects
from analysis.effects.power import smallest_effect
from analysis.factors import Factor
from analysis.plots.effects import effect_figures
from analysis.search.best_cell import select
from analysis.search.refined_grid import decide_grid

#: Settings of the networks, and columns of tables inside the program.
NAMES = [
    *("residual", "fitted", "studentised", "short", "noise", "_noise", "stage", "seed"),
    *("level", "term", "effect", "coefficient", "p", "t", "index", "count", "size", "block size"),
]


def _runs(first: str, second: str, third: str) -> tuple[list[Factor], pd.DataFrame]:
    factors = [
        Factor(first, low=False, high=True, scale="categorical"),
        Factor(second, 8, 32, "log", counts=True),
        Factor(third, 0.001, 0.1, "log"),
    ]
    cells = full_factorial(factors, replicates=2).cells[[f.name for f in factors]]
    rng = np.random.default_rng(3)
    height = 0.6 + 0.1 * cells[first].astype(float) + 0.002 * cells[second].astype(float)
    collapsed = (cells[third] == 0.1) & (np.arange(len(cells)) % 3 == 0)
    accuracy = np.where(collapsed, 0.5, height + 0.01 * rng.standard_normal(len(cells)))
    return factors, cells.assign(accuracy=accuracy, collapsed=collapsed)


def _results(*names: str) -> tuple[list[Any], list[Any]]:
    """Return the numbers and the levels of an analysis of three factors with these names."""
    factors, runs = _runs(*names)
    fit = fit_effects(runs, factors, "accuracy")
    assert fit.collapse is not None
    assert fit.collapse.learned is not None
    tables = [
        *(fit.terms, fit.anova, fit.collapse.learned.terms, fit.collapse.levels),
        dispersion(fit),
        compare_scales(fit_on_scales(fit, images=100)),
        select(runs, factors, "accuracy").cells[["mean", "n"]],
    ]
    assert effect_figures(fit)
    plt.close("all")
    cells = runs[list(names)]
    numbers = [table.select_dtypes("number").to_numpy() for table in tables]
    smallest = smallest_effect(cells, factors)
    return [*numbers, np.array(smallest.size)], list(decide_grid(fit).grid.values())


@pytest.fixture(scope="module")
def expected() -> tuple[list[Any], list[Any]]:
    return _results("x1", "x2", "x3")


@pytest.mark.parametrize("names", zip(NAMES[::3], NAMES[1::3], NAMES[2::3], strict=True))
def test_the_names_of_factors_change_nothing(
    names: tuple[str, str, str], expected: tuple[list[Any], list[Any]]
) -> None:
    numbers, levels = _results(*names)
    for found, other in zip(numbers, expected[0], strict=True):
        np.testing.assert_array_equal(found, other)
    assert levels == expected[1]
