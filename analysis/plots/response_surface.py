"""The figure of a response surface; returned, never saved."""

from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.factors import Factor, show
from analysis.surface.result import Model, Surface

GRID = 61
PANELS = 9
#: The title of each model.
MODELS: dict[Model, str] = {
    "first": "first order",
    "interactions": "first order with interactions",
    "quadratic": "main effects and quadratic terms",
    "second": "second order",
}


def contours(surface: Surface) -> Figure:
    """Draw the contours of the surface for each pair of factors.

    The other factors are at the levels of the stationary point, or in the middle if it is outside
    the design. Runs are circles; the stationary point is a cross, if it is within the axes. Axes
    are coded levels, with natural levels at -1, 0 and +1. Montgomery (2013), figure 11.11.
    """
    pairs = list(combinations(range(len(surface.factors)), 2))[:PANELS]
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    figure = Figure(figsize=(3.4 * across + 0.4, 3.2 * down + 0.3), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (i, j) in zip(panels, pairs, strict=False):
        _draw_contours(axes, surface, i, j)
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    figure.suptitle(f"{surface.response}: {MODELS[surface.model]}", fontsize=10)
    return figure


def _held_levels(surface: Surface) -> Any:
    """Return the coded levels at which the factors outside a panel are held."""
    point = surface.stationary
    if point is None or not point.inside:
        return np.zeros(len(surface.factors))
    return np.array(list(point.coded.values()))


def _draw_contours(axes: Axes, surface: Surface, i: int, j: int) -> None:
    reach = max(1.0, surface.radius if len(surface.factors) == 2 else 1.0) * 1.08  # noqa: PLR2004 # no other factor is held
    line = np.linspace(-reach, reach, GRID)
    x, y = np.meshgrid(line, line)
    points = np.tile(_held_levels(surface), (x.size, 1))
    points[:, i], points[:, j] = x.ravel(), y.ravel()
    drawn = axes.contour(
        x, y, surface.predict(points).reshape(x.shape), 8, colors="black", linewidths=0.8
    )
    axes.clabel(drawn, fontsize=8, fmt="%.3g")
    factors = surface.factors
    a, b = ([f.code(level) for level in surface.runs[f.name]] for f in (factors[i], factors[j]))
    axes.scatter(a, b, s=16, facecolors="white", edgecolors="0.4", zorder=3)
    point = surface.stationary
    if point is not None:
        at = list(point.coded.values())
        axes.plot(
            at[i], at[j], marker="x", color="#D55E00", markersize=9, markeredgewidth=2.2, zorder=4
        )
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xticks([-1, 0, 1], _natural_tick_labels(factors[i]))
    axes.set_yticks([-1, 0, 1], _natural_tick_labels(factors[j]))
    axes.set_xlabel(factors[i].name)
    axes.set_ylabel(factors[j].name)


def _natural_tick_labels(factor: Factor) -> list[str]:
    scale = "linear" if factor.scale == "integer" else factor.scale
    free = Factor(factor.name, factor.low, factor.high, scale)
    return [show(free.decode(float(x))) for x in (-1, 0, 1)]
