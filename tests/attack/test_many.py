"""A home with more experiments and models than MLflow lists on one page."""

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from attack.compare import StudyState, read_state
from attack.study_process import STUDY, AttackedStudy
from support.picture_files import picture
from support.small_study import factorgrid

pytestmark = [pytest.mark.slow, pytest.mark.attack, pytest.mark.timeout(3600)]
EXPERIMENTS, MODELS = 1200, 120


def _add_experiments_and_models(database: Path) -> None:
    """Add experiments that are newer, and models whose names come before, what is there."""
    now = round(time.time() * 1000)
    experiments = [
        (1000 + i, f"other {i:04}", "file:///nowhere", "active", now + i, now + i, "default")
        for i in range(EXPERIMENTS)
    ]
    models = [(f"a {i:03}", now + i, now + i, "", "default") for i in range(MODELS)]
    with closing(sqlite3.connect(database)) as connection:
        columns = "experiment_id, name, artifact_location, lifecycle_stage, creation_time"
        columns += ", last_update_time, workspace"
        values = "values (?, ?, ?, ?, ?, ?, ?)"
        connection.executemany(
            f"insert into experiments ({columns}) {values}", experiments
        )  # constants
        columns = "name, creation_time, last_updated_time, description, workspace"
        connection.executemany(
            f"insert into registered_models ({columns}) values (?, ?, ?, ?, ?)",  # noqa: S608 # constants
            models,
        )
        columns = "name, version, creation_time, last_updated_time, current_stage, source, status"
        connection.executemany(
            f"insert into model_versions ({columns}, workspace) "  # noqa: S608 # constants
            "values (?, 1, ?, ?, 'None', 'file:///nowhere', 'READY', 'default')",
            [(name, created, changed) for name, created, changed, *_ in models],
        )
        connection.commit()


def test_nothing_is_overlooked_among_many_experiments_and_models(
    undisturbed: StudyState,
    undisturbed_folder: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    study = AttackedStudy(tmp_path / "study")
    request.addfinalizer(study.close)
    shutil.copytree(undisturbed_folder / "home", study.home)
    _add_experiments_and_models(study.home / "mlflow.db")
    image = tmp_path / "picture.png"
    picture(0).save(image)

    def run(*words: str) -> str:
        ended = factorgrid(*words, home=study.home)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    # Another study of the same cells finds all replicates of the first one.
    study.path.write_text(STUDY.replace('"attacked"', '"same cells"'), encoding="utf-8")
    assert study.finish() == []
    assert read_state(study).finished == undisturbed.finished
    predicted = run("predict", "attacked", str(image), "--json")
    run("promote", "attacked", "--dry-run")
    # What the other study reused, and what the registered network needs, are not deleted.
    outcome = run("analyze", "--experiment", "same cells", "--json")
    run("prune", "--experiment", "attacked", "--keep", "0", "--yes")
    assert read_state(study).finished == undisturbed.finished
    assert run("analyze", "--experiment", "same cells", "--json") == outcome
    assert json.loads(run("predict", "attacked", str(image), "--json")) == json.loads(predicted)
