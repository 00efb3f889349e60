"""Reading runs from an MLflow experiment."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.errors import UserError
from tasks.tracking.tags import PARENT, RESULT
from tasks.tracking.tracker import Tracker

#: The condition that a run is the parent run of one of FactorGrid's studies.
IS_STUDY = "tags.`factorgrid.kind` = 'study'"


def is_study(tracker: Tracker, experiment: str) -> bool:
    """Whether an MLflow experiment is a study of FactorGrid."""
    return bool(tracker.search([tracker.existing_experiment(experiment)], IS_STUDY, limit=1))


def runs_of_experiment(tracker: Tracker, experiment: str, response: str) -> pd.DataFrame:
    """Return the runs of an MLflow experiment: their params, and the response.

    Runs without params, and runs that have not ended, are left out. Of nested runs those count that
    have both: a parent that summarises them is left out, which a line says, and so are the parts of
    a run without the response, such as folds.

    Parameters
    ----------
    tracker : the connection to MLflow.
    experiment : its name.
    response : the metric, of which the last value is taken; NaN for a run that failed.

    Returns
    -------
    One row per run, in the order in which they were started.

    Raises
    ------
    TrackingError
        If there is no such experiment; the existing names are given.
    UserError
        If no finished run has params and the metric; the existing metrics are given.
    """
    runs = tracker.search([tracker.existing_experiment(experiment)], "")
    ended = [run for run in runs if run.info.status in {"FINISHED", "FAILED"} and _params(run)]
    measured = [run for run in ended if math.isfinite(_metric(run, response))]
    nested_in = {run.data.tags.get(PARENT) for run in ended}
    # A single parent with the best metric of its nested runs is no experiment.
    if not measured or (len(measured) == 1 and measured[0].info.run_id in nested_in):
        raise UserError(f"experiment {experiment}: {_why_none(runs, response)}")
    parents = {run.info.run_id: run.data.tags.get(PARENT) for run in runs}
    summaries = {parent for run in measured for parent in _ancestors(run, parents)}
    kept = {run.info.run_id for run in measured} - summaries
    parts = {run.info.run_id for run in ended if not kept.isdisjoint(_ancestors(run, parents))}
    not_runs = summaries | (parts - kept)
    chosen = [run for run in ended if run.info.run_id not in not_runs]
    left_out = [run for run in ended if run.info.run_id in not_runs]
    if left_out:
        used = {name for run in chosen for name in _params(run)}
        unused = sorted({name for run in left_out for name in _params(run)} - used)
        tracker.notify(
            f"experiment {experiment}: runs with params that are left out, as parents or parts of "
            f"runs that have {response!r}: {len(left_out)} of {len(ended)}"
            + (f"; params that only they have: {', '.join(unused)}" if unused else "")
        )
    return pd.DataFrame(
        [{**_params(run), response: _metric(run, response)} for run in reversed(chosen)]
    )


def _ancestors(run: Any, parents: Mapping[str, str | None]) -> list[str]:
    """Return the ids of the runs in which a run is nested, the nearest first."""
    found: list[str] = []
    parent = parents.get(run.info.run_id)
    while parent is not None and parent not in found:
        found.append(parent)
        parent = parents.get(parent)
    return found


def _why_none(runs: Sequence[Any], response: str) -> str:
    """Return why no run has both params and the response, and what to do."""
    with_params = {run.info.run_id for run in runs if _params(run)}
    finished = [run for run in runs if math.isfinite(_metric(run, response))]
    nested_in = {run.data.tags.get(PARENT) for run in runs if _params(run)}
    if any(run.data.tags.get(PARENT) in with_params for run in finished):
        return (
            f"{response!r} is in nested runs, and the params are in their parents; log both "
            "in one run"
        )
    if any(run.info.run_id in nested_in for run in finished):
        children = [run for run in runs if _params(run) and run.info.run_id not in nested_in]
        return (
            f"{response!r} is only in parent runs, and the params are in their nested runs; name a "
            f"metric of the nested runs: {_metric_names(children)}"
        )
    if finished:
        return f"no run with {response!r} has params; log the factors as params of the same run"
    return f"no finished run has a metric {response!r}; there are: {_metric_names(runs)}"


def _metric_names(runs: Sequence[Any]) -> str:
    return ", ".join(sorted({name for run in runs for name in run.data.metrics})) or "none"


def _params(run: Any) -> dict[str, str]:
    """Return a run's params, without FactorGrid's decision on its result, which is no setting."""
    return {name: value for name, value in run.data.params.items() if name != RESULT}


def _metric(run: Any, name: str) -> float:
    if run.info.status != "FINISHED":
        return math.nan
    return float(run.data.metrics.get(name, math.nan))
