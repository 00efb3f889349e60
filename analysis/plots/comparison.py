"""The figure of a comparison of tuners; returned, never saved."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis.plots.effects import COLOURS
from analysis.plots.layout import limited, panels_across
from analysis.plots.words import Say, english


def delivered(summary: pd.DataFrame, best: float) -> Figure:
    """Draw what each tuner delivers, one panel per budget: median and bar to the 10th percentile.

    Parameters
    ----------
    summary : columns ``tuner``, ``budget`` (runs), ``median``, ``tenth`` (10th percentile), ``n``.
    best : the true mean of the best cell.
    """
    budgets = sorted(summary["budget"].unique())
    names = list(dict.fromkeys(summary["tuner"]))
    size = (3.4 + 2.2 * len(budgets), 1.2 + 0.28 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(budgets), sharex=True, sharey=True, squeeze=False)
    places = range(len(names), 0, -1)
    for axes, budget in zip(panels[0], budgets, strict=True):
        rows = summary[summary["budget"] == budget].set_index("tuner").loc[names]
        axes.hlines(places, rows["tenth"], rows["median"], color="0.6", linewidth=4)
        axes.plot(rows["median"], places, "o", color="black", markersize=5)
        axes.axvline(rows["median"].max(), color="black", linestyle=":", linewidth=1)
        axes.axvline(best, color="#0072B2", linewidth=1)
        axes.set_title(f"{budget} runs", fontsize=10)
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
    panels[0][0].set_yticks(places, names)
    least, most = summary["n"].min(), summary["n"].max()
    n = f"{least}" if least == most else f"{least} to {most}"
    figure.supxlabel(
        "true mean of the delivered cell: median (dot) down to the 10th percentile of "
        f"n = {n}; line: the best cell; dotted: the best median",
        fontsize=8,
    )
    return figure


#: Panels side by side.
PANEL_COLUMNS = 3


def best_so_far(
    curve: pd.DataFrame,
    response: str,
    names: Sequence[str],
    along: Literal["trainings", "seconds"],
    width: float | None = None,
    say: Say = english,
) -> Figure:
    """Draw the best response so far, one panel per tuner: median and range of its searches.

    The other tuners' medians are grey in each panel.

    Parameters
    ----------
    curve : as `analysis.comparison.summary.curves` returns it.
    response : name of the response.
    names : the tuners, in the order of the panels.
    along : the horizontal axis: trainings of full length, or seconds of training.
    width : the largest width of the figure, inches.
    say : returns the texts.
    """
    known = curve[curve["best"].notna()]
    lines = {name: _on_one_axis(known[known["tuner"] == name], along) for name in names}
    across = panels_across(PANEL_COLUMNS, PANEL_COLUMNS, 1.5, width)
    rows = math.ceil(len(names) / across)
    figure = Figure(figsize=(limited(9, width), 0.7 + 1.7 * rows), layout="constrained")
    panels = list(figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False).flat)
    for axes, name in zip(panels, names, strict=False):
        for x, best in lines.values():
            axes.step(x, np.median(best, axis=0), where="post", color="0.8", linewidth=0.8)
        x, best = lines[name]
        band = (best.min(axis=0), best.max(axis=0))
        axes.fill_between(x, *band, step="post", color=COLOURS[0], alpha=0.2, linewidth=0)
        axes.step(x, np.median(best, axis=0), where="post", color=COLOURS[0], linewidth=1.8)
        axes.set_title(name, fontsize=9)
        axes.grid(color="0.93")
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    for axes in panels[max(len(names) - across, 0) : len(names)]:
        axes.tick_params(labelbottom=True)  # also where nothing is drawn below
    for axes in panels[len(names) :]:
        axes.axis("off")
    figure.supxlabel(say(f"figure_axis_{along}"), fontsize=9)
    figure.supylabel(say("figure_best_so_far", response=response), fontsize=9)
    return figure


def _on_one_axis(own: pd.DataFrame, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions on an axis, and the best response there: one row per search."""
    searches = [rows.sort_values("order") for _, rows in own.groupby("repetition")]
    # A search has no response before its first run: the axis begins where all searches have one.
    least = max(float(rows[column].iloc[0]) for rows in searches)
    places = np.unique([*own.loc[own[column] >= least, column], least])
    best = [
        rows["best"].to_numpy()[np.searchsorted(rows[column], places, side="right") - 1]
        for rows in searches
    ]
    return places, np.array(best)
