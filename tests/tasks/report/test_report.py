"""The report of a study: one page that needs nothing from elsewhere, from MLflow alone."""

import json
import re
import string
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.small_study import Done, factorgrid

from tasks.languages import LANGUAGES, words
from tasks.report.html import report_page
from tasks.report.numbers import aligned
from tasks.report.outcome import outcome_of
from tasks.study.study_file import built_in_studies, load_study, parse_study
from tasks.study.study_toml import study_toml
from tasks.tracking.execution import past_execution

SECTIONS = (
    "question",
    "data",
    "design",
    "effects",
    "decision",
    "grid",
    "winner",
    "suspects",
    "cost",
    "repeat",
)


class Page(HTMLParser):
    """What a page shows, and every address in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.shown: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        last = self.tags[-1] if self.tags else ""
        if last == "h2" and data.strip():
            self.headings.append(data.strip())
        if last != "style":
            self.shown.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())


@pytest.fixture(scope="module")
def written(done: Done) -> str:
    file = done.home.parent / "report.html"
    ended = factorgrid("report", "--experiment", "tiny", "--out", file, "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"report": str(file)}
    return file.read_text(encoding="utf-8")


def test_the_report_needs_nothing_from_elsewhere(written: str) -> None:
    page = Page(written)
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "@import" not in written
    assert "url(" not in written


def test_the_report_has_every_part_with_its_figures(written: str, done: Done) -> None:
    page, outcome = Page(written), done.outcome
    assert page.headings == [words()[name]["en"] for name in SECTIONS]
    # Samples, Pareto, half-normal, main effects, interactions, the grid, curve, mistakes.
    suspects = "are confidently called another class" in page.text
    assert page.tags.count("img") == 8 + suspects
    assert suspects or "No validation picture is confidently called" in page.text
    test = outcome["registered"]
    low, high = (f"{100 * x:.1f}%" for x in test["test_interval"])
    accuracy = f"{100 * test['test_accuracy']:.1f}%"
    assert f"{accuracy} (95% interval {low} to {high}, Wilson, n = {test['test_images']})" in (
        page.text
    )
    for cell in outcome["grid"]:
        if cell["n"] > 1:
            assert f"{cell['mean']:.4f}" in page.text
    assert outcome["data"] in page.text
    assert "version 1: champion" in page.text
    assert re.search(r"total \d+ \d+ 0 \d+\.\d", page.text)  # trained, reused, failed, minutes
    assert re.search(r"tensorflow \d+\.\d+", page.text)


def test_the_confusion_table_counts_every_test_image(written: str, done: Done) -> None:
    table = Page(written).text.partition("truth")[2].partition("Test images by truth")[0]
    counts = [int(n) for n in re.findall(r"(?<![\d.])\d+(?![\d.%])", table)]
    assert sum(counts) == done.outcome["registered"]["test_images"]


def test_the_report_is_logged_to_the_studys_run_as_it_is_rebuilt(done: Done) -> None:
    tracker, run_id = done.tracker, done.outcome["run_id"]
    content = tracker.read(run_id, "report.html")
    assert content is not None
    execution = past_execution(tracker, tracker.client.get_run(run_id))
    logged = Page(content.decode())
    rebuilt = Page(report_page(outcome_of(execution), execution))
    # It was written a moment before the run ended, which shows in the last minutes alone.
    time = re.compile(r"study took [\d.,]+ minutes")
    assert time.sub("", logged.text) == time.sub("", rebuilt.text)
    assert logged.addresses == rebuilt.addresses


def test_the_report_in_korean_says_the_same_with_the_same_figures(written: str, done: Done) -> None:
    execution = done.execution
    english = Page(written)
    korean = Page(report_page(outcome_of(execution), execution, "ko"))
    assert korean.headings == [words()[name]["ko"] for name in SECTIONS]
    assert korean.addresses == english.addresses
    numbers = re.compile(r"\d+\.\d{3,}")
    assert sorted(numbers.findall(korean.text)) == sorted(numbers.findall(english.text))


def test_every_word_is_there_in_every_language_with_the_same_figures() -> None:
    for key, each in words().items():
        assert set(each) == set(LANGUAGES), key
        places = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name}
            for text in each.values()
        ]
        assert all(own == places[0] for own in places), key


@pytest.mark.parametrize("name", built_in_studies())
def test_a_study_is_told_as_the_file_that_repeats_it(name: str) -> None:
    study = load_study(name, source='odd "path"/pictures.zip')
    assert parse_study(tomllib.loads(study_toml(study)), "told") == study


def test_numbers_stand_on_their_decimal_points() -> None:
    padded = aligned(["0.001", "0.1", "10"])
    assert [len(text) - len(text.rstrip()) for text in padded] == [0, 2, 4]
    assert aligned(["3", "12"]) == ["3", "12"]


def test_a_report_of_nothing_is_one_line_and_exit_status_2(done: Done, tmp_path: Path) -> None:
    for words_, told in (
        (("--experiment", "nowhere"), "there are: tiny"),
        (
            ("--experiment", "tiny", "--out", tmp_path / "no" / "file.html"),
            "its folder is not there",
        ),
    ):
        ended = factorgrid("report", *words_, home=done.home)
        assert ended.returncode == 2
        assert told in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
