"""What earlier runs of a study show: seconds per training, and the spread between seeds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.settings import Settings
from tasks.study.study_file import Study
from tasks.tracking.execution import last_execution
from tasks.tracking.local_database import is_missing
from tasks.tracking.tracker import Tracker


@dataclass(frozen=True)
class PastRuns:
    """What earlier runs of a study show.

    Attributes
    ----------
    seconds : median of one training; None without runs.
    trained : number of runs that the median is from.
    spread : standard deviation of the response between seeds of one cell, pooled over the cells
        that learnt; None without cells that were run twice.
    spread_df : its degrees of freedom.
    """

    seconds: float | None = None
    trained: int = 0
    spread: float | None = None
    spread_df: int = 0


def past_runs(settings: Settings, study: Study) -> PastRuns:
    """Read the last execution of a study of this name; without one, everything is unknown.

    A training takes as long as before only with the same pictures, size and number of epochs, so
    that an execution with other ones does not count.

    Raises
    ------
    TrackingError
        If MLflow cannot be reached.
    """
    if is_missing(settings.tracking_uri):
        return PastRuns()
    tracker = Tracker.open(settings, create=False)
    if tracker.client.get_experiment_by_name(study.name) is None:
        return PastRuns()
    experiment = tracker.existing_experiment(study.name)
    if not tracker.search([experiment], "tags.`factorgrid.kind` = 'study'", limit=1):
        return PastRuns()
    execution = last_execution(tracker, study.name)
    before = execution.study
    same = (before.data, before.model, before.training) == (study.data, study.model, study.training)
    if not same or set(before.factors) != set(study.factors):
        return PastRuns()
    return _of_table(execution.runs(), list(study.factors), study.response)


def _of_table(runs: pd.DataFrame, factors: list[str], response: str) -> PastRuns:
    finished = runs[runs[response].notna()]
    if finished.empty:
        return PastRuns()
    trained = finished[finished["reused_from"].fillna("").astype(str).eq("")]
    learnt = finished[~finished["collapsed"]] if "collapsed" in finished else finished
    groups = learnt.groupby(factors)[response]
    df = len(learnt) - groups.ngroups
    within = float((learnt[response] - groups.transform("mean")).pow(2).sum())
    return PastRuns(
        float(trained["train_seconds"].median()) if len(trained) else None,
        len(trained),
        float(np.sqrt(within / df)) if df else None,
        df,
    )
