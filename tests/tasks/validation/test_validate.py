"""Rules that people read and change, what breaks them, and what is kept of it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from flows.cli import main
from models.images.drawn import draw_one, generator
from tasks.data.dataset import check_images
from tasks.data.find_images import find_images
from tasks.data.metadata_store import Metadata
from tasks.data.rules import Validator, read_rules
from tasks.errors import DataError

OWN = Path(__file__).parents[3] / "tasks" / "data" / "rules.toml"
REAL = Path(__file__).parents[4] / "shared" / "data"


def write_pictures(
    folder: Path, cats: int, dogs: int, change: Callable[[Any], Any] = np.copy
) -> None:
    for label, n in (("cat", cats), ("dog", dogs)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(n):
            image = change(draw_one(label == "dog", 64, generator(5, index)))
            cv2.imwrite(str(folder / label / f"{index}.png"), image[:, :, ::-1])


def store_of(home: Path) -> Metadata:
    return Metadata(home / "metadata.db", home / "locks")


def faults_of(folder: Path, home: Path, rules: str | None = None) -> tuple[str, ...]:
    path = None
    if rules is not None:
        path = home / "rules.toml"
        path.write_text(rules, encoding="utf-8")
    source = find_images(folder, home)
    return check_images(source, store_of(home), rules=read_rules(path)).validation.faults


# -- rules --------------------------------------------------------------------------------------


def test_a_set_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 25, 25)
    assert faults_of(tmp_path / "data", tmp_path) == ()


def test_too_few_pictures_of_one_class_break_two_rules_in_words(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 30, 2)
    assert faults_of(tmp_path / "data", tmp_path) == (
        "32 pictures are accepted, fewer than 40",
        "the smallest class has 6.2% of the pictures, less than 10%",
    )


def test_a_set_of_broken_pictures_stops(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 25, 25)
    for index in range(20):
        (tmp_path / "data" / "cat" / f"broken{index}.jpg").write_bytes(b"broken %d" % index)
    faults = faults_of(tmp_path / "data", tmp_path)
    assert faults == ("28.6% of the pictures break a rule, more than 20%",)


def test_pictures_under_two_labels_stop(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 25, 25)
    for index in range(2):
        content = (tmp_path / "data" / "cat" / f"{index}.png").read_bytes()
        (tmp_path / "data" / "dog" / f"again{index}.png").write_bytes(content)
    assert (
        "7.69% of the pictures are there under two labels"
        in faults_of(tmp_path / "data", tmp_path)[0]
    )


def test_darker_pictures_than_last_time_stop_until_they_are_accepted(tmp_path: Path) -> None:
    folder, store = tmp_path / "data", store_of(tmp_path)
    write_pictures(folder, 60, 60)
    first = check_images(find_images(folder, tmp_path), store)
    assert first.validation.faults == ()
    store.accept(find_images(folder, tmp_path), first.profile)
    write_pictures(folder, 60, 60, lambda image: image // 3)
    second = check_images(find_images(folder, tmp_path), store)
    assert len(second.validation.faults) == 1
    assert "brightness has moved by 0." in second.validation.faults[0]
    store.accept(find_images(folder, tmp_path), second.profile)
    assert check_images(find_images(folder, tmp_path), store).validation.faults == ()


def test_a_study_may_have_rules_of_its_own(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 4, 4)
    rules = """
        [[pictures]]
        expectation = "ExpectColumnValuesToNotMatchRegex"
        column = "path"
        regex = "3"
        reason = "nobody likes {path}"
        [[set]]
        expectation = "ExpectColumnValuesToBeBetween"
        column = "accepted"
        max_value = 3
        reason = "{accepted:.0f} are more than {max_value}"
    """
    assert faults_of(tmp_path / "data", tmp_path, rules) == ("6 are more than 3",)


def rule(table: str, expectation: str, settings: str = "", reason: str = "x") -> str:
    """Return a file of one rule."""
    return f'[[{table}]]\nexpectation = "{expectation}"\n{settings}\nreason = "{reason}"\n'


BETWEEN = "ExpectColumnValuesToBeBetween"
BAD_RULES = {
    "no TOML": ("[[pictures", "cannot be read as TOML"),
    "an unknown table": ("[[picture]]\n", "picture: Extra inputs are not permitted"),
    "no reason": ('[[set]]\nexpectation = "ExpectMiracles"', "set.1.reason: Field required"),
    "an unknown expectation": (
        rule("set", "ExpectMiracles"),
        "[[set]] 1 (ExpectMiracles): Great Expectations knows no expectation of this name",
    ),
    "an unknown column": (
        rule("set", BETWEEN, 'column = "widht"\nmax_value = 1'),
        "no column 'widht'; there are: accepted, classes",
    ),
    "an unknown setting": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_valu = 1'),
        "max_valu: extra fields not permitted",
    ),
    "a reason with an unknown name": (
        rule("set", BETWEEN, 'column = "accepted"\nmax_value = 1', "{maximum}"),
        "reason '{maximum}': 'maximum'; name columns or the rule's settings",
    ),
    "a regex that is none": (
        rule("pictures", "ExpectColumnValuesToMatchRegex", 'column = "path"\nregex = "("'),
        "[[pictures]] 1 (ExpectColumnValuesToMatchRegex): ",
    ),
}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    write_pictures(folder, 4, 4)
    return folder


@pytest.mark.parametrize("name", BAD_RULES)
def test_a_bad_rule_is_said_in_one_line(few: Path, tmp_path: Path, name: str) -> None:
    text, words = BAD_RULES[name]
    with pytest.raises(DataError) as caught:
        faults_of(few, tmp_path, text)
    assert words in str(caught.value)


def test_a_missing_file_of_rules_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rules .*nowhere\.toml: cannot be read"):
        read_rules(tmp_path / "nowhere.toml")


def test_data_docs_fetch_nothing_from_elsewhere(few: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    checked = check_images(find_images(few, tmp_path), store_of(tmp_path))
    checked.validation.write_docs(docs)
    pages = list(docs.rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert 'src="http' not in text
        assert '<link rel="stylesheet" href="http' not in text
        assert "url('http" not in text


def test_a_validator_without_rules_finds_nothing(few: Path, tmp_path: Path) -> None:
    table = check_images(find_images(few, tmp_path), store_of(tmp_path)).metadata
    (tmp_path / "none.toml").write_text("")
    validator = Validator(read_rules(tmp_path / "none.toml"))
    assert validator.pictures(table) == {}
    assert validator.whole({"accepted": 1.0}) == ()


# -- the command and the flow -------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_command_prints_one_object_and_logs_the_validation(tmp_path: Path, home: Path) -> None:
    write_pictures(tmp_path / "data", 25, 25)
    (tmp_path / "data" / "cat" / "0.png").write_bytes(b"")
    (tmp_path / "data" / "Thumbs.db").write_bytes(b"x")
    result = CliRunner().invoke(main, ["validate", "--data", str(tmp_path / "data"), "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    counts = {name: answer[name] for name in ("found", "accepted", "quarantined", "passed_over")}
    assert counts == {"found": 51, "accepted": 49, "quarantined": 1, "passed_over": 1}
    assert answer["reasons"] == {"cat/0.png": ["not decodable: empty: 0 bytes"]}

    from tasks.settings import read_settings
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(read_settings())
    experiment = tracker.existing_experiment("validation")
    (run,) = tracker.search([experiment], "")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["quarantined"] == 1
    folder = tracker.artifact(run.info.run_id, "data_docs", tmp_path / "fetched")
    assert (folder / "index.html").exists()
    assert list(home.glob("validation/*/validation.html"))


def test_a_validation_that_fails_is_logged_too_and_ends_with_2(tmp_path: Path, home: Path) -> None:
    write_pictures(tmp_path / "data", 4, 4)
    result = CliRunner().invoke(main, ["validate", "--data", str(tmp_path / "data")])
    assert result.exit_code == 2
    assert "broken rule: 8 pictures are accepted, fewer than 40" in result.stdout

    from tasks.settings import read_settings
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(read_settings())
    (run,) = tracker.search([tracker.existing_experiment("validation")], "")
    assert run.info.status == "FAILED"
    assert run.data.tags["factorgrid.broken_rules"] == "8 pictures are accepted, fewer than 40"


def test_a_source_that_is_none_is_one_line_and_2(tmp_path: Path, home: Path) -> None:
    result = CliRunner().invoke(main, ["validate", "--data", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "no such file or folder" in result.stderr


FLOW = """
import json, sys
from tasks.environment import prepare_environment
prepare_environment().create()
from flows.validate_images import validate_images
print(json.dumps(validate_images(sys.argv[1])))
"""


@pytest.mark.slow
def test_the_flow_runs_alone_and_fails_where_the_set_does(tmp_path: Path, home: Path) -> None:
    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FLOW, str(folder)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=OWN.parents[1]
        )

    write_pictures(tmp_path / "data", 25, 25)
    passed = run(tmp_path / "data")
    assert json.loads(passed.stdout.splitlines()[-1])["accepted"] == 50, passed.stderr
    write_pictures(tmp_path / "few", 4, 4)
    failed = run(tmp_path / "few")
    assert failed.returncode != 0
    assert "8 pictures are accepted, fewer than 40" in failed.stderr


# -- the real pictures --------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.exists(), reason="the real pictures are not beside the checkout")
def test_the_real_samples_empty_files_are_found(tmp_path: Path) -> None:
    source = find_images(REAL / "petimages-sample.zip", tmp_path)
    checked = check_images(source, store_of(tmp_path))
    assert checked.reasons == {
        "PetImages/Cat/666.jpg": ["not decodable: empty: 0 bytes"],
        "PetImages/Dog/11702.jpg": ["not decodable: empty: 0 bytes"],
    }
    assert len(checked.accepted) == 200
    assert len(checked.passed_over) == 3
