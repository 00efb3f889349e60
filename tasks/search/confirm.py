"""The confirm stage: fresh seeds for the best cells, and the choice of one."""

import pandas as pd

from analysis.search.best_cell import Selection, select
from models.spec import Scalar
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution


def plan_confirm(study: Study, version: str, selection: Selection) -> list[Planned]:
    """Return fresh seeds for the cells that cannot be told apart; none where one cell leads."""
    cells = candidates(selection, study)
    first = 1 + max(study.replicates, study.refine.replicates or 0)
    numbers = range(first, first + study.confirm.replicates)
    return plan(study, version, "confirm", cells, numbers) if len(cells) > 1 else []


def candidates(selection: Selection, study: Study) -> list[dict[str, Scalar]]:
    """Return the best cells that cannot be told apart, at most as many as the study confirms."""
    return [dict(cell) for cell in selection.tied[: study.confirm.cells]]


def choose_cell(execution: Execution) -> Selection:
    """Choose a cell as cheap as any within one standard error of the best; log why."""
    runs = execution.runs()
    selection = select_cell(execution.study, runs, execution.facts.validation_images)
    execution.log_text(execution.run_id, runs.to_csv(index=False), "runs.csv")
    execution.log_text(execution.run_id, selection.cells.to_csv(index=False), "cells.csv")
    return selection


def select_cell(study: Study, runs: pd.DataFrame, images: int | None = None) -> Selection:
    """Choose among the cells that were confirmed on fresh seeds; before that, among all."""
    confirmed = runs[runs["stage"] == "confirm"]
    return select(
        runs,
        study.factor_list,
        study.response,
        alpha=study.alpha,
        among=confirmed if len(confirmed) else None,
        images=images,
    )
