"""The report's words about the design of the screen."""

import re
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from analysis.designs.factorial import full_factorial, plackett_burman
from analysis.effects.fit import fit_effects
from analysis.factors import Factor
from analysis.runs.response import response_of
from tasks.languages import translator
from tasks.report.sections.design import design_section
from tasks.report.sections.effects import effects_section
from tasks.study.study_file import parse_study

FACTORS = {f"x{i}": {"low": 0.0, "high": 1.0} for i in range(4)}
OWN = {"name": "x", "model": {"builder": "my:net"}, "method": "published"}


def _text(study: Any, language: str) -> str:
    source = SimpleNamespace(study=study, translate=translator(language))
    return " ".join(design_section(cast("Any", source))["text"])


@pytest.mark.parametrize(("language", "said"), [("en", "Plackett-Burman"), ("ko", "플라켓-버만")])
def test_a_design_without_a_defining_relation_claims_none(language: str, said: str) -> None:
    factors = {f"x{i}": {"low": 0.0, "high": 1.0} for i in range(8)}
    study = parse_study({**OWN, "screen_cells": 12, "factors": factors}, "x")
    assert study.design.relation == "Plackett-Burman"
    text = _text(study, language)
    assert said in text
    assert "relation" not in text
    assert "정의 관계" not in text


def test_a_regular_fraction_names_its_relation_and_a_full_design_has_none() -> None:
    half = parse_study({**OWN, "screen_cells": 8, "factors": FACTORS}, "x")
    assert "I = x0:x1:x2:x3" in _text(half, "en")
    factors = {f"x{i}": {"low": 0.0, "high": 1.0} for i in range(7)}
    saturated = parse_study({**OWN, "screen_cells": 8, "factors": factors}, "x")
    # The seven words of three factors; those of four and the one of seven are left out.
    text = _text(saturated, "en")
    (relation,) = re.findall(r"with (I = .*?) and 8 more words\. The products", text)
    words = relation.split(" = ")[1:]
    assert [word.count(":") + 1 for word in words] == [3] * 7
    full = parse_study({**OWN, "factors": FACTORS}, "x")
    assert "every combination" in _text(full, "en")


@pytest.mark.parametrize(
    ("budget", "after_the_screen", "confirmed"),
    [
        (4, "which pilot and screen use up", "no training left to confirm"),
        (6, "2 cells are chosen", "no training left to confirm"),
        (7, "1 cell is chosen", "the best 2 cells get 2 trainings"),
    ],
)
def test_a_small_budget_says_what_it_has_no_training_for(
    budget: int, after_the_screen: str, confirmed: str
) -> None:
    factors = {name: FACTORS[name] for name in ("x0", "x1")}
    own = {"name": "x", "model": {"builder": "my:net"}, "budget": budget, "factors": factors}
    text = _text(parse_study(own, "x"), "en")
    assert after_the_screen in text
    assert confirmed in text
    assert " 0 " not in text
    assert " 0회" not in _text(parse_study(own, "x"), "ko")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_interactions_that_contain_main_effects_are_said_to_be_so(language: str) -> None:
    factors = [Factor(f"x{i}", -1, 1) for i in range(5)]
    partly = translator(language)("interactions_partly")
    designs = ((plackett_burman(factors, runs=12), True), (full_factorial(factors), False))
    for design, contained in designs:
        runs = design.cells.assign(y=np.random.default_rng(2).normal(size=len(design.cells)))
        study = SimpleNamespace(measured=response_of("val_accuracy"))
        outcome = SimpleNamespace(
            effects=fit_effects(runs, factors, "y"), lengths=None, over_pictures=None
        )
        source = SimpleNamespace(study=study, outcome=outcome, translate=translator(language))
        section = effects_section(cast("Any", source))
        assert section is not None
        captions = {figure["name"]: figure["caption"] for figure in section["figures"]}
        assert (partly in captions["interactions"]) == contained
