"""A home that was moved, copied or renamed is read and written where it is."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from support.small_study import open_tracker

from tasks.errors import TrackingError
from tasks.settings import Settings
from tasks.tracking.moved_home import follow_moved_home
from tasks.tracking.tracker import Tracker

#: Characters that an address has in another form than a path.
NAME = "my home 50%"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a home with a run, its artifact and a model version, and the run's id."""
    home = tmp_path_factory.mktemp("made") / NAME
    tracker = open_tracker(home)
    run_id = str(tracker.client.create_run(tracker.experiment("mine")).info.run_id)
    tracker.client.log_text(run_id, "words", "words.txt")
    tracker.client.create_registered_model("net")
    source = f"{tracker.client.get_run(run_id).info.artifact_uri}/words.txt"
    tracker.client.create_model_version("net", source, run_id)
    return home, run_id


def _copy(made: tuple[Path, str], folder: Path) -> Path:
    return Path(shutil.copytree(made[0], folder / "other" / NAME))


def _addresses(tracker: Tracker, run_id: str) -> list[str]:
    run = tracker.client.get_run(run_id)
    experiment = tracker.client.get_experiment(run.info.experiment_id)
    version = tracker.client.get_model_version("net", "1")
    download = tracker.client.get_model_version_download_uri("net", "1")
    return [experiment.artifact_location, run.info.artifact_uri, version.source, download]


def test_a_copy_reads_and_writes_its_own_files(made: tuple[Path, str], tmp_path: Path) -> None:
    home, run_id = _copy(made, tmp_path), made[1]
    lines: list[str] = []
    settings = Settings(home, f"sqlite:///{home / 'mlflow.db'}")
    tracker = Tracker.open(settings, notify=lambda line, _: lines.append(line))
    folders = f"{made[0] / 'artifacts'} are now read and written in {home / 'artifacts'}"
    assert lines == [f"artifacts of {folders}"]
    for address in _addresses(tracker, run_id):
        assert address.startswith(f"{(home / 'artifacts').as_uri()}/mine")
    new = tracker.client.create_run(tracker.experiment("mine"))
    assert new.info.artifact_uri.startswith((home / "artifacts").as_uri())
    tracker.delete_run(run_id)
    assert not list((home / "artifacts" / "mine").glob("*/artifacts/words.txt"))
    files = (made[0] / "artifacts" / "mine" / run_id / "artifacts").iterdir()
    assert [file.name for file in files] == ["words.txt"]
    for address in _addresses(open_tracker(made[0]), run_id):
        assert address.startswith((made[0] / "artifacts").as_uri())


def test_a_moved_home_is_corrected_once(made: tuple[Path, str], tmp_path: Path) -> None:
    home = _copy(made, tmp_path).rename(tmp_path / "moved")
    settings = Settings(home, f"sqlite:///{home / 'mlflow.db'}")
    assert open_tracker(home).read(made[1], "words.txt") == b"words"
    assert follow_moved_home(settings, settings.tracking_uri) == []


def test_a_link_to_a_home_changes_nothing(made: tuple[Path, str], tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(made[0])
    before = _addresses(open_tracker(made[0]), made[1])
    assert _addresses(open_tracker(link), made[1]) == before


def test_a_database_outside_the_home_keeps_its_addresses(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    database = f"sqlite:///{_copy(made, tmp_path) / 'mlflow.db'}"
    (tmp_path / "home" / "artifacts" / "mine").mkdir(parents=True)
    tracker = Tracker.open(Settings(tmp_path / "home", database))
    for address in _addresses(tracker, made[1]):
        assert address.startswith(made[0].as_uri())


def test_a_home_on_which_a_study_runs_under_another_path_is_not_changed(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    home = _copy(made, tmp_path)
    settings = Settings(home, f"sqlite:///{home / 'mlflow.db'}")
    settings.locks.mkdir(exist_ok=True)
    with (
        FileLock(settings.locks / "run-1.lock"),
        pytest.raises(TrackingError, match="a study runs on it under the path"),
    ):
        follow_moved_home(settings, settings.tracking_uri)


def test_a_moved_home_that_is_read_only_is_reported(
    made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _copy(made, tmp_path)
    settings = Settings(home, f"sqlite:///{home / 'mlflow.db'}")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with pytest.raises(TrackingError, match=f"was moved from {made[0]} and is read-only") as caught:
        Tracker.open(settings, create=False)
    assert "make it writable" in str(caught.value)
