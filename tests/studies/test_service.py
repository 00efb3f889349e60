"""The service as its operator runs it: real servers, a real schedule, a worker that is killed."""

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import psutil
import pytest
from support.service_process import Service, left_running, service, until, words_of
from support.small_study import STUDY, environment, factorgrid, write_study

from models.images.drawn import draw
from tasks.service.access import CLIENT_PASSWORD, PASSWORD_FILE
from tasks.service.watched_program import QUICK_EXIT_SECONDS
from tasks.service.work_pool import SILENT_SECONDS, online_workers
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

pytestmark = pytest.mark.study


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
    soon = [{"schedule": {"interval": 20}, "active": True}]
    (schedule,) = up.api.post(f"{path}/schedules", soon)

    def begun() -> dict[str, Any] | None:
        return next((run for run in up.runs(name) if run["state_type"] != "SCHEDULED"), None)

    run: dict[str, Any] = until(begun, 300, "a scheduled run")
    up.api.delete(f"{path}/schedules/{schedule['id']}")
    for other in up.runs(name):
        if other["state_type"] == "SCHEDULED":
            up.api.delete(f"flow_runs/{other['id']}")
    return run


def _tracker(up: Service) -> Tracker:
    return Tracker.open(Settings(up.home, up.addresses["MLFLOW_TRACKING_URI"]))


def _replicates(up: Service, status: str, study: str = "tiny") -> list[Any]:
    tracker = _tracker(up)
    found = tracker.client.get_experiment_by_name(study)
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_schedule_fires_and_validates_the_pictures(running: Service, tmp_path: Path) -> None:
    running.deploy("quick", "--data", _pictures(tmp_path / "pictures"), "--cron", "0 0 1 1 *")
    run = _fire_once(running, "validate-images/quick")
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
    run = _fire_once(running, "search/tiny")
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
    assert "worker ended by itself; started again" in running.log_text
    tracker = _tracker(running)
    champion = tracker.client.get_model_version_by_alias("tiny", "champion")
    execution = tracker.last_execution(tracker.existing_experiment("tiny"))
    assert champion.tags["factorgrid.study_run"] == execution.info.run_id
    assert execution.info.status == "FINISHED"
    assert not _replicates(running, "RUNNING")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_prefects_pages_show_the_effects_the_decision_and_the_report(
    running: Service, scheduled: dict[str, Any]
) -> None:
    # A decision has two: the first after the screen, the second at the end.
    found = running.api.post("artifacts/latest/filter", {})
    by_key = {artifact["key"]: artifact for artifact in found}
    assert {"tiny-effects", "tiny-decision", "tiny-report"} <= set(by_key)
    assert "learning_rate" in by_key["tiny-effects"]["data"]
    assert "models:/tiny@champion" in by_key["tiny-decision"]["data"]
    assert running.addresses["MLFLOW_TRACKING_URI"] in by_key["tiny-report"]["data"]
    logs = running.api.post(
        "logs/filter", {"logs": {"flow_run_id": {"any_": [scheduled["id"]]}}, "limit": 200}
    )
    finished = [line["message"] for line in logs if line["message"].startswith("finished: ")]
    assert finished
    assert all("study=tiny" in line and "run_id=" in line for line in finished)


def _in_training(up: Service) -> bool:
    """Whether a replicate of the long study has its first epoch behind it."""
    runs = _replicates(up, "RUNNING", "long")
    return any("val_accuracy" in run.data.metrics for run in runs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cancelled_study_resumes(running: Service, tmp_path: Path) -> None:
    text = STUDY.replace('"tiny"', '"long"').replace("epochs = 4", "epochs = 3000")
    running.deploy(write_study(tmp_path, text), "--cron", "0 0 1 1 *")
    worker, run_id = running.worker(), running.start_run("search/long")
    until(lambda: _in_training(running), 600, "the first replicate")
    assert worker.children(recursive=True)
    running.api.post(f"flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})
    assert running.await_state(run_id, {"CANCELLED"})["state_type"] == "CANCELLED"
    until(lambda: not _replicates(running, "RUNNING", "long"), 60, "the replicates' end")
    assert _replicates(running, "KILLED", "long")
    until(lambda: not worker.children(recursive=True), 60, "its processes' end")
    tracker = _tracker(running)
    study = tracker.last_execution(tracker.existing_experiment("long"))
    assert study.info.status == "KILLED"
    # Its device is free again, and the same run goes on where it stopped.
    again = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    running.api.post(f"flow_runs/{run_id}/set_state", {"state": again, "force": True})
    until(lambda: _in_training(running), 600, "the first replicate, again")
    assert tracker.client.get_run(study.info.run_id).info.status == "RUNNING"
    running.api.post(f"flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})
    running.await_state(run_id, {"CANCELLED"})


FOREIGN = "http://pages.example.org"


def _credentials(up: Service) -> tuple[str, str]:
    user, _, password = up.addresses[CLIENT_PASSWORD].partition(":")
    return user, password


def _status(up: Service, method: str, url: str, **more: Any) -> int:
    return httpx.request(method, url, trust_env=False, timeout=120, **more).status_code


def test_prefect_is_closed_to_other_pages_other_names_and_without_the_password(
    running: Service,
) -> None:
    api, known = running.addresses["PREFECT_API_URL"], _credentials(running)
    made = {"name": "x", "flow_id": "x", "job_variables": {"command": "touch /tmp/x"}}
    for url in (f"{api}/deployments/", f"{api}/deployments/x/create_flow_run"):
        assert _status(running, "POST", url, json=made) == 401
        foreign = {"Origin": FOREIGN}
        assert _status(running, "POST", url, content=b"{}", headers=foreign) == 403
        assert _status(running, "POST", url, json=made, headers=foreign, auth=known) == 403
        asked = {**foreign, "Access-Control-Request-Method": "POST"}
        assert _status(running, "OPTIONS", url, headers=asked) == 403
        assert (
            _status(running, "POST", url, json=made, headers={"Host": "x.org"}, auth=known) == 400
        )
    own = {"Origin": api.removesuffix("/api")}
    assert _status(running, "POST", f"{api}/flows/filter", json={}, headers=own, auth=known) == 200


def test_prefects_pages_call_the_server_by_the_name_in_the_browser(running: Service) -> None:
    pages = running.addresses["PREFECT_API_URL"].removesuffix("/api")
    for path in ("ui-settings", "v2/ui-settings"):
        answer = httpx.get(f"{pages}/{path}", trust_env=False, timeout=60)
        if answer.is_success and "json" in answer.headers["content-type"]:
            settings = answer.json()
            break
    assert settings["api_url"] == "/api"
    assert settings["auth"] == "BASIC"


def test_mlflow_is_closed_to_other_pages_and_other_names_and_has_no_assistant(
    running: Service,
) -> None:
    uri = running.addresses["MLFLOW_TRACKING_URI"]
    url, asked = f"{uri}/ajax-api/2.0/mlflow/experiments/search", {"max_results": 1}
    for origin in (FOREIGN, "http://localhost:1", "null"):
        assert _status(running, "POST", url, json=asked, headers={"Origin": origin}) == 403
    for host in ("x.org", "10.example.org", "192.168.example.org:5000"):
        assert _status(running, "POST", url, json=asked, headers={"Host": host}) == 403
    assert _status(running, "POST", url, json=asked, headers={"Origin": uri}) == 200
    for path in ("config", "providers", "sessions/x/stream"):
        assistant = f"{uri}/ajax-api/3.0/mlflow/assistant/{path}"
        assert _status(running, "GET", assistant) == 403
        assert _status(running, "PUT", assistant, json={}) == 403


def test_the_password_is_for_its_owner_and_is_printed_nowhere(running: Service) -> None:
    file, secret = running.home / PASSWORD_FILE, _credentials(running)[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"Prefect's pages ask for the line in {file}" in running.log_text
    deployed = factorgrid("deploy", "quick", home=running.home)
    assert f'{CLIENT_PASSWORD}="$(cat {file})"' in deployed.stdout
    checked = factorgrid("doctor", home=running.home)
    as_json = factorgrid("deploy", "quick", "--json", home=running.home)
    for text in (deployed, checked, as_json):
        assert text.returncode == 0, text.stderr
        assert secret not in text.stdout + text.stderr
    written = [running.log, *(path for path in running.home.rglob("*") if path.is_file())]
    holders = {path for path in written if secret.encode() in path.read_bytes()}
    assert holders == {file}
    for process in psutil.Process(running.process.pid).children(recursive=True):
        assert secret not in " ".join(words_of(process))


def _family(up: Service, module: str) -> list[psutil.Process]:
    """Return the supervisor, the guard and the program that have a module in their command."""
    started = psutil.Process(up.process.pid).children(recursive=True)
    return [process for process in started if module in words_of(process)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("module", ["tasks.service.prefect_program", "worker"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_supervisor_of_the_service_leaves_nothing_and_is_started_again(
    running: Service, module: str, which: int
) -> None:
    family = _family(running, module)
    assert len(family) == 3
    restarts = running.log_text.count("started again")
    family[which].kill()
    until(lambda: not any(p.is_running() and p.status() != "zombie" for p in family), 60, module)
    until(lambda: running.log_text.count("started again") > restarts, 120, "its new start")
    until(lambda: len(_family(running, module)) == 3, 120, "its three processes")
    until(lambda: online_workers(running.api), 300, "the worker")
    time.sleep(QUICK_EXIT_SECONDS)  # the next test may end it again


def test_doctor_reports_a_running_service_as_ok(running: Service) -> None:
    ended = factorgrid("doctor", home=running.home)
    assert ended.returncode == 0, ended.stdout
    for words in ("ok    MLflow ", "ok    Prefect ", "ok    worker "):
        assert words in ended.stdout


def test_one_home_has_one_service(running: Service) -> None:
    ended = factorgrid("up", home=running.home)
    assert ended.returncode == 2
    assert "runs on it already" in ended.stderr


def test_a_port_that_is_in_use_is_reported_in_one_line(running: Service, tmp_path: Path) -> None:
    port = running.addresses["PREFECT_API_URL"].split(":")[2].split("/")[0]
    ended = factorgrid("up", "--prefect-port", port, home=tmp_path / "home")
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert f"--prefect-port {port}" in line
    assert "name a free one" in line


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_when_one_of_two_workers_is_killed_the_other_finishes_the_run(
    running: Service, tmp_path: Path
) -> None:
    text = STUDY.replace('"tiny"', '"shared"')
    running.deploy(write_study(tmp_path, text), "--cron", "0 0 1 1 *")
    ours = running.worker()
    ours.suspend()  # so that the other takes the run
    words = ["prefect", "worker", "start", "--pool", "factorgrid", "--name", "elsewhere"]
    more = {**running.addresses, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    with (tmp_path / "elsewhere.txt").open("w") as log:
        guard = subprocess.Popen(
            [sys.executable, "-m", "tasks.processes.supervisor", sys.executable, "-m", *words],
            env=environment(running.home, **more),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    run_id = running.start_run("search/shared")
    until(lambda: _replicates(running, "FINISHED", "shared"), 600, "the first replicate")
    assert running.run(run_id)["labels"]["prefect.worker.name"] == "elsewhere"
    for process in psutil.Process(guard.pid).children(recursive=True):
        process.kill()
    guard.wait()
    ours.resume()
    # Nobody here saw it die: the server misses its heartbeats, and crashes it on the way.
    until(lambda: running.run(run_id)["state_type"] == "COMPLETED", 900, "its end")
    ended = running.await_state(run_id, {"COMPLETED"}, 900)
    assert ended["state_type"] == "COMPLETED", ended["state"]
    assert ended["labels"]["prefect.worker.name"] != "elsewhere"
    assert not _replicates(running, "RUNNING", "shared")
    # And a run that has ended is not missed.
    time.sleep(SILENT_SECONDS + 15)
    assert running.run(run_id)["state_type"] == "COMPLETED"
