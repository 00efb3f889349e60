"""The table of texts: every key in every language, with the same values to fill in."""

import re
import string
from pathlib import Path

import pytest

from analysis.plots.words import WORDS
from tasks.errors import UserError
from tasks.languages import LANGUAGES, text_of, translator, with_particles, words

ROOT = Path(__file__).parents[3]
#: Keys of which a part is computed from data.
COMPUTED = (
    "caution_",
    "choice_",
    "column_",
    "comparison_figure_",
    "cost_",
    "decision_",
    "edge_",
    "figure_",
    "kind_",
    "final_",
    "lead_",
    "link_",
    "model_",
    "passed_over_",
    "next_beyond_",
    "next_more_pictures_",
    "next_seeds_",
    "point_",
    "promotion_",
    "reason_",
    "response_",
    "second_",
    "selection_picked_",
    "refine_text_",
    "rule_",
    "remedy_",
    "selection_left_out_",
    "source_",
    "why_",
)


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_has_every_key_with_the_same_placeholders() -> None:
    for key, texts in words().items():
        assert set(texts) == set(LANGUAGES), key
        assert all(text.strip() for text in texts.values()), key
        expected = _placeholders(texts["en"])
        assert all(_placeholders(text) == expected for text in texts.values()), key


def test_a_korean_text_is_in_korean() -> None:
    names = re.compile(r"[A-Za-z']+(?: [A-Za-z']+){3,}")
    for key, texts in words().items():
        without_placeholders = re.sub(r"{\w+}", "", texts["ko"])
        assert not names.search(without_placeholders), key


def test_every_text_is_used() -> None:
    files = [*(ROOT / "tasks").rglob("*.py"), *(ROOT / "tasks").rglob("*.html")]
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    stages = {"pilot", "screen", "refine", "confirm", "final", "total"}
    others = {"linear", "log", "integer", "categorical", "gp_cells", "surface_cells"}
    for key in set(words()) - stages - others:
        if not key.startswith(COMPUTED):
            assert f'"{key}"' in code or f"'{key}'" in code, key


def test_an_unknown_language_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"--lang fr: .*; choose one of en, ko"):
        translator("fr")


def test_the_texts_of_figures_are_those_of_the_analysis() -> None:
    figures = {key: texts["en"] for key, texts in words().items() if key.startswith("figure_")}
    assert figures == WORDS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3을(를) 쓴다", "3을 쓴다"),
        ("0.92을(를) 쓴다", "0.92를 쓴다"),
        ("95%을(를) 쓴다", "95%를 쓴다"),
        ("version 1(으)로", "version 1로"),
        ("버전 3이(가)", "버전 3이"),
        ("adam은(는)", "adam은"),
        ("learning_rate와(과)", "learning_rate와"),
        ("(fc_layers=3)은(는) 그대로", "(fc_layers=3)은 그대로"),
        ("고양이이(가)", "고양이가"),
        ("물(으)로", "물로"),
        ("곰(으)로", "곰으로"),
        ("x을(를), y이(가)", "x를, y가"),
    ],
)
def test_a_korean_particle_follows_the_word_before_it(text: str, expected: str) -> None:
    assert with_particles(text) == expected


def test_no_korean_text_shows_both_forms_of_a_particle() -> None:
    say = translator("ko")
    for key, texts in words().items():
        names = _placeholders(texts["ko"])
        if names and "!r" not in texts["ko"] and not re.search(r"{\w+:", texts["ko"]):
            assert "(으)" not in say(key, **dict.fromkeys(names, "7")), key
            assert not re.search(r"\([를가는과]\)", say(key, **dict.fromkeys(names, "7"))), key


#: Texts with a number that is never 1, or that is a share of another number.
SEVERAL = {
    *("short_tied", "selection_tied", "selection_all_equal", "next_tied", "near_by_several"),
    *("fraction_text", "design_text", "screen_text", "grid_cells", "lengths_ranking"),
    *("next_larger_design", "next_fold_over", "next_answer_stands", "next_nothing_learned"),
    *("next_narrow_range", "next_longer_training", "next_seeds_impractical", "next_seeds_images"),
    *("caution_failed_runs", "caution_missing_cells", "caution_constant", "caution_unbalanced"),
    *("caution_collapsed_runs", "caution_all_collapsed", "verdict_false_alarms", "verdict_lenth"),
    *("selection_nothing_learned", "selection_unreliable", "selection_best_candidate", "stopped"),
    *("short_winner", "question_text", "question_text_other", "constant_beaten", "found"),
    *("constant_not_beaten", "against", "promotion_comparison", "drawn_pictures", "imbalanced"),
    *("source_pictures", "source_screen", "source_cells", "table_title", "cost_text"),
    *("figure_largest_interactions", "comparison_best", "comparison_same", "refine_text_budget"),
    *("error_from_both", "plackett_burman_text", "reason_few_for_validation"),
    *("posterior", "posterior_none", "over_pictures", "whole_plots", "whole_plots_alike"),
    *("lead_both", "lead_pictures", "effects_both", "effects_pictures"),
    *("refine_text_two_lengths", "refine_text_two_lengths_again", "reason_uneven_classes"),
}
NOUNS = (
    "cells|trainings|runs|searches|images|pictures|files|classes|seeds|epochs|levels|factors|"
    "settings|minutes|times|replicates|effects|copies|interactions|versions|networks"
)


@pytest.mark.parametrize("key", sorted(set(words()) - SEVERAL))
def test_a_text_with_the_number_1_has_no_plural(key: str) -> None:
    text = re.sub(r"{(\w+)!r(:[^}]*)?}", "x", words()[key]["en"])
    for number, wrong in ((1, rf"\b1 ([\w-]+ )?({NOUNS})\b"), (2, r"\b2 (cell|run|image)\b")):
        values = dict.fromkeys(_placeholders(text), number)
        written = text_of(text, **values)
        assert not re.search(wrong, written), written


@pytest.mark.parametrize("n", [0, 1, "1", 1.0, 2, "1,000"])
def test_a_word_follows_its_number(n: object) -> None:
    expected = "cell" if str(n) in {"1", "1.0"} else "cells"
    assert text_of("{n} {n:cell|cells}, {m:.1f}", n=n, m=2) == f"{n} {expected}, 2.0"
