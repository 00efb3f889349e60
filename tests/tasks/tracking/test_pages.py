"""A server answers a search in pages; what is on the second one exists as well."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.small_study import open_tracker

from tasks.maintenance.prune import plan_pruning
from tasks.registry.model_registry import SOURCE_RUN, Registry
from tasks.tracking.tags import KIND
from tasks.tracking.tracker import Tracker

SEARCHES = (
    "search_experiments",
    "search_runs",
    "search_registered_models",
    "search_model_versions",
)


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """Return a tracker whose server puts two results on a page."""
    tracker = open_tracker(tmp_path / "home")
    client = tracker.client.mlflow_client
    for name in SEARCHES:
        monkeypatch.setattr(client, name, partial(getattr(client, name), max_results=2))
    return tracker


def test_all_runs_of_all_experiments_are_found(tracker: Tracker) -> None:
    experiments = [tracker.experiment(f"study {i}") for i in range(5)]
    runs = {_run(tracker, experiment) for experiment in experiments}
    assert {e.experiment_id for e in tracker.experiments()} == {"0", *experiments}
    found = tracker.search([e.experiment_id for e in tracker.experiments()], "")
    assert {run.info.run_id for run in found} == runs


def test_the_last_of_many_models_and_all_its_versions_are_found(tracker: Tracker) -> None:
    run = _run(tracker, tracker.experiment("study"))
    for i in range(4):
        tracker.client.create_registered_model(f"model {i}")
    for _ in range(5):
        tracker.client.create_model_version("model 3", "file:///nowhere", run)
    versions = Registry.open(tracker, "model 3").versions()
    assert sorted(int(version.version) for version in versions) == [1, 2, 3, 4, 5]


def test_pruning_keeps_what_the_last_of_many_models_depends_on(tracker: Tracker) -> None:
    experiment = tracker.experiment("study")
    runs = [_run(tracker, experiment) for _ in range(4)]
    for i, run in enumerate(runs):
        tracker.client.create_registered_model(f"model {i}")
        tags = {SOURCE_RUN: run}
        tracker.client.create_model_version(f"model {i}", "file:///nowhere", run, tags=tags)
    assert plan_pruning(tracker, keep=0).old == []


def _run(tracker: Tracker, experiment: str, **tags: Any) -> str:
    run = tracker.client.create_run(experiment, tags={KIND: "study", **tags})
    tracker.client.set_terminated(run.info.run_id)
    return str(run.info.run_id)
