"""Pictures that several good cells get confidently wrong: often the label is, or the picture.

Only the validation side is judged: a network has learnt the answers of its training side by heart,
and the test side stays unread.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.images.arrays import ImageArrays
from tasks.tracking.artifact_paths import CONTACT_SHEET, SUSPECTS
from tasks.training.context import TrainingContext

#: A cell is good whose mean accuracy is within this of the best; at most so many, at least two.
WITHIN, MOST_CELLS, FEWEST_CELLS = 0.05, 6, 2
#: A picture is suspect that such a share of the good cells gets wrong, with such a probability of
#: one and the same wrong class on average over all of them.
SHARE, CONFIDENT = 0.6, 0.8
#: Suspects on a contact sheet, and in a row of it.
SHEET, ACROSS = 48, 6

Probability = NDArray[np.float32]


@dataclass(frozen=True)
class Suspect:
    """One picture.

    Attributes
    ----------
    row : of the arrays.
    label, answer : its class as it was found, and the wrong class that it is given.
    probability : of the answer, mean over the good cells.
    wrong : good cells that give the answer.
    """

    row: int
    path: str
    label: str
    answer: str
    probability: float
    wrong: int


@dataclass(frozen=True)
class Suspects:
    """What was found, most suspect first, and how many good cells there are."""

    found: tuple[Suspect, ...]
    cells: int


def rank_suspects(
    answers: Sequence[Probability], arrays: ImageArrays, rows: NDArray[np.intp]
) -> Suspects:
    """Rank the pictures that good cells get confidently wrong.

    Parameters
    ----------
    answers : for each good cell (N, C), rows add up to 1.
    arrays : labels, names and classes.
    rows : (N,) which pictures were judged.
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
    runs : a row a replicate: ``run_id``, the factors, the response (NaN where it failed).
    """
    runs = runs.dropna(subset=[response])
    cells = runs.groupby(list(factors), observed=True)
    accuracy = cells[response].mean().sort_values(ascending=False, kind="stable")
    good = accuracy[accuracy >= accuracy.max() - WITHIN].index[:MOST_CELLS]
    members = cells["run_id"].apply(list)
    return [list(members.loc[cell]) for cell in good]


def exclusion_list(suspects: Suspects) -> str:
    """Return suspects as TOML, to be reviewed and pasted into a study."""
    lines = [
        f"# {len(suspects.found)} pictures that several of {suspects.cells} good cells get",
        "# confidently wrong, worst first; only the validation side is judged. Look at",
        "# contact_sheet.png, and keep the lines of those that are labelled wrongly, or show both",
        "# classes or neither: a picture that is merely hard belongs to the study.",
        "",
        "[data.exclude]",
    ]
    lines += [
        f"{json.dumps(s.path, ensure_ascii=False)} = "
        + json.dumps(
            f"labelled {s.label}, {s.wrong} of {suspects.cells} good cells say {s.answer} "
            f"({s.probability:.2f})",
            ensure_ascii=False,
        )
        for s in suspects.found
    ]
    return "\n".join(lines) + "\n"


def contact_sheet(suspects: Suspects, arrays: ImageArrays) -> Figure:
    """Draw the most suspect pictures with label, answer and name, worst first."""
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
        f"Labelled one class, confidently called another by {suspects.cells} good cells: "
        f"{len(shown)} of {len(suspects.found)}, worst first",
        fontsize=10,
    )
    return figure


def find_suspects(context: TrainingContext) -> Suspects | None:
    """Rank suspects by the runs of an execution; log list, table and contact sheet to its run.

    Returns
    -------
    The suspects; None where fewer than two cells are good.
    """
    execution, study = context.execution, context.execution.study
    names = [factor.name for factor in study.factor_list]
    cells = good_cells(execution.runs(), names, study.response)
    if len(cells) < FEWEST_CELLS:
        return None
    answers = [np.mean([_answers(context, run) for run in runs], axis=0) for runs in cells]
    suspects = rank_suspects(answers, context.arrays, context.arrays.side("validation"))
    figures = {CONTACT_SHEET: contact_sheet(suspects, context.arrays)}
    execution.log_figures(execution.run_id, figures)
    execution.log_text(execution.run_id, exclusion_list(suspects), "suspects/exclude.toml")
    table = pd.DataFrame([vars(suspect) for suspect in suspects.found]).to_csv(index=False)
    execution.log_text(execution.run_id, table, SUSPECTS)
    context.progress.say(
        f"suspects: {len(suspects.found)} pictures that several good cells get confidently wrong; "
        "see suspects/ of the study's run"
    )
    return suspects


def _answers(context: TrainingContext, run_id: str) -> Probability:
    with tempfile.TemporaryDirectory() as folder:
        path = context.execution.tracker.artifact(run_id, "model/predictions.npz", Path(folder))
        with np.load(path) as saved:
            return np.asarray(saved["val_probability"], dtype=np.float32)
