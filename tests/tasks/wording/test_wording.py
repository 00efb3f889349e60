"""Findings as text: the same numbers and names in every language."""

import math
import re
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.designs.factorial import plackett_burman
from analysis.designs.response_surface import central_composite
from analysis.effects.fit import fit_effects
from analysis.effects.result import Effects
from analysis.factors import Factor
from analysis.search.best_cell import select
from analysis.search.budget import rules_for_budget
from analysis.search.procedure import SearchRules
from analysis.search.refined_grid import LevelReason, decide_grid
from analysis.surface.fit import fit_surface
from tasks.languages import LANGUAGES, translator
from tasks.study.study_file import DataPart, PilotFinding
from tasks.wording.cautions import caution_as_text
from tasks.wording.decision import decision_as_text, level_reason_as_text, why_as_text
from tasks.wording.effects import (
    effects_as_text,
    effects_in_brief,
    learned_title,
    posterior_as_text,
    terms_table,
    verdict_as_text,
)
from tasks.wording.pictures import pictures_as_text
from tasks.wording.pilot import pilot_as_text
from tasks.wording.selection import selection_as_text
from tasks.wording.surface import surface_as_text
from tasks.wording.values import aligned, listed

ENGLISH, KOREAN = translator("en"), translator("ko")
PAPER_FACTORS = (
    Factor("conv", 3, 6, "integer", (1, 16)),
    Factor("fc", 1, 3, "integer", (1, 16)),
    Factor("lr", 0.001, 0.1, "log"),
)
#: Recomputed from table 2 of the published study; order conv, fc, lr, the last fastest.
PAPER_ACCURACY = (0.80875, 0.58205, 0.79965, 0.50155, 0.88805, 0.66115, 0.90795, 0.50125)
DEPTH = Factor("depth", 3, 6, "integer")


def paper() -> pd.DataFrame:
    rows = list(product(*(f.levels for f in PAPER_FACTORS)))
    return pd.DataFrame(rows, columns=["conv", "fc", "lr"]).assign(accuracy=PAPER_ACCURACY)


def fitted(table: pd.DataFrame) -> Effects:
    return fit_effects(table, PAPER_FACTORS, "accuracy")


def coded(k: int, replicates: int = 1) -> tuple[pd.DataFrame, list[Factor]]:
    """Return the runs of a full design on coded levels, the first factor fastest."""
    names = "ABC"[:k]
    rows = [corner[::-1] for corner in product((-1, 1), repeat=k)] * replicates
    return pd.DataFrame(rows, columns=list(names)), [Factor(name, -1, 1) for name in names]


def warnings_as_text(fit: Any) -> str:
    return " ".join(caution_as_text(caution, ENGLISH) for caution in fit.warnings)


def verdict_text(effects: Effects) -> str:
    return " ".join(verdict_as_text(effects.verdict, ENGLISH))


def test_lenths_verdict_says_what_one_degree_of_freedom_cannot_show() -> None:
    text = verdict_text(fitted(paper()))
    assert "Error degrees of freedom: 1." in text
    assert "12.7" in text
    assert "Lenth" in text


@pytest.mark.parametrize("translate", [ENGLISH, KOREAN])
def test_an_unreplicated_design_has_the_probability_that_an_effect_is_active(
    translate: Any,
) -> None:
    effects = fitted(paper())
    assert effects.posterior is not None
    found = effects.posterior.loc["lr"]
    (sentence,) = posterior_as_text(effects, translate)
    for part in ("lr", "20%", "50%", *(f"{x:.2f}" for x in found)):
        assert part in sentence
    assert f"{found['probability']:.2f}" in terms_table(effects, translate)


def test_replicates_have_no_such_probability() -> None:
    table, factors = coded(3, replicates=2)
    table["y"] = np.random.default_rng(0).standard_normal(16)
    effects = fit_effects(table, factors, "y")
    assert not posterior_as_text(effects, ENGLISH)
    assert "P(active)" not in effects_as_text(effects, ENGLISH)


def test_without_a_probable_effect_the_sentence_names_none() -> None:
    table, factors = coded(3)
    # One run differs from the others, so all effects are of one size.
    table["y"] = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9]
    effects = fit_effects(table, factors, "y")
    assert effects.posterior is not None
    assert effects.posterior["high"].max() <= 0.5
    (sentence,) = posterior_as_text(effects, ENGLISH)
    assert "no effect has more than 50%" in sentence


def test_a_pooled_verdict_says_where_its_degrees_of_freedom_come_from() -> None:
    runs, factors = coded(3, replicates=2)
    y = np.random.default_rng(3).normal(size=16)
    effects = fit_effects(runs.assign(y=y), factors, "y", order=1, equal_spread=True)
    assert "8 from runs of the same cell, 4 from terms left out" in verdict_text(effects)


def test_a_verdict_without_a_test_says_what_to_run() -> None:
    runs, factors = coded(1)
    assert "another seed" in verdict_text(fit_effects(runs.assign(y=[1.0, 3.0]), factors, "y"))


def test_what_a_t_test_calls_active_is_reported_beside_lenths_verdict() -> None:
    factors = [Factor("a", 0, 1), Factor("b", 0, 1)]
    cells = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 0), (1, 1)]
    runs = pd.DataFrame(cells, columns=["a", "b"]).assign(y=[3.2, 4.1, 5.0, 7.7, 3.0, 7.9])
    assert "still calls these active: a, b, a:b." in verdict_text(fit_effects(runs, factors, "y"))


def test_missing_cells_and_aliased_terms_are_named() -> None:
    table = paper()
    table.loc[7, "accuracy"] = np.nan
    text = warnings_as_text(fitted(table))
    assert "conv=6 fc=3 lr=0.1" in text
    assert "conv:fc:lr" in text
    runs, factors = coded(3)
    half = runs[runs.prod(axis=1) == 1].assign(y=[1.0, 2.0, 4.0, 8.0])
    assert "B:C = A" in warnings_as_text(fit_effects(half, factors, "y", order=2))


def test_an_unbalanced_table_is_a_caution() -> None:
    table = pd.concat([paper(), paper().iloc[:3].assign(accuracy=[0.81, 0.59, 0.8])])
    assert "Unbalanced: 1 to 2 runs per cell" in warnings_as_text(fitted(table))


def test_copied_runs_are_a_caution() -> None:
    text = warnings_as_text(fitted(pd.concat([paper(), paper()])))
    assert "equal to another run in every column: 8." in text
    assert "fits to the last digit" in text


def test_shares_of_interactions_are_a_caution() -> None:
    factors = [Factor(f"x{i}", -1, 1) for i in range(9)]
    runs = plackett_burman(factors, runs=12, seed=1).cells
    y = 5 * runs["x0"] + np.random.default_rng(9).normal(size=12)
    text = warnings_as_text(fit_effects(runs.assign(y=y), factors, "y"))
    assert "parts of two-way interactions" in text


def test_collapsed_runs_are_named_and_the_effects_at_the_other_level_follow() -> None:
    table = paper()
    table["collapsed"] = table["lr"] == 0.1
    text = effects_as_text(fitted(table), ENGLISH)
    assert "4 of 8 runs collapsed" in text
    assert "judged at lr=0.001 only" in " ".join(text.split())
    assert "At lr = 0.001 only" in text


def test_the_reasons_of_a_decision_are_one_line_each() -> None:
    text = "\n".join(decision_as_text(decide_grid(fitted(paper())), ENGLISH))
    assert "lr: active, effect -0.2896" in text
    assert "This makes a grid of 12 cells." in text


def test_a_reason_names_the_level_at_which_its_factor_was_judged() -> None:
    table = paper()
    table["collapsed"] = table["lr"] == 0.1
    table["accuracy"] = [0.92, 0.40, 0.90, 0.41, 0.85, 0.50, 0.84, 0.51]
    assert "at lr=0.001" in decision_as_text(decide_grid(fitted(table)), ENGLISH)[0]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("grid", "a grid of 12 cells"),
        ("gp", "A Gaussian process on the runs so far chooses 5 cells"),
        ("surface", "5 cells from the screen's levels"),
    ],
)
def test_a_decision_says_how_its_levels_are_searched(method: Any, expected: str) -> None:
    effects = fitted(paper())
    rules = SearchRules(effects.factors, "accuracy", None, method=method, budget=5)
    assert expected in decision_as_text(decide_grid(effects), ENGLISH, rules)[-1]


def test_a_search_of_the_whole_space_names_no_levels_that_it_would_try() -> None:
    effects = fitted(paper())
    rules = rules_for_budget(effects.factors, "accuracy", 20)
    lines = decision_as_text(decide_grid(effects), ENGLISH, rules)
    assert not any("so try" in line for line in lines)
    assert any("better at 0.001" in line for line in lines)
    assert "A Gaussian process on the runs so far chooses 7 cells" in lines[-1]


def test_a_budget_that_is_spent_by_the_screen_leaves_no_cell_to_choose() -> None:
    effects = fitted(paper())
    rules = rules_for_budget(effects.factors, "accuracy", 7)
    assert rules.budget == 0
    lines = decision_as_text(decide_grid(effects), ENGLISH, rules)
    assert lines[-1] == "The budget has no training left for further cells."


def cells_of(figures: dict[int, list[float]]) -> pd.DataFrame:
    rows = [(depth, y) for depth, own in figures.items() for y in own]
    return pd.DataFrame(rows, columns=["depth", "y"])


def test_without_replicates_the_choice_may_be_chance() -> None:
    selection = select(cells_of({3: [0.9], 4: [0.5]}), [DEPTH], "y")
    assert "No cell has two runs that learned" in " ".join(selection_as_text(selection, ENGLISH))


def test_effects_that_are_not_tested_have_no_p_values_beside_them() -> None:
    """Seen: 12 runs of 9 factors, 2 of them collapsed, with p = 0.0002 and no active effect."""
    table = paper()
    table["collapsed"] = table["lr"] == 0.1
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert effects.verdict.collapsed
    assert effects.tested_terms[["std_error", "t", "p", "ci_low", "ci_high"]].isna().all(axis=None)
    assert effects.tested_terms["effect"].equals(effects.terms["effect"])
    titles = terms_table(effects, ENGLISH).splitlines()[0].split()
    assert titles == ["coefficient", "effect"]
    brief = " ".join(effects_in_brief(effects, ENGLISH).split())
    assert "effects on all runs are not tested, because 4 of these runs collapsed" in brief
    # The effects on the others follow, with their tests.
    assert effects.collapse is not None
    learned = effects.collapse.learned
    assert learned is not None
    assert learned.tested_terms.equals(learned.terms)
    assert f"{learned_title(effects.collapse, ENGLISH)}:" in brief
    assert "std_error" in brief


def test_a_cell_in_which_some_runs_collapsed_is_not_reliable() -> None:
    runs = cells_of({3: [0.90, 0.91], 4: [0.93, 0.50]})
    runs["collapsed"] = [False, False, False, True]
    sentences = selection_as_text(select(runs, [DEPTH], "y"), ENGLISH)
    assert "Not reliable: depth=4, where 1 of 2 runs collapsed." in sentences


@pytest.mark.parametrize(("best", "end"), [(4, ""), (6, "highest"), (3, "lowest")])
def test_a_winner_on_the_edge_of_the_tried_levels_is_reported(best: int, end: str) -> None:
    figures = {depth: [0.9, 0.91] if depth == best else [0.7, 0.71] for depth in (3, 4, 6)}
    text = " ".join(selection_as_text(select(cells_of(figures), [DEPTH], "y"), ENGLISH))
    assert ("An optimum inside the tried levels was not shown" in text) == bool(end)
    if end:
        assert f"depth={best}, the {end} level tried" in text


def test_a_pilots_sentence_of_an_older_study_is_shown_as_it_is() -> None:
    sentence = "learning_rate: 0.7 at its low end"
    assert pilot_as_text([sentence], KOREAN) == [sentence]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pilots_range_has_its_figures_in_every_language(language: str) -> None:
    found = PilotFinding(factor="lr", low=0.001, high=0.0316, figures=(0.65, 0.74, 0.5))
    not_varied = [
        PilotFinding(factor="depth", low=2, high=4),
        PilotFinding(factor="norm", low="none", high="batch"),
    ]
    text, others = pilot_as_text([not_varied[0], found, not_varied[1]], translator(language))
    assert re.findall(r"\d\.\d+", text) == ["0.65", "0.74", "0.5", "0.001", "0.0316"]
    assert text.startswith("lr: ")
    assert [others.count(x) for x in ("depth 2", "4; norm none", "batch")] == [1, 1, 1]
    assert len(pilot_as_text([found], translator(language))) == 1


def quadratic(function: str) -> Any:
    factors = [Factor("a", -1.0, 1.0), Factor("b", -1.0, 1.0)]
    cells = central_composite(factors).cells
    return fit_surface(cells.assign(y=np.asarray(cells.eval(function))), factors, "y")


def test_a_surface_names_its_stationary_point_and_cautions() -> None:
    ridge = quadratic("5 - (a + b) ** 2 - 0.01 * (a - b) ** 2")
    assert "A ridge: along" in " ".join(surface_as_text(ridge, ENGLISH))
    rising = quadratic("5 - (a + b) ** 2 - 0.01 * (a - b) ** 2 + 2 * (a - b)")
    assert "changes by 8 from one end" in " ".join(surface_as_text(rising, ENGLISH))
    outside = surface_as_text(quadratic("5 - (a - 4) ** 2 - b ** 2"), ENGLISH)
    assert any(line.startswith("maximum at a = 4, b = ") for line in outside)
    assert "outside the region" in " ".join(outside)


def test_a_surface_that_does_not_fit_says_so() -> None:
    far = 5 * math.sqrt(2)
    corners = [(80, 170), (90, 170), (80, 180), (90, 180)]
    star = [(85 - far, 175), (85 + far, 175), (85, 175 - far), (85, 175 + far)]
    y = [80.5, 78, 77, 83.5, 79.9, 80.3, 80, 79.7, 79.8, 75.6, 78.4, 77, 78.5]
    rows = corners + [(85, 175)] * 5 + star
    table = pd.DataFrame(rows, columns=["time", "temp"]).assign(y=y)
    factors = [Factor("time", 80.0, 90.0), Factor("temp", 170.0, 180.0)]
    surface = fit_surface(table, factors, "y", model="first")
    assert "The first-order model does not fit" in " ".join(surface_as_text(surface, ENGLISH))


def test_both_languages_have_the_same_numbers() -> None:
    table = paper()
    table.loc[7, "accuracy"] = np.nan
    table["collapsed"] = table["lr"] == 0.1
    effects, numbers = fitted(table), re.compile(r"\d+\.\d+")
    decision = decide_grid(effects)
    texts = [
        effects_as_text(effects, translate) + "\n".join(decision_as_text(decision, translate))
        for translate in (ENGLISH, KOREAN)
    ]
    assert sorted(numbers.findall(texts[0])) == sorted(numbers.findall(texts[1]))


def test_images_are_described_by_their_source() -> None:
    text = pictures_as_text(DataPart(), 240, ENGLISH)
    assert text == "240 pictures of drawn cats and dogs (seed 1; no photographs)"
    assert "cats.zip" in pictures_as_text(
        DataPart.model_validate({"source": "cats.zip"}), 9, KOREAN
    )


def test_decimal_points_align() -> None:
    padded = aligned(["0.001", "0.1", "10"])
    assert [len(text) - len(text.rstrip()) for text in padded] == [0, 2, 4]
    assert aligned(["3", "12"]) == ["3", "12"]


def test_a_long_list_is_cut_and_counted() -> None:
    assert listed([str(i) for i in range(10)], ENGLISH).endswith("7; and 2 more")


def test_equal_cells_and_an_aliased_factor_are_described_without_a_number_that_does_not_exist() -> (
    None
):
    runs, factors = coded(2, replicates=2)
    effects = fit_effects(runs.assign(y=1.0), factors, "y", constant=True)
    text = effects_as_text(effects, ENGLISH) + "\n".join(
        decision_as_text(decide_grid(effects), ENGLISH)
    )
    assert "All 8 runs have the same y, 1.0000" in text
    assert "A: not shown to be active, no difference between its levels; -1 is kept" in text
    assert "nan" not in text.lower()
    table = runs.assign(D=runs["A"], y=[10, 20, 15, 26, 11, 21, 14, 25])
    effects = fit_effects(table, [*factors, Factor("D", -1, 1)], "y")
    for budget, words in ((2, "only 1, its level in the best runs"), (99, "so try -1, 1")):
        for language in LANGUAGES:
            lines = decision_as_text(decide_grid(effects, budget=budget), translator(language))
            assert "nan" not in "".join(lines)
        (line,) = (
            x for x in decision_as_text(decide_grid(effects, budget=budget), ENGLISH) if "D:" in x
        )
        assert line.startswith("D: cannot be told from A")
        assert words in line


def test_an_exact_fit_is_not_called_too_few_runs() -> None:
    effects = fit_effects(
        pd.DataFrame({"A": [-1, 1, -1, 1], "y": [1.0, 2.0, 1.0, 2.0]}), [Factor("A", -1, 1)], "y"
    )
    assert verdict_text(effects).startswith("The model fits every run to the last digit")


def test_the_choice_among_equal_cells_and_among_collapsed_ones_says_why() -> None:
    runs = pd.DataFrame({"depth": [3, 4], "y": [1.0, 1.0], "multiply_adds": [2000.0, 1000.0]})
    line, choice = selection_as_text(select(runs, [DEPTH], "y"), ENGLISH)
    assert line == "All 2 cells have the same mean, 1.0000: no factor is shown to matter."
    cost = "1,000 multiply-adds for one image"
    assert choice == f"Chosen: depth=4, the cheapest of the 2 cells with the best mean ({cost})."
    collapsed = runs.assign(y=[0.5, 0.52], collapsed=True)
    first, second = selection_as_text(
        select(collapsed[["depth", "y", "collapsed"]], [DEPTH], "y"), ENGLISH
    )
    assert first.startswith("Nothing was learned: in none of the 2 runs")
    assert "epochs" in first
    assert second.startswith("Chosen")


def test_a_factor_that_does_not_count_has_a_line_that_says_so() -> None:
    reason = LevelReason(
        "momentum", "conditional", 0.0, 0.05, (0.5, 0.9), (0.0,), at={"optimizer": "adam"}
    )
    assert level_reason_as_text(reason, translator("en")) == (
        "momentum: does not count with optimizer=adam"
    )
    assert "optimizer=adam" in level_reason_as_text(reason, translator("ko"))
    nothing = replace(reason, effect=float("nan"))
    assert "does not count" in why_as_text(nothing, translator("en"))
