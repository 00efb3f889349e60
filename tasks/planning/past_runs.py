"""What earlier runs of a study show: seconds per training, and the spread between seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.factors import Factor
from analysis.search.best_cell import pooled_spread, select
from tasks.analyze.read_runs import is_study
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
    if tracker.find_experiment(study.name) is None or not is_study(tracker, study.name):
        return PastRuns()
    execution = last_execution(tracker, study.name)
    before = execution.study
    same = (before.data, before.model, before.training) == (study.data, study.model, study.training)
    if not same or set(before.factors) != set(study.factors):
        return PastRuns()
    return _of_table(execution.runs(), study.factor_list, study.response)


def _of_table(runs: pd.DataFrame, factors: Sequence[Factor], response: str) -> PastRuns:
    finished = runs[runs[response].notna()]
    if finished.empty:
        return PastRuns()
    trained = finished[finished["reused_from"].fillna("").astype(str).eq("")]
    spread, df = pooled_spread(select(finished, factors, response).cells)
    return PastRuns(
        float(trained["train_seconds"].median()) if len(trained) else None,
        len(trained),
        spread if df else None,
        df,
    )
