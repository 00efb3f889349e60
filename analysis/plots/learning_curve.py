"""The figure of one training; returned, never saved."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.plots.layout import NARROW, limited
from analysis.plots.words import Say, english

#: Epochs that are marked by points.
MOST_POINTS = 30


def learning_curve(
    history: Sequence[Mapping[str, float]],
    title: str,
    say: Say = english,
    width: float | None = None,
) -> Figure:
    """Draw accuracy and loss by epoch, training (grey, dashed) and validation (black, solid).

    Parameters
    ----------
    history : by epoch ``epoch``, and ``accuracy`` and ``loss`` with the prefixes ``train_`` and
        ``val_``.
    title : of the figure, may be empty.
    say : see `analysis.plots.words`.
    width : the largest width of the figure, inches; where both do not fit side by side, the loss is
        below the accuracy.
    """
    # Fixed margins: matplotlib's automatic layout takes as long as the drawing.
    if width is not None and width < NARROW:
        figure = Figure(figsize=(width, 4.8))
        figure.subplots_adjust(left=0.19, right=0.97, bottom=0.1, top=0.94, hspace=0.3)
        panels = figure.subplots(2, 1)
    else:
        figure = Figure(figsize=(limited(8, width), 3.2))
        figure.subplots_adjust(left=0.1, right=0.98, bottom=0.16, top=0.9, wspace=0.25)
        panels = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    # The points of many epochs would hide the lines.
    look = {"marker": "."} if len(epochs) <= MOST_POINTS else {"linewidth": 1}
    parts = (("train", "training", "--", "0.55"), ("val", "validation", "-", "black"))
    for axes, metric in zip(panels, ("accuracy", "loss"), strict=True):
        for prefix, part, style, color in parts:
            values = [row[f"{prefix}_{metric}"] for row in history]
            axes.plot(epochs, values, style, color=color, label=say(f"figure_{part}"), **look)
        axes.set_xlabel(say("figure_epoch"))
        axes.set_ylabel(say(f"figure_{metric}"))
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        axes.yaxis.get_major_locator().set_params(nbins=5)
    panels[0].legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure
