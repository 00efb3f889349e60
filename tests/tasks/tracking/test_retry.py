"""A tracking server that goes away costs waiting: real requests, and a proxy that troubles them."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.mlflow_server import MlflowServer, Proxy, mlflow_server
from support.small_study import STUDY, write_study

from tasks.errors import SettingError, TrackingError
from tasks.settings import Settings, read_settings
from tasks.study.replicates import Planned
from tasks.study.study_file import load_study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.epoch_log import EpochLog
from tasks.tracking.execution import Execution, open_execution
from tasks.tracking.run_table import trained
from tasks.tracking.system_metrics import monitored
from tasks.tracking.tags import PARENT
from tasks.tracking.tracker import Tracker

FACTS = DatasetFacts(2, 36, 0.5, "drawn pictures")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as started:
        yield started


@pytest.fixture
def proxy(server: MlflowServer) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


class Told:
    """What a user was told, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shown = ""

    def __call__(self, line: str, shown: str) -> None:
        self.lines.append(line)
        self.shown = shown


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def tracker(proxy: Proxy, told: Told, tmp_path: Path) -> Tracker:
    return Tracker.open(Settings(tmp_path / "home", proxy.uri, patience_minutes=0.5), tell=told)


@pytest.fixture
def execution(tracker: Tracker, tmp_path: Path) -> Iterator[Execution]:
    study = load_study(str(write_study(tmp_path, STUDY.replace("tiny", tmp_path.name))))
    with open_execution(tracker, study, tmp_path.name, FACTS) as opened:
        yield opened


def _first(what: str, trouble: int | str, times: int = 1) -> Any:
    """Trouble the first requests whose path ends so."""
    left = [times]

    def act(_: str, path: str, __: int) -> int | str | None:
        if what in path and left[0]:
            left[0] -= 1
            return trouble
        return None

    return act


def _replicate(execution: Execution, seed: int = 1) -> Planned:
    from tasks.study.replicates import planned

    levels = {"conv_layers": 1, "learning_rate": 0.001}
    return planned(execution.study, execution.version, "screen", levels, seed)


@pytest.mark.parametrize("trouble", [503, 500, 429, "hang up", "lose"])
def test_a_run_is_created_once_whatever_happens_to_the_request(
    execution: Execution, proxy: Proxy, trouble: int | str
) -> None:
    proxy.trouble = _first("runs/create", trouble, times=2)
    run_id = execution.begin_replicate(_replicate(execution))
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert [run.info.run_id for run in runs] == [run_id]


@pytest.mark.parametrize("trouble", [503, "hang up", "lose"])
def test_every_metric_is_there_once_and_in_order(
    execution: Execution, proxy: Proxy, told: Told, trouble: int | str
) -> None:
    run_id = execution.begin_replicate(_replicate(execution))
    assert run_id is not None
    proxy.trouble = lambda _, path, seen: trouble if "log-batch" in path and seen % 2 else None
    with EpochLog(execution, run_id) as log:
        for epoch in range(1, 6):
            log.put({"epoch": epoch, "val_accuracy": epoch / 10})
    proxy.trouble = lambda *_: None
    history = execution.tracker.client.get_metric_history(run_id, "val_accuracy")
    assert [(point.step, point.value) for point in history] == [(n, n / 10) for n in range(1, 6)]
    assert [point.timestamp for point in history] == sorted(point.timestamp for point in history)
    assert told.lines[0].startswith("waiting for MLflow at http://127.0.0.1:")
    assert told.lines[1].startswith("MLflow answers again, after 0:0")
    assert told.shown == ""


@pytest.mark.parametrize("trouble", [502, "hang up", "lose"])
def test_artifacts_the_end_and_the_registry_arrive(
    execution: Execution, proxy: Proxy, trouble: int | str
) -> None:
    client = execution.tracker.client
    run_id = execution.begin_replicate(_replicate(execution))
    assert run_id is not None
    proxy.trouble = _first("artifacts", trouble, times=2)
    execution.log_text(run_id, "words", "summary.txt")
    proxy.trouble = _first("artifacts", trouble, times=2)
    assert execution.tracker.read(run_id, "summary.txt") == b"words"
    proxy.trouble = _first("runs/update", trouble, times=2)
    before = time.time()
    execution.end_replicate(run_id, "FINISHED")
    ended = client.get_run(run_id).info
    assert ended.status == "FINISHED"
    assert abs(ended.end_time / 1000 - before) < 0.4  # when it ended, not when that was heard
    name = execution.study.name
    client.create_registered_model(name)
    proxy.trouble = _first("model-versions/create", trouble)
    client.create_model_version(name, f"runs:/{run_id}/m", run_id, tags={}, description="")
    assert [v.version for v in client.search_model_versions(f"name='{name}'")] == ["1"]


def test_training_does_not_wait_for_the_server(execution: Execution, proxy: Proxy) -> None:
    run_id = execution.begin_replicate(_replicate(execution))
    assert run_id is not None
    away = threading.Event()
    proxy.trouble = lambda *_: None if away.is_set() else 503
    with EpochLog(execution, run_id) as log:
        started = time.monotonic()
        for epoch in range(1, 101):
            log.put({"epoch": epoch, "val_loss": 1 / epoch})
        assert time.monotonic() - started < 1
        away.set()
    assert len(execution.tracker.client.get_metric_history(run_id, "val_loss")) == 100


def test_a_server_that_stays_away_is_given_up_in_one_line(
    proxy: Proxy, told: Told, tmp_path: Path
) -> None:
    tracker = Tracker.open(Settings(tmp_path, proxy.uri, patience_minutes=0.03), tell=told)
    proxy.trouble = lambda *_: 503
    with pytest.raises(TrackingError) as caught:
        tracker.client.search_experiments()
    assert str(caught.value) == (
        f"MLflow at {proxy.uri}: it answers with error 503; start it, then run the same command "
        "again: it goes on from here (FACTORGRID_PATIENCE is how many minutes it waits)"
    )
    assert told.lines == [
        f"waiting for MLflow at {proxy.uri}, up to 0.03 min: it answers with error 503"
    ]


def test_a_study_that_is_ended_does_not_wait(tracker: Tracker, proxy: Proxy) -> None:
    proxy.trouble = lambda *_: "hang up"
    timer = threading.Timer(0.3, tracker.client.patience.end)
    timer.start()
    started = time.monotonic()
    with pytest.raises(TrackingError, match="the connection broke"):
        tracker.client.search_experiments()
    assert time.monotonic() - started < 5


def test_what_will_not_pass_is_not_waited_for(tracker: Tracker, told: Told) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="not found"):
        tracker.client.get_run("0" * 32)
    with pytest.raises(MlflowException, match="Invalid"):
        tracker.client.search_runs(["0"], "nonsense")
    assert told.lines == []


def test_an_execution_whose_server_left_for_good_is_gone_on_with(
    proxy: Proxy, tmp_path: Path
) -> None:
    study = load_study(str(write_study(tmp_path, STUDY.replace("tiny", tmp_path.name))))
    settings = Settings(tmp_path, proxy.uri, patience_minutes=0.02)
    with ExitStack() as stack:
        first = stack.enter_context(open_execution(Tracker.open(settings), study, "left", FACTS))
        first.begin_replicate(_replicate(first))
        proxy.trouble = lambda *_: "hang up"
        with pytest.raises(TrackingError):
            first.tracker.client.search_experiments()
        with pytest.raises(TrackingError):
            stack.close()
    proxy.trouble = lambda *_: None
    with open_execution(Tracker.open(settings), study, "left", FACTS) as second:
        assert (second.run_id, second.resumed) == (first.run_id, True)
        cut_off = second.tracker.children(second.run_id, second.experiment)
    assert [run.info.status for run in cut_off] == ["KILLED"]
    assert cut_off[0].data.tags[PARENT] == first.run_id


@pytest.mark.parametrize("given", ["soon", "-1", "0", "inf", "nan"])
def test_a_patience_that_is_none_is_said(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORGRID_PATIENCE", given)
    with pytest.raises(SettingError, match=f"FACTORGRID_PATIENCE={given}: a number of minutes"):
        read_settings()


def test_no_server_at_the_start_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="no server answers; start it, or correct"):
        Tracker.open(Settings(tmp_path, "http://127.0.0.1:9"))


def test_the_machine_is_measured_while_a_replicate_trains(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    run_id = execution.begin_replicate(_replicate(execution))
    assert run_id is not None
    with monitored(execution.tracker, run_id):
        time.sleep(1)
    metrics = execution.tracker.client.get_run(run_id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(
        metrics
    )
    assert trained(metrics) == {}
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}


def test_the_machine_is_not_measured_where_that_is_not_wanted(
    execution: Execution, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    before = len(proxy.seen)
    with monitored(execution.tracker, "no run"):
        pass
    assert len(proxy.seen) == before


def test_a_server_that_goes_away_ends_the_measuring_and_nothing_else(
    execution: Execution, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    run_id = execution.begin_replicate(_replicate(execution))
    assert run_id is not None
    with monitored(execution.tracker, run_id):
        proxy.trouble = lambda *_: "hang up"
        time.sleep(0.5)
    proxy.trouble = lambda *_: None
