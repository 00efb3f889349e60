"""The figure of a refined grid; returned, never saved."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.factors import Factor, show
from analysis.plots.effects import COLOURS


def grid_heatmap(runs: pd.DataFrame, factors: Sequence[Factor], response: str) -> Figure:
    """Draw the mean response of each cell of a refined grid, the last factor across.

    The best cell is framed; a cell without a run has a dash.
    """
    *down, across = [f.name for f in factors]
    given = runs[runs[response].notna()]
    table = given.assign(**{"": ""}) if not down else given
    means = table.pivot_table(response, index=down or [""], columns=across, observed=True)
    size = (2.2 + 0.95 * means.shape[1], 1.3 + 0.36 * means.shape[0])
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    _draw_cells(axes, means.to_numpy(dtype=float))
    axes.set_xticks(range(means.shape[1]), [show(level) for level in means.columns])
    rows = [label if isinstance(label, tuple) else (label,) for label in means.index]
    axes.set_yticks(range(len(rows)), [", ".join(map(show, label)) for label in rows])
    axes.set_xlabel(across)
    axes.set_ylabel(", ".join(down))
    axes.set_title(f"mean {response}", fontsize=10)
    return figure


def _draw_cells(axes: Axes, values: Any) -> None:
    axes.imshow(np.ma.masked_invalid(values), cmap="Greys", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    best = np.unravel_index(np.nanargmax(values), values.shape)
    for place, cell in np.ndenumerate(values):
        text = "-" if np.isnan(cell) else f"{cell:.3f}"
        ink = "white" if cell > middle else "black"
        weight = "bold" if place == best else "normal"
        axes.text(place[1], place[0], text, ha="center", va="center", color=ink, fontweight=weight)
    corner = (float(best[1]) - 0.47, float(best[0]) - 0.45)
    axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=COLOURS[1], linewidth=2.5))
