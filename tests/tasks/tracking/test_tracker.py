"""Opening MLflow, and what it refuses: one line for the user."""

import os
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from support.small_study import open_tracker

from tasks.errors import TrackingError
from tasks.settings import Settings
from tasks.tracking.execution import last_execution
from tasks.tracking.retry import RetryPolicy, print_notice
from tasks.tracking.tracker import Tracker


@pytest.mark.parametrize(
    "uri", ["mysql+pymysql://u:secret@h/db", "postgresql+pg8000://u:secret@h/db"]
)
def test_a_driver_that_is_not_installed_is_named(uri: str, tmp_path: Path) -> None:
    module = uri.partition("+")[2].partition(":")[0]
    with pytest.raises(TrackingError, match=f"not installed .*'{module}'.*install it") as caught:
        Tracker.open(Settings(tmp_path, uri))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["./mlruns", "/mlruns", "file:///mlruns", "localhost:5000", "postgres://u:secret@h/d",
            "oracle://h/d", "http://u:secret@[::1", "sqlite://"],
)  # fmt: skip
def test_what_is_no_address_of_mlflow_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="not the address of an MLflow server") as caught:
        Tracker.open(Settings(tmp_path, uri), create=False)
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_written_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tracker(tmp_path).experiment("mine")
    # Root may write any file, so the system's answer is replaced.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with pytest.raises(TrackingError, match="the file is read-only; make it writable"):
        open_tracker(tmp_path)
    settings = Settings(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert Tracker.open(settings, create=False).existing_experiment("mine")


def test_a_deleted_experiment_is_reported_with_the_command_that_restores_it(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    number = tracker.experiment("mine")
    tracker.client.delete_experiment(number)
    expected = f"'mine': deleted in MLflow .* restore it with .*--experiment-id {number}`"
    for use in (tracker.experiment, tracker.existing_experiment, partial(last_execution, tracker)):
        with pytest.raises(TrackingError, match=expected):
            use("mine")


def test_an_experiment_that_is_deleted_during_a_study_is_reported(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    number = tracker.experiment("mine")
    run = tracker.client.create_run(number)
    tracker.client.delete_experiment(number)
    with pytest.raises(TrackingError, match=r"must be in the 'active' state.*; restore it there"):
        tracker.client.create_run(number)
    with pytest.raises(TrackingError, match=r"must be in the 'active' state.*; restore it there"):
        tracker.client.log_metric(run.info.run_id, "loss", 1.0)


def test_a_file_that_cannot_be_written_is_not_waited_for() -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

    message = (
        "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush "
        "block)\n(sqlite3.OperationalError) attempt to write a readonly database\n[SQL: INSERT]"
    )

    def write() -> NoReturn:
        raise MlflowException(message, TEMPORARILY_UNAVAILABLE)

    policy = RetryPolicy("sqlite:////runs.db", 30, print_notice)
    with pytest.raises(TrackingError, match=r"runs\.db: .*attempt to write a readonly database; "):
        policy.call(write)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"no database " * 100, "restore its file from a copy, or move it away"),
        (None, "make its file and folder readable and writable"),
    ],
)
def test_a_damaged_database_is_reported_with_what_to_do(
    content: bytes | None, remedy: str, tmp_path: Path
) -> None:
    file = tmp_path / "mlflow.db"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(TrackingError, match=remedy):
        open_tracker(tmp_path)


def test_a_file_in_place_of_a_folder_is_reported_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    with pytest.raises(
        TrackingError, match=r"logs: File exists; a file and a folder have the same"
    ):
        open_tracker(tmp_path)


def test_a_full_disk_is_not_waited_for() -> None:
    from mlflow.exceptions import MlflowException

    def write() -> NoReturn:
        raise MlflowException("(sqlite3.OperationalError) database or disk is full")

    with pytest.raises(TrackingError, match="is full; free space on its disk, then run the same"):
        RetryPolicy("sqlite:////runs.db", 30, print_notice).call(write)
