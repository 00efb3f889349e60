"""What is expected of one change of the chosen cell, as sentences."""

import pytest

from analysis.runs.response import response_of
from analysis.search.changes import Change
from analysis.search.lengths import RankingAtLengths
from tasks.languages import translator
from tasks.wording.changes import changes_about, changes_as_text, changes_in_short
from tasks.wording.lengths import lengths_as_text, ranking_as_text
from tasks.wording.values import signed

CLEAR = Change("dropout", 0.5, 0.1, -0.04, -0.06, -0.02)
UNCLEAR = Change("dropout", 0.0, 0.1, -0.01, -0.03, 0.01)
DEAD = Change("learning_rate", 0.1, 0.001, -0.1, -0.3, 0.1, (0.01, 0.1), 5)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_change_is_named_once_with_its_numbers(language: str) -> None:
    translate = translator(language)
    clear, dead, unclear = changes_as_text([UNCLEAR, CLEAR, DEAD], translate)
    assert "dropout" in clear
    for number in ("0.5", "0.1", *map(signed, (-0.04, -0.06, -0.02))):
        assert number in clear
    assert "learning_rate 0.01, 0.1" in dead
    assert "5" in dead
    assert f"dropout 0 ({signed(-0.01)})" in unclear
    assert changes_as_text([], translate) == []


def test_in_short_only_factors_with_a_clear_change_matter() -> None:
    translate = translator("en")
    (some,) = changes_in_short([UNCLEAR, CLEAR, DEAD], translate)
    assert some.endswith("matter: dropout, learning_rate.")
    (none,) = changes_in_short([UNCLEAR], translate)
    assert "no factor is shown to matter" in none


def test_the_direction_of_a_response_of_which_lower_is_better_is_said() -> None:
    translate = translator("en")
    assert len(changes_about(response_of("val_accuracy"), translate)) == 1
    about, direction = changes_about(response_of("val_loss"), translate)
    assert "val_loss" in about
    assert "lower" in direction


def test_the_ranking_is_said_without_a_screen_that_has_effects() -> None:
    translate, found = translator("en"), RankingAtLengths(2, 8, 5, 0.9)
    (ranking,) = ranking_as_text(found, translate)
    assert "effects" not in ranking
    assert lengths_as_text(found, translate)[1:] == [ranking]
    assert ranking_as_text(None, translate) == []
