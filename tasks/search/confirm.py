"""The confirm stage: fresh seeds for the best cells, and the selection of one."""

import pandas as pd

from analysis.search import procedure
from analysis.search.best_cell import Selection
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution


def plan_confirm(execution: Execution) -> list[Planned]:
    """Return fresh seeds for the cells that cannot be distinguished; none if one cell leads."""
    study, searched = execution.study, procedure.before_confirm(execution.runs())
    selection = select_cell(study, searched, execution.facts.images_of(study.measured))
    runs = procedure.confirm_runs(study.rules, selection, searched)
    return plan(study, execution.version, "confirm", runs)


def choose_cell(execution: Execution) -> Selection:
    """Select a cell from the runs in MLflow; log the runs and the cells."""
    study, runs = execution.study, execution.runs()
    selection = select_cell(study, runs, execution.facts.images_of(study.measured))
    execution.writer.log_text(execution.run_id, runs.to_csv(index=False), "runs.csv")
    execution.writer.log_text(execution.run_id, selection.cells.to_csv(index=False), "cells.csv")
    return selection


def select_cell(study: Study, runs: pd.DataFrame, images: int | None = None) -> Selection:
    """Select a cell of a study; see `analysis.search.procedure.select_cell`."""
    return procedure.select_cell(study.rules, runs, images)
