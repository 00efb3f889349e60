"""A home that version 0.1.0 wrote: its finished studies are still read, reported and served."""

import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import pytest
from old_home import pack
from support.small_study import (
    BEST,
    CONFIRMED,
    factorgrid,
    last_execution,
    open_tracker,
    write_study,
)

from models.images.drawn import draw
from tasks.tracking.tags import REUSED_FROM

HERE = Path(__file__).parent
STUDIES = ("tiny", "piloted")
#: Numbers and levels of the screen's analysis, without the sentences beside them.
SCREEN = (
    "residual_df",
    "r_squared",
    "r_squared_adjusted",
    "r_squared_predicted",
    "press",
    "active",
)
NESTED = ("terms", "lenth", "anova", "aliases")
#: The parts of an outcome that are the same in every version.
OUTCOME = ("study", "best", "chosen", "edges", "tied", "run_id")


def unpack(folder: Path) -> Path:
    """Unpack the home, with the addresses in its database moved to where it is."""
    with tarfile.open(HERE / "home.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    home = folder / "home"
    pack.move_addresses(home / "mlflow.db", pack.PLACEHOLDER, str(folder))
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("old"))


def old_outcome(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return content


#: Columns of effects that belong to a test.
OF_TESTS = {"std_error", "t", "p", "ci_low", "ci_high"}


def run(home: Path, *words: str | Path) -> str:
    """Run a command that must succeed, and return what it printed."""
    ended = factorgrid(*words, home=home)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def flat(content: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested JSON by their paths."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        return {name: content}
    return {k: v for key, part in content.items() for k, v in flat(part, f"{name}/{key}").items()}


def assert_equal(found: Any, expected: Any) -> None:
    """Compare nested JSON, its numbers to nine digits."""
    found, expected = flat(found), flat(expected)
    # Later versions may add figures, and lose none.
    assert found.keys() >= expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("name", STUDIES)
def test_analyze_finds_the_same_effects_decision_grid_and_winner(home: Path, name: str) -> None:
    found = json.loads(run(home, "analyze", "--experiment", name, "--json"))
    expected = old_outcome(name)
    # All of its runs collapsed. Since version 0.3, their effects are then not tested, and have no
    # errors and no tests.
    assert found["screen"]["verdict"]["test"] == "none"
    for row in expected["screen"]["terms"].values():
        row.update(dict.fromkeys(OF_TESTS & row.keys()))
    for part in (*SCREEN, *NESTED):
        assert_equal(found["screen"][part], expected["screen"][part])
    assert "All 4 runs collapsed" in " ".join(found["screen"]["warnings"])
    for part in ("grid", "corner"):
        assert_equal(found["screen"]["decision"][part], expected["screen"]["decision"][part])
    assert_equal(found["grid"], expected["grid"])
    for part in OUTCOME:
        assert_equal(found[part], expected[part])
    registered = {k: v for k, v in expected["registered"].items() if k != "why"}
    assert_equal({k: found["registered"][k] for k in registered}, registered)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_report_is_written_with_the_same_figures(home: Path, name: str, language: str) -> None:
    file = home.parent / f"{name}.{language}.html"
    run(home, "report", "--experiment", name, "--lang", language, "--out", file)
    page, expected = file.read_text(encoding="utf-8"), old_outcome(name)
    assert page.count("<h2") == 13
    # Some images of the set, and the mistakes; figures are drawn for broad and for slim windows.
    assert page.count("data:image/png") == 2
    assert page.count("<svg") == 2 * 6
    assert f"{expected['registered']['test_accuracy']:.1%}" in page
    for row in expected["grid"]:
        assert f"{row['mean']:.4f}" in page
    assert f'lang="{language}"' in page


@pytest.mark.parametrize("name", STUDIES)
def test_a_registered_model_answers(home: Path, name: str) -> None:
    images, labels, classes = draw(2, 32, seed=5)
    files = [home.parent / f"{i}-{classes[label]}.png" for i, label in enumerate(labels)]
    for file, image in zip(files, images, strict=True):
        assert cv2.imwrite(str(file), image[:, :, ::-1])
    answer = json.loads(run(home, "predict", name, *files, "--json"))
    assert (answer["model"], answer["version"]) == (name, "1")
    assert [row["file"] for row in answer["answers"]] == [str(file) for file in files]
    for row in answer["answers"]:
        assert row["label"] in classes
        assert 0.5 <= row["probability"] <= 1
        assert not row["error"]


def test_a_champion_stays_where_nothing_challenges_it(home: Path) -> None:
    answer = json.loads(run(home, "promote", "tiny", "--dry-run", "--json"))
    assert (answer["before"], answer["champion"], answer["moved"]) == ("1", "1", False)
    client = open_tracker(home).client
    assert client.get_model_version_by_alias("tiny", "champion").version == 1


def test_prune_lists_what_no_registered_model_stands_on(home: Path) -> None:
    listed = run(home, "prune", "--keep", "0")
    rows = [line.split() for line in listed.splitlines() if " validation " in line]
    assert sorted(row[0] for row in rows) == ["piloted"] * 2 + ["tiny"] * 2
    assert "2 older" in listed
    tracker = open_tracker(home)
    for name in STUDIES:
        assert tracker.existing_experiment(name)
        assert last_execution(home, name).run_id == old_outcome(name)["run_id"]


@pytest.mark.slow
def test_a_search_of_an_old_study_trains_every_replicate_once_more(tmp_path: Path) -> None:
    """The keys of replicates are new in version 0.2.0; what was trained before stays as it is."""
    home = unpack(tmp_path)
    before = last_execution(home, "tiny")
    old = {run.info.run_id for run in before.tracker.children(before.run_id, before.experiment)}
    text = (
        (HERE / "tiny.toml").read_text(encoding="utf-8").replace("replicates = 1", "replicates = 2")
    )
    outcome = json.loads(run(home, "search", write_study(tmp_path, text), "--json"))
    after = last_execution(home, "tiny")
    assert outcome["run_id"] == after.run_id != before.run_id
    runs = after.tracker.children(after.run_id, after.experiment)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not any(REUSED_FROM in run.data.tags for run in runs)
    kept = before.tracker.children(before.run_id, before.experiment)
    assert {run.info.run_id for run in kept} == old
    assert outcome["best"] == BEST
    assert outcome["tied"] == CONFIRMED
    # Its network is better than the old champion, and takes its place.
    assert (outcome["registered"]["alias"], outcome["registered"]["version"]) == ("champion", "2")
