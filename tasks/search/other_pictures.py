"""What a study's figures say about other pictures than its validation pictures."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.effects.over_pictures import effects_over_pictures, trained_twice
from analysis.effects.result import Effects
from analysis.search import procedure
from analysis.search.best_cell import Selection, is_cell, levels_of_row, pooled_spread
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
    judged = effects.judged
    correct = _answers(execution, judged.runs)
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
    other = levels_of_row(others.iloc[0], execution.study.factor_list)
    whole = procedure.full_length(execution.study.rules, runs)
    trained = whole[whole[ACCURACY].notna()]
    # Both at once, so that the labels are read once.
    of_chosen, of_other = (
        trained[[is_cell(row, cell) for row in trained.to_dict("records")]]
        for cell in (selection.chosen, other)
    )
    correct = _answers(execution, pd.concat([of_chosen, of_other]))
    own, others_own = correct[: len(of_chosen)], correct[len(of_chosen) :]
    return lead_over(other, own, others_own, *pooled_spread(cells), alpha=execution.study.alpha)


def _answers(execution: Execution, runs: pd.DataFrame) -> NDArray[np.bool_]:
    """Return the answers (R, P) of runs, in their order."""
    return correct_answers(execution, runs["run_id"].tolist(), runs[ACCURACY].tolist())
