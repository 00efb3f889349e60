"""The figure of a comparison of tuners; returned, never saved."""

import pandas as pd
from matplotlib.figure import Figure


def delivered(summary: pd.DataFrame, best: float) -> Figure:
    """Draw what each tuner delivers, a panel a budget: median, and a bar to the 10th percentile.

    Parameters
    ----------
    summary : columns ``tuner``, ``budget`` (runs), ``median``, ``tenth`` (10th percentile), ``n``.
    best : the best cell's true mean.
    """
    budgets = sorted(summary["budget"].unique())
    names = list(dict.fromkeys(summary["tuner"]))
    size = (3.4 + 2.2 * len(budgets), 1.2 + 0.28 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(budgets), sharex=True, sharey=True, squeeze=False)
    places = range(len(names), 0, -1)
    for axes, budget in zip(panels[0], budgets, strict=True):
        own = summary[summary["budget"] == budget].set_index("tuner").loc[names]
        axes.hlines(places, own["tenth"], own["median"], color="0.6", linewidth=4)
        axes.plot(own["median"], places, "o", color="black", markersize=5)
        axes.axvline(own["median"].max(), color="black", linestyle=":", linewidth=1)
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
