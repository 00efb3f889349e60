"""The report's words about the design of the screen."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tasks.languages import translator
from tasks.report.sections.design import design_section
from tasks.study.study_file import load_study, parse_study

FACTORS = {f"x{i}": {"low": 0.0, "high": 1.0} for i in range(4)}
OWN = {"name": "x", "model": {"builder": "my:net"}, "method": "published"}


def _text(study: Any, language: str) -> str:
    source = SimpleNamespace(study=study, translate=translator(language))
    return " ".join(design_section(cast("Any", source))["text"])


@pytest.mark.parametrize(("language", "said"), [("en", "Plackett-Burman"), ("ko", "플라켓-버만")])
def test_a_design_without_a_defining_relation_claims_none(language: str, said: str) -> None:
    study = load_study("dogs-vs-cats").model_copy(update={"minutes": None, "budget": 20})
    assert study.design.relation == "Plackett-Burman"
    text = _text(study, language)
    assert said in text
    assert "relation" not in text
    assert "정의 관계" not in text


def test_a_regular_fraction_names_its_relation_and_a_full_design_has_none() -> None:
    half = parse_study({**OWN, "screen_cells": 8, "factors": FACTORS}, "x")
    assert "I = x0:x1:x2:x3" in _text(half, "en")
    full = parse_study({**OWN, "factors": FACTORS}, "x")
    assert "every combination" in _text(full, "en")
