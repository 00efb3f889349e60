"""Reading the runs of an MLflow experiment that another program logged."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from tasks.errors import UserError
from tasks.tracking.tags import PARENT
from tasks.tracking.tracker import Tracker


def runs_of_experiment(tracker: Tracker, experiment: str, response: str) -> pd.DataFrame:
    """Return the runs of an MLflow experiment: their params, and the response.

    Runs without params, runs that have not ended, and parents of runs with params are left out: a
    parent sums up a search, and often has the best metric of its children.

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
        If no finished run with params has the metric; what has it, and what there is, are named.
    """
    runs = tracker.search([tracker.existing_experiment(experiment)], "")
    trials = _trials(runs)
    ended = [run for run in trials if run.info.status in {"FINISHED", "FAILED"}]
    rows = [{**run.data.params, response: _metric(run, response)} for run in reversed(ended)]
    if not any(math.isfinite(row[response]) for row in rows):
        raise UserError(f"experiment {experiment}: {_without_metric(runs, trials, response)}")
    return pd.DataFrame(rows)


def _trials(runs: Sequence[Any]) -> list[Any]:
    """Return the runs that have params, without the parents of others of them."""
    given = [run for run in runs if run.data.params]
    parents = {run.data.tags.get(PARENT) for run in given}
    return [run for run in given if run.info.run_id not in parents]


def _without_metric(runs: Sequence[Any], trials: Sequence[Any], response: str) -> str:
    """Return why no run can be analysed by a metric."""
    there = ", ".join(sorted({name for run in trials for name in run.data.metrics})) or "none"
    known = {run.info.run_id for run in trials}
    others = [run for run in runs if response in run.data.metrics and run.info.run_id not in known]
    if not others:
        return f"no finished run has a metric {response!r}; there are: {there}"
    names = ", ".join(sorted(str(run.info.run_name) for run in others)[:3])
    if not trials:
        return f"the runs with a metric {response!r} have no params ({names}); log the factors too"
    return (
        f"only runs that are no trials have a metric {response!r} ({names}: parents, or without "
        f"params); log it in the {len(trials)} runs that have the params, or name one of their "
        f"metrics: {there}"
    )


def _metric(run: Any, name: str) -> float:
    if run.info.status != "FINISHED":
        return math.nan
    return float(run.data.metrics.get(name, math.nan))
