from itertools import product

import numpy as np
import pandas as pd
import pytest

from analysis.effects.fit import fit_effects
from analysis.effects.least_squares import table_value
from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search.refined_grid import decide_grid, move_outward, refined_levels

PAPER_FACTORS = CONV, FC, RATE = (
    Factor("conv", 3, 6, "integer", (1, 16)),
    Factor("fc", 1, 3, "integer", (1, 16)),
    Factor("lr", 0.001, 0.1, "log"),
)


def paper() -> pd.DataFrame:
    """Return the published study's eight accuracies, recomputed from its table 2."""
    rows = list(product(*(f.levels for f in PAPER_FACTORS)))
    accuracy = [0.80875, 0.58205, 0.79965, 0.50155, 0.88805, 0.66115, 0.90795, 0.50125]
    return pd.DataFrame(rows, columns=["conv", "fc", "lr"]).assign(accuracy=accuracy)


def whole(k: int) -> tuple[pd.DataFrame, list[Factor]]:
    names = list("ABC"[:k])
    rows = [corner[::-1] for corner in product((-1, 1), repeat=k)]
    return pd.DataFrame(rows, columns=names), [Factor(name, -1, 1) for name in names]


def test_the_published_grid_follows_from_the_published_accuracies() -> None:
    decision = decide_grid(fit_effects(paper(), PAPER_FACTORS, "accuracy"))
    assert decision.grid == {"conv": (6, 7), "fc": (1, 2), "lr": (0.0001, 0.001, 0.01)}
    assert decision.corner == {"conv": 6, "fc": 1, "lr": 0.001}
    assert decision.n_cells == 12


def test_the_reasons_are_data() -> None:
    decision = decide_grid(fit_effects(paper(), PAPER_FACTORS, "accuracy"))
    codes = {r.factor: (r.code, r.test, r.terms) for r in decision.reasons}
    assert codes["lr"] == ("active", "lenth", ("lr",))
    assert codes["conv"] == ("inactive", "lenth", ())
    rate = next(r for r in decision.reasons if r.factor == "lr")
    assert rate.effect == pytest.approx(-0.2896, abs=5e-5)


def test_if_a_level_always_collapses_other_factors_are_judged_at_the_other_level() -> None:
    # At the working rate the deep network is worse; at the collapsed one luck says the reverse.
    table = paper()
    table["collapsed"] = table["lr"] == 0.1
    table["accuracy"] = [0.92, 0.40, 0.90, 0.41, 0.85, 0.50, 0.84, 0.51]
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    decision = decide_grid(effects)
    assert effects.terms["effect"]["conv"] > 0
    assert decision.corner == {"conv": 3, "fc": 1, "lr": 0.001}
    reasons = {r.factor: r for r in decision.reasons}
    assert reasons["lr"].code == "collapsed"
    assert reasons["conv"].at == {"lr": 0.001}
    assert decision.reasons[0].at == {"lr": 0.001}


def test_if_some_runs_collapse_the_strongest_factor_is_decided_before_the_others() -> None:
    # Of the runs that learned, the deep network is better; the collapsed ones say the reverse.
    table = paper()
    table["accuracy"] = [0.80, 0.70, 0.80, 0.71, 0.90, 0.50, 0.91, 0.50]
    table["collapsed"] = table["accuracy"] == 0.5
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert effects.collapse is not None
    decision = decide_grid(effects)
    assert decision.corner["lr"] == 0.001
    assert decision.corner["conv"] == 6
    reasons = {r.factor: r for r in decision.reasons}
    assert (reasons["lr"].code, reasons["lr"].at) == ("strongest", {})
    assert reasons["lr"].effect == pytest.approx(table_value(effects.terms, "lr", "effect"))
    assert effects.collapse.learned is not None
    inner = table_value(effects.collapse.learned.terms, "conv", "effect")
    assert reasons["conv"].effect == pytest.approx(inner)
    assert inner > 0 > table_value(effects.terms, "conv", "effect")


def test_the_strongest_factor_takes_its_lower_level_if_a_lower_response_is_better() -> None:
    table = paper().rename(columns={"accuracy": "loss"})
    table["loss"] = [0.4, 0.5, 0.4, 0.5, 0.3, 0.69, 0.31, 0.69]
    table["collapsed"] = table["loss"] == 0.69
    decision = decide_grid(fit_effects(table, PAPER_FACTORS, "loss"), maximise=False)
    assert (decision.corner["lr"], decision.corner["conv"]) == (0.001, 6)


def test_a_factor_with_an_aliased_effect_keeps_both_levels() -> None:
    runs, factors = whole(2)
    table = pd.concat([runs, runs]).assign(
        C=lambda t: t["A"], y=[1, 3, 1.5, 3.2, 1.1, 3.1, 1.4, 3.3]
    )
    decision = decide_grid(fit_effects(table, [*factors, Factor("C", -1, 1)], "y", order=1))
    reasons = {r.factor: r.code for r in decision.reasons}
    assert reasons["C"] == "unknown"
    assert decision.grid["C"] == (-1, 1)


def test_active_interactions_decide_the_corner() -> None:
    runs, factors = whole(3)
    rng = np.random.default_rng(1)
    y = 0.1 * runs["A"] + runs["B"] - 2 * runs["A"] * runs["B"] + rng.normal(0, 0.01, 8)
    corner = decide_grid(fit_effects(runs.assign(y=y), factors, "y")).corner
    assert (corner["A"], corner["B"]) == (-1, 1)


def test_a_three_factor_interaction_counts_only_beyond_the_simultaneous_margin() -> None:
    # A:B:C is active by the margin for one effect alone; it would turn the corner over.
    runs, factors = whole(3)
    signs = runs["A"] * runs["B"] * runs["C"]
    noise = 0.02 * (runs["A"] * runs["B"] + runs["B"] * runs["C"])
    y = 0.01 * (runs["A"] + runs["B"] + runs["C"]) - 0.06 * signs + noise
    effects = fit_effects(runs.assign(y=y), factors, "y", order=3)
    assert effects.active == ("A:B:C",)
    assert effects.verdict.active_jointly == ()
    assert decide_grid(effects).corner == {"A": 1, "B": 1, "C": 1}


def test_a_lower_response_can_be_better() -> None:
    effects = fit_effects(paper().assign(loss=lambda t: 1 - t["accuracy"]), PAPER_FACTORS, "loss")
    assert decide_grid(effects, maximise=False).corner == {"conv": 6, "fc": 1, "lr": 0.001}


def test_a_budget_drops_levels_of_inactive_factors_first() -> None:
    effects = fit_effects(paper(), PAPER_FACTORS, "accuracy")
    decision = decide_grid(effects, budget=6)
    assert decision.grid == {"conv": (6, 7), "fc": (1,), "lr": (0.0001, 0.001, 0.01)}
    assert next(r for r in decision.reasons if r.factor == "fc").code == "budget"
    assert decide_grid(effects, budget=1).n_cells == 1
    with pytest.raises(DesignError, match="budget 0"):
        decide_grid(effects, budget=0)


@pytest.mark.parametrize(
    ("factor", "best", "levels"),
    [
        (CONV, 6, (6, 7)),
        (CONV, 3, (2, 3)),
        (FC, 1, (1, 2)),
        (Factor("n", 1, 2, "integer", (1, 2)), 2, (1, 2)),
        (Factor("units", 64, 256, "integer"), 256, (256, 304)),
        (RATE, 0.001, (0.0001, 0.001, 0.01)),
        (Factor("lr", 1e-3, 1e-1, "log", (1e-3, 1)), 1e-3, (1e-3, 1e-2)),
        (Factor("dropout", 0.0, 0.5, "linear", (0, 0.95)), 0.0, (0.0, 0.25)),
        (Factor("dropout", 0.0, 0.5, "linear", (0, 0.95)), 0.5, (0.25, 0.5, 0.75)),
        (Factor("optimizer", "adam", "sgd", "categorical"), "sgd", ("sgd",)),
    ],
)
def test_levels_are_refined_on_the_factors_scale_and_inside_its_domain(
    factor: Factor, best: object, levels: tuple[object, ...]
) -> None:
    assert refined_levels(factor, best) == levels  # type: ignore[arg-type]


GRID = {"conv": (6, 7), "fc": (1, 2), "lr": (0.0001, 0.001, 0.01)}


def test_a_best_cell_on_the_edge_moves_the_grid_outward() -> None:
    moved = move_outward(GRID, {"conv": 7, "fc": 2, "lr": 0.0001}, PAPER_FACTORS)
    assert moved == {"conv": (7, 8), "fc": (2, 3), "lr": (0.00001, 0.0001, 0.001)}


def test_a_best_cell_inside_or_at_the_end_of_the_domain_stays() -> None:
    inside = {"conv": 6, "fc": 1, "lr": 0.001}
    factors = [Factor("conv", 6, 8, "integer", (6, 16)), FC, RATE]
    assert move_outward(GRID, inside, factors) is None


ALIASED = [(1, 10, "x", 10), (2, 10, "z", 20), (1, 20, "x", 15), (2, 20, "z", 26)]


@pytest.mark.parametrize(("maximise", "levels"), [(True, (2, "z")), (False, (1, "x"))])
@pytest.mark.parametrize("budget", [1, 2, 4])
def test_within_a_budget_an_aliased_factor_keeps_its_level_of_the_best_runs(
    budget: int, levels: tuple[int, str], *, maximise: bool
) -> None:
    runs = pd.DataFrame(ALIASED * 2, columns=["A", "B", "D", "y"])
    runs["y"] += [0, 0, 0, 0, 1, 1, -1, -1]
    factors = [
        Factor("A", 1, 2, "integer"),
        Factor("B", 10, 20, "integer"),
        Factor("D", "x", "z", "categorical"),
    ]
    effects = fit_effects(runs, factors, "y")
    decision = decide_grid(effects, budget=budget, maximise=maximise)
    assert (decision.corner["A"], decision.corner["D"]) == levels
    assert decision.grid["D"] == levels[1:]
    reason = decision.reasons[2]
    assert (reason.code, reason.terms) == ("budget", ("A",))
    whole = decide_grid(effects, maximise=maximise)
    assert whole.grid["D"] == ("x", "z")


def test_a_factor_without_any_effect_has_no_better_level() -> None:
    runs, factors = whole(2)
    effects = fit_effects(runs.assign(y=[0.1, 0.3, 0.1, 0.3]), factors, "y")
    reasons = {r.factor: r for r in decide_grid(effects).reasons}
    assert reasons["A"].effect == pytest.approx(0.2)
    assert (reasons["B"].effect, reasons["B"].level) == (0.0, -1)
