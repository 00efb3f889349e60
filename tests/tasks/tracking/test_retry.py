"""An unreachable tracking server costs only time: real requests, and a proxy that disturbs them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput
from mlflow.exceptions import MlflowException
from support.lying_proxy import FAULTS, Faults, LyingProxy
from support.mlflow_server import MlflowServer, Proxy, mlflow_server
from support.small_study import STUDY, write_study

from tasks.errors import RetryableError, SettingError, TrackingError
from tasks.registry.model_registry import Registry
from tasks.settings import Settings, read_settings
from tasks.study.replicates import Planned, planned
from tasks.study.study_file import load_study
from tasks.tracking import retry
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.epoch_log import EpochLog
from tasks.tracking.execution import Execution, open_execution
from tasks.tracking.retry import RetryingClient
from tasks.tracking.run_table import training_metrics
from tasks.tracking.system_metrics import system_metrics
from tasks.tracking.tags import KEY, PARENT
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


class Notices:
    """Records the lines that were printed for the user."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.status = ""

    def __call__(self, line: str, status: str) -> None:
        self.lines.append(line)
        self.status = status


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def tracker(proxy: Proxy, notices: Notices, tmp_path: Path) -> Tracker:
    return Tracker.open(Settings(tmp_path / "home", proxy.uri, retry_minutes=0.5), notify=notices)


@pytest.fixture
def execution(tracker: Tracker, tmp_path: Path) -> Iterator[Execution]:
    study = load_study(str(write_study(tmp_path, STUDY.replace("tiny", tmp_path.name))))
    with open_execution(tracker, study, tmp_path.name, FACTS) as opened:
        yield opened


def _disturb_first(what: str, trouble: int | str, times: int = 1) -> Any:
    """Disturb the first requests whose path contains a text."""
    left = [times]

    def act(_: str, path: str, __: int) -> int | str | None:
        if what in path and left[0]:
            left[0] -= 1
            return trouble
        return None

    return act


def _replicate(execution: Execution, seed: int = 1) -> Planned:
    levels = {"conv_layers": 1, "learning_rate": 0.001}
    return planned(execution.study, execution.version, "screen", levels, seed)


@pytest.mark.parametrize("trouble", [503, 500, 429, "hang up", "lose"])
def test_a_run_is_created_once_whatever_happens_to_the_request(
    execution: Execution, proxy: Proxy, trouble: int | str
) -> None:
    proxy.trouble = _disturb_first("runs/create", trouble, times=2)
    run_id = execution.replicates.begin(_replicate(execution))
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert [run.info.run_id for run in runs] == [run_id]


@pytest.mark.parametrize("trouble", [503, "hang up", "lose"])
def test_every_metric_is_there_once_and_in_order(
    execution: Execution, proxy: Proxy, notices: Notices, trouble: int | str
) -> None:
    run_id = execution.replicates.begin(_replicate(execution))
    assert run_id is not None
    proxy.trouble = lambda _, path, seen: trouble if "log-batch" in path and seen % 2 else None
    with EpochLog(execution.writer, run_id) as log:
        for epoch in range(1, 6):
            log.put({"epoch": epoch, "val_accuracy": epoch / 10})
    proxy.trouble = lambda *_: None
    history = execution.tracker.client.get_metric_history(run_id, "val_accuracy")
    assert [(point.step, point.value) for point in history] == [(n, n / 10) for n in range(1, 6)]
    assert [point.timestamp for point in history] == sorted(point.timestamp for point in history)
    assert notices.lines[0].startswith("waiting for MLflow at http://127.0.0.1:")
    assert notices.lines[1].startswith("MLflow answers again, after 0:0")
    assert notices.status == ""


@pytest.mark.parametrize("trouble", [502, "hang up", "lose"])
def test_the_decision_on_a_result_is_made_once_whatever_happens_to_the_request(
    execution: Execution, proxy: Proxy, trouble: int | str
) -> None:
    run_id = execution.replicates.begin(_replicate(execution))
    assert run_id is not None
    proxy.trouble = _disturb_first("runs/log-parameter", trouble)
    assert execution.replicates._decide(run_id, "kept")
    proxy.trouble = _disturb_first("runs/log-parameter", trouble)
    assert not execution.replicates._decide(run_id, "discarded")
    execution.replicates.finish(run_id)
    run = execution.tracker.client.get_run(run_id)
    assert (run.info.status, run.data.params["factorgrid.result"]) == ("FINISHED", "kept")


@pytest.mark.parametrize("trouble", [502, "hang up", "lose"])
def test_artifacts_ends_of_runs_and_model_versions_arrive(
    execution: Execution, proxy: Proxy, trouble: int | str
) -> None:
    client = execution.tracker.client
    run_id = execution.replicates.begin(_replicate(execution))
    assert run_id is not None
    proxy.trouble = _disturb_first("artifacts", trouble, times=2)
    execution.writer.log_text(run_id, "words", "summary.txt")
    proxy.trouble = _disturb_first("artifacts", trouble, times=2)
    assert execution.tracker.read(run_id, "summary.txt") == b"words"
    proxy.trouble = _disturb_first("runs/update", trouble, times=2)
    before = time.time()
    execution.replicates.end(run_id, "FINISHED")
    ended = client.get_run(run_id).info
    assert ended.status == "FINISHED"
    assert (
        abs(ended.end_time / 1000 - before) < 0.4
    )  # when it ended, not when the server received it
    name = execution.study.name
    client.create_registered_model(name)
    proxy.trouble = _disturb_first("model-versions/create", trouble)
    client.create_model_version(name, f"runs:/{run_id}/m", run_id, tags={}, description="")
    assert [v.version for v in client.search_model_versions(f"name='{name}'")] == ["1"]


#: A call of MLflow's client that writes.
Write = Callable[[RetryingClient, "Written"], object]


class Written(NamedTuple):
    """What the calls below change, newly made for each."""

    run_id: str
    model_id: str
    name: str
    version: str


def _outputs(client: RetryingClient, own: Written) -> None:
    client.log_outputs(own.run_id, [LoggedModelOutput(own.model_id, 0)])


def _inputs(client: RetryingClient, own: Written) -> None:
    dataset = Dataset("pictures", "1", "local", "{}")
    client.log_inputs(own.run_id, [DatasetInput(dataset, [InputTag("own", "value")])])


WRITES: dict[str, Write] = {
    "delete_logged_model": lambda client, own: client.delete_logged_model(own.model_id),
    "delete_model_version": lambda client, own: client.delete_model_version(own.name, own.version),
    "delete_model_version_tag": lambda client, own: client.delete_model_version_tag(
        own.name, own.version, "own"
    ),
    "delete_registered_model_alias": lambda client, own: client.delete_registered_model_alias(
        own.name, "own"
    ),
    "delete_registered_model_tag": lambda client, own: client.delete_registered_model_tag(
        own.name, "own"
    ),
    "delete_run": lambda client, own: client.delete_run(own.run_id),
    "delete_tag": lambda client, own: client.delete_tag(own.run_id, "own"),
    "finalize_logged_model": lambda client, own: client.finalize_logged_model(
        own.model_id, "READY"
    ),
    "log_inputs": _inputs,
    "log_outputs": _outputs,
    "set_logged_model_tags": lambda client, own: client.set_logged_model_tags(
        own.model_id, {"own": "other"}
    ),
    "set_registered_model_alias": lambda client, own: client.set_registered_model_alias(
        own.name, "own", own.version
    ),
    "set_tag": lambda client, own: client.set_tag(own.run_id, "own", "other"),
    "set_terminated": lambda client, own: client.set_terminated(own.run_id, "KILLED"),
}


@pytest.mark.parametrize("trouble", ["lose", "repeat"])
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_the_server_carries_out_twice_is_no_error(
    execution: Execution, proxy: Proxy, write: str, trouble: str
) -> None:
    client, name = execution.tracker.client, f"{write} {trouble}"
    run_id = client.create_run(execution.experiment, tags={"own": "value"}).info.run_id
    model = client.create_logged_model(execution.experiment, "own", run_id, {"own": "value"}, {})
    client.create_registered_model(name, tags={"own": "value"})
    version = client.create_model_version(name, f"runs:/{run_id}/m", run_id, tags={"own": "value"})
    client.set_registered_model_alias(name, "own", version.version)
    asked = []

    def act(method: str, path: str, _: int) -> str | None:
        is_write = method != "GET" and "search" not in path
        asked.append(is_write)
        return trouble if is_write and sum(asked) == 1 else None

    proxy.trouble = act
    WRITES[write](client, Written(run_id, model.model_id, name, version.version))
    assert any(asked)


@pytest.mark.parametrize("trouble", [503, "hang up"])
def test_a_logged_model_gets_its_tags_although_mlflow_says_that_it_may_be_deleted(
    execution: Execution, proxy: Proxy, trouble: int | str
) -> None:
    client = execution.tracker.client
    model = client.create_logged_model(execution.experiment, "tags", execution.run_id, {}, {})
    proxy.trouble = _disturb_first(f"logged-models/{model.model_id}", trouble, times=2)
    client.set_logged_model_tags(model.model_id, {"own": "value"})
    assert client.get_logged_model(model.model_id).tags["own"] == "value"
    with pytest.raises(MlflowException, match="may have been deleted"):
        client.set_logged_model_tags("m-none", {"own": "value"})


def test_the_files_of_a_logged_model_are_repeated_one_by_one(
    execution: Execution, proxy: Proxy, tmp_path: Path
) -> None:
    names = [
        f"{folder}{number}.txt" for folder in ("", "code/", "code/inner/") for number in "1234"
    ]
    for name in names:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_text(name, encoding="utf-8")
    client = execution.tracker.client
    model = client.create_logged_model(execution.experiment, "own", execution.run_id, {}, {})
    uploads = []

    def act(method: str, path: str, _: int) -> int | None:
        if method == "PUT" and "artifacts" in path:
            uploads.append(path)
            return 503 if len(uploads) % 3 == 0 else None
        return None

    proxy.trouble = act
    client.log_model_artifacts(model.model_id, str(tmp_path / "files"))
    assert len(uploads) == len(names) + len(uploads) // 3
    proxy.trouble = lambda *_: None
    found = {
        item.path
        for folder in (None, "code", "code/inner")
        for item in client.list_logged_model_artifacts(model.model_id, folder)
        if not item.is_dir
    }
    assert found == set(names)


def test_a_version_whose_deletion_was_answered_in_vain_is_deleted(
    execution: Execution, proxy: Proxy
) -> None:
    client, name = execution.tracker.client, f"{execution.study.name} deleted"
    client.create_registered_model(name)
    version = client.create_model_version(
        name, f"runs:/{execution.run_id}/m", execution.run_id
    ).version
    proxy.trouble = _disturb_first("model-versions/delete", "lose")
    client.delete_model_version(name, version)
    assert client.search_model_versions(f"name='{name}'") == []
    with pytest.raises(MlflowException, match="not found"):
        client.delete_model_version(name, version)


def test_a_password_in_the_address_is_in_no_notice(
    notices: Notices, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.01)
    address = "mysql+pymysql://u:secretpw9@h/db"
    answers = iter([RetryableError(f"no answer of {address}"), None])

    def call() -> None:
        if error := next(answers):
            raise error

    def notify(line: str, status: str) -> None:
        retry.print_notice(line, status)
        notices(line, status)

    policy = retry.RetryPolicy(address, 1, notify)
    policy.call(call)
    assert "waiting for MLflow at mysql+pymysql://u:***@h/db" in notices.lines[0]
    assert "secretpw9" not in policy.address
    assert "secretpw9" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reason", "longest"),
    [(retry.NO_SERVER, 15), ("it answers with error 503", 15), (retry.BROKEN, 2)],
)
def test_a_server_whose_answers_are_lost_is_called_again_soon(
    notices: Notices, monkeypatch: pytest.MonkeyPatch, reason: str, longest: float
) -> None:
    policy, pauses = retry.RetryPolicy("http://x", 30, notices), []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    monkeypatch.setattr(policy._stopped, "wait", wait)
    answers: Iterator[Exception | None] = iter([RetryableError(reason)] * 12 + [None])

    def call() -> None:
        if error := next(answers):
            raise error

    policy.call(call)
    assert len(pauses) == 12
    assert longest / 2 <= max(pauses) <= longest
    assert pauses[0] <= 0.5


@pytest.fixture
def liar(server: MlflowServer) -> Iterator[LyingProxy]:
    with LyingProxy(server.port).running() as between:
        yield between


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_doubled_by_answers_that_are_broken(
    liar: LyingProxy, tmp_path: Path, seed: int
) -> None:
    """Three of ten requests or answers are lost, broken, halved, doubled or repeated."""
    tracker = Tracker.open(Settings(tmp_path / "home", liar.uri, retry_minutes=5))
    study = load_study(str(write_study(tmp_path, STUDY.replace("tiny", tmp_path.name))))
    faults = [fault for fault in FAULTS if fault != "hang"]
    liar.faults = Faults(dict.fromkeys(faults, 0.3 / len(faults)), seed=seed)
    with open_execution(tracker, study, tmp_path.name, FACTS) as execution:
        for number in range(1, 6):
            with execution.replicates.claim(_replicate(execution, number)) as finished:
                assert finished is None
                run_id = str(execution.replicates.begin(_replicate(execution, number)))
                with EpochLog(execution.writer, run_id) as log:
                    log.put({"epoch": 1, "val_accuracy": number / 10})
                execution.writer.log_text(run_id, "words" * number, "summary.txt")
                assert tracker.read(run_id, "summary.txt") == b"words" * number
                file = tracker.artifact(run_id, "summary.txt", tmp_path / str(number))
                assert file.read_bytes() == b"words" * number
                execution.replicates.finish(run_id)
        client = tracker.client
        Registry(tracker, execution.study.name).create("")
        client.create_model_version(execution.study.name, f"runs:/{run_id}/m", run_id)
        versions = client.search_model_versions(f"name='{execution.study.name}'")
    assert len(versions) == 1
    liar.faults = Faults()
    runs = execution.children()
    assert sorted(run.data.metrics["val_accuracy"] for run in runs) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags[KEY] for run in runs}) == len(runs)
    assert client.get_run(execution.run_id).info.status == "FINISHED"
    assert sum(count for fault, count in liar.counts.items() if fault) > 5


@pytest.mark.parametrize("fault", ["break", "halve", "double"])
def test_a_download_that_is_never_complete_is_one_line(
    liar: LyingProxy, tmp_path: Path, fault: str
) -> None:
    tracker = Tracker.open(Settings(tmp_path / "home", liar.uri))
    tracker.client.retry_policy.minutes = 0.03
    run_id = tracker.client.create_run(tracker.experiment(f"download {fault}")).info.run_id
    tracker.client.log_text(run_id, "words", "words.txt")
    liar.faults = Faults(
        {fault: 1.0}, path="artifacts/words.txt" if fault == "break" else "words.txt"
    )
    with pytest.raises(TrackingError) as caught:
        tracker.read(run_id, "words.txt")
    assert "run the same command again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_hangs_is_given_up_before_it_closes_the_connection(
    liar: LyingProxy, notices: Notices, tmp_path: Path
) -> None:
    """With the time-outs of MLflow itself, the reason would be the connection that is closed."""
    tracker = Tracker.open(Settings(tmp_path / "home", liar.uri), notify=notices)
    tracker.client.retry_policy.minutes = 0.05
    retry.limit_timeout(3)
    liar.faults = Faults({"hang": 1.0}, hang_seconds=60)
    with pytest.raises(TrackingError, match="it does not answer in time"):
        tracker.client.search_experiments()


def test_a_study_that_ends_calls_a_server_that_hangs_once_more_and_not_again(
    liar: LyingProxy, tmp_path: Path
) -> None:
    tracker = Tracker.open(Settings(tmp_path / "home", liar.uri))
    liar.faults = Faults({"hang": 1.0}, hang_seconds=25)  # seconds; less than a usual time-out
    tracker.client.retry_policy.stop_waiting()
    for _ in range(3):
        with pytest.raises(TrackingError, match="it does not answer in time"):
            tracker.client.search_experiments()
    assert liar.counts["hang"] == 1


def test_a_study_that_ends_still_uses_a_server_that_answers(tracker: Tracker, proxy: Proxy) -> None:
    tracker.client.retry_policy.stop_waiting()
    proxy.trouble = _disturb_first("experiments", 503)
    for _ in range(2):
        tracker.client.search_experiments()


@pytest.mark.parametrize(("given", "expected"), [("", "30"), ("7", "7"), ("600", "60")])
def test_the_users_own_time_out_holds_unless_a_call_may_not_take_as_long(
    given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "USERS_TIMEOUT", given)
    monkeypatch.setenv(retry.TIMEOUT, "")
    retry.limit_timeout(60)
    assert os.environ[retry.TIMEOUT] == expected


def test_training_does_not_wait_for_the_server(execution: Execution, proxy: Proxy) -> None:
    run_id = execution.replicates.begin(_replicate(execution))
    assert run_id is not None
    reachable = threading.Event()
    proxy.trouble = lambda *_: None if reachable.is_set() else 503
    with EpochLog(execution.writer, run_id) as log:
        started = time.monotonic()
        for epoch in range(1, 101):
            log.put({"epoch": epoch, "val_loss": 1 / epoch})
        assert time.monotonic() - started < 1
        reachable.set()
    assert len(execution.tracker.client.get_metric_history(run_id, "val_loss")) == 100


def test_a_server_that_stays_unreachable_is_given_up_with_one_line(
    proxy: Proxy, notices: Notices, tmp_path: Path
) -> None:
    tracker = Tracker.open(Settings(tmp_path, proxy.uri, retry_minutes=0.03), notify=notices)
    proxy.trouble = lambda *_: 503
    with pytest.raises(TrackingError) as caught:
        tracker.client.search_experiments()
    assert str(caught.value) == (
        f"MLflow at {proxy.uri}: it answers with error 503; start it, then run the same command "
        "again to resume the study (FACTORGRID_PATIENCE sets how many minutes it waits)"
    )
    assert notices.lines == [
        f"waiting for MLflow at {proxy.uri}, up to 0.03 min: it answers with error 503"
    ]


def test_a_study_that_is_ended_does_not_wait(tracker: Tracker, proxy: Proxy) -> None:
    proxy.trouble = lambda *_: "hang up"
    timer = threading.Timer(0.3, tracker.client.retry_policy.stop_waiting)
    timer.start()
    started = time.monotonic()
    with pytest.raises(TrackingError, match="the connection broke"):
        tracker.client.search_experiments()
    assert time.monotonic() - started < 5


def test_an_error_that_is_not_temporary_is_not_waited_for(
    tracker: Tracker, notices: Notices
) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="not found"):
        tracker.client.get_run("0" * 32)
    with pytest.raises(MlflowException, match="Invalid"):
        tracker.client.search_runs(["0"], "nonsense")
    assert notices.lines == []


def test_an_execution_whose_server_became_unreachable_is_continued(
    proxy: Proxy, tmp_path: Path
) -> None:
    study = load_study(str(write_study(tmp_path, STUDY.replace("tiny", tmp_path.name))))
    settings = Settings(tmp_path, proxy.uri, retry_minutes=0.02)
    with ExitStack() as stack:
        first = stack.enter_context(open_execution(Tracker.open(settings), study, "left", FACTS))
        first.replicates.begin(_replicate(first))
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
def test_an_invalid_waiting_time_is_an_error(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORGRID_PATIENCE", given)
    with pytest.raises(SettingError, match=f"FACTORGRID_PATIENCE={given}: a number of minutes"):
        read_settings()


def test_no_server_at_the_start_is_an_error_immediately(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="no server answers; start it, or correct"):
        Tracker.open(Settings(tmp_path, "http://127.0.0.1:9"))


def test_system_metrics_are_logged_while_a_replicate_trains(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    run_id = execution.replicates.begin(_replicate(execution))
    assert run_id is not None
    with system_metrics(execution.tracker, run_id):
        time.sleep(1)
    metrics = execution.tracker.client.get_run(run_id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(
        metrics
    )
    assert training_metrics(metrics) == {}
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}


def test_system_metrics_can_be_switched_off(
    execution: Execution, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    before = len(proxy.seen)
    with system_metrics(execution.tracker, "no run"):
        pass
    assert len(proxy.seen) == before


def test_a_server_that_becomes_unreachable_ends_the_system_metrics_and_nothing_else(
    execution: Execution, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    run_id = execution.replicates.begin(_replicate(execution))
    assert run_id is not None
    with system_metrics(execution.tracker, run_id):
        proxy.trouble = lambda *_: "hang up"
        time.sleep(0.5)
    proxy.trouble = lambda *_: None
