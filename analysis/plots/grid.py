"""The figure of a refined grid; returned, never saved."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.factors import Factor, show
from analysis.plots.effects import COLOURS
from analysis.plots.layout import limited
from analysis.plots.words import Say, english

#: Least width of a cell with its mean, inches.
CELL = 0.48
#: The shades of the worst and of the best cell. On all of them black has a contrast of 4.5 or more
#: (WCAG 2, level AA), and so has the light text of a page in dark mode, where they are dark.
SHADES = ("1.0", "0.63")


def is_grid(runs: pd.DataFrame, factors: Sequence[Factor], response: str) -> bool:
    """Whether cells were run, and fill half of their heat map or have two factors at most.

    Cells that a model chose among many factors lie one by one: their heat map would be empty. A
    single one of many factors needs no map.
    """
    *down, across = [f.name for f in factors]
    given = runs[runs[response].notna()]
    if len(down) <= 1 or given.empty:
        return not given.empty
    places = len(given[down].drop_duplicates()) * given[across].nunique()
    cells = len(given[[*down, across]].drop_duplicates())
    return cells > 1 and 2 * cells >= places


def grid_heatmap(
    runs: pd.DataFrame,
    factors: Sequence[Factor],
    response: str,
    say: Say = english,
    width: float | None = None,
) -> Figure:
    """Draw the mean response of each cell of a refined grid, the last factor across.

    The best cell is framed; a cell without a run has a dash. The shades show the cells that
    learned: a cell of which a run collapsed, by the column ``collapsed`` if there is one, is
    hatched and does not change the scale.

    Parameters
    ----------
    say : see `analysis.plots.words`.
    width : the largest width of the figure, inches, if the means fit in it.
    """
    *down, across = [f.name for f in factors]
    given = runs[runs[response].notna()]
    table = given.assign(**{"": ""}) if not down else given
    means = _table(table, response, down, across, "mean")
    collapsed = np.zeros(means.shape, dtype=bool)
    if "collapsed" in table:
        flags = table.assign(collapsed=table["collapsed"].astype(bool))
        collapsed = _table(flags, "collapsed", down, across, "max").eq(1).to_numpy()
    # Without a cell that learned, the scale is that of all cells.
    some_learned = (means.notna().to_numpy() & ~collapsed).any()
    hatched = collapsed if some_learned else np.zeros_like(collapsed)
    natural = 2.2 + 0.95 * means.shape[1]
    size = (max(limited(natural, width), 1.2 + CELL * means.shape[1]), 1.3 + 0.36 * means.shape[0])
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    _draw_cells(axes, means.to_numpy(dtype=float), hatched)
    axes.set_xticks(np.arange(means.shape[1]) + 0.5, [show(level) for level in means.columns])
    rows = [label if isinstance(label, tuple) else (label,) for label in means.index]
    axes.set_yticks(np.arange(len(rows)) + 0.5, [", ".join(map(show, label)) for label in rows])
    axes.tick_params(labelsize=9)
    axes.set_xlabel(across)
    axes.set_ylabel(", ".join(down))
    axes.set_title(say("figure_mean", response=response), fontsize=10)
    if hatched.any():
        figure.supxlabel(say("figure_hatched"), fontsize=9)
    return figure


def _table(
    runs: pd.DataFrame, column: str, down: Sequence[str], across: str, how: Literal["mean", "max"]
) -> pd.DataFrame:
    """Return a column of the runs by cell: the last factor across, the others down."""
    return runs.pivot_table(
        column, index=list(down) or [""], columns=across, aggfunc=how, observed=True
    )


def _draw_cells(axes: Axes, values: Any, hatched: Any) -> None:
    scale = np.ma.masked_array(values, np.isnan(values) | hatched)
    low, high = float(scale.min()), float(scale.max())
    # Not an image: these cells follow the colours of the page that they are in.
    shades = LinearSegmentedColormap.from_list("shades", SHADES)
    axes.pcolormesh(scale, cmap=shades, vmin=low, vmax=max(high, low + 1e-9), linewidth=0)
    best = np.unravel_index(scale.argmax(), values.shape)
    for (row, column), cell in np.ndenumerate(values):
        text = "-" if np.isnan(cell) else f"{cell:.3f}"
        weight = "bold" if (row, column) == best else "normal"
        axes.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            color="black",
            fontweight=weight,
            fontsize=9,
        )
        if hatched[row, column]:
            axes.add_patch(
                Rectangle(
                    (column, row), 1, 1, fill=False, hatch="///", edgecolor="0.85", linewidth=0
                )
            )
    corner = (float(best[1]) + 0.03, float(best[0]) + 0.05)
    axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=COLOURS[1], linewidth=2.5))
    axes.invert_yaxis()
