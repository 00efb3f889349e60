"""Effects of factors that count only with some values of others."""

import numpy as np
import pandas as pd
import pytest

from analysis.designs.factorial import full_factorial
from analysis.designs.mixed_levels import usual_design
from analysis.effects.fit import fit_effects
from analysis.effects.model_matrix import code_levels, model_matrix
from analysis.effects.power import smallest_effect
from analysis.errors import FactorError
from analysis.factors import Factor, count_of_different_cells, with_conditions
from analysis.plots.effects import effect_figures
from analysis.search.procedure import SearchRules, screen_runs
from analysis.search.refined_grid import decide_grid
from analysis.search.space import Space

OPTIMIZER = Factor("optimizer", "adam", "rmsprop", "categorical", values=("adam", "sgd", "rmsprop"))
MOMENTUM = Factor("momentum", 0.5, 0.9, when=(("optimizer", ("sgd",)),), otherwise=0.0)
RATE = Factor("rate", 1e-3, 1e-1, "log", (1e-8, 10.0))
FACTORS = (OPTIMIZER, MOMENTUM, RATE)


def _runs(*, sgd: float = 0.1, replicates: int = 2) -> pd.DataFrame:
    design = full_factorial(FACTORS).cells
    cells = [
        with_conditions(FACTORS, {f.name: row[f.name] for f in FACTORS})
        for row in design.to_dict("records")
    ]
    runs = pd.DataFrame(cells).drop_duplicates()
    runs = pd.concat([runs] * replicates, ignore_index=True)
    counts = runs["optimizer"] == "sgd"
    noise = np.random.default_rng(2).normal(0, 0.001, len(runs))
    return runs.assign(
        y=0.6
        + sgd * counts
        + 0.05 * (runs["momentum"] == 0.9)
        + 0.02 * (runs["rate"] < 0.01)
        + noise
    )


def test_the_effect_is_that_of_the_runs_in_which_the_factor_counts() -> None:
    runs = _runs()
    assert len(runs) == 2 * count_of_different_cells(FACTORS) == 2 * (4 + 2 + 2)
    effects = fit_effects(runs, FACTORS, "y")
    counting = runs[runs["optimizer"] == "sgd"]
    means = counting.groupby("momentum")["y"].mean()
    assert effects.terms.loc["momentum", "effect"] == pytest.approx(means[0.9] - means[0.5])
    assert {"momentum", "rate", "optimizer[sgd]"} <= set(effects.active)
    # Its condition does not vary where it counts: no interaction, and no alias of one.
    assert not [t for t in effects.terms.index if "optimizer" in t and "momentum" in t]
    assert (effects.aliased, effects.warnings) == ((), ())


def test_runs_in_which_the_factor_does_not_count_do_not_change_its_effect() -> None:
    runs = _runs()
    other = runs.assign(y=runs["y"] + 0.3 * (runs["optimizer"] != "sgd"))
    first, second = (fit_effects(r, FACTORS, "y").terms["effect"] for r in (runs, other))
    assert first["momentum"] == pytest.approx(second["momentum"])


def test_the_decision_says_where_the_factor_does_not_count() -> None:
    counts = decide_grid(fit_effects(_runs(), FACTORS, "y"))
    assert counts.grid["momentum"] == (0.7, 0.9, 1.1)
    without = decide_grid(fit_effects(_runs(sgd=-0.3), FACTORS, "y"))
    reason = next(r for r in without.reasons if r.factor == "momentum")
    assert without.corner["optimizer"] != "sgd"
    assert (reason.code, reason.levels) == ("conditional", (0.0,))
    assert reason.at == {"optimizer": without.corner["optimizer"]}


def test_equal_cells_of_a_screen_are_run_once() -> None:
    rules = SearchRules(FACTORS, "y", usual_design(FACTORS), replicates=2)
    runs = screen_runs(rules)
    seen = [(tuple(run.levels.values()), run.number) for run in runs]
    assert len(seen) == len(set(seen)) == 16
    assert {run.levels["momentum"] for run in runs if run.levels["optimizer"] != "sgd"} == {0.0}
    cells = pd.DataFrame([run.levels for run in runs], dtype=object)
    assert np.isfinite(smallest_effect(cells, FACTORS).size)


def test_the_process_sees_the_middle_where_a_factor_does_not_count() -> None:
    space = Space(FACTORS, (OPTIMIZER.levels, (0.5, 0.7, 0.9), (1e-3, 1e-1)))
    features = {cell: tuple(space.features([cell])[0]) for cell in space.cells()}
    # Three optimizers, of which one has three values of momentum; two rates.
    assert len(set(features.values())) == 2 * (3 + 1 + 1)
    for cell in space.cells():
        assert features[cell] == features[space.distinct(cell)]
        counts = space.natural(cell)["optimizer"] == "sgd"
        assert counts or space.natural(cell)["momentum"] == 0.0


def test_every_figure_takes_a_factor_with_a_condition() -> None:
    figures = effect_figures(fit_effects(_runs(), FACTORS, "y"))
    assert {"main_effects", "interactions", "cube"} <= set(figures)


def test_columns_of_factors_without_conditions_are_as_before() -> None:
    plain = (RATE, Factor("x", 1, 2), Factor("c", "a", "b", "categorical"))
    coded = code_levels(full_factorial(plain).cells, plain)
    assert model_matrix(coded, 3, plain).equals(model_matrix(coded, 3))


def test_a_category_of_three_values_has_no_condition() -> None:
    with pytest.raises(FactorError, match="two values at most"):
        Factor("c", "a", "c", "categorical", values=("a", "b", "c"), when=(("x", (1,)),))
