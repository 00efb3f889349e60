"""The trainings of the chosen cell, and the longer one that follows the search."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.factors import Level
from analysis.runs.response import response_of
from analysis.search.best_cell import Selection
from analysis.search.procedure import full_length
from tasks.study.replicates import FINAL
from tasks.tracking.execution import Execution


@dataclass(frozen=True)
class FinalTraining:
    """The final training of a study, beside the trainings of the chosen cell that it follows.

    Attributes
    ----------
    run_id : its run.
    epochs : its length.
    usual_epochs : of the other trainings of full length.
    value : its response; NaN if it failed.
    best_before : the best response of the other trainings of the chosen cell.
    is_better : whether it is better than that, so that its network is registered.
    """

    run_id: str
    epochs: int
    usual_epochs: int
    value: float
    best_before: float
    is_better: bool


def winners_runs(
    execution: Execution, selection: Selection, children: Sequence[Any]
) -> pd.DataFrame:
    """Return the finished trainings of the chosen cell, the best response first.

    They are those of full length and the final training.

    Parameters
    ----------
    children : the runs of the execution's replicates.
    """
    study = execution.study
    tables = [full_length(study.rules, execution.table(children))]
    if study.final_epochs is not None:
        tables.append(execution.table(children, FINAL))
    cells = [runs_of_cell(table, selection.chosen) for table in tables]
    cell = pd.concat(cells, ignore_index=True)
    cell = cell[cell[study.response].notna()]
    order = list(dict.fromkeys([study.response, "val_loss"]))
    return cell.sort_values(order, ascending=[response_of(name).lower for name in order])


def final_training(
    execution: Execution, selection: Selection, children: Sequence[Any]
) -> FinalTraining | None:
    """Return what became of the final training; None if there is none, or it has not ended."""
    study = execution.study
    if study.final_epochs is None:
        return None
    trained = runs_of_cell(execution.table(children, FINAL), selection.chosen)
    if trained.empty:
        return None
    best_first = winners_runs(execution, selection, children)
    is_final = best_first["run_id"].isin(trained["run_id"])
    response = best_first[study.response]
    own = best_first[is_final] if is_final.any() else trained[::-1]
    return FinalTraining(
        str(own["run_id"].iloc[0]),
        study.final_epochs,
        study.training.epochs,
        value=_first(response[is_final]),
        best_before=_first(response[~is_final]),
        is_better=bool(is_final.iloc[:1].any()),
    )


def _first(figures: "pd.Series[float]") -> float:
    return float(figures.iloc[0]) if len(figures) else math.nan


def runs_of_cell(runs: pd.DataFrame, cell: Mapping[str, Level]) -> pd.DataFrame:
    """Return the runs that trained a cell."""
    same = pd.Series(data=True, index=runs.index)
    for name, level in cell.items():
        same &= runs[name] == level
    return runs[same]
