"""Who is at work on a run, where nothing is shared but MLflow."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest
from support.small_study import STUDY, write_study

from tasks.errors import SlotsClosedError
from tasks.settings import Settings
from tasks.study.replicates import Planned, planned
from tasks.study.study_file import load_study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, finished_execution, open_execution
from tasks.tracking.tags import PARENT
from tasks.tracking.tracker import Tracker

FACTS = DatasetFacts(2, 36, 0.5, "drawn pictures")
BEAT = 0.3  # seconds


def _replicate(execution: Execution, seed: int = 1) -> Planned:
    levels = {"conv_layers": 1, "learning_rate": 0.001}
    return planned(execution.study, execution.version, "screen", levels, seed)


class Machines:
    """Machines that share a database, each with a home of its own."""

    def __init__(self, folder: Path, uri: str, stack: ExitStack) -> None:
        self.folder, self.uri, self.stack = folder, uri, stack
        self.study = load_study(str(write_study(folder)))

    def start(self, name: str) -> Execution:
        tracker = Tracker.open(Settings(self.folder / name, self.uri, heartbeat_seconds=BEAT))
        return self.stack.enter_context(
            open_execution(tracker, self.study, self.folder.name, FACTS)
        )


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('shared') / 'mlflow.db'}"


@pytest.fixture
def machines(uri: str, tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path, uri, stack)


def _die(execution: Execution) -> None:
    """Leave everything as a killed process does: no heart beats, and locks are free."""
    execution.tracker.claims._over.set()


def test_a_study_elsewhere_that_lives_is_left_alone(machines: Machines) -> None:
    first, second = machines.start("a"), machines.start("b")
    assert second.run_id != first.run_id
    assert not second.resumed


def test_a_study_elsewhere_that_died_is_gone_on_with(machines: Machines) -> None:
    first = machines.start("a")
    run_id = first.begin_replicate(_replicate(first))
    _die(first)
    second = machines.start("b")
    assert (second.run_id, second.resumed) == (first.run_id, True)
    run = second.tracker.client.get_run(run_id)
    assert (run.info.status, run.data.tags["factorgrid.status"]) == ("KILLED", "cut off")


def test_a_second_study_here_begins_a_run_of_its_own(machines: Machines) -> None:
    first, second, third = (machines.start("a") for _ in range(3))
    assert len({first.run_id, second.run_id, third.run_id}) == 3


def test_of_many_that_ask_at_once_one_trains(machines: Machines) -> None:
    executions = [machines.start(name) for name in "abc"]
    for seed in range(1, 9):
        barrier = Barrier(len(executions))

        def ask(
            execution: Execution, seed: int = seed, barrier: threading.Barrier = barrier
        ) -> object:
            barrier.wait()
            return execution.begin_replicate(_replicate(execution, seed))

        with ThreadPoolExecutor(len(executions)) as pool:
            won = [run_id for run_id in pool.map(ask, executions) if run_id is not None]
        assert len(won) == 1


def test_a_replicate_in_training_elsewhere_is_waited_for_and_referred_to(
    machines: Machines,
) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.begin_replicate(_replicate(first))
    assert run_id is not None
    first.log(run_id, metrics={"val_accuracy": 0.75})
    assert second.begin_replicate(_replicate(second)) is None
    threading.Timer(2 * BEAT, first.end_replicate, [run_id, "FINISHED"]).start()
    with second.claim(_replicate(second)) as finished:
        assert finished is not None
    run = second.tracker.client.get_run(finished)
    assert run.data.tags["factorgrid.reused_from"] == run_id
    assert run.data.tags[PARENT] == second.run_id
    assert run.data.metrics["val_accuracy"] == 0.75


def test_a_replicate_trained_elsewhere_while_this_one_waited_for_its_slot_is_not_trained_again(
    machines: Machines,
) -> None:
    first, second = machines.start("a"), machines.start("b")
    with second.claim(_replicate(second)) as finished:
        assert finished is None
        run_id = first.begin_replicate(_replicate(first))
        assert run_id is not None
        first.end_replicate(run_id, "FINISHED")
        assert second.begin_replicate(_replicate(second)) is None
    assert second.children() == []
    with second.claim(_replicate(second)) as finished:
        assert finished is not None
    assert second.tracker.client.get_run(finished).data.tags["factorgrid.reused_from"] == run_id


def test_a_replicate_whose_trainer_elsewhere_died_is_trained_here(machines: Machines) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.begin_replicate(_replicate(first))
    assert run_id is not None
    _die(first)
    with second.claim(_replicate(second)) as finished:
        assert finished is None
        assert second.begin_replicate(_replicate(second)) is not None
    assert second.tracker.client.get_run(run_id).info.status == "KILLED"


def test_a_study_that_ends_takes_nobody_for_dead(machines: Machines) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.begin_replicate(_replicate(first))
    assert run_id is not None
    run = first.tracker.client.get_run(run_id)
    _die(second)
    with pytest.raises(SlotsClosedError):
        second.tracker.claims.watch(run)
    assert first.tracker.client.get_run(run_id).info.status == "RUNNING"


def test_one_that_fails_frees_its_replicate(machines: Machines) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.begin_replicate(_replicate(first))
    assert run_id is not None
    first.end_replicate(run_id, "FAILED", "out of memory")
    with second.claim(_replicate(second)) as finished:
        assert finished is None


def test_a_study_is_done_once_every_replicate_has_finished(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker.open(Settings(tmp_path / "a", uri))
    study = load_study(str(write_study(tmp_path)))
    version = tmp_path.name
    assert finished_execution(tracker, study, version) is None
    with open_execution(tracker, study, version, FACTS) as failing:
        for seed, status in enumerate(("FINISHED", "FAILED"), 1):
            run_id = failing.begin_replicate(_replicate(failing, seed))
            assert run_id is not None
            failing.end_replicate(run_id, status)
        assert finished_execution(tracker, study, version) is None  # at work
    assert finished_execution(tracker, study, version) is None  # one failed
    with open_execution(tracker, study, version, FACTS) as execution:
        for seed in (1, 2):
            with execution.claim(_replicate(execution, seed)) as finished:
                if finished is None:
                    run_id = execution.begin_replicate(_replicate(execution, seed))
                    assert run_id is not None
                    execution.end_replicate(run_id, "FINISHED")
    found = finished_execution(tracker, study, version)
    assert found is not None
    assert found.run_id == execution.run_id
    assert finished_execution(tracker, study, "other pictures") is None
    other = load_study(str(write_study(tmp_path, STUDY.replace("epochs = 4", "epochs = 5"))))
    assert finished_execution(tracker, other, version) is None
    monkeypatch.setattr("tasks.tracking.execution.code_version", lambda: "0.0.1")
    assert finished_execution(tracker, study, version) is None  # an earlier FactorGrid's findings
