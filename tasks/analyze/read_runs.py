"""Reading runs from a CSV file or from an MLflow experiment."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.errors import UserError

if TYPE_CHECKING:
    from tasks.tracking.tracker import Tracker


#: Marks the parent runs of FactorGrid's own studies.
STUDIES = "tags.`factorgrid.kind` = 'study'"


def is_study(tracker: "Tracker", name: str) -> bool:
    """Whether an experiment was written by FactorGrid."""
    return bool(tracker.search([tracker.existing_experiment(name)], STUDIES, limit=1))


def read_runs(path: Path) -> pd.DataFrame:
    """Read a CSV file; semicolons and tabs separate as well as commas.

    Raises
    ------
    UserError
        If it is not there, is no text, or has no rows.
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
        head = str(table.columns[0]) if table.shape[1] == 1 else ""
        if ";" in head:
            table = pd.read_csv(path, sep=";", decimal=",", skipinitialspace=True)
        elif "\t" in head:
            table = pd.read_csv(path, sep="\t", skipinitialspace=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; correct the path") from None
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path}: cannot be read as CSV: {first}; save it as CSV in UTF-8"
        ) from None
    if table.empty:
        raise UserError(f"{path}: no rows; a header and a row a run are needed")
    return table


def experiment_table(tracker: "Tracker", name: str, response: str) -> pd.DataFrame:
    """Return the runs of an MLflow experiment that have params: these, and the response.

    Parameters
    ----------
    tracker : the server.
    name : of the experiment.
    response : the metric, its last value. A run that failed has none (NaN); one that goes on is
        left out.

    Raises
    ------
    TrackingError
        If there is no such experiment; the names that exist are given.
    UserError
        If no finished run has the metric; those that exist are given.
    """
    runs = tracker.search([tracker.existing_experiment(name)], "")
    done = [run for run in runs if run.info.status in {"FINISHED", "FAILED"} and run.data.params]
    rows = [{**run.data.params, response: _metric(run, response)} for run in reversed(done)]
    if not any(math.isfinite(row[response]) for row in rows):
        metrics = sorted({metric for run in runs for metric in run.data.metrics})
        raise UserError(
            f"experiment {name}: no finished run has a metric {response!r}; there are: "
            f"{', '.join(metrics) or 'none'}"
        )
    return pd.DataFrame(rows)


def _metric(run: Any, name: str) -> float:
    return (
        float(run.data.metrics.get(name, math.nan)) if run.info.status == "FINISHED" else math.nan
    )
