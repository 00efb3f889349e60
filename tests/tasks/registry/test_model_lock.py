"""The lock of a registered model: homes that share only MLflow judge one after another."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
from support.small_study import Done

from models.images.arrays import open_arrays
from tasks.errors import LeaseLostError
from tasks.registry.model_lock import LOCK, OWNER, ModelLock
from tasks.registry.model_registry import CHAMPION, LOGGED_MODEL, SOURCE_RUN, Registry
from tasks.registry.promote import right_answers
from tasks.registry.register import Registered, WinnerRegistration
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

HEARTBEAT_SECONDS = 0.3
HOMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('shared') / 'mlflow.db'}"


@pytest.fixture
def registries(uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> list[Registry]:
    """One registered model, as three homes see it."""
    found = []
    for name in HOMES:
        settings = Settings(tmp_path / name, uri, heartbeat_seconds=HEARTBEAT_SECONDS)
        found.append(Registry(Tracker.open(settings), request.node.name[:90]))
    found[0].create("")
    return found


def _at_once(registries: list[Registry], action: Callable[[Registry], object]) -> list[Any]:
    barrier = Barrier(len(registries))

    def start(registry: Registry) -> object:
        barrier.wait()
        return action(registry)

    with ThreadPoolExecutor(len(registries)) as pool:
        return list(pool.map(start, registries))


def _lock_tags(registry: Registry) -> list[str]:
    tags = registry.client.get_registered_model(registry.name).tags
    return [tag for tag in tags if tag.startswith(LOCK)]


def test_one_home_at_a_time_has_the_lock(registries: list[Registry]) -> None:
    inside: list[str] = []

    def visit(registry: Registry) -> None:
        for _ in range(3):
            with registry.lock() as lock:
                inside.append(registry.tracker.leases.holder)
                time.sleep(0.05)
                lock.require_held()
                inside.append(registry.tracker.leases.holder)

    _at_once(registries, visit)
    assert len(inside) == 2 * 3 * len(HOMES)
    assert inside[::2] == inside[1::2]
    assert _lock_tags(registries[0]) == []


def test_the_lock_of_a_dead_process_is_taken_over(registries: list[Registry]) -> None:
    dead, living, same_home = registries[0], registries[1], registries[0]
    for taken_by in (living, same_home):
        lock = ModelLock(dead.tracker, dead.name)
        lock._released.set()  # it sends no heartbeats
        lock._acquire()
        assert len(_lock_tags(dead)) == 1
        with taken_by.lock() as other:
            other.require_held()
            assert len(_lock_tags(dead)) == 1
            with pytest.raises(LeaseLostError, match="another process took over its lock"):
                lock.require_held()
    assert _lock_tags(dead) == []


def test_a_lock_whose_holder_is_alive_is_waited_for(registries: list[Registry]) -> None:
    order: list[str] = []

    def visit(registry: Registry) -> None:
        with registry.lock():
            order.append("in")
            # Longer than a process without heartbeats counts as alive.
            time.sleep(6 * HEARTBEAT_SECONDS)
            order.append("out")

    _at_once(registries[:2], visit)
    assert order == ["in", "out", "in", "out"]


def _registration(done: Done, name: str, home: Path) -> Callable[[], Registered]:
    """Return the registration of the study's best run, by a home of its own."""
    settings = replace(done.tracker.settings, home=home, heartbeat_seconds=HEARTBEAT_SECONDS)
    study = done.execution.study.model_copy(update={"registered_model": name})
    execution = replace(done.execution, study=study, tracker=Tracker.open(settings))
    arrays = open_arrays(next(path for path in (done.home / "cache").iterdir() if path.is_dir()))
    labels = arrays.labels[arrays.side("test")]
    run_id = done.outcome["registered"]["run_id"]
    right = right_answers(execution.tracker, run_id, labels)
    selection: Any = SimpleNamespace(chosen={"conv_layers": 1})
    registration = WinnerRegistration(execution, arrays)
    return lambda: registration.register(run_id, selection, right, labels)


def test_homes_that_register_one_network_at_once_make_one_version_the_champion(
    done: Done, tmp_path: Path
) -> None:
    registrations = [_registration(done, "shared", tmp_path / name) for name in HOMES]
    barrier = Barrier(len(HOMES))

    def register(registration: Callable[[], Registered]) -> Registered:
        barrier.wait()
        return registration()

    with ThreadPoolExecutor(len(HOMES)) as pool:
        found = list(pool.map(register, registrations))
    assert {(each.version, each.alias) for each in found} == {("1", CHAMPION)}
    registry = Registry(done.tracker, "shared")
    (version,) = registry.versions()
    assert version.tags[SOURCE_RUN] == done.outcome["registered"]["run_id"]
    assert registry.champions() == ["1"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_home_that_lost_the_lock_registers_nothing(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It is suspended just before, or just after, it creates the version."""
    name = f"lost-{moment}"
    register = _registration(done, name, tmp_path / "home")
    method = {"before": "_log_model", "after": "add_version"}[moment]
    owner = WinnerRegistration if moment == "before" else Registry
    original: Any = getattr(owner, method)

    def suspended(self: Any, *given: Any) -> Any:
        answer = original(self, *given)
        done.tracker.client.set_registered_model_tag(name, OWNER, "another process")
        return answer

    monkeypatch.setattr(owner, method, suspended)
    with pytest.raises(LeaseLostError, match="another process took over its lock"):
        register()
    assert Registry(done.tracker, name).versions() == []


def test_the_registered_network_is_a_logged_model_of_the_study(done: Done) -> None:
    """MLflow's tab of models shows it, with the version that it is and its figures."""
    execution, client = done.execution, done.tracker.client
    registered = done.outcome["registered"]
    version = Registry(done.tracker, registered["name"]).version(registered["version"])
    model = client.get_logged_model(version.tags[LOGGED_MODEL])
    assert (model.experiment_id, model.status) == (execution.experiment, "READY")
    assert model.source_run_id == registered["run_id"]
    assert model.params["conv_layers"] in {"1", "2"}
    listed = json.loads(model.tags["mlflow.modelVersions"])
    assert {"name": registered["name"], "version": registered["version"]} in [
        {**each, "version": str(each["version"])} for each in listed
    ]
    assert "test_accuracy" in {metric.key for metric in model.metrics}
    # Other tests register the same network under other names.
    outputs = client.get_run(registered["run_id"]).outputs.model_outputs
    assert model.model_id in {output.model_id for output in outputs}


def test_what_a_registration_that_was_cut_off_logged_is_deleted_by_the_next(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, experiment = done.tracker.client, done.execution.experiment

    def logged() -> list[str]:
        models = client.all_pages("search_logged_models", [experiment])
        return [model.model_id for model in models if model.name == "cut-off network"]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "add_version", killed)
        with pytest.raises(KeyboardInterrupt):
            _registration(done, "cut-off", tmp_path / "home")()
    assert len(logged()) == 1
    others = client.all_pages("search_logged_models", [experiment])
    assert _registration(done, "cut-off", tmp_path / "home")().version == "1"
    (version,) = Registry(done.tracker, "cut-off").versions()
    assert logged() == [version.tags[LOGGED_MODEL]]
    kept = {model.model_id for model in client.all_pages("search_logged_models", [experiment])}
    assert {model.model_id for model in others if not model.name.startswith("cut-off")} <= kept


def test_a_registered_model_may_have_the_name_of_a_folder_of_artifacts(
    done: Done, tmp_path: Path
) -> None:
    run_id = done.outcome["registered"]["run_id"]
    assert _registration(done, "model", tmp_path / "home")().version == "1"
    files = done.tracker.client.list_artifacts(run_id, "model")
    assert {file.path.partition("/")[0] for file in files} == {"model"}
    assert _registration(done, "model", tmp_path / "home")().version == "1"
