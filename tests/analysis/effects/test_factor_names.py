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
    *(
        "level",
        "term",
        "effect",
        "coefficient",
        "p",
        "t",
        "index",
        "count",
        "size",
        "name",
        "block size",
    ),
]


def _runs(first: str, second: str) -> tuple[list[Factor], pd.DataFrame]:
    factors = [
        Factor(first, low=False, high=True, scale="categorical"),
        Factor(second, 8, 32, "log", counts=True),
        Factor("rate", 0.001, 0.1, "log"),
    ]
    cells = full_factorial(factors, replicates=2).cells[[f.name for f in factors]]
    rng = np.random.default_rng(3)
    height = 0.6 + 0.1 * cells[first].astype(float) + 0.002 * cells[second].astype(float)
    collapsed = (cells["rate"] == 0.1) & (np.arange(len(cells)) % 3 == 0)
    accuracy = np.where(collapsed, 0.5, height + 0.01 * rng.standard_normal(len(cells)))
    return factors, cells.assign(accuracy=accuracy, collapsed=collapsed)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_factor_changes_nothing(name: str) -> None:
    found: list[Any] = []
    expected: list[Any] = []
    for first, second, results in (
        (name, "x2", found),
        ("x1", name, found),
        ("x1", "x2", expected),
    ):
        factors, runs = _runs(first, second)
        fit = fit_effects(runs, factors, "accuracy")
        others = [
            dispersion(fit).select_dtypes("number").to_numpy(),
            compare_scales(fit_on_scales(fit, images=100)).select_dtypes("number").to_numpy(),
            select(runs, factors, "accuracy").cells["mean"].to_numpy(),
        ]
        assert fit.collapse is not None
        assert fit.collapse.learned is not None
        tables = [fit.terms, fit.anova, fit.collapse.learned.terms, fit.collapse.levels]
        numbers = [table.select_dtypes("number").to_numpy() for table in tables]
        levels = list(decide_grid(fit).grid.values())
        results.append((numbers, others, levels))
        figures = effect_figures(fit)
        assert figures
        plt.close("all")
    for one in found:
        for a, b in zip([*one[0], *one[1]], [*expected[0][0], *expected[0][1]], strict=True):
            np.testing.assert_array_equal(a, b)
        assert one[2] == expected[0][2]


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_effect_does_not_depend_on_names(name: str) -> None:
    factors, runs = _runs(name, "x2")
    others, same = _runs("x1", "x2")
    cells = runs[[f.name for f in factors]]
    found = smallest_effect(cells, factors)
    assert found == smallest_effect(same[[f.name for f in others]], others)
