"""The trainings of the chosen cell, and the longer one that follows the search."""

from dataclasses import dataclass

import pandas as pd

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


def winners_runs(execution: Execution, selection: Selection) -> pd.DataFrame:
    """Return the finished trainings of the chosen cell, the best response first.

    They are those of full length and the final training.
    """
    study = execution.study
    children = execution.children()
    tables = [full_length(study.rules, execution.table(children))]
    if study.final_epochs is not None:
        tables.append(execution.table(children, FINAL))
    cell = pd.concat([runs_of_cell(table, selection) for table in tables], ignore_index=True)
    cell = cell[cell[study.response].notna()]
    order = list(dict.fromkeys([study.response, "val_loss"]))
    return cell.sort_values(order, ascending=[response_of(name).lower for name in order])


def final_training(execution: Execution, selection: Selection) -> FinalTraining | None:
    """Return what became of the final training; None if there is none, or it has not ended."""
    study = execution.study
    if study.final_epochs is None:
        return None
    trained = runs_of_cell(execution.runs(FINAL), selection)
    if trained.empty:
        return None
    others = runs_of_cell(full_length(study.rules, execution.runs()), selection)
    finished = trained[trained[study.response].notna()]
    run = (trained if finished.empty else finished).iloc[-1]
    sign = study.measured.sign
    return FinalTraining(
        str(run["run_id"]),
        study.final_epochs,
        study.training.epochs,
        float(run[study.response]),
        sign * float((sign * others[study.response]).max()),
        is_better=winners_runs(execution, selection)["run_id"].iloc[0] == run["run_id"],
    )


def runs_of_cell(runs: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Return the runs that trained the chosen cell."""
    same = pd.Series(data=True, index=runs.index)
    for name, level in selection.chosen.items():
        same &= runs[name] == level
    return runs[same]
