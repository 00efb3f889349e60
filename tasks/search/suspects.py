"""Suspects: pictures that several good cells classify wrongly with a high probability.

Often the label is wrong, or the picture. Only the validation images are judged: a network has
memorised the labels of its training images, and the test images are not read.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.runs.response import response_of
from analysis.search.procedure import full_length
from models.images.arrays import ImageArrays
from tasks.languages import counted
from tasks.tracking.artifact_paths import CONTACT_SHEET, SUSPECTS
from tasks.tracking.execution import Execution
from tasks.tracking.predictions import stored_probability

#: A cell is good if its mean response is at most this worse than the best; the most and the fewest
#: of these cells that are used.
WITHIN, MOST_CELLS, FEWEST_CELLS = 0.05, 6, 2
#: A picture is a suspect if at least this share of the good cells gives it the same wrong class,
#: with at least this mean probability over all good cells.
SHARE, CONFIDENT = 0.6, 0.8
#: Suspects on a contact sheet, and in one row of it.
SHEET, ACROSS = 48, 6

Probability = NDArray[np.float32]


@dataclass(frozen=True)
class Suspect:
    """One suspect picture.

    Attributes
    ----------
    row : its row in the arrays.
    label, answer : its labelled class, and the other class that the networks predict.
    probability : of the predicted class, mean over the good cells.
    wrong : number of good cells that predict it.
    """

    row: int
    path: str
    label: str
    answer: str
    probability: float
    wrong: int


@dataclass(frozen=True)
class Suspects:
    """The suspects, highest probability first, and the number of good cells."""

    found: tuple[Suspect, ...]
    cells: int


def rank_suspects(
    answers: Sequence[Probability], arrays: ImageArrays, rows: NDArray[np.intp]
) -> Suspects:
    """Rank the pictures that good cells classify wrongly with a high probability.

    Parameters
    ----------
    answers : the probabilities (N, C) of each good cell; rows sum to 1.
    arrays : labels, names and classes.
    rows : (N,) rows of the judged pictures in the arrays.
    """
    each = np.stack(answers)
    others = each.mean(axis=0)
    others[np.arange(len(rows)), arrays.labels[rows]] = -1
    answer, probability = others.argmax(axis=1), others.max(axis=1)
    wrong = (each.argmax(axis=2) == answer).sum(axis=0)
    needed = max(FEWEST_CELLS, int(np.ceil(SHARE * len(each))))
    suspect = np.flatnonzero((wrong >= needed) & (probability >= CONFIDENT))
    ranked = suspect[np.argsort(-probability[suspect], kind="stable")]
    found = tuple(
        Suspect(
            int(rows[at]),
            arrays.names[rows[at]],
            arrays.classes[arrays.labels[rows[at]]],
            arrays.classes[answer[at]],
            float(probability[at]),
            int(wrong[at]),
        )
        for at in ranked
    )
    return Suspects(found, len(each))


def good_cells(runs: pd.DataFrame, factors: Sequence[str], response: str) -> list[list[str]]:
    """Return the run ids of each good cell, best cell first.

    Parameters
    ----------
    runs : one row per replicate: ``run_id``, the factors, the response (NaN if it failed).
    """
    runs = runs.dropna(subset=[response])
    cells = runs.groupby(list(factors), observed=True)
    means = response_of(response).sign * cells[response].mean()
    means = means.sort_values(ascending=False, kind="stable")
    good = means[means >= means.max() - WITHIN].index[:MOST_CELLS]
    members = cells["run_id"].apply(list)
    return [list(members.loc[cell]) for cell in good]


def exclusion_list(suspects: Suspects) -> str:
    """Return the suspects as TOML, to be reviewed and pasted into a study."""
    pictures = counted(len(suspects.found), "picture")
    lines = [
        f"# {pictures} that several of {suspects.cells} good cells classify",
        "# wrongly with a high probability, highest first; only validation images are judged.",
        "# Look at contact_sheet.png, and keep the lines of pictures that are labelled wrongly, or",
        "# that show both classes or neither. A picture that is only hard belongs to the study.",
        "",
        "[data.exclude]",
    ]
    lines += [
        f"{json.dumps(s.path, ensure_ascii=False)} = "
        + json.dumps(
            f"labelled {s.label}, {s.wrong} of {suspects.cells} good cells predict {s.answer} "
            f"({s.probability:.2f})",
            ensure_ascii=False,
        )
        for s in suspects.found
    ]
    return "\n".join(lines) + "\n"


def contact_sheet(suspects: Suspects, arrays: ImageArrays) -> Figure:
    """Return a figure of the first suspects, with label, predicted class and name."""
    shown = suspects.found[:SHEET]
    down = max(1, -(-len(shown) // ACROSS))
    figure = Figure(figsize=(1.35 * ACROSS, 1.85 * down + 0.4), layout="constrained")
    grid = figure.subplots(down, ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (axes, s) in enumerate(zip(grid.flat, shown, strict=False), 1):
        axes.imshow(arrays.images[s.row])
        name = s.path if len(s.path) <= 20 else f"…{s.path[-19:]}"  # noqa: PLR2004 # what fits
        title = f"{number}. {s.label}: {s.answer} {s.probability:.0%}\n{name}"
        axes.set_title(title, fontsize=7)
    figure.suptitle(
        f"Labelled one class, predicted another by several of {suspects.cells} good cells: "
        f"{len(shown)} of {len(suspects.found)}, highest probability first",
        fontsize=10,
    )
    return figure


def find_suspects(execution: Execution, arrays: ImageArrays) -> Suspects | None:
    """Rank the suspects by the runs of an execution; log list, table and contact sheet to its run.

    Returns
    -------
    The suspects; None if fewer than two cells are good and have stored answers.
    """
    study = execution.study
    names = [factor.name for factor in study.factor_list]
    runs = full_length(study.rules, execution.runs())
    cells = good_cells(runs, names, study.response)
    answers = [mean for cell in cells if (mean := _mean_answers(execution, cell)) is not None]
    if len(answers) < FEWEST_CELLS:
        return None
    suspects = rank_suspects(answers, arrays, arrays.side("validation"))
    figures = {CONTACT_SHEET: contact_sheet(suspects, arrays)}
    execution.writer.log_figures(execution.run_id, figures)
    execution.writer.log_text(execution.run_id, exclusion_list(suspects), "suspects/exclude.toml")
    table = pd.DataFrame([vars(suspect) for suspect in suspects.found]).to_csv(index=False)
    execution.writer.log_text(execution.run_id, table, SUSPECTS)
    return suspects


def _mean_answers(execution: Execution, cell: Sequence[str]) -> Probability | None:
    """Return the mean probabilities of a cell's runs; None if no run has stored ones."""
    each = (stored_probability(execution.tracker, run_id, "val") for run_id in cell)
    stored = [probability for probability in each if probability is not None]
    return np.mean(stored, axis=0) if stored else None
