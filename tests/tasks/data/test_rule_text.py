"""Rules for images in words."""

import pytest

from tasks.data.expectations import EXPECTATIONS
from tasks.data.rule_text import figure_as_text, rule_as_text
from tasks.languages import LANGUAGES, translator

BETWEEN = "ExpectColumnValuesToBeBetween"


@pytest.mark.parametrize(
    ("expectation", "settings", "expected"),
    [
        (BETWEEN, {"column": "width", "min_value": 8}, "width in pixels: at least 8"),
        (
            BETWEEN,
            {"column": "bytes", "min_value": 0, "max_value": 10**6, "strict_min": True},
            "size of the file in bytes: above 0, at most 1,000,000",
        ),
        (
            BETWEEN,
            {"column": "aspect", "max_value": 1.25, "strict_max": True},
            "long side over short side: below 1.25",
        ),
        (
            BETWEEN,
            {"column": "copies_share", "max_value": 0.005},
            "exact and near copies: at most 0.5%",
        ),
        (
            "ExpectColumnValuesToBeInSet",
            {"column": "format", "value_set": ["PNG", "JPEG"]},
            "format: PNG, JPEG",
        ),
        (
            "ExpectColumnValuesToNotBeInSet",
            {"column": "label", "value_set": list("abcdefghijkl")},
            "class: not a, b, c, d, e, f, g, h, and 4 more",
        ),
        (
            "ExpectColumnPairValuesAToBeGreaterThanB",
            {"column_A": "width", "column_B": "height", "or_equal": True},
            "width in pixels: at least height in pixels",
        ),
        ("ExpectColumnValuesToBeNull", {"column": "flaw\x1b"}, "flaw%1B: not given"),
    ],
)
def test_a_rule_says_what_it_requires(
    expectation: str, settings: dict[str, object], expected: str
) -> None:
    assert rule_as_text(expectation, settings, translator("en")) == expected


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("expectation", EXPECTATIONS)
def test_every_expectation_has_words_in_every_language(expectation: str, language: str) -> None:
    settings = {
        "column": "width",
        "column_A": "width",
        "column_B": "height",
        "min_value": 1,
        "max_value": 3,
        "value_set": [1],
        "regex": "x",
    }
    fields = EXPECTATIONS[expectation].model_fields
    own = {name: value for name, value in settings.items() if name in fields}
    text = rule_as_text(expectation, own, translator(language))
    assert {"en": "pixels", "ko": "픽셀"}[language] in text
    assert "{" not in text


def test_a_figure_of_a_share_is_in_percent() -> None:
    say = translator("en")
    assert figure_as_text("quarantined_share", 0.0571, say) == "5.71%"
    assert figure_as_text("accepted", 12000.0, say) == "12,000"
    assert figure_as_text("size_drift", 0.0123456, say) == "0.01235"
    assert figure_as_text("size_drift", None, say) == "none yet"
