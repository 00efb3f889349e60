"""Which process works on a run, if the machines share nothing but MLflow."""

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from support.small_study import STUDY, write_study

from tasks.errors import LeaseLostError, SlotsClosedError, file_fault
from tasks.settings import Settings
from tasks.study.replicates import Planned, planned
from tasks.study.study_file import load_study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, finished_execution, open_execution
from tasks.tracking.replicate_runs import ReplicateRuns
from tasks.tracking.tags import PARENT
from tasks.tracking.tracker import Tracker

FACTS = DatasetFacts(2, 36, 0.5, "drawn pictures")
HEARTBEAT_SECONDS = 0.3


def _replicate(execution: Execution, seed: int = 1) -> Planned:
    levels = {"conv_layers": 1, "learning_rate": 0.001}
    return planned(execution.study, execution.version, "screen", levels, seed)


class Machines:
    """Machines that share a database; each has its own home."""

    def __init__(self, folder: Path, uri: str, stack: ExitStack) -> None:
        self.folder, self.uri, self.stack = folder, uri, stack
        self.study = load_study(str(write_study(folder)))

    def start(self, name: str) -> Execution:
        """Enter an execution that may be taken over."""
        self.stack.enter_context(suppress(LeaseLostError))
        return self.enter(name)

    def enter(self, name: str) -> Execution:
        tracker = Tracker.open(
            Settings(self.folder / name, self.uri, heartbeat_seconds=HEARTBEAT_SECONDS)
        )
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


def _kill(execution: Execution) -> None:
    """Leave everything as a killed process does: no heartbeats, and the locks are free."""
    execution.tracker.leases._stopped.set()


def test_a_study_that_runs_on_another_machine_is_not_taken_over(machines: Machines) -> None:
    first, second = machines.start("a"), machines.start("b")
    assert second.run_id != first.run_id
    assert not second.resumed


def test_a_study_that_died_on_another_machine_is_continued(machines: Machines) -> None:
    first = machines.start("a")
    run_id = first.replicates.begin(_replicate(first))
    _kill(first)
    second = machines.start("b")
    assert (second.run_id, second.resumed) == (first.run_id, True)
    run = second.tracker.client.get_run(run_id)
    assert (run.info.status, run.data.tags["factorgrid.status"]) == ("KILLED", "cut off")


def test_a_machine_that_was_suspended_gives_up_a_study_that_was_taken_over(
    machines: Machines,
) -> None:
    with ExitStack() as stack:
        first = Machines(machines.folder, machines.uri, stack).enter("a")
        run_id = first.replicates.begin(_replicate(first))
        assert run_id is not None
        _kill(first)
        second = machines.start("b")
        assert second.run_id == first.run_id
        with pytest.raises(LeaseLostError):
            first.replicates.finish(run_id)
        with pytest.raises(LeaseLostError, match="another process took over run"):
            stack.close()
    # The first one ended with an error, but the run is the second one's.
    client = second.tracker.client
    assert client.get_run(run_id).info.status == "KILLED"
    assert client.get_run(second.run_id).info.status == "RUNNING"
    second.require_lease()
    machines.stack.close()
    assert client.get_run(second.run_id).info.status == "FINISHED"


def _replicate_on_another_machine(machines: Machines) -> tuple[Execution, Execution, str]:
    """Return an execution whose heartbeats ended, one on another machine, and the first's run."""
    first, second = machines.start("a"), machines.start("b")
    run_id = first.replicates.begin(_replicate(first))
    assert run_id is not None
    _kill(first)
    return first, second, run_id


def _finished_runs(execution: Execution) -> list[Any]:
    runs = execution.tracker.search(
        [execution.experiment], f"tags.`factorgrid.key` = '{_replicate(execution).key}'"
    )
    return [run.info.run_id for run in runs if run.info.status == "FINISHED"]


def test_a_replicate_that_was_taken_over_is_finished_once(machines: Machines) -> None:
    first, second, run_id = _replicate_on_another_machine(machines)
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is None
        other = second.replicates.begin(_replicate(second))
        assert other is not None
        with pytest.raises(LeaseLostError):
            first.replicates.finish(run_id)
        second.replicates.finish(other)
    assert _finished_runs(second) == [other]
    assert first.tracker.client.get_run(run_id).info.status == "KILLED"


def test_a_replicate_that_is_taken_over_while_it_is_finished_is_finished_once(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, run_id = _replicate_on_another_machine(machines)
    get_run = first.tracker.client.get_run

    def suspended(*given: Any) -> Any:
        run = get_run(*given)  # suspended after it has read that it is the holder
        with second.replicates.claim(_replicate(second)) as finished:
            assert finished is None
        return run

    with monkeypatch.context() as patch:
        patch.setattr(first.tracker.client, "get_run", suspended)
        with pytest.raises(LeaseLostError):
            first.replicates.finish(run_id)
    assert _finished_runs(second) == []
    assert get_run(run_id).info.status == "KILLED"


def _take_over_in_two_steps(
    first: Execution, second: Execution, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Let the first one finish, while the second one is its holder and has decided nothing yet.

    Returns
    -------
    The run in which the second one has reused the result, as soon as the first one is FINISHED.
    """
    client, reused = first.tracker.client, []
    set_terminated, get_run = client.set_terminated, client.get_run

    def suspended(*given: Any) -> Any:
        run = get_run(*given)
        for tag, value in second.tracker.leases.new_tags().items():
            second.tracker.client.set_tag(run_id, tag, value)
        return run

    def observed(*given: Any) -> None:
        set_terminated(*given)
        if given == (run_id, "FINISHED"):
            with second.replicates.claim(_replicate(second)) as finished:
                assert finished is not None
                reused.append(finished)

    with monkeypatch.context() as patch:
        patch.setattr(client, "get_run", suspended)
        patch.setattr(client, "set_terminated", observed)
        first.replicates.finish(run_id)
    return reused


def test_a_result_that_another_machine_reused_is_not_discarded(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, run_id = _replicate_on_another_machine(machines)
    (reused,) = _take_over_in_two_steps(first, second, run_id, monkeypatch)
    client = second.tracker.client
    assert client.get_run(reused).data.tags["factorgrid.reused_from"] == run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    with first.replicates.claim(_replicate(first)) as finished:
        assert finished == run_id


def test_a_result_that_was_kept_by_a_process_that_died_is_finished_by_another_machine(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, run_id = _replicate_on_another_machine(machines)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(first.tracker.client, "set_terminated", killed)
        with pytest.raises(KeyboardInterrupt):
            first.replicates.finish(run_id)
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is not None
    client = second.tracker.client
    assert client.get_run(finished).data.tags["factorgrid.reused_from"] == run_id
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert "factorgrid.status" not in run.data.tags


def test_a_result_of_an_earlier_version_is_reused(machines: Machines) -> None:
    """It has no decision: only its status was written."""
    first, second, run_id = _replicate_on_another_machine(machines)
    first.tracker.client.set_terminated(run_id, "FINISHED")
    assert "factorgrid.result" not in first.tracker.client.get_run(run_id).data.params
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is not None


def test_a_replicate_that_finishes_while_it_is_taken_over_is_not_taken_over(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, run_id = _replicate_on_another_machine(machines)
    observe = second.tracker.leases.observe

    def late(run: Any) -> str:
        state = observe(run)
        first.replicates.finish(run_id)
        return state

    monkeypatch.setattr(second.tracker.leases, "observe", late)
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is not None
    assert run_id in _finished_runs(second)
    assert second.tracker.client.get_run(finished).data.tags["factorgrid.reused_from"] == run_id


def test_executions_that_were_killed_are_ended_by_the_next_start(machines: Machines) -> None:
    first = machines.start("a")
    cut_off = [_run_without_a_process(first) for _ in range(2)]
    child = ReplicateRuns(first.tracker, first.experiment, cut_off[0], first.version).begin(
        _replicate(first)
    )
    assert child is not None
    second = machines.start("a")  # continues one of them
    client = second.tracker.client
    (other,) = set(cut_off) - {second.run_id}
    assert second.resumed is False
    assert client.get_run(other).info.status == "KILLED"
    assert client.get_run(other).data.tags["factorgrid.status"] == "cut off"
    assert client.get_run(child).info.status == "KILLED"
    assert client.get_run(first.run_id).info.status == "RUNNING"


def test_a_study_that_is_finished_ends_its_other_executions_on_any_machine(
    machines: Machines,
) -> None:
    living, done = machines.start("a"), machines.start("b")
    cut_off = _run_without_a_process(machines.start("c"))
    done.end_dead_ones(watch=True)
    client = done.tracker.client
    assert client.get_run(cut_off).info.status == "KILLED"
    assert client.get_run(living.run_id).info.status == "RUNNING"


def _run_without_a_process(execution: Execution) -> str:
    """Create a parent run as a process of the same home does, which is killed then."""
    killed = replace(execution)
    killed._begin(execution._digest)
    return killed.run_id


def test_a_copy_of_a_home_is_another_home(uri: str, tmp_path: Path) -> None:
    original = Tracker.open(Settings(tmp_path / "home", uri)).leases
    name = original.home_id
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    assert Tracker.open(Settings(tmp_path / "copy", uri)).leases.home_id != name
    (tmp_path / "home").rename(tmp_path / "renamed")
    assert Tracker.open(Settings(tmp_path / "renamed", uri)).leases.home_id == name


def test_a_home_whose_disk_was_mounted_again_is_the_same_home(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(tmp_path / "home", uri)
    name, stat = Tracker.open(settings).leases.home_id, Path.stat

    def mounted_again(self: Path, **named: Any) -> os.stat_result:
        found = list(stat(self, **named))
        found[2] += 1  # st_dev
        return os.stat_result(found)

    leases = Tracker.open(settings).leases
    monkeypatch.setattr(Path, "stat", mounted_again)
    assert leases.home_id == name


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_name_of_a_home_counts_as_missing(content: str, uri: str, tmp_path: Path) -> None:
    names = set()
    for home in ("one", "other"):
        leases = Tracker.open(Settings(tmp_path / home, uri)).leases
        leases.locks.mkdir(parents=True)
        (leases.locks / "place").write_text(content)
        names.add(leases.home_id)
        assert (leases.locks / "place").read_text().strip()
        assert [file.name for file in leases.locks.glob("place*")].count("place") == 1
    assert len(names) == 2


def test_a_damaged_name_of_a_home_is_a_name(uri: str, tmp_path: Path) -> None:
    leases = Tracker.open(Settings(tmp_path / "home", uri)).leases
    leases.locks.mkdir(parents=True)
    (leases.locks / "place").write_bytes(bytes(range(256)))
    assert leases.home_id == Tracker.open(Settings(tmp_path / "home", uri)).leases.home_id


def test_a_full_disk_leaves_no_empty_name_of_a_home(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = Tracker.open(Settings(tmp_path / "home", uri)).leases
    write = Path.write_text

    def full(self: Path, data: str, **named: Any) -> int:
        write(self, "", **named)  # the file is created before anything is written
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left") as caught:
            _ = leases.home_id
    assert "free space on its disk" in str(file_fault(caught.value))
    assert not list(leases.locks.glob("place*[!k]"))
    assert leases.home_id


def test_a_second_study_on_this_machine_begins_its_own_run(machines: Machines) -> None:
    first, second, third = (machines.start("a") for _ in range(3))
    assert len({first.run_id, second.run_id, third.run_id}) == 3


def test_of_many_machines_that_begin_a_replicate_at_once_one_trains_it(machines: Machines) -> None:
    executions = [machines.start(name) for name in "abc"]
    for seed in range(1, 9):
        barrier = Barrier(len(executions))

        def begin(
            execution: Execution, seed: int = seed, barrier: threading.Barrier = barrier
        ) -> object:
            barrier.wait()
            return execution.replicates.begin(_replicate(execution, seed))

        with ThreadPoolExecutor(len(executions)) as pool:
            created = [run_id for run_id in pool.map(begin, executions) if run_id is not None]
        assert len(created) == 1


def test_a_replicate_in_training_on_another_machine_is_waited_for_and_reused(
    machines: Machines,
) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.replicates.begin(_replicate(first))
    assert run_id is not None
    first.writer.log(run_id, metrics={"val_accuracy": 0.75})
    assert second.replicates.begin(_replicate(second)) is None
    threading.Timer(2 * HEARTBEAT_SECONDS, first.replicates.end, [run_id, "FINISHED"]).start()
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is not None
    run = second.tracker.client.get_run(finished)
    assert run.data.tags["factorgrid.reused_from"] == run_id
    assert run.data.tags[PARENT] == second.run_id
    assert run.data.metrics["val_accuracy"] == 0.75


def test_a_replicate_that_another_machine_finishes_meanwhile_is_not_trained_again(
    machines: Machines,
) -> None:
    first, second = machines.start("a"), machines.start("b")
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is None
        run_id = first.replicates.begin(_replicate(first))
        assert run_id is not None
        first.replicates.end(run_id, "FINISHED")
        assert second.replicates.begin(_replicate(second)) is None
    assert second.children() == []
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is not None
    assert second.tracker.client.get_run(finished).data.tags["factorgrid.reused_from"] == run_id


def test_a_replicate_whose_process_on_another_machine_died_is_trained_here(
    machines: Machines,
) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.replicates.begin(_replicate(first))
    assert run_id is not None
    _kill(first)
    with second.replicates.claim(_replicate(second)) as finished:
        assert finished is None
        assert second.replicates.begin(_replicate(second)) is not None
    assert second.tracker.client.get_run(run_id).info.status == "KILLED"


def test_a_study_that_ends_takes_no_other_for_dead(machines: Machines) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.replicates.begin(_replicate(first))
    assert run_id is not None
    run = first.tracker.client.get_run(run_id)
    _kill(second)
    with pytest.raises(SlotsClosedError):
        second.tracker.leases.observe(run)
    assert first.tracker.client.get_run(run_id).info.status == "RUNNING"


def test_a_run_that_fails_frees_its_replicate(machines: Machines) -> None:
    first, second = machines.start("a"), machines.start("b")
    run_id = first.replicates.begin(_replicate(first))
    assert run_id is not None
    first.replicates.end(run_id, "FAILED", "out of memory")
    with second.replicates.claim(_replicate(second)) as finished:
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
            run_id = failing.replicates.begin(_replicate(failing, seed))
            assert run_id is not None
            failing.replicates.end(run_id, status)
        assert finished_execution(tracker, study, version) is None  # still running
    assert finished_execution(tracker, study, version) is None  # one failed
    with open_execution(tracker, study, version, FACTS) as execution:
        for seed in (1, 2):
            with execution.replicates.claim(_replicate(execution, seed)) as finished:
                if finished is None:
                    run_id = execution.replicates.begin(_replicate(execution, seed))
                    assert run_id is not None
                    execution.replicates.end(run_id, "FINISHED")
    found = finished_execution(tracker, study, version)
    assert found is not None
    assert found.run_id == execution.run_id
    assert finished_execution(tracker, study, "other images") is None
    other = load_study(str(write_study(tmp_path, STUDY.replace("epochs = 4", "epochs = 5"))))
    assert finished_execution(tracker, other, version) is None
    monkeypatch.setattr("tasks.tracking.execution.code_version", lambda: "0.0.1")
    assert finished_execution(tracker, study, version) is None  # results of an earlier FactorGrid
