"""The order of the levels of a factor."""

import pytest

from analysis.factors import Level
from analysis.runs.level_order import SCALES, ordered_levels


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("Low", "High"),
        ("low", "HIGH"),
        ("L", "H"),
        ("-", "+"),
        ("\u2212", "+"),
        ("Short", "Long"),
        ("small", "large"),
        ("off", "on"),
        ("before", "after"),
        ("no", "yes"),
        ("without", "with"),
        ("S", "L"),
        ("5%", "10%"),
        ("50 rpm", "100 rpm"),
        ("9 layers", "12 layers"),
        ("v9", "v10"),
        ("batch-32", "batch-128"),
        ("3x3", "11x11"),
        ("lr 1e-4", "lr 1e-3"),
        ("Low_T", "High_T"),
        ("high pressure, cold", "high pressure, hot"),
        ("kurz", "lang"),
        ("ohne", "mit"),
        ("Klein", "Groß"),
        ("낮음", "높음"),
        ("없음", "있음"),
        ("전", "후"),
    ],
)
def test_levels_with_a_known_order(low: str, high: str) -> None:
    assert ordered_levels([high, low]) == ([low, high], "words")
    assert ordered_levels([low, high]) == ([low, high], "words")


@pytest.mark.parametrize(
    "levels",
    [
        ("adam", "sgd"),
        ("balanced", "None"),
        ("M", "L"),  # medium and large, or low and medium
        ("3x5", "5x3"),
        ("500 ms", "1 s"),
        ("max", "avg"),
    ],
)
def test_other_texts_are_in_alphabetical_order_which_says_so(levels: tuple[str, str]) -> None:
    expected = sorted(levels, key=str.casefold)
    assert ordered_levels(levels) == (expected, "alphabet")
    assert ordered_levels(reversed(levels)) == (expected, "alphabet")


@pytest.mark.parametrize("levels", [[0.1, 0.001], [True, False], [6, 3], [1.0, 2]])
def test_numbers_and_truth_values_have_their_own_order(levels: list[Level]) -> None:
    assert ordered_levels(levels) == (sorted(levels), "numbers")


def test_a_level_between_two_words_is_between_them() -> None:
    assert ordered_levels(["high", "low", "medium"])[0] == ["low", "medium", "high"]


def test_no_scale_has_a_word_at_two_places() -> None:
    for scale in SCALES:
        places = [{word.casefold() for word in same} for same in scale]
        assert len(set().union(*places)) == sum(map(len, places)), scale
