"""What to change after a screen in which no network learned."""

from typing import Any

import pandas as pd
import pytest

from tasks.languages import translator
from tasks.report.nothing_learned import remedies_as_text
from tasks.search.nothing_learned import nothing_learned
from tasks.study.study_file import Study, parse_study
from tasks.tracking.dataset_facts import DatasetFacts

FACTS = DatasetFacts(2, 200, 0.5, "drawn pictures")


def a_study(**changes: Any) -> Study:
    factors = {
        "conv_layers": {"low": 3, "high": 6},
        "learning_rate": {"low": 0.0003, "high": 0.03},
    }
    return parse_study({"name": "my study", "factors": factors, **changes}, "test")


def table(*rows: tuple[str, float, float, bool]) -> pd.DataFrame:
    """Return runs; a row has the stage, the learning rate, the accuracy, whether it collapsed."""
    names = ["stage", "learning_rate", "val_accuracy", "collapsed"]
    return pd.DataFrame(rows, columns=names).assign(conv_layers=3)


def remedies(study: Study, runs: pd.DataFrame, language: str = "en") -> list[str]:
    found = nothing_learned(study, runs[runs["stage"] == "screen"], runs, FACTS)
    assert found is not None
    return remedies_as_text(found, translator(language))


SCREEN = [("screen", rate, 0.5, True) for rate in (0.0003, 0.03)]


def test_a_rate_between_the_two_levels_of_the_screen_was_not_tried() -> None:
    texts = remedies(a_study(), table(*SCREEN))
    assert texts[0] == "learning_rate was 0.0003, 0.03: try 0.00095 to 0.0095."


def test_the_rates_of_the_pilot_were_tried_too() -> None:
    texts = remedies(a_study(), table(("pilot", 0.003, 0.5, True), *SCREEN))
    # Nothing is proposed: what can be changed comes first.
    assert "epochs" in texts[0]
    (text,) = [text for text in texts if "learning_rate" in text]
    assert text.startswith("learning_rate was 0.0003, 0.003, 0.03: each usual rate was tried")
    assert text == texts[-1]


def test_a_rate_at_which_a_network_of_the_pilot_learned_is_still_proposed() -> None:
    texts = remedies(a_study(), table(("pilot", 0.003, 0.9, False), *SCREEN))
    assert texts[0] == "learning_rate was 0.0003, 0.03: try 0.00095 to 0.0095."


def test_a_rate_at_which_all_trainings_failed_was_tried() -> None:
    runs = table(SCREEN[0], ("screen", 0.003, float("nan"), False))
    assert "learning_rate was 0.0003, 0.003:" in " ".join(remedies(a_study(), runs))


def test_of_many_rates_the_lowest_and_the_highest_are_named() -> None:
    rates = (0.01, 0.013, 0.02, 0.05, 0.1)
    texts = remedies(a_study(), table(*(("screen", rate, 0.5, True) for rate in rates)))
    assert texts[0] == "learning_rate was 0.01, ..., 0.1: try 0.0001 to 0.0032."


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "learning_rate was 0.1: try 0.001."),
        ("ko", "learning_rate=0.1이었다. 0.001을 시도한다."),
    ],
)
def test_for_a_rate_that_is_no_factor_one_value_is_proposed(language: str, text: str) -> None:
    study = a_study(factors={"conv_layers": {"low": 3, "high": 6}}, training={"learning_rate": 0.1})
    assert remedies(study, table(*SCREEN), language)[0] == text
