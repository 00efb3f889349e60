"""Pruning: what is deleted, and what never is."""

from pathlib import Path

import pytest
from support.small_study import Done, factorgrid, open_tracker

from tasks.errors import UserError
from tasks.languages import counted
from tasks.maintenance.prune import delete_runs, plan_pruning
from tasks.registry.model_registry import SOURCE_RUN
from tasks.tracking.tags import KIND, PARENT, REUSED_FROM
from tasks.tracking.tracker import Tracker


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return open_tracker(tmp_path / "home")


def _execution(tracker: Tracker, name: str, replicates: int = 2) -> tuple[str, list[str]]:
    experiment = tracker.experiment("mine")
    parent = tracker.client.create_run(experiment, tags={KIND: "study"}, run_name=name)
    run_id = str(parent.info.run_id)
    below = {KIND: "replicate", PARENT: run_id}
    children = [
        str(tracker.client.create_run(experiment, tags=below).info.run_id)
        for _ in range(replicates)
    ]
    for run in [*children, run_id]:
        tracker.client.log_text(run, "kept with it", "words.txt")
        tracker.client.set_terminated(run)
    return run_id, children


def _active(tracker: Tracker) -> set[str]:
    return {run.info.run_id for run in tracker.search([tracker.experiment("mine")], "")}


def test_the_newest_are_kept_and_the_others_deleted_with_their_artifacts(tracker: Tracker) -> None:
    made = [_execution(tracker, f"study {number}") for number in range(4)]
    plan = plan_pruning(tracker, keep=2)
    assert [old.name for old in plan.old] == ["study 1", "study 0"]
    assert len(_active(tracker)) == 12  # nothing is done yet
    assert delete_runs(tracker, plan) == 6
    assert _active(tracker) == {run for parent, below in made[2:] for run in [parent, *below]}
    files = list(tracker.settings.artifacts.rglob("words.txt"))
    assert len(files) == 6


def test_what_a_registered_model_depends_on_is_kept(tracker: Tracker) -> None:
    (_, (trained, _)), *_ = [_execution(tracker, f"study {number}") for number in range(3)]
    tracker.client.create_registered_model("m")
    source = f"{tracker.client.get_run(trained).info.artifact_uri}"
    tracker.client.create_model_version("m", source, trained, tags={SOURCE_RUN: trained})
    plan = plan_pruning(tracker, keep=0)
    assert {old.name for old in plan.old} == {"study 1", "study 2"}
    assert sum(plan.kept.values()) == 1


def test_what_a_kept_study_reused_from_an_older_one_is_kept(tracker: Tracker) -> None:
    _, (used, unused) = _execution(tracker, "study 0")
    _, (referring, _) = _execution(tracker, "study 1")
    tracker.client.set_tag(referring, REUSED_FROM, used)
    (old,) = plan_pruning(tracker, keep=1).old
    assert used not in old.runs
    assert unused in old.runs
    assert old.spared == 1


def test_a_running_execution_is_kept(tracker: Tracker) -> None:
    run_id, _ = _execution(tracker, "study 0")
    tracker.client.update_run(run_id, status="RUNNING")
    assert not plan_pruning(tracker, keep=0).old


def test_a_negative_number_is_a_user_error(tracker: Tracker) -> None:
    with pytest.raises(UserError, match="--keep -1: below 0"):
        plan_pruning(tracker, keep=-1)


def test_a_study_whose_model_is_registered_is_not_listed(done: Done) -> None:
    ended = factorgrid("prune", "--keep", "0", "--experiment", "tiny", home=done.home)
    assert ended.returncode == 0, ended.stderr
    assert "a registered model depends on them" in ended.stdout
    assert "study 2" not in ended.stdout
    assert " validation " not in ended.stdout
    # Validations have an experiment of their own; other tests may have repeated the study.
    ended = factorgrid("prune", "--keep", "0", "--experiment", "tiny images", home=done.home)
    assert ended.returncode == 0, ended.stderr
    listed = [line for line in ended.stdout.splitlines() if " validation " in line]
    assert listed
    assert f"add --yes to delete {counted(len(listed), 'run')}\n" in ended.stdout
