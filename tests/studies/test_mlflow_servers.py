"""Whole studies against MLflow's own server, on SQLite and PostgreSQL; it is killed."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.mlflow_server import MlflowServer, mlflow_server, postgres, postgresql
from support.small_study import Done, comparable, factorgrid, read_until, start_study, write_study

from tasks.settings import Settings
from tasks.tracking.execution import Execution, last_execution
from tasks.tracking.tags import KEY, PARENT
from tasks.tracking.tracker import Tracker


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MlflowServer]:
    with ExitStack() as stack:
        backend = ""
        if request.param == "postgresql":
            if postgresql() is None:
                pytest.skip("PostgreSQL is not installed: Debian's package is `postgresql`")
            backend = stack.enter_context(postgres())
        yield stack.enter_context(mlflow_server(tmp_path / "mlflow", backend))


def _start(path: Path, home: Path, uri: str) -> "subprocess.Popen[str]":
    return start_study(path, home, MLFLOW_TRACKING_URI=uri, FACTORGRID_HEARTBEAT="1")


def _execution(uri: str, home: Path) -> Execution:
    tracker = Tracker.open(Settings(home, uri))
    return last_execution(tracker, "tiny")


@pytest.mark.slow
def test_a_study_and_its_server_that_were_killed_resume(
    server: MlflowServer, done: Done, tmp_path: Path
) -> None:
    path, home = write_study(tmp_path), tmp_path / "home"
    first = _start(path, home, server.uri)
    read_until(first, "screen    1/4")
    first.kill()
    first.wait()

    second = _start(path, home, server.uri)
    said = read_until(second, "screen    3/4")
    assert any("resuming run" in line for line in said)
    server.kill()
    said = read_until(second, "waiting for MLflow at")
    time.sleep(4)
    server.start()
    out, rest = second.communicate(timeout=500)
    assert second.returncode == 0, rest
    assert "MLflow answers again, after 0:" in rest

    outcome = json.loads(out)
    assert comparable(outcome) == comparable(done.outcome)
    execution = _execution(server.uri, home)
    client = execution.tracker.client
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert len({run.data.tags[KEY] for run in finished}) == len(finished)
    for run in finished:
        history = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert [point.step for point in history] == [1, 2, 3, 4]
        names = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert {"plots", "model"} <= names
    starts = [run.info.start_time for run in runs]
    assert starts == sorted(starts)

    elsewhere = factorgrid(
        "analyze",
        "--experiment",
        "tiny",
        "--json",
        home=tmp_path / "elsewhere",
        MLFLOW_TRACKING_URI=server.uri,
    )
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert json.loads(elsewhere.stdout) == outcome


def _without_version(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return an outcome without its registered model: each study registers the best network."""
    return {key: value for key, value in comparable(outcome).items() if key != "registered"}


@pytest.mark.slow  # three whole studies; tests/tasks/tracking/test_leases.py holds each rule of it
def test_studies_at_once_share_their_replicates(done: Done, tmp_path: Path) -> None:
    """Two run on one machine, and one on another that shares only the server."""
    path = write_study(tmp_path)
    with mlflow_server(tmp_path / "mlflow") as server:
        homes = [tmp_path / name for name in ("here", "here", "there")]
        studies = [_start(path, home, server.uri) for home in homes]
        ended = [study.communicate(timeout=500) for study in studies]
        assert [study.returncode for study in studies] == [0, 0, 0], ended
        outcomes = [json.loads(out) for out, _ in ended]
        for outcome in outcomes:
            assert _without_version(outcome) == _without_version(done.outcome)

        tracker = Tracker.open(Settings(tmp_path / "here", server.uri))
        experiment = tracker.existing_experiment("tiny")
        runs = tracker.search([experiment], f"tags.`{KEY}` != ''")
        trained = [run for run in runs if "factorgrid.reused_from" not in run.data.tags]
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert len({run.data.tags[KEY] for run in trained}) == len(trained)
        # Each study has all of its own replicates, wherever they were trained.
        parents = {outcome["run_id"] for outcome in outcomes}
        assert len(parents) == 3
        keys = {
            parent: {run.data.tags[KEY] for run in runs if run.data.tags[PARENT] == parent}
            for parent in parents
        }
        assert len(set(map(frozenset, keys.values()))) == 1
