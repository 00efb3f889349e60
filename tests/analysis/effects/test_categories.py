"""Effects of categories of three and more values."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from analysis.designs.factorial import design_of_fraction, full_factorial
from analysis.designs.mixed_levels import design_within
from analysis.effects.compare_scales import fit_on_scales
from analysis.effects.dispersion import dispersion
from analysis.effects.fit import fit_effects
from analysis.errors import DesignError, FactorError
from analysis.factors import Factor
from analysis.plots.effects import effect_figures
from analysis.search.refined_grid import decide_grid

OPTIMIZER = Factor("optimizer", "adam", "rmsprop", "categorical", values=("adam", "sgd", "rmsprop"))
DROPOUT = Factor("dropout", 0.1, 0.5, domain=(0, 0.9))
NORM = Factor("norm", "none", "batch", "categorical")
FACTORS = [OPTIMIZER, DROPOUT, NORM]
MEANS = {"adam": 0.70, "sgd": 0.78, "rmsprop": 0.66}


def _runs(
    replicates: int = 2, noise: float = 0.004, factors: list[Factor] | None = None
) -> pd.DataFrame:
    cells = full_factorial(factors or FACTORS, replicates=replicates, seed=1).cells
    rng = np.random.default_rng(5)
    y = cells["optimizer"].map(MEANS) + 0.05 * (cells["norm"] == "batch")
    return cells.assign(y=y + rng.normal(0, noise, len(cells)))


def test_contrasts_and_their_f_test_are_those_of_statsmodels() -> None:
    runs = _runs()
    effects = fit_effects(runs, FACTORS, "y", order=1, equal_spread=True)
    model = smf.ols("y ~ C(optimizer, Treatment('adam')) + C(norm) + dropout", runs).fit()
    for value in ("sgd", "rmsprop"):
        name = f"C(optimizer, Treatment('adam'))[T.{value}]"
        row = effects.terms.loc[f"optimizer[{value}]"]
        assert row["effect"] == pytest.approx(model.params[name])
        assert 2 * row["std_error"] == pytest.approx(model.bse[name])
        assert row["p"] == pytest.approx(model.pvalues[name])
    tested = model.wald_test_terms(scalar=True).table.loc["C(optimizer, Treatment('adam'))"]
    assert effects.anova.loc["factor optimizer", "df"] == 2
    assert effects.anova.loc["factor optimizer", "f"] == pytest.approx(tested["statistic"])
    assert effects.anova.loc["factor optimizer", "p"] == pytest.approx(tested["pvalue"])


def test_the_decision_takes_the_best_category() -> None:
    effects = fit_effects(_runs(), FACTORS, "y")
    assert {"optimizer[sgd]", "optimizer[rmsprop]"} <= set(effects.active)
    decision = decide_grid(effects)
    reason = next(r for r in decision.reasons if r.factor == "optimizer")
    assert (decision.corner["optimizer"], decision.grid["optimizer"]) == ("sgd", ("sgd",))
    assert (reason.code, reason.between) == ("active", ("adam", "sgd"))
    assert reason.effect == pytest.approx(0.08, abs=0.01)
    worst = decide_grid(effects, maximise=False)
    assert worst.corner["optimizer"] == "rmsprop"


def test_an_interaction_with_a_category_moves_the_corner() -> None:
    runs = _runs()
    best = (runs["optimizer"] == "rmsprop") & (runs["dropout"] == 0.5)
    effects = fit_effects(runs.assign(y=runs["y"] + 0.3 * best), FACTORS, "y")
    assert "optimizer[rmsprop]:dropout" in effects.active
    corner = decide_grid(effects).corner
    assert corner == {"optimizer": "rmsprop", "dropout": 0.5, "norm": "batch"}


def test_a_reference_that_is_best_is_compared_with_the_most_different_value() -> None:
    runs = _runs()
    runs["y"] += 0.3 * (runs["optimizer"] == "adam")
    reason = decide_grid(fit_effects(runs, FACTORS, "y")).reasons[0]
    assert (reason.level, reason.between) == ("adam", ("adam", "rmsprop"))
    assert reason.effect < 0


def test_terms_with_categories_can_be_requested_by_the_names_of_factors() -> None:
    effects = fit_effects(_runs(), FACTORS, "y", terms=["norm:optimizer", "dropout"])
    assert [*effects.terms.index] == [
        "intercept",
        "dropout",
        "optimizer[sgd]:norm",
        "optimizer[rmsprop]:norm",
    ]
    with pytest.raises(DesignError, match="no factor 'optim'"):
        fit_effects(_runs(), FACTORS, "y", terms=["optim"])


def test_a_level_that_is_no_category_is_one_line() -> None:
    runs = _runs()
    runs.loc[0, "optimizer"] = "nadam"
    with pytest.raises(FactorError, match="'nadam' is not one of 'adam', 'sgd', 'rmsprop'"):
        fit_effects(runs, FACTORS, "y")


def test_every_figure_and_table_takes_three_categories() -> None:
    effects = fit_effects(_runs(), FACTORS, "y")
    figures = effect_figures(effects)
    assert {"main_effects", "interactions", "cube"} <= set(figures)
    labels = [t.get_text() for t in figures["main_effects"].axes[0].get_xticklabels()]
    assert labels == ["adam", "sgd", "rmsprop"]
    assert [*dispersion(effects).index] == [
        "optimizer[sgd]",
        "optimizer[rmsprop]",
        "dropout",
        "norm",
    ]
    assert len(fit_on_scales(effects)) > 1
    alone = fit_effects(_runs(), [OPTIMIZER, NORM], "y")
    assert "cube" not in effect_figures(alone)


def test_main_effects_of_a_mixed_fraction_are_estimated_without_its_interactions() -> None:
    factors = [OPTIMIZER, DROPOUT, NORM, Factor("a", 1, 2), Factor("b", 1, 2)]
    chosen = design_within(factors, 8)
    assert chosen is not None
    cells = design_of_fraction(chosen, factors, seed=2).cells
    y = cells["optimizer"].map(MEANS) + 0.05 * (cells["norm"] == "batch")
    effects = fit_effects(cells.assign(y=y), factors, "y")
    assert effects.order == 1
    found = effects.terms["effect"]
    assert found["optimizer[sgd]"] == pytest.approx(0.08)
    assert found["optimizer[rmsprop]"] == pytest.approx(-0.04)
    assert found["norm"] == pytest.approx(0.05)
    assert found["a"] == pytest.approx(0)
    # The reference stands at more runs by design, which is no fault of the table.
    assert "unbalanced" not in {caution.kind for caution in effects.warnings}


def test_missing_cells_of_categories_are_listed() -> None:
    runs = _runs(replicates=1)
    lost = (runs["optimizer"] == "sgd") & (runs["dropout"] == 0.1) & (runs["norm"] == "none")
    effects = fit_effects(runs[~lost], FACTORS, "y")
    missing = next(c for c in effects.warnings if c.kind == "missing_cells")
    assert missing.details["total"] == 12
    assert missing.details["cells"] == ({"optimizer": "sgd", "dropout": 0.1, "norm": "none"},)


def test_two_categories_have_the_same_effects_in_any_order_of_the_runs() -> None:
    cells = list(product(("adam", "sgd", "rmsprop"), ("none", "batch")))
    runs = pd.DataFrame(cells * 2, columns=["optimizer", "norm"])
    runs["y"] = runs["optimizer"].map(MEANS) + np.arange(len(runs)) * 0.001
    factors = [OPTIMIZER, NORM]
    first = fit_effects(runs, factors, "y").terms
    second = fit_effects(runs[::-1], factors, "y").terms
    assert np.allclose(first["effect"].dropna(), second["effect"].dropna())
