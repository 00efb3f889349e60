"""Figures of an experiment; returned, never saved."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from analysis.effects import Effects
from analysis.factors import Factor


def _judged(effects: Effects) -> "pd.Series[float]":
    if len(effects.contrasts):
        return effects.contrasts
    return effects.terms["effect"].drop("intercept")


def pareto(effects: Effects) -> Figure:
    """Draw the sizes of the effects, largest first, with the margins that call them active."""
    values = _judged(effects).abs().sort_values()
    figure = Figure(figsize=(7, 1.4 + 0.32 * len(values)), layout="constrained")
    axes = figure.subplots()
    colours = ["black" if name in effects.active else "0.7" for name in values.index]
    axes.barh([str(name) for name in values.index], values, color=colours)
    if effects.lenth is not None:
        axes.axvline(effects.lenth.me, color="black", linestyle="--", label="margin of error")
        axes.axvline(effects.lenth.sme, color="black", linestyle=":", label="simultaneous margin")
        axes.legend(frameon=False, loc="lower right")
    axes.set_xlabel(f"absolute effect on {effects.response}, low to high (black: active)")
    return figure


def half_normal(effects: Effects) -> Figure:
    """Draw the effects against half-normal quantiles; active ones have their names."""
    values = _judged(effects).abs().sort_values()
    m = len(values)
    quantiles = norm.ppf(0.5 + 0.5 * (np.arange(1, m + 1) - 0.5) / m)
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.scatter(values, quantiles, color="black", s=22)
    for (name, value), quantile in zip(values.items(), quantiles, strict=True):
        if name in effects.active:
            axes.annotate(
                str(name),
                (float(value), float(quantile)),
                xytext=(-6, 0),
                textcoords="offset points",
                ha="right",
                va="center",
            )
    if effects.lenth is not None and effects.lenth.pse > 0:
        axes.plot(
            [0, effects.lenth.pse * quantiles[-1]],
            [0, quantiles[-1]],
            color="0.6",
            label="pure noise",
        )
        axes.legend(frameon=False, loc="lower right")
    axes.set_xlim(left=0)
    axes.set_xlabel(f"absolute effect on {effects.response}")
    axes.set_ylabel("half-normal quantile")
    return figure


def main_effects(effects: Effects) -> Figure:
    """Draw the mean response at each factor's levels."""
    factors = effects.factors
    figure = Figure(figsize=(2.6 * len(factors) + 0.8, 3.2), layout="constrained")
    panels = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    for axes, factor in zip(panels, factors, strict=True):
        _means(axes, effects.runs, factor, effects.response)
        axes.set_xlabel(factor.name)
    panels[0].set_ylabel(f"mean {effects.response}")
    return figure


def _means(axes: Axes, runs: pd.DataFrame, factor: Factor, response: str) -> None:
    means = [runs.loc[runs[factor.name] == level, response].mean() for level in factor.levels]
    axes.plot([0, 1], means, marker="o", color="black")
    axes.axhline(runs[response].mean(), color="0.7", linewidth=0.8)
    axes.set_xticks([0, 1], [_show(level) for level in factor.levels])
    axes.margins(x=0.25)


def interactions(effects: Effects) -> Figure:
    """Draw the mean response at each pair of levels: lines that are not parallel interact."""
    pairs = [(a, b) for i, a in enumerate(effects.factors) for b in effects.factors[i + 1 :]]
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(3.0 * columns + 0.6, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    runs, response = effects.runs, effects.response
    for axes, (first, second) in zip(panels, pairs, strict=False):
        for level, style in zip(second.levels, ("--", "-"), strict=True):
            at = runs[runs[second.name] == level]
            means = [at.loc[at[first.name] == x, response].mean() for x in first.levels]
            axes.plot(
                [0, 1],
                means,
                style,
                marker="o",
                color="black",
                label=f"{second.name} {_show(level)}",
            )
        axes.set_xticks([0, 1], [_show(level) for level in first.levels])
        axes.set_xlabel(first.name)
        axes.legend(frameon=False, fontsize=7)
    panels[0].set_ylabel(f"mean {response}")
    return figure


def grid_heatmap(runs: pd.DataFrame, factors: Sequence[Factor], response: str) -> Figure:
    """Draw the refined grid: mean response of each cell, the last factor across."""
    names = [f.name for f in factors]
    *down, across = names
    means = runs.pivot_table(response, index=down, columns=across, observed=True)
    figure = Figure(
        figsize=(1.6 + 1.3 * means.shape[1], 1.2 + 0.5 * means.shape[0]), layout="constrained"
    )
    axes = figure.subplots()
    values = means.to_numpy(dtype=float)
    axes.imshow(values, cmap="Greys", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        text = "-" if np.isnan(value) else f"{value:.3f}"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            color="white" if value > middle else "black",
        )
    axes.set_xticks(range(means.shape[1]), [_show(level) for level in means.columns])
    rows = [label if isinstance(label, tuple) else (label,) for label in means.index]
    axes.set_yticks(range(len(rows)), [", ".join(map(_show, label)) for label in rows])
    axes.set_xlabel(across)
    axes.set_ylabel(", ".join(down))
    axes.set_title(f"mean {response}", fontsize=10)
    return figure


def _show(level: object) -> str:
    return f"{level:.6g}" if isinstance(level, float) else str(level)
