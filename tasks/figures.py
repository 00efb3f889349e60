"""What one replicate's training looked like; figures are returned, never saved."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.images import ImageArrays

WORST = 12
#: Classes on a contact sheet, and pictures of each.
ROWS, ACROSS = 6, 8


def samples(arrays: ImageArrays, seed: int = 1) -> Figure:
    """Draw a contact sheet of training pictures, a row a class, as the network sees them."""
    rng = np.random.default_rng(seed)
    rows, shown = arrays.side("training"), range(min(len(arrays.classes), ROWS))
    figure = Figure(figsize=(ACROSS, len(shown) * 1.02), layout="constrained")
    panels = figure.subplots(len(shown), ACROSS, squeeze=False)
    for label, line in zip(shown, panels, strict=True):
        own = rows[arrays.labels[rows] == label]
        for axes, row in zip(line, rng.permutation(own)[:ACROSS], strict=False):
            axes.imshow(arrays.images[row])
        line[0].set_ylabel(arrays.classes[label], fontsize=9)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def learning_curve(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Draw accuracy and loss by epoch, training (dashed) and validation (solid)."""
    figure = Figure(figsize=(8, 3.2))
    # By hand: to let matplotlib find the margins takes as long as the drawing.
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.16, top=0.9, wspace=0.22)
    epochs = [row["epoch"] for row in history]
    for axes, what in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for side, style in (("train", "--"), ("val", "-")):
            values = [row[f"{side}_{what}"] for row in history]
            axes.plot(epochs, values, style, color="black", label=_side(side), marker=".")
        axes.set_xlabel("epoch")
        axes.set_ylabel(what)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def _side(side: str) -> str:
    return {"train": "training", "val": "validation"}[side]


def confusion(
    labels: NDArray[np.int64], probability: NDArray[np.float32], classes: Sequence[str]
) -> Figure:
    """Draw the confusion matrix: rows are the truth, columns the answer, in pictures.

    Parameters
    ----------
    labels : (N,) class indices.
    probability : (N, C), rows add up to 1.
    classes : C names.
    """
    size = len(classes)
    counts = np.zeros((size, size), dtype=int)
    np.add.at(counts, (labels, probability.argmax(axis=1)), 1)
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Greys", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        dark = count > counts.max() / 2
        axes.text(
            column, row, f"{count:,}", ha="center", va="center", color="white" if dark else "black"
        )
    axes.set_xticks(range(size), classes)
    axes.set_yticks(range(size), classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    return figure


def most_confidently_wrong(
    arrays: ImageArrays, rows: NDArray[np.intp], probability: NDArray[np.float32]
) -> Figure:
    """Draw the wrong answers that were given with the most confidence, worst first.

    Parameters
    ----------
    arrays : the images.
    rows : (N,) which of them were judged.
    probability : (N, C) what was answered.
    """
    labels = arrays.labels[rows]
    wrong = np.flatnonzero(probability.argmax(axis=1) != labels)
    worst = wrong[np.argsort(probability[wrong, labels[wrong]], kind="stable")][:WORST]
    figure = Figure(figsize=(9, 3.9))
    # One sheet in one pair of axes: twelve of them take ten times as long to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for place, index in enumerate(worst):
        down, across = divmod(place, WORST // 2)
        answer = int(probability[index].argmax())
        left, top = across + 0.05, down + 0.22
        box = (left, left + 0.9, top + 0.76, top)
        axes.imshow(arrays.images[rows[index]], extent=box, aspect="auto")
        axes.text(
            across + 0.5,
            down + 0.2,
            f"{arrays.classes[labels[index]]}, answered\n"
            f"{arrays.classes[answer]} {probability[index, answer]:.0%}",
            fontsize=8,
            ha="center",
            va="bottom",
        )
    axes.set(xlim=(0, WORST // 2), ylim=(2, 0))
    return figure
