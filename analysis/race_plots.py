"""The figure of a comparison of tuners; returned, never saved."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.plots import COLOURS

STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*<>h"


def curves(summary: pd.DataFrame, best: float, response: str = "true mean of the cell") -> Figure:
    """Draw what each tuner delivers against its budget: the median, and a band down to the tenth.

    Parameters
    ----------
    summary : columns ``tuner``, ``budget`` (runs), ``median``, ``tenth`` (10th percentile), ``n``.
    best : the best cell's.
    response : what is on the axis.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, own) in enumerate(summary.groupby("tuner", sort=False)):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            own["budget"],
            own["median"],
            color=colour,
            linestyle=STYLES[number % len(STYLES)],
            marker=MARKERS[number % len(MARKERS)],
            label=str(name),
        )
        axes.fill_between(own["budget"], own["tenth"], own["median"], color=colour, alpha=0.06)
    axes.axhline(best, color="0.4", linewidth=0.8)
    axes.annotate("the best cell", (summary["budget"].min(), best), fontsize=8, va="bottom")
    axes.set_xscale("log")
    budgets = sorted(summary["budget"].unique())
    axes.set_xticks(budgets, [str(b) for b in budgets])
    axes.minorticks_off()
    axes.set_xlabel("budget (runs)")
    axes.set_ylabel(response)
    axes.set_title(
        f"What each tuner delivers: median and 10th percentile of n = {summary['n'].min()}"
    )
    figure.legend(loc="outside right upper", fontsize=8)
    return figure
