"""The commands on studies: list, show, export, delete, init, schema, and replaced keys."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # without types
from support.small_study import BEST, STUDY, Done, open_tracker, write_study

from flows.cli import main
from tasks.errors import StudyError, TrackingError
from tasks.maintenance.prune import plan_deletion
from tasks.report.outcome import outcome_of
from tasks.report.studies import export_study, find_execution, list_studies, studies_as_text
from tasks.report.text import outcome_as_text
from tasks.study.new_study import new_study_toml, study_schema
from tasks.study.study_file import built_in_studies, load_study, parse_study
from tasks.tracking.tags import KIND


def _run(home: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME"):
        monkeypatch.setenv(name, "")  # `prepare_environment` sets them
        monkeypatch.delenv(name)
    monkeypatch.setenv("FACTORGRID_HOME", str(home))
    return CliRunner().invoke(main, words)


def test_a_study_is_listed_with_its_winner_and_its_link(done: Done) -> None:
    (study,) = list_studies(done.tracker)
    assert (study.name, study.run_id, study.status) == ("tiny", done.outcome["run_id"], "finished")
    assert study.winner == "conv_layers=2 learning_rate=0.001"
    assert study.accuracy == done.outcome["cells"][0]["mean"]
    # Other tests may have registered this shared study again: the first figure is this outcome's.
    history = done.tracker.client.get_metric_history(study.run_id, "test_accuracy")
    assert history[0].value == done.outcome["registered"]["test_accuracy"]
    assert study.test_accuracy in {one.value for one in history}
    tags = done.tracker.client.get_run(study.run_id).data.tags
    assert study.registered == tags["factorgrid.registered"]
    assert re.fullmatch(r"\w+ version \d+ \((champion|no alias)\)", study.registered)
    assert study.link == done.outcome["links"]["table"]
    text = studies_as_text([study])
    assert all(part in text for part in ("tiny", "finished", study.winner, study.registered))


def test_without_a_study_the_list_says_what_to_do(tmp_path: Path) -> None:
    assert "factorgrid search" in studies_as_text(list_studies(open_tracker(tmp_path / "home")))


def test_a_study_is_shown_as_its_search_printed_it(done: Done) -> None:
    execution = find_execution(done.tracker, "tiny", done.outcome["run_id"])
    assert execution.run_id == find_execution(done.tracker, "tiny").run_id
    assert outcome_as_text(outcome_of(execution)) == outcome_as_text(outcome_of(done.execution))


def test_a_run_that_is_no_execution_is_refused_with_those_that_are(done: Done) -> None:
    replicate = done.execution.children()[0].info.run_id
    with pytest.raises(TrackingError, match=f"--run {replicate}: .*{done.outcome['run_id']}"):
        find_execution(done.tracker, "tiny", replicate)


def test_an_export_has_the_runs_the_cells_and_the_study(done: Done, tmp_path: Path) -> None:
    files = export_study(done.execution, tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["runs.csv", "cells.csv", "study.toml"]
    runs, cells = (pd.read_csv(file) for file in files[:2])
    assert len(runs) == len(done.execution.children())
    assert {"conv_layers", "learning_rate", "val_accuracy", "seed"} <= set(runs)
    assert dict(cells.iloc[0][["conv_layers", "learning_rate"]]) == BEST
    study = load_study(str(files[2]))
    assert study.identity == load_study(str(done.path)).identity


def test_a_study_is_deleted_with_its_validations(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path / "home")
    for name, kind in (("mine", "study"), ("mine images", "validation"), ("other", "study")):
        run = tracker.client.create_run(tracker.experiment(name), tags={KIND: kind})
        tracker.client.set_terminated(run.info.run_id)
    deleted = {old.experiment for old in plan_deletion(tracker, "mine").old}
    assert deleted == {"mine", "mine images"}


def test_a_new_study_is_valid_and_names_the_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(3):
            pixels = np.zeros((8, 8, 3), np.uint8)
            assert cv2.imwrite(str(tmp_path / "pets" / label / f"{number}.png"), pixels)
    monkeypatch.chdir(tmp_path)
    done = _run(tmp_path / "home", monkeypatch, "init", "pets", "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert content["classes"] == {"cat": 3, "dog": 3}
    study = load_study(content["study"])
    assert (study.name, study.budget) == ("pets", 20)
    assert study.data.source == tmp_path / "pets"
    assert "6 images of 2 classes: cat (3), dog (3)" in (tmp_path / "pets.toml").read_text()
    again = _run(tmp_path / "home", monkeypatch, "init", "pets")
    assert again.exit_code == 2
    assert "pets.toml: exists already; name another file with --out" in again.output


@pytest.mark.parametrize("images", [10, 10_000, 10_000_000])
def test_a_new_study_is_valid_for_any_number_of_images(images: int) -> None:
    text = new_study_toml(Path("a.toml"), "a", Path("b"), {"x\n[data]": images, "y": images})
    assert parse_study(tomllib.loads(text), "a.toml").name == "a"


def test_the_schema_accepts_what_the_command_accepts_and_refuses_unknown_keys() -> None:
    validator = Draft202012Validator(study_schema())
    for path in built_in_studies().values():
        validator.validate(tomllib.loads(path.read_text(encoding="utf-8")))
    content = tomllib.loads(STUDY)
    assert validator.is_valid(content)
    assert not validator.is_valid({**content, "budgett": 3})
    network = study_schema()["$defs"]["ModelPart"]["properties"]["network"]
    assert {"plain", "modern", "pretrained"} <= set(network["anyOf"][0]["enum"])
    assert not validator.is_valid({**content, "budget": "many"})


def test_the_schema_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = _run(tmp_path, monkeypatch, "schema")
    assert json.loads(printed.stdout) == study_schema()


def test_keys_of_the_file_are_replaced(tmp_path: Path) -> None:
    file = str(write_study(tmp_path))
    replaced = ["training.epochs=3", "model.activation=elu", "factors.conv_layers.high = 3"]
    study = load_study(file, replaced=replaced, name="other")
    assert (study.name, study.training.epochs) == ("other", 3)
    assert study.model.settings["activation"] == "elu"
    assert study.factors["conv_layers"].high == 3
    assert load_study(file).training.epochs == 4


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("training.epochs", "write it as KEY=VALUE"),
        ("=3", "write it as KEY=VALUE"),
        ("name.first=3", "name is not a table"),
        ("training.epoch=3", "did you mean epochs"),
        ("training.epochs=many", "training.epochs"),
    ],
)
def test_a_key_that_cannot_be_replaced_is_one_clear_error(
    item: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=words):
        load_study(str(write_study(tmp_path)), replaced=[item])
