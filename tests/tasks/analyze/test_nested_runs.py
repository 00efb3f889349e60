"""Experiments of other programs with nested runs: which of them are the runs."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from support.small_study import open_tracker

from tasks.analyze.read_runs import runs_of_experiment
from tasks.errors import UserError
from tasks.tracking.tags import PARENT
from tasks.tracking.tracker import Tracker

CELLS = [{"lr": lr, "depth": depth} for lr in ("0.1", "0.01") for depth in ("2", "4")]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return open_tracker(Path(tmp_path_factory.mktemp("nested")))


class Logged:
    """An experiment, to which a test logs runs as another program does."""

    def __init__(self, tracker: Tracker, name: str) -> None:
        self.tracker, self.name = tracker, name
        self.experiment = tracker.experiment(name)

    def run(
        self,
        parent: str = "",
        params: Mapping[str, str] = {},
        status: str = "FINISHED",
        **metrics: float,
    ) -> str:
        client = self.tracker.client
        tags = {PARENT: parent} if parent else {}
        run_id = str(client.create_run(self.experiment, tags=tags).info.run_id)
        for key, value in params.items():
            client.log_param(run_id, key, value)
        for key, number in metrics.items():
            client.log_metric(run_id, key, number)
        client.set_terminated(run_id, status)
        return run_id

    def read(self, response: str = "acc") -> list[dict[str, object]]:
        rows = runs_of_experiment(self.tracker, self.name, response).to_dict("records")
        return [{str(key): value for key, value in row.items()} for row in rows]


@pytest.fixture
def logged(tracker: Tracker, request: pytest.FixtureRequest) -> Logged:
    return Logged(tracker, request.node.name)


@pytest.mark.parametrize(
    "summary", [{}, {"sampler": "tpe"}, {"lr": "0.01", "depth": "4"}, {"n_trials": "4", "lr": "1"}]
)
def test_a_parent_with_the_best_metric_is_not_a_run(
    logged: Logged, summary: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    parent = logged.run(params=summary, acc=0.9)
    for number, cell in enumerate(CELLS):
        logged.run(parent, cell, acc=0.6 + number / 10)
    logged.run(parent, CELLS[0], status="FAILED")
    rows = logged.read()
    assert [{"lr": row["lr"], "depth": row["depth"]} for row in rows] == [*CELLS, CELLS[0]]
    assert [row["acc"] for row in rows[:4]] == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert set(rows[0]) == {"lr", "depth", "acc"}
    said = capsys.readouterr().err
    assert ("runs with params that are left out" in said and ": 1 of 6" in said) == bool(summary)
    for name in summary:
        assert (f"only they have: {name}" in said) == (name not in ("lr", "depth"))


def test_the_parts_of_a_run_are_not_runs(logged: Logged) -> None:
    study = logged.run(params={"folds": "2"}, best=0.9)
    for cell in CELLS:
        trial = logged.run(study, cell, acc=0.8)
        for fold in ("1", "2"):
            logged.run(trial, {"fold": fold}, fold_acc=0.8)
    assert logged.read() == [{**cell, "acc": 0.8} for cell in CELLS]


def test_the_innermost_runs_with_params_and_response_count(logged: Logged) -> None:
    study = logged.run(acc=0.9)
    for cell in CELLS[:2]:
        trial = logged.run(study, cell, acc=0.8)
        for seed in ("1", "2"):
            logged.run(trial, {**cell, "seed": seed}, acc=0.8)
    assert [row["seed"] for row in logged.read()] == ["1", "2"] * 2


def test_a_metric_of_parents_alone_names_those_of_the_nested_runs(logged: Logged) -> None:
    parent = logged.run(best_acc=0.9)
    for cell in CELLS:
        logged.run(parent, cell, acc=0.8, loss=0.4)
    with pytest.raises(UserError, match=r"'best_acc' is only in parent runs.*runs: acc, loss$"):
        logged.read("best_acc")


def test_params_in_parents_and_the_metric_in_nested_runs_is_reported(logged: Logged) -> None:
    for cell in CELLS:
        trial = logged.run(params=cell)
        logged.run(trial, acc=0.8)
    with pytest.raises(UserError, match="'acc' is in nested runs, and the params are in their par"):
        logged.read()


def test_runs_without_params_are_reported_as_such(logged: Logged) -> None:
    logged.run(acc=0.8)
    with pytest.raises(UserError, match="no run with 'acc' has params"):
        logged.read()
    with pytest.raises(UserError, match="no finished run has a metric 'f1'; there are: acc"):
        logged.read("f1")


def test_the_decision_on_the_result_of_a_replicate_is_no_column(logged: Logged) -> None:
    logged.run(params={"lr": "0.1", "factorgrid.result": "kept"}, acc=0.5)
    logged.run(params={"lr": "0.2"}, acc=0.6)  # of an earlier version
    assert logged.read() == [{"lr": "0.1", "acc": 0.5}, {"lr": "0.2", "acc": 0.6}]
