"""A study in whose screen no network learns: it ends with the remedies, and nothing is lost."""

import json
from pathlib import Path

import pytest
from support.small_study import (
    ACCURACY,
    STUDY,
    factorgrid,
    known_accuracy,
    last_execution,
    write_study,
)

#: Every network answers as well as guessing.
NOTHING = known_accuracy(
    {**ACCURACY, "best": 0.5, "losses": {}, "noise": 0.01},
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nothing") / "home"


def run(home: Path, text: str = STUDY) -> tuple[str, int]:
    ended = factorgrid("search", write_study(home.parent, text), "--json", home=home, **NOTHING)
    assert ended.returncode == 2
    (line,) = [x for x in ended.stderr.splitlines() if x.startswith("factorgrid: ")]
    error = line.removeprefix("factorgrid: ")
    assert json.loads(ended.stdout) == {"error": error, "exit_status": 2}
    assert "Traceback" not in ended.stderr
    execution = last_execution(home, "tiny")
    runs = execution.tracker.search([execution.experiment], "tags.`factorgrid.kind` = 'replicate'")
    return line, len([x for x in runs if "factorgrid.reused_from" not in x.data.tags])


def test_the_study_ends_after_the_screen_with_the_remedies_that_fit_it(home: Path) -> None:
    line, trained = run(home)
    assert trained == 4
    assert "study tiny: Nothing was learned: in none of 4 runs is the network shown" in line
    assert "learning_rate was 0.001, 0.1: try 0.0001 to 0.01." in line
    assert "epochs was 4: try 16." in line
    assert "drawn = 240: use more pictures." in line
    assert "image_size was 16: try 32." in line
    execution = last_execution(home, "tiny")
    assert execution.run_id in line
    client = execution.tracker.client
    parent = client.get_run(execution.run_id)
    assert parent.info.status == "FAILED"
    assert parent.data.tags["factorgrid.nothing_learned"] == "screen"
    assert {x.info.status for x in execution.children()} == {"FINISHED"}
    assert not client.search_registered_models()
    names = {item.path for item in client.list_artifacts(execution.run_id)}
    assert {"report.html", "summary.txt", "decision.json"} <= names


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_a_changed_one_trains_what_changed(home: Path) -> None:
    run(home)  # the first, where no other test was
    first = last_execution(home, "tiny").run_id
    line, trained = run(home)
    assert trained == 4
    assert last_execution(home, "tiny").run_id == first
    # Other levels of one factor: the cells at the level that stays are not trained again.
    line, trained = run(home, STUDY.replace("high = 0.1", "high = 0.01"))
    assert "learning_rate was 0.001, 0.01: try 0.0001 to 0.00032." in line
    assert trained == 6


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_reports_say_that_it_was_stopped_and_what_to_change(home: Path, language: str) -> None:
    file = home.parent / f"{language}.html"
    ended = factorgrid(
        *("report", "--experiment", "tiny", "--lang", language, "--out", file), home=home
    )
    assert ended.returncode == 0, ended.stderr
    page = file.read_text(encoding="utf-8")
    texts = {"en": "The study ends here.", "ko": "연구는 여기서 끝난다."}
    assert texts[language] in page
    assert "is not finished" not in page
    ended = factorgrid("analyze", "--experiment", "tiny", "--json", home=home)
    found = json.loads(ended.stdout)
    assert found["registered"] is None
    assert found["nothing_learned"]["runs"] == 4
    assert len(found["nothing_learned"]["remedies"]) == 4
    shown = factorgrid("analyze", "--experiment", "tiny", home=home).stdout
    assert "Nothing was learned" in shown
