"""What earlier runs of a study show: seconds per training, and the spread between seeds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.factors import Factor
from analysis.search.best_cell import pooled_spread, select
from tasks.analyze.read_runs import is_study
from tasks.errors import TrackingError
from tasks.settings import Settings
from tasks.study.study_file import Study
from tasks.tracking.execution import last_execution
from tasks.tracking.local_database import is_missing
from tasks.tracking.tracker import Tracker
from tasks.training.devices import available_devices


@dataclass(frozen=True)
class PastRuns:
    """What earlier runs of a study show.

    Attributes
    ----------
    seconds : median of one training of the whole length on this machine; None without runs.
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

    A training takes as long as before only with the same pictures, size and number of epochs, and
    the same share of a CPU, so that an execution with other ones does not count.

    Raises
    ------
    TrackingError
        If MLflow cannot be reached.
    """
    if is_missing(settings.tracking_uri):
        return PastRuns()
    tracker = Tracker.open(settings, create=False)
    if tracker.find_experiment(study.name) is None or not is_study(tracker, study.name):
        return PastRuns()
    try:
        execution = last_execution(tracker, study.name)
    except TrackingError:  # it was cut off before its study was logged
        return PastRuns()
    before = execution.study
    same = (before.data, before.model, before.training) == (study.data, study.model, study.training)
    if not same or set(before.factors) != set(study.factors):
        return PastRuns()
    if before.parallel != study.parallel:
        devices = [available_devices(one.parallel) for one in (before, study)]
        if devices[0] != devices[1]:
            return PastRuns()
    children = execution.children()
    here = _runs_of_this_home(tracker, children)
    epochs = None if "epochs" in study.factors else study.training.epochs
    return _of_table(execution.table(children), study.factor_list, study.response, here, epochs)


def _runs_of_this_home(tracker: Tracker, runs: Sequence[Any]) -> set[str]:
    """Return the ids of the runs that a process with this home trained."""
    # Without locks no run was trained here, and none are to be made.
    if not tracker.settings.locks.exists():
        return set()
    return {run.info.run_id for run in runs if tracker.leases.is_in_this_home(run)}


def _of_table(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    here: Collection[str],
    epochs: int | None = None,
) -> PastRuns:
    """Return what a table of runs shows.

    Parameters
    ----------
    here : the ids of the runs that were trained on this machine.
    epochs : of a training of the whole length; None if it is a factor.
    """
    finished = runs[runs[response].notna()]
    if finished.empty:
        return PastRuns()
    trained = finished[finished["reused_from"].fillna("").astype(str).eq("")]
    seconds = _whole_seconds(trained[trained["run_id"].isin(here)], epochs)
    compared = finished if epochs is None else finished[finished["epochs"].eq(epochs)]
    if compared.empty:
        return PastRuns(float(seconds.median()) if len(seconds) else None, len(seconds))
    spread, df = pooled_spread(select(compared, factors, response).cells)
    return PastRuns(
        float(seconds.median()) if len(seconds) else None,
        len(seconds),
        spread if df else None,
        df,
    )


def _whole_seconds(runs: pd.DataFrame, epochs: int | None) -> "pd.Series[float]":
    """Return the seconds of each run that trained all of its epochs, scaled to the whole length."""
    if epochs is None or "epochs_trained" not in runs:
        return runs["train_seconds"]
    whole = runs[runs["epochs_trained"].eq(runs["epochs"])]
    return whole["train_seconds"] * epochs / whole["epochs"]
