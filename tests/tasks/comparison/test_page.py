"""The page of a comparison: in every language, with nothing that the language does not have."""

import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from support.small_study import STUDY, write_study

from tasks.comparison.entrants import study_space
from tasks.comparison.optuna_tuners import Unavailable
from tasks.comparison.page import comparison_as_page, save_comparison
from tasks.comparison.race import RaceResult
from tasks.comparison.request import (
    ComparisonOptions,
    ExportRequest,
    StudyRequest,
    check_request,
)
from tasks.comparison.result import (
    ComparisonResult,
    comparison_as_json,
    comparison_as_text,
    effects_as_text,
)
from tasks.errors import UserError
from tasks.languages import LANGUAGES, translator
from tasks.study.study_file import load_study

TUNERS = ("random", "full grid", "FactorGrid (default)")


def compared(
    folder: Path, repetitions: int = 2, response: str = "val_accuracy"
) -> ComparisonResult:
    """Return a comparison with made-up runs: every tuner runs the same four cells."""
    study = load_study(str(write_study(folder, f'response = "{response}"\n{STUDY}')))
    space = study_space(study)
    cells = [(a, b) for a in (0, 1) for b in (0, 4)]
    runs, delivered = [], []
    for (which, tuner), repetition in product(enumerate(TUNERS), range(1, repetitions + 1)):
        own = {"tuner": tuner, "repetition": repetition}
        for order, cell in enumerate(cells, 1):
            value = 0.5 + 0.05 * order + 0.02 * which + 0.01 * repetition
            levels = space.natural(cell)
            seconds = 3.0 + which
            row = {**own, "order": order, **levels, "replicate": order, "epochs": None}
            row |= {"run_id": "r", response: value, "train_seconds": seconds}
            runs.append({**row, "cost": 1.0, "is_full": True})
        delivered.append({**own, **space.natural(cells[-1]), "fresh": 0.6 + 0.02 * which})
    race = RaceResult(
        space,
        pd.DataFrame(runs),
        pd.DataFrame(delivered),
        (Unavailable(("TPE",), "Optuna", "'.[compare]'"),),
        failed=1,
    )
    tracking = {"tracking_uri": "sqlite:///x", "run_id": "abc"}
    return ComparisonResult(study, ComparisonOptions(4, repetitions), 240, race, 0.65, tracking)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_contents_and_figures_in_its_language(tmp_path: Path, language: str) -> None:
    page = comparison_as_page(compared(tmp_path), language)
    assert f'<html lang="{language}">' in page
    contents = page.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'href="#(\w+)"', contents) == re.findall(r'<section id="(\w+)"', page)
    expected = {"en": "seconds of training", "ko": "학습 시간(초)"}[language]
    figures = page.partition("<svg")[2]
    assert expected in figures
    assert page.count("<svg") == 4
    winner = {"en": "FactorGrid (default) delivered the best cells"}.get(language)
    assert (winner or "FactorGrid (default)가 고른 조합이 가장 좋았다") in page


def test_a_korean_page_has_no_english_sentence(tmp_path: Path) -> None:
    page = comparison_as_page(compared(tmp_path), "ko")
    text = re.sub(r"<style.*?</style>|<pre>.*?</pre>|<[^>]+>", "\n", page, flags=re.DOTALL)
    for name in TUNERS:
        text = text.replace(name, "")
    assert not re.search(r"[A-Za-z']+(?: [A-Za-z']+){2,}", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_comparison_without_a_judged_cell_says_so(tmp_path: Path, language: str) -> None:
    result = compared(tmp_path, repetitions=1)
    nothing = result.race.delivered.assign(fresh=math.nan)
    result = replace(result, race=replace(result.race, delivered=nothing))
    page = comparison_as_page(result, language)
    assert {"en": "No delivered cell could be judged", "ko": "평가할 수 없었다"}[language] in page
    assert "nan" not in page


def test_the_notes_of_a_comparison_are_the_same_in_text_json_and_page(tmp_path: Path) -> None:
    result = compared(tmp_path, repetitions=1, response="val_loss")
    notes = comparison_as_json(result)["notes"]
    assert [note.split()[0] for note in notes] == ["not", "A", "1", "One"]
    text, page = comparison_as_text(result), comparison_as_page(result)
    for note in notes:
        assert note in text
        assert note.replace("'", "&#39;") in page


def test_one_search_is_no_plural(tmp_path: Path) -> None:
    page = comparison_as_page(compared(tmp_path, repetitions=1))
    assert "0.640, 1 search)" in page
    assert "There is 1 search per tuner" in page


def test_the_page_is_written_in_the_language_that_was_asked_for(tmp_path: Path) -> None:
    save_comparison(compared(tmp_path), tmp_path / "out", "ko")
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page


def test_effects_of_many_factors_stand_in_several_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compared(tmp_path)
    monkeypatch.setattr("tasks.comparison.page.FACTORS_ABREAST", 1)
    section = comparison_as_page(result).partition('<section id="factors">')[2]
    tables = re.findall(r"<table.*?</table>", section.partition("</section>")[0], re.DOTALL)
    assert len(tables) == len(result.study.factor_list) == 2
    texts = effects_as_text(result, translator("en"))
    for i, (factor, table) in enumerate(zip(result.study.factor_list, tables, strict=True)):
        assert f'<th class="n">{factor.name}</tr>' in table
        rows = re.findall(r'<td class="text">(.*?)<td class="n">(.*?)</tr>', table)
        expected = [(tuner, own[i].replace("+-", "±")) for tuner, own in texts.items()]
        assert rows == expected


OPTIONS: dict[str, object] = {
    **dict.fromkeys(("table", "response", "repetitions", "fresh", "target", "data")),
    **dict.fromkeys(("per_class", "image_size", "manual", "plots", "export", "lang")),
    "study": "quick",
    "budgets": (8,),
    "tuners": (),
}


def test_a_language_without_a_page_is_refused() -> None:
    with pytest.raises(UserError, match="--lang ko: the language of the page that --plots writes"):
        check_request({**OPTIONS, "lang": "ko"})
    with pytest.raises(UserError, match="--lang: has no effect with --export"):
        check_request({**OPTIONS, "budgets": (), "export": Path("x.csv"), "lang": "ko"})
    request = check_request({**OPTIONS, "lang": "ko", "plots": Path("x")})
    assert isinstance(request, StudyRequest)
    assert request.language == "ko"
    assert isinstance(
        check_request({**OPTIONS, "budgets": (), "export": Path("x.csv")}), ExportRequest
    )
