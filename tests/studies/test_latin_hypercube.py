"""A whole study whose budget has no room for a two-level design: its screen is spread out."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.replay import check_replay
from support.small_study import STUDY, factorgrid, last_execution, read_until, start_study
from support.small_study import write_study as write

from flows import api
from tasks.errors import UserError
from tasks.report.html import report_page
from tasks.report.outcome import outcome_of
from tasks.study.study_file import load_study

#: Four factors: the smallest design has 8 cells, which with the pilot is too much of 12.
TEXT = (
    STUDY[: STUDY.index("[refine]")]
    .replace('name = "tiny"', 'name = "tiny"\nbudget = 12')
    .replace(
        "[model]\nfilters = 4\ndense_units = 8",
        "[factors.filters]\nlow = 4\nhigh = 8\n[factors.dense_units]\nlow = 4\nhigh = 8",
    )
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spread") / "home"


@pytest.fixture(scope="module")
def ended(home: Path) -> "subprocess.CompletedProcess[str]":
    """Return the study, which was killed in its screen and started again."""
    study = write(home.parent, TEXT)
    process = start_study(study, home)
    read_until(process, "screen")
    process.kill()
    process.wait()
    return factorgrid("search", study, home=home)


def test_its_stages_have_the_planned_runs(
    ended: "subprocess.CompletedProcess[str]", home: Path
) -> None:
    assert ended.returncode == 0, ended.stderr
    execution = last_execution(home, "tiny")
    assert execution.study.rules.design is None
    sizes = execution.runs().groupby("stage").size().to_dict()
    # A cell of the screen that the pilot has trained is not trained again: one more is refined.
    assert sizes == {"pilot": 3, "screen": 5, "refine": 2, "confirm": 2}
    check_replay(load_study(str(home.parent / "study.toml")), execution)


def test_it_says_what_one_change_of_the_winner_does(
    ended: "subprocess.CompletedProcess[str]", home: Path
) -> None:
    assert "Effects (screen)" not in ended.stdout
    assert "One change of the chosen cell\n----" in ended.stdout
    execution = last_execution(home, "tiny")
    found = outcome_of(execution)
    assert found.effects is None
    assert found.decision is None
    assert {change.factor for change in found.changes} == set(execution.study.factors)
    listed: dict[str, Any] = json.loads(
        factorgrid("analyze", "--experiment", "tiny", "--json", home=home).stdout
    )
    assert listed["screen"] is None
    assert len(listed["changes"]) == len(found.changes)
    moves = {move["code"]: move for move in listed["next_moves"]}
    assert moves["measure_effects"]["toml"] == "budget = 18"
    note = execution.tracker.client.get_run(execution.run_id).data.tags["mlflow.note.content"]
    assert "## One change of the chosen cell" in note
    assert "Effects" not in note


def test_a_report_of_very_many_runs_fits_no_process(
    ended: "subprocess.CompletedProcess[str]", home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended.returncode == 0
    monkeypatch.setattr("tasks.report.outcome.MOST_RUNS", 11)
    assert outcome_of(last_execution(home, "tiny")).changes == ()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_report_has_the_changes_in_place_of_effects_and_decision(
    ended: "subprocess.CompletedProcess[str]", home: Path, language: str
) -> None:
    assert ended.returncode == 0
    execution = last_execution(home, "tiny")
    page = report_page(outcome_of(execution), execution, language)
    assert '<section id="changes">' in page
    assert '<section id="effects">' not in page
    assert '<section id="decision">' not in page
    assert "screen = &#34;factorial&#34;" in page


@pytest.mark.parametrize("option", ["--alpha=0.1", "--over-pictures", "--plots=plots"])
def test_what_needs_effects_is_refused_in_one_line(
    ended: "subprocess.CompletedProcess[str]", home: Path, option: str
) -> None:
    assert ended.returncode == 0
    refused = factorgrid("analyze", "--experiment", "tiny", option, home=home)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "the screen is a Latin hypercube" in refused.stderr.replace("its screen", "the screen")
    assert len(refused.stderr.splitlines()) == 1
    assert not (home.parent / "plots").exists()


def test_a_notebook_gets_the_changes_and_one_line_instead_of_effects(
    ended: "subprocess.CompletedProcess[str]", home: Path
) -> None:
    assert ended.returncode == 0
    execution = last_execution(home, "tiny")
    result = api.Result(outcome_of(execution), execution)
    assert list(result.changes) == [
        *("factor", "level", "instead_of", "difference", "low", "high"),
        *("dead", "collapsed", "clear"),
    ]
    with pytest.raises(UserError, match="no effects, because its screen is a Latin hypercube"):
        _ = result.effects
    with pytest.raises(UserError, match="there are: heatmap"):
        result.plot("pareto")


def test_a_study_can_ask_for_its_screen(tmp_path: Path) -> None:
    both = {"factorial": 8, "latin_hypercube": None}
    for name, cells in both.items():
        path = write(tmp_path, TEXT.replace("budget = 12", f'budget = 12\nscreen = "{name}"'))
        design = load_study(str(path)).rules.design
        assert (design and design.n_runs) == cells
