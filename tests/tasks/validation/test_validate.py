"""Validating pictures with the command and with the flow; what is logged."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.picture_files import store_of, write_class_folders

from flows.cli import main
from tasks.data.check_images import check_images
from tasks.data.find_images import find_images
from tasks.data.reason import Reason
from tasks.validation.report import sample_note

ROOT = Path(__file__).parents[3]


REAL = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_command_prints_one_json_object_and_logs_the_validation(
    tmp_path: Path, home: Path
) -> None:
    write_class_folders(tmp_path / "data", 25, 25)
    (tmp_path / "data" / "cat" / "0.png").write_bytes(b"")
    (tmp_path / "data" / "Thumbs.db").write_bytes(b"x")
    result = CliRunner().invoke(main, ["validate", "--data", str(tmp_path / "data"), "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    counts = {name: answer[name] for name in ("found", "accepted", "quarantined", "passed_over")}
    assert counts == {"found": 51, "accepted": 49, "quarantined": 1, "passed_over": 1}
    assert answer["classes"] == {"cat": 24, "dog": 25}
    assert answer["note_kinds"] == ["few_for_validation"]
    assert answer["reasons"] == {"cat/0.png": ["not decodable: empty: 0 bytes"]}
    assert answer["reason_kinds"] == {"cat/0.png": ["not_decodable"]}
    assert answer["passed_over_kinds"] == {"Thumbs.db": "system_file"}

    from tasks.settings import read_settings
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(read_settings())
    experiment = tracker.existing_experiment("validation")
    (run,) = tracker.search([experiment], "")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["quarantined"] == 1
    folder = tracker.artifact(run.info.run_id, "data_docs", tmp_path / "fetched")
    assert (folder / "index.html").exists()
    logged = tracker.read_json(run.info.run_id, "validation.json")
    broken = Reason("not_decodable", {"why": Reason("empty")})
    assert logged["reasons"] == {"cat/0.png": [broken.as_json()]}
    assert Reason.from_json(logged["passed_over_reasons"]["Thumbs.db"]) == Reason("system_file")
    assert logged["classes"] == answer["classes"]
    assert [note["kind"] for note in logged["notes"]] == answer["note_kinds"]
    (page,) = home.glob("validation/*/validation.html")
    text = page.read_text(encoding="utf-8")
    assert '<tr><td class="text">cat<td class="n">24</tr>' in text
    note = answer["notes"][0]
    assert f"{note[0].upper()}{note[1:]}." in text


def test_the_page_of_a_validation_is_written_in_the_language_that_was_asked_for(
    tmp_path: Path, home: Path
) -> None:
    write_class_folders(tmp_path / "data", 25, 25)
    (tmp_path / "data" / "cat" / "0.png").write_bytes(b"")
    command = ["validate", "--data", str(tmp_path / "data"), "--lang", "ko"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    (page,) = home.glob("validation/*/validation.html")
    text = page.read_text(encoding="utf-8")
    assert '<html lang="ko">' in text
    assert "너비(픽셀): 8 이상, 20,000 이하" in text
    assert "디코딩할 수 없음: 빈 파일: 0바이트" in text
    contents = text.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'href="#(\w+)"', contents) == re.findall(r'<section id="(\w+)"', text)
    body = text.partition('id="details"')[0]
    body = re.sub(r"<style.*?</style>|<[^>]+>", "\n", body, flags=re.DOTALL)
    body = body.replace(str(tmp_path), "")
    assert not re.search(r"[A-Za-z']+(?: [A-Za-z']+){2,}", body)


def test_a_rule_is_named_in_words_and_alike_on_the_page_and_in_data_docs(
    tmp_path: Path, home: Path
) -> None:
    write_class_folders(tmp_path / "data", 25, 25)
    rules = tmp_path / "rules.toml"
    own = (
        '[[pictures]]\nexpectation = "ExpectColumnValuesToNotMatchRegex"\ncolumn = "path"\n'
        'regex = "<i>$|2.png$"\nreason = "a file of the second session"\n'
    )
    built_in = (ROOT / "tasks" / "data" / "rules.toml").read_text(encoding="utf-8")
    rules.write_text(built_in + own, encoding="utf-8")
    command = ["validate", "--data", str(tmp_path / "data"), "--rules", str(rules)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    (page,) = home.glob("validation/*/validation.html")
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r'<tr(?: class="on")?><td class="text">(.*?)<', text)
    rules_in_words = [html.unescape(rule) for rule in shown if ": " in rule]
    assert len(rules_in_words) == built_in.count("\n[[") + 1
    assert "width in pixels: at least 8, at most 20,000" in rules_in_words
    assert "images that break a rule: at most 20%" in rules_in_words
    assert "a file of the second session" in text
    docs = "".join(
        html.unescape(file.read_text(encoding="utf-8"))
        for file in (page.parent / "data_docs" / "validations").rglob("*.html")
    )
    for rule in rules_in_words:
        assert rule in docs, rule
    assert "a file of the second session" in docs
    for name in ("Expect", "min_value", "quarantined_share:"):
        assert name not in text.partition('id="details"')[0]


def test_a_failed_validation_is_logged_too_and_exits_with_2(tmp_path: Path, home: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4)
    result = CliRunner().invoke(main, ["validate", "--data", str(tmp_path / "data")])
    assert result.exit_code == 2
    assert result.stdout.startswith("2 classes: cat (4), dog (4)\n")
    assert "broken rule: 8 pictures are accepted, fewer than 40" in result.stdout

    from tasks.settings import read_settings
    from tasks.tracking.tracker import Tracker

    tracker = Tracker.open(read_settings())
    (run,) = tracker.search([tracker.existing_experiment("validation")], "")
    assert run.info.status == "FAILED"
    assert run.data.tags["factorgrid.broken_rules"] == "8 pictures are accepted, fewer than 40"


def test_a_missing_source_is_one_line_and_exits_with_2(tmp_path: Path, home: Path) -> None:
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
def test_the_flow_runs_on_its_own_and_fails_if_the_set_fails(tmp_path: Path, home: Path) -> None:
    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FLOW, str(folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    write_class_folders(tmp_path / "data", 25, 25)
    passed = run(tmp_path / "data")
    assert json.loads(passed.stdout.splitlines()[-1])["accepted"] == 50, passed.stderr
    write_class_folders(tmp_path / "few", 4, 4)
    failed = run(tmp_path / "few")
    assert failed.returncode != 0
    assert "8 pictures are accepted, fewer than 40" in failed.stderr


@pytest.mark.skipif(not REAL.exists(), reason="the real pictures are not in shared/data")
def test_the_empty_files_of_the_real_sample_are_found(tmp_path: Path) -> None:
    source = find_images(REAL / "petimages-sample.zip", tmp_path)
    checked = check_images(source, store_of(tmp_path))
    empty = Reason("not_decodable", {"why": Reason("empty")})
    assert checked.reasons == {
        "PetImages/Cat/666.jpg": [empty],
        "PetImages/Dog/11702.jpg": [empty],
    }
    assert len(checked.accepted) == 200
    assert len(checked.passed_over) == 3


def test_a_sample_that_is_larger_than_a_class_is_noted_with_what_is_used() -> None:
    classes = {"cat": 12, "dog": 1_200, "owl": 7}
    assert sample_note(classes, None) == sample_note(classes, 7) == []
    (note,) = sample_note(classes, 40)
    assert note == (
        "note: per_class = 40 is more than these classes have, so all of their images are used: "
        "cat (12), owl (7)"
    )
