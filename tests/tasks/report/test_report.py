"""The report of a study: one page that loads nothing, built from MLflow only."""

import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.small_study import Done, environment, factorgrid

from tasks.escaping import PAGE_POLICY_ELEMENT
from tasks.languages import words
from tasks.report.html import SECTIONS, report_page
from tasks.report.markdown import decision_as_markdown
from tasks.report.outcome import outcome_of
from tasks.report.text import outcome_as_text
from tasks.study.next_study import next_study
from tasks.study.study_file import built_in_studies, load_study, parse_study
from tasks.study.study_toml import study_toml
from tasks.tracking.execution import past_execution
from tasks.wording.next_moves import MOST_SHOWN

#: The sections with a heading; its text has the name of the section.
#: The sections with a heading. One cell of the study is far better than all others, so that no
#: picture is judged by several good cells; `tests/old_home` has a page with suspects.
#: The small study is the published procedure: no process searched it.
HEADINGS = [name for name in SECTIONS if name not in {"head", "suspects", "changes"}]
#: What stands on the page in the language of the user's files, or in that of a program.
NOT_SENTENCES = ("style", "pre", "code", "title")
#: A run of at least four words in Latin letters.
LATIN_SENTENCE = re.compile(r"[A-Za-z']+(?: [A-Za-z']+){3,}")


class Page(HTMLParser):
    """The text of a page, and every address in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.shown: list[str] = []
        self.drawn: list[str] = []
        self.sentences: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = self.links if tag == "a" else self.addresses
        found += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        last = self.tags[-1] if self.tags else ""
        if last == "h2" and data.strip():
            self.headings.append(data.strip())
        if last == "text":
            self.drawn.append(data)
        elif last != "style":
            self.shown.append(data)
        if last not in NOT_SENTENCES:
            self.sentences.append(data)

    @property
    def images(self) -> list[str]:
        return [address for address in self.addresses if not address.startswith("#")]

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


def test_the_report_loads_nothing(written: str) -> None:
    page = Page(written)
    assert page.images
    assert all(address.startswith("data:image/") for address in page.images)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert not {"ping", "target"} & set(re.findall(r"<a [^>]*?(ping|target)=", written))
    assert "@import" not in written
    assert not re.search(r"url\((?!#)", written)
    assert f'<meta charset="utf-8">\n{PAGE_POLICY_ELEMENT}\n' in written


def test_the_report_has_every_part_with_its_figures(written: str, done: Done) -> None:
    page, outcome = Page(written), done.outcome
    assert page.headings == [words()[name]["en"] for name in HEADINGS]
    # Samples and mistakes are images.
    assert page.tags.count("img") == 2
    # Pareto, half-normal, main effects, interactions, the grid, curve: for broad and slim windows.
    assert page.tags.count("svg") == 2 * 6
    assert {"learning_rate", "conv_layers"} <= set(page.drawn)
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


def test_the_report_links_to_the_study_in_mlflow(written: str, done: Done) -> None:
    links, page = done.outcome["links"], Page(written)
    outside = [link for link in page.links if not link.startswith("#")]
    assert outside[:3] == [links["table"], links["charts"], links["run"]]
    # Where the numbers come from: the same pages, the run of the winner and its model.
    pages = links["run"].partition("#")[0]
    assert all(link.startswith(f"{pages}#/") for link in outside)
    assert f"{pages}#/models/tiny/versions/1" in outside
    assert "`factorgrid ui`" in Page(written).text


def test_the_contents_of_the_report_name_each_section(written: str) -> None:
    inside = [link[1:] for link in Page(written).links if link.startswith("#")]
    assert inside == re.findall(r'<section id="(\w+)">', written)
    assert inside == HEADINGS


def test_no_id_of_the_report_is_given_twice(written: str) -> None:
    ids = re.findall(r' id="([^"]+)"', written)
    assert len(ids) == len(set(ids))
    references = re.findall(r'(?:url\(| href=")#([^")]+)[")]', written)
    assert set(references) <= set(ids)


def test_the_chosen_cell_is_beside_the_cells_that_are_as_good(written: str, done: Done) -> None:
    text = written.partition('<section id="choice">')[2].partition("</section>")[0]
    chosen = ", ".join(f"{k}={v}" for k, v in done.outcome["chosen"].items())
    assert chosen.split(", ")[0] in text


def test_what_to_do_next_is_shown_alike_everywhere(written: str, done: Done) -> None:
    moves = done.outcome["next_moves"]
    assert moves
    page, execution = Page(written).text, done.execution
    logged = done.tracker.read(done.outcome["run_id"], "next.json")
    assert logged is not None
    assert json.loads(logged) == moves
    printed = outcome_as_text(outcome_of(execution))
    artifact = decision_as_markdown(outcome_of(execution))
    assert "## What next" in artifact
    for move in moves[:MOST_SHOWN]:
        for line in (*move["toml"].splitlines(), *move["commands"]):
            assert line in page
            assert f"     {line}" in printed
            assert f"       {line}" in artifact
        assert move["text"] in page
        assert " ".join(move["text"].split()) in " ".join(printed.split())
    # The accuracy of these networks rises to their last epoch, but four epochs show no trend.
    codes = {move["code"] for move in moves}
    assert "longer_training" not in codes
    # The best cell and the next differ by three pictures.
    assert "more_seeds" in codes


def test_the_next_study_is_one_that_search_accepts(done: Done) -> None:
    study = outcome_of(done.execution).study
    for move in done.outcome["next_moves"]:
        changes = tomllib.loads(move["toml"])
        if changes:
            changed = parse_study(tomllib.loads(move["study_file"]), "test")
            assert changed.identity == next_study(study, changes).identity != study.identity


def test_the_confusion_table_counts_every_test_image(written: str, done: Done) -> None:
    table = Page(written).text.partition("true class")[2].partition("Test images by true")[0]
    counts = [int(n) for n in re.findall(r"(?<![\d.])\d+(?![\d.%])", table)]
    assert sum(counts) == done.outcome["registered"]["test_images"]


def test_the_report_is_logged_to_the_studys_run_as_it_is_rebuilt(done: Done) -> None:
    tracker, run_id = done.tracker, done.outcome["run_id"]
    content = tracker.read(run_id, "report.html")
    assert content is not None
    execution = past_execution(tracker, tracker.client.get_run(run_id))
    logged = Page(content.decode())
    rebuilt = Page(report_page(outcome_of(execution), execution))
    # It was written a moment before the run ended, which changes the minutes only.
    time = re.compile(r"study took [\d.,]+ minutes")
    assert time.sub("", logged.text) == time.sub("", rebuilt.text)
    assert logged.addresses == rebuilt.addresses


def test_the_report_in_korean_says_the_same_with_the_same_figures(written: str, done: Done) -> None:
    execution = done.execution
    english = Page(written)
    korean = Page(report_page(outcome_of(execution), execution, "ko"))
    assert korean.headings == [words()[name]["ko"] for name in HEADINGS]
    assert korean.images == english.images
    assert "에포크" in korean.drawn
    assert not {"epoch", "margin of error", "training"} & set(korean.drawn)
    numbers = re.compile(r"\d+\.\d{3,}")
    assert sorted(numbers.findall(korean.text)) == sorted(numbers.findall(english.text))


def test_the_korean_page_has_no_english_sentence(done: Done) -> None:
    outcome = outcome_of(done.execution)
    page = Page(report_page(outcome, done.execution, "ko"))
    assert any("가" <= letter <= "힣" for letter in page.text)
    names = [name for name in (outcome.study.description, *outcome.study.factors) if name]
    named = re.compile("|".join(map(re.escape, names)))
    for sentence in page.sentences:
        assert not LATIN_SENTENCE.search(named.sub("", sentence)), sentence


@pytest.mark.parametrize("name", built_in_studies())
def test_a_study_as_toml_is_the_same_study(name: str) -> None:
    study = load_study(name, source='odd "path"/pictures.zip')
    read = parse_study(tomllib.loads(study_toml(study)), "test")
    # The folder of the study file, from which its own paths start, is no part of the study.
    assert read.model_dump() == study.model_dump()
    assert read.identity == study.identity


def test_a_report_that_cannot_be_written_is_one_line_and_exit_status_2(
    done: Done, tmp_path: Path
) -> None:
    for arguments, message in (
        (("--experiment", "nowhere"), "there are: "),
        (
            ("--experiment", "tiny", "--out", tmp_path / "no" / "file.html"),
            "its folder does not exist",
        ),
    ):
        ended = factorgrid("report", *arguments, home=done.home)
        assert ended.returncode == 2
        assert message in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1


WITHOUT_PREFECT = """
import sys

sys.modules["prefect"] = None  # an import of it is an ImportError
from flows.cli import main

main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "--experiment", "tiny", "--out", "without-prefect.html"),
        ("analyze", "--experiment", "tiny"),
        ("analyze", "--experiment", "tiny", "--order", "1"),
    ],
)
def test_findings_are_shown_without_prefect(done: Done, arguments: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_PREFECT, *arguments],
        env=environment(done.home),
        cwd=done.home.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "tiny" in ended.stdout or "without-prefect.html" in ended.stdout
