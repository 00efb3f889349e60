"""Figures of a two-level experiment; returned, never saved. All can be read in greyscale.

A factor has the same colour in every figure; lines are distinguished by their style. A new figure
is a function here and an entry in `effect_figures`.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from analysis.effects.least_squares import FITTED, RESIDUAL, STUDENTISED, table_value
from analysis.effects.model_matrix import columns_of_term
from analysis.effects.result import Effects
from analysis.factors import Factor, show
from analysis.plots.layout import NARROW, limited, panels_across, shortened, wrapped
from analysis.plots.words import Say, english

#: The palette of Okabe and Ito, for colour-blind readers, without its lightest colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8B6508", "#332288", "#000000")
ACTIVE, QUIET = "black", "0.72"
#: More would not be legible: the largest are shown, and the figure says so.
BARS, NAMES, PANELS = 24, 12, 9
#: Aliases of an interaction that its panel names.
ALIASES = 3
#: Of the levels of a factor in a plot of interactions; then from the first again.
LINES, MARKERS = ("--", "-", ":", "-."), ("o", "s", "^", "D", "v")


def effect_figures(effects: Effects, prefix: str = "") -> dict[str, Figure]:
    """Return every figure that suits this experiment, by name; of the runs that learned too."""
    found = {
        "pareto": pareto(effects),
        "half_normal": half_normal(effects),
        "main_effects": main_effects(effects),
    }
    if len(effects.factors) > 1:
        found["interactions"] = interactions(effects)
    if sum(not f.many_categories for f in effects.factors) > 1:
        found["cube"] = cube(effects)
    if effects.residual_df > 1:
        found["residuals"] = residuals(effects)
    named = {prefix + name: figure for name, figure in found.items()}
    if effects.collapse is not None and effects.collapse.learned is not None:
        named |= effect_figures(effects.collapse.learned, f"{prefix}learned_")
    return named


def colour(effects: Effects, name: str) -> str:
    """Return a factor's colour."""
    names = sorted(f.name for f in effects.factors)
    return COLOURS[names.index(name) % len(COLOURS)]


def _scores(effects: Effects) -> "pd.Series[float]":
    """Return the values that are judged: the scores of the verdict, else the effects."""
    scores = effects.verdict.scores
    return scores if len(scores) else effects.contrasts


def _margins(axes: Axes, effects: Effects, say: Say) -> None:
    verdict = effects.verdict
    name = "figure_margin_lenth" if verdict.test == "lenth" else "figure_margin_t"
    for margin, style, label in (
        (verdict.margin, "--", say(name)),
        (verdict.simultaneous, ":", say("figure_margin_all")),
    ):
        if np.isfinite(margin):
            axes.axvline(margin, color="black", linestyle=style, linewidth=1.2, label=label)


def _legend(figure: Figure, axes: Axes) -> None:
    """Place the legend below the axes, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = 1 if figure.get_figwidth() < NARROW else 3
        figure.legend(
            handles, labels, loc="outside lower center", frameon=False, fontsize=9, ncols=columns
        )


def _size_of_effect(effects: Effects, say: Say) -> str:
    scores = effects.verdict.scores
    uneven = len(scores) and not np.allclose(
        scores, effects.contrasts.reindex(scores.index).fillna(scores)
    )
    key = "figure_effect_scaled" if uneven else "figure_effect_size"
    return say(key, response=effects.response_label)


def pareto(effects: Effects, say: Say = english, width: float | None = None) -> Figure:
    """Draw the sizes of the effects, largest first, with the margins beyond which they are active.

    Parameters
    ----------
    say : see `analysis.plots.words`; here and in the other figures.
    width : the largest width of the figure, inches; here and in the other figures.

    References
    ----------
    Lenth, R. V. (1989), Technometrics 31, 469-473, draws the same with vertical bars.
    """
    every = _scores(effects).abs().sort_values()
    values = every.tail(BARS)
    longest = max(len(str(name)) for name in values.index)
    size = (limited(5.4 + 0.075 * longest, width), 1.6 + 0.24 * len(values))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    colours = [ACTIVE if name in effects.active else QUIET for name in values.index]
    names = [str(name) for name in values.index]
    if width is not None:
        names = [shortened(name, 0.5 * size[0]) for name in names]
    places = np.arange(len(names))  # two names may be the same when they are shortened
    axes.barh(places, values, color=colours, height=0.7)
    axes.set_yticks(places, names)
    _margins(axes, effects, say)
    axes.margins(y=0.02)
    # The names of the terms take their width, however narrow the figure is.
    slim = size[0] < NARROW
    axes.xaxis.set_major_locator(MaxNLocator(nbins=2 if slim else 5))
    axes.set_xlabel(wrapped(_size_of_effect(effects, say), (0.4 if slim else 0.6) * size[0]))
    title = [say("figure_strong")]
    if len(every) > BARS:
        title.append(say("figure_largest", n=len(values), of=len(every)))
    axes.set_title(", ".join(title), fontsize=10, loc="left")
    axes.tick_params(axis="y", labelsize=9)
    _legend(figure, axes)
    return figure


def half_normal(effects: Effects, say: Say = english, width: float | None = None) -> Figure:
    """Draw the effects against half-normal quantiles; active ones are labelled.

    Daniel, C. (1959), Technometrics 1, 311-341; quantiles at (i - 1/2) / m.
    """
    values = _scores(effects).abs().sort_values()
    m = len(values)
    quantiles = norm.ppf(0.5 + 0.5 * (np.arange(1, m + 1) - 0.5) / m)
    figure = Figure(figsize=(limited(6.4, width), 4.8), layout="constrained")
    axes = figure.subplots()
    active = [name in effects.active for name in values.index]
    face = [ACTIVE if on else "white" for on in active]
    axes.scatter(values, quantiles, c=face, edgecolors=ACTIVE, s=26, zorder=3)
    if effects.lenth is not None and effects.lenth.pse > 0:
        top = quantiles[-1]
        axes.plot([0, effects.lenth.pse * top], [0, top], color="0.55", label=say("figure_noise"))
    _margins(axes, effects, say)
    axes.set_xlim(0, 1.08 * max(float(values.iloc[-1]), 1e-300))
    axes.set_ylim(0, 1.08 * quantiles[-1])
    _name_active(axes, values, quantiles, active)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel(wrapped(_size_of_effect(effects, say), 0.8 * figure.get_figwidth()))
    axes.set_title(say("figure_filled"), fontsize=10, loc="left")
    axes.set_ylabel(say("figure_quantile"))
    _legend(figure, axes)
    return figure


def _name_active(
    axes: Axes, values: "pd.Series[float]", quantiles: Any, active: Sequence[bool]
) -> None:
    """Label the largest active effects; no label covers another."""
    gap, last = 0.052 * float(quantiles[-1]), np.inf
    right = float(values.iloc[-1])
    points = [p for p in zip(values.items(), quantiles, active, strict=True) if p[2]][::-1]
    for (name, size), quantile, _ in points[:NAMES]:
        last = min(float(quantile), last - gap)
        if quantile - last > 2 * gap:
            break  # the next label would be too far from its point; the Pareto chart has it
        left = size > 0.5 * right
        axes.annotate(
            str(name),
            (float(size), float(quantile)),
            xytext=(float(size) + (-0.03 if left else 0.03) * right, last),
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.7, "shrinkA": 0},
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )


def main_effects(effects: Effects, say: Say = english, width: float | None = None) -> Figure:
    """Draw the model's mean at each factor's levels, with intervals.

    Each interval is half the margin up and down: if two do not overlap, the effect is beyond the
    margin.
    """
    count = len(effects.factors)
    across = panels_across(count, 4, 1.5, width)
    down = -(-count // across)
    size = (limited(2.2 * across + 0.8, width), 2.5 * down + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes, factor in zip(panels.ravel(), effects.factors, strict=False):
        _draw_main_effect(axes, effects, factor)
    _hide_panels(panels.ravel()[count:])
    for row in panels:
        row[0].set_ylabel(say("figure_mean", response=effects.response_label))
    if np.isfinite(effects.verdict.margin):
        figure.suptitle(wrapped(say("figure_intervals"), size[0]), fontsize=9)
    return figure


def _hide_panels(panels: Iterable[Axes]) -> None:
    for axes in panels:
        axes.set_visible(False)


def _draw_main_effect(axes: Axes, effects: Effects, factor: Factor) -> None:
    mean = table_value(effects.terms, "intercept", "coefficient")
    halves = np.array([table_value(effects.terms, c, "coefficient") for c in factor.columns])
    codes = np.array([factor.code(level) for level in factor.levels])
    places, bar = np.arange(len(codes)), effects.verdict.margin / 2
    axes.axhline(mean, color="0.75", linewidth=0.8)
    axes.errorbar(
        places,
        mean + factor.contrasts(codes) @ halves,
        yerr=[bar] * len(codes) if np.isfinite(bar) else None,
        marker="o",
        capsize=4,
        color=colour(effects, factor.name),
        elinewidth=1.0,
        linestyle="none" if factor.many_categories else "-",
    )
    axes.set_xticks(places, [show(level) for level in factor.levels])
    axes.set_xlim(-0.35, places[-1] + 0.35)
    axes.set_xlabel(factor.name)


def interactions(effects: Effects, say: Say = english, width: float | None = None) -> Figure:
    """Draw the mean response at each pair of levels: an interaction is lines not in parallel.

    With more than nine pairs, the nine with the largest interactions. A panel names the effects
    that these runs cannot distinguish from its interaction.
    """
    every = list(combinations(effects.factors, 2))
    every.sort(key=lambda pair: -abs(_interaction_effect(effects, pair)))
    pairs = every[:PANELS] if len(every) > PANELS else list(combinations(effects.factors, 2))
    across = panels_across(len(pairs), 3, 2.0, width)
    down = -(-len(pairs) // across)
    size = (limited(2.9 * across + 0.6, width), 2.7 * down + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes, pair in zip(panels.ravel(), pairs, strict=False):
        _draw_interaction(axes, effects, *pair, say, size[0] / across)
    _hide_panels(panels.ravel()[len(pairs) :])
    low, high = panels[0][0].get_ylim()
    lines = max(len(factor.levels) for factor in effects.factors)  # of the longest legend
    panels[0][0].set_ylim(low, high + 0.14 * lines * (high - low))
    for row in panels:
        row[0].set_ylabel(say("figure_mean", response=effects.response_label))
    if len(every) > PANELS:
        text = say("figure_largest_interactions", n=PANELS, of=len(every))
        figure.suptitle(wrapped(text, size[0]), fontsize=9)
    return figure


def _interaction_effect(effects: Effects, pair: tuple[Factor, Factor]) -> float:
    sizes = [
        table_value(effects.terms, column, "effect")
        for column in columns_of_term(f"{pair[0].name}:{pair[1].name}", pair)
    ]
    return max((size for size in sizes if np.isfinite(size)), key=abs, default=0.0)


def aliases_of(effects: Effects, columns: Sequence[str]) -> list[str]:
    """Return the effects, up to two-way interactions, that the runs cannot distinguish from a term.

    Parameters
    ----------
    columns : of the term.
    """
    own = set(columns)
    for aliased in effects.aliased:
        if aliased.term in own:
            own |= set(aliased.aliased_with)
    names = [name for name in own if name not in columns]
    names += [
        aliased.term for aliased in effects.aliased if not own.isdisjoint(aliased.aliased_with)
    ]
    return sorted(n for n in dict.fromkeys(names) if n not in columns and n.count(":") < 2)  # noqa: PLR2004 # of higher order


def _draw_interaction(
    axes: Axes, effects: Effects, first: Factor, second: Factor, say: Say, width: float
) -> None:
    runs, y = effects.runs, _response_on_scale(effects)
    columns = columns_of_term(f"{first.name}:{second.name}", (first, second))
    own = colour(effects, second.name)
    lines = []
    for level, style, marker in zip(second.levels, cycle(LINES), cycle(MARKERS), strict=False):
        at = runs[second.name] == level
        means = [y[at & (runs[first.name] == x)].mean() for x in first.levels]
        lines += axes.plot(range(len(means)), means, style, marker=marker, color=own)
    axes.set_xticks(range(len(first.levels)), [show(level) for level in first.levels])
    axes.set_xlim(-0.3, len(first.levels) - 0.7)
    axes.set_xlabel(first.name)
    active = not set(effects.active).isdisjoint(columns)
    weight, key = ("bold", "_active") if active else ("normal", "")
    known = all(np.isfinite(table_value(effects.terms, c, "effect")) for c in columns)
    effect = _interaction_effect(effects, (first, second)) if known else np.nan
    lines_above = []
    if np.isfinite(effect):
        lines_above = [say(f"figure_interaction{key}", effect=f"{effect:+.3g}")]
    if aliases := aliases_of(effects, columns):
        more = [f"+ {len(aliases) - ALIASES}"] if len(aliases) > ALIASES else []
        text = say("figure_aliased", terms=", ".join([*aliases[:ALIASES], *more]))
        lines_above.append(wrapped(text, width))
    axes.set_title("\n".join(lines_above), fontsize=9, fontweight=weight)
    # Both are given: of the labels of lines, a legend leaves out those that begin with "_".
    labels = [f"{second.name} = {show(level)}" for level in second.levels]
    axes.legend(lines, labels, loc="upper left", frameon=False, fontsize=8, handlelength=2.8)


def _response_on_scale(effects: Effects) -> "pd.Series[float]":
    """Return the response of each run on the scale of the fit."""
    return effects.runs[FITTED] + effects.runs[RESIDUAL]


def cube(effects: Effects) -> Figure:
    """Draw the mean response at the corners of a cube: the three factors with the largest effects.

    Montgomery (2013), figure 6.1; a square for two factors.
    """
    factors = _factors_with_largest_effects(effects, 3)
    cells = [effects.runs[f.name] for f in factors]
    means = _response_on_scale(effects).groupby(cells, observed=True).mean()
    corners = (
        np.array(np.meshgrid(*[[0, 1]] * len(factors), indexing="ij")).reshape(len(factors), -1).T
    )
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    for a, b in combinations(corners, 2):
        if np.abs(a - b).sum() == 1:
            (x0, y0), (x1, y1) = _project(a), _project(b)
            axes.plot([x0, x1], [y0, y1], color="0.6", linewidth=1.2, zorder=1)
    for corner in corners:
        levels = tuple(f.levels[i] for f, i in zip(factors, corner, strict=True))
        mean = float(means.get(levels if len(levels) > 1 else levels[0], np.nan))
        _draw_corner(axes, corner, "no run" if np.isnan(mean) else f"{mean:#.3g}")
    _label_edges(axes, factors)
    rest = len(effects.factors) - len(factors)
    over = f" (over {rest} other factors)" if rest else ""
    axes.set_title(f"mean {effects.response_label}{over}", fontsize=10)
    axes.set_axis_off()
    axes.margins(0.14)
    return figure


def _factors_with_largest_effects(effects: Effects, count: int) -> list[Factor]:
    """Return the two-level factors with the largest main effects, in the order of the design."""
    sizes = {
        f.name: abs(table_value(effects.terms, f.name, "effect"))
        for f in effects.factors
        if not f.many_categories
    }
    kept = sorted(sizes, key=lambda name: -np.nan_to_num(sizes[name]))[:count]
    return [f for f in effects.factors if f.name in kept]


def _project(corner: Any) -> tuple[float, float]:
    x, y, z = [*map(float, corner), 0.0][:3]
    return x + 0.48 * z, y + 0.36 * z


def _draw_corner(axes: Axes, corner: Any, text: str) -> None:
    box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "black"}
    axes.text(*_project(corner), text, ha="center", va="center", fontsize=11, bbox=box, zorder=3)


def _label_edges(axes: Axes, factors: Sequence[Factor]) -> None:
    places = (((0.5, -0.14), 0.0), ((-0.2, 0.5), 90.0), ((1.38, 0.1), 37.0))
    for factor, (place, angle) in zip(factors, places, strict=False):
        text = f"{factor.name}: {show(factor.low)} to {show(factor.high)}"
        axes.text(*place, text, ha="center", va="center", rotation=angle, fontsize=10)


def residuals(effects: Effects) -> Figure:
    """Draw the studentised residuals against fitted values, normal quantiles and run order.

    A funnel shows that another scale of the response is more suitable
    (`analysis.effects.response_scale`); Montgomery (2013), section 3.4.
    """
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    _against_fitted(first, effects)
    _against_normal(second, effects)
    runs = effects.runs
    order = runs["run"] if "run" in runs else np.arange(1, len(runs) + 1)
    _dots(third, order, runs[STUDENTISED])
    third.axhline(0, color="0.6", linewidth=0.8)
    third.set_xlabel("run order" if "run" in runs else "row of the table")
    return figure


def _dots(axes: Axes, x: Any, y: Any) -> None:
    axes.scatter(x, y, s=18, facecolors="none", edgecolors="black", linewidths=0.9)


def _against_fitted(axes: Axes, effects: Effects) -> None:
    _dots(axes, effects.runs[FITTED], effects.runs[STUDENTISED])
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xlabel(f"fitted {effects.response_label}")
    axes.set_ylabel("studentised residual")


def _against_normal(axes: Axes, effects: Effects) -> None:
    ordered = np.sort(effects.runs[STUDENTISED].dropna())
    quantiles = norm.ppf((np.arange(1, len(ordered) + 1) - 0.5) / max(len(ordered), 1))
    _dots(axes, quantiles, ordered)
    axes.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
    axes.set_xlabel("normal quantile")


def scales(fits: Sequence[Effects]) -> Figure:
    """Draw the residuals of one experiment on several scales of its response, one column each.

    A suitable scale has no funnel above and a straight line below.
    """
    figure = Figure(figsize=(3.1 * len(fits), 5.4), layout="constrained")
    panels = figure.subplots(2, len(fits), squeeze=False)
    for (above, below), effects in zip(panels.T, fits, strict=True):
        _against_fitted(above, effects)
        _against_normal(below, effects)
        above.set_title(effects.transform, fontsize=10)
    return figure
