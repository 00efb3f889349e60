"""The service as its operator runs it: real servers, a real schedule, a worker that is killed."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from harness import write_study
from service import Service, left_running, service, until

from models.drawn import draw
from tasks.settings import Settings
from tasks.tracking import Tracker


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(folder / "home") as up:
        yield up
    assert not left_running(folder / "home")


def _fire_once(up: Service, name: str) -> dict[str, Any]:
    """Let a schedule fire in some seconds, and then no more; return its run."""
    (deployment,) = up.deployments(name)
    path = f"deployments/{deployment['id']}"
    soon = [{"schedule": {"interval": 5}, "active": True}]
    (schedule,) = up.api.post(f"{path}/schedules", soon)

    def begun() -> dict[str, Any] | None:
        return next((run for run in up.runs(name) if run["state_type"] != "SCHEDULED"), None)

    run: dict[str, Any] = until(begun, what="a scheduled run")
    up.api.delete(f"{path}/schedules/{schedule['id']}")
    return run


def _tracker(up: Service) -> Tracker:
    return Tracker.open(Settings(up.home, up.addresses["MLFLOW_TRACKING_URI"]))


def _replicates(up: Service, status: str) -> list[Any]:
    tracker = _tracker(up)
    found = tracker.client.get_experiment_by_name("tiny")
    if found is None:
        return []
    condition = f"tags.`factorgrid.kind` = 'replicate' and attributes.status = '{status}'"
    return tracker.search([found.experiment_id], condition)


def _pictures(folder: Path) -> Path:
    images, labels, classes = draw(60, 32, seed=3)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / classes[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return folder


def test_a_schedule_fires_and_validates_the_pictures(running: Service, tmp_path: Path) -> None:
    running.deploy("quick", "--data", _pictures(tmp_path / "pictures"), "--cron", "0 0 1 1 *")
    run = _fire_once(running, "validate-images")
    assert run["auto_scheduled"]
    ended = running.await_state(run["id"], {"COMPLETED", "FAILED"}, 300)
    assert ended["state_type"] == "COMPLETED", ended["state"]
    tracker = _tracker(running)
    (validation,) = tracker.search(
        [tracker.existing_experiment("validation")], "tags.`factorgrid.kind` = 'validation'"
    )
    assert validation.data.metrics["found"] == 60


@pytest.fixture(scope="module")
def scheduled(running: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Deploy, let a schedule fire, kill the worker mid-study, and wait for the run's end."""
    running.deploy(write_study(tmp_path_factory.mktemp("study")), "--cron", "0 0 1 1 *")
    run = _fire_once(running, "search")
    assert run["auto_scheduled"]
    until(lambda: _replicates(running, "FINISHED"), 600, "the first replicate")
    running.worker().send_signal(signal.SIGKILL)
    return running.await_state(run["id"], {"COMPLETED", "FAILED"}, 900)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_schedule_fires_and_its_study_survives_a_killed_worker(
    running: Service, scheduled: dict[str, Any]
) -> None:
    assert scheduled["state_type"] == "COMPLETED", scheduled["state"]
    assert scheduled["run_count"] == 2
    assert "worker ended by itself; started again" in running.words
    tracker = _tracker(running)
    champion = tracker.client.get_model_version_by_alias("tiny", "champion")
    execution = tracker.last_execution(tracker.existing_experiment("tiny"))
    assert champion.tags["factorgrid.study_run"] == execution.info.run_id
    assert execution.info.status == "FINISHED"
    assert not _replicates(running, "RUNNING")
