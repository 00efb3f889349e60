"""What a study's figures say about other pictures than its validation pictures."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.effects.over_pictures import effects_over_pictures, trained_twice
from analysis.effects.result import Effects
from analysis.factors import Level
from analysis.search import procedure
from analysis.search.best_cell import Selection, is_cell, pooled_spread
from analysis.search.lead import Lead, lead_over
from tasks.tracking.correct_answers import ACCURACY, correct_answers
from tasks.tracking.execution import Execution
from tasks.wording.over_pictures import OverPictures


def effects_on_other_pictures(execution: Execution, effects: Effects) -> OverPictures:
    """Return the standard errors of effects over pictures.

    If some runs collapsed, they are those of the effects on the runs that learned.

    Parameters
    ----------
    effects : of the validation accuracy, on runs of the study.

    Raises
    ------
    UserError
        If the answers of a run are not stored.
    """
    judged = (effects.collapse and effects.collapse.learned) or effects
    run_ids, accuracies = judged.runs["run_id"].tolist(), judged.runs[ACCURACY].tolist()
    correct = correct_answers(execution, run_ids, accuracies)
    return OverPictures(
        effects_over_pictures(judged, correct),
        pictures=correct.shape[1],
        runs=len(correct),
        alpha=judged.alpha,
        trained_twice=trained_twice(judged),
        learned=judged is not effects,
        tested=judged.verdict.test in {"pooled", "welch"},
    )


def lead_on_other_pictures(
    execution: Execution, selection: Selection, runs: pd.DataFrame
) -> Lead | None:
    """Return the lead of the chosen cell over the best of the other cells that can be chosen.

    Parameters
    ----------
    selection : among the cells of the study.
    runs : of the study.

    Returns
    -------
    None if the response is not the validation accuracy, or if there is no other cell.

    Raises
    ------
    UserError
        If the answers of a run are not stored.
    """
    cells = selection.cells
    others = cells[cells["left_out"].eq("") & (cells.index != selection.row(selection.chosen).name)]
    if execution.study.response != ACCURACY or others.empty:
        return None
    # A row of a table has one type: its whole numbers may have become floats.
    first = others.iloc[0]
    other = {
        f.name: int(first[f.name]) if f.whole else first[f.name]
        for f in execution.study.factor_list
    }
    spread, df = pooled_spread(cells)
    return lead_over(
        other,
        _answers(execution, runs, selection.chosen),
        _answers(execution, runs, other),
        spread if df else math.nan,
        df,
        alpha=execution.study.alpha,
    )


def _answers(
    execution: Execution, runs: pd.DataFrame, cell: Mapping[str, Level]
) -> NDArray[np.bool_]:
    """Return the answers (n, P) of the runs of full length of a cell."""
    whole = procedure.full_length(execution.study.rules, runs)
    own = [row for row in whole[whole[ACCURACY].notna()].to_dict("records") if is_cell(row, cell)]
    run_ids, accuracies = [str(row["run_id"]) for row in own], [float(row[ACCURACY]) for row in own]
    return correct_answers(execution, run_ids, accuracies)
