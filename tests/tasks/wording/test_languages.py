"""The table of texts: every key in every language, with the same values to fill in."""

import re
import string
from pathlib import Path

import pytest

from tasks.errors import UserError
from tasks.languages import LANGUAGES, translator, words

ROOT = Path(__file__).parents[3]
#: Keys of which a part is computed from data.
COMPUTED = (
    "caution_",
    "cost_",
    "decision_",
    "kind_",
    "link_",
    "model_",
    "passed_over_",
    "next_beyond_",
    "next_more_pictures_",
    "next_seeds_",
    "point_",
    "promotion_",
    "reason_",
    "refine_text_",
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
    stages = {"pilot", "screen", "refine", "confirm", "total"}
    others = {"linear", "log", "integer", "categorical", "gp_cells", "surface_cells"}
    for key in set(words()) - stages - others:
        if not key.startswith(COMPUTED):
            assert f'"{key}"' in code or f"'{key}'" in code, key


def test_an_unknown_language_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"--lang fr: .*; choose one of en, ko"):
        translator("fr")
