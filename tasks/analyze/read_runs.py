"""Reading runs from an MLflow experiment."""

import math
from typing import Any

import pandas as pd

from tasks.errors import UserError
from tasks.tracking.tracker import Tracker

#: The condition that a run is the parent run of one of FactorGrid's studies.
IS_STUDY = "tags.`factorgrid.kind` = 'study'"


def is_study(tracker: Tracker, experiment: str) -> bool:
    """Whether an MLflow experiment is a study of FactorGrid."""
    return bool(tracker.search([tracker.existing_experiment(experiment)], IS_STUDY, limit=1))


def runs_of_experiment(tracker: Tracker, experiment: str, response: str) -> pd.DataFrame:
    """Return the runs of an MLflow experiment: their params, and the response.

    Runs without params, and runs that have not ended, are left out.

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
        If no finished run has the metric; the existing metrics are given.
    """
    runs = tracker.search([tracker.existing_experiment(experiment)], "")
    ended = [run for run in runs if run.info.status in {"FINISHED", "FAILED"} and run.data.params]
    rows = [{**run.data.params, response: _metric(run, response)} for run in reversed(ended)]
    if not any(math.isfinite(row[response]) for row in rows):
        metrics = sorted({metric for run in runs for metric in run.data.metrics})
        raise UserError(
            f"experiment {experiment}: no finished run has a metric {response!r}; there are: "
            f"{', '.join(metrics) or 'none'}"
        )
    return pd.DataFrame(rows)


def _metric(run: Any, name: str) -> float:
    if run.info.status != "FINISHED":
        return math.nan
    return float(run.data.metrics.get(name, math.nan))
