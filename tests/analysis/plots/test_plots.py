from functools import cache
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.effects.fit import fit_effects
from analysis.effects.result import Effects
from analysis.factors import Factor
from analysis.plots import effects as effect_plots
from analysis.plots.grid import grid_heatmap, is_grid


@cache  # a fit of seven factors takes seconds
def _effects(k: int, replicates: int = 1, **columns: float) -> Effects:
    names = [
        "learning_rate",
        "conv_layers",
        "fc_layers",
        "dropout",
        "batch_size",
        "filters",
        "decay",
    ][:k]
    rows = list(product((-1, 1), repeat=k)) * replicates
    runs = pd.DataFrame(rows, columns=names)
    rng = np.random.default_rng(k)
    y = 0.8 - 0.1 * runs[names[0]] + 0.02 * rng.normal(size=len(runs))
    return fit_effects(runs.assign(y=y, **columns), [Factor(n, -1, 1) for n in names], "y")


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize(("k", "replicates"), [(1, 1), (2, 1), (3, 1), (3, 2), (7, 1)])
def test_every_figure_can_be_drawn(k: int, replicates: int) -> None:
    found = effect_plots.effect_figures(_effects(k, replicates))
    assert {"pareto", "half_normal", "main_effects"} <= set(found)
    assert ("interactions" in found) == (k > 1)
    for figure in found.values():
        figure.draw_without_rendering()


def test_the_pareto_shows_the_margins_of_the_verdict() -> None:
    for effects, label in ((_effects(3), "margin of error"), (_effects(3, 2), "margin (t-test)")):
        axes = effect_plots.pareto(effects).axes[0]
        lines = {str(line.get_label()): np.asarray(line.get_xdata())[0] for line in axes.lines}
        assert lines == pytest.approx(
            {label: effects.verdict.margin, "margin for all at once": effects.verdict.simultaneous}
        )


def test_the_half_normal_plot_names_only_the_active_effects() -> None:
    effects = _effects(3)
    assert _texts(effect_plots.half_normal(effects)) == list(effects.active) == ["learning_rate"]


def test_with_seven_factors_the_largest_effects_are_shown_with_their_number() -> None:
    effects = _effects(7)
    pareto = effect_plots.pareto(effects).axes[0]
    assert len(pareto.patches) == effect_plots.BARS
    assert f"the {effect_plots.BARS} largest of 127" in pareto.get_title(loc="left")
    panels = effect_plots.interactions(effects)
    assert sum(axes.get_visible() for axes in panels.axes) == effect_plots.PANELS
    assert "of 21" in panels.get_suptitle()


def test_names_do_not_overlap_in_a_figure_of_127_effects() -> None:
    figure = effect_plots.half_normal(_effects(7))
    figure.draw_without_rendering()
    # An annotation's own extent has its line in it.
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    for a, b in combinations(boxes, 2):
        assert not a.overlaps(b)


def test_intervals_that_do_not_overlap_are_active_main_effects() -> None:
    effects = _effects(3, 2)
    for axes, factor in zip(effect_plots.main_effects(effects).axes, effects.factors, strict=True):
        (container,) = axes.containers
        (low, high) = (segment for segment in container[2][0].get_segments())
        apart = low[1, 1] < high[0, 1] or high[1, 1] < low[0, 1]
        assert apart == (factor.name in effects.active)


def test_the_cube_has_the_mean_of_each_corner() -> None:
    effects = _effects(3)
    texts = _texts(effect_plots.cube(effects))
    for mean in effects.runs["y"]:
        assert f"{mean:#.3g}" in texts


def test_every_factor_has_a_colour() -> None:
    effects = _effects(3)
    assert len({effect_plots.colour(effects, f.name) for f in effects.factors}) == 3


def test_a_cell_of_the_grid_without_a_run_has_a_dash() -> None:
    factors = [Factor("a", 1, 2, "integer"), Factor("b", 1, 3, "integer")]
    runs = pd.DataFrame({"a": [1, 1, 2], "b": [1, 2, 1], "y": [0.5, 0.6, 0.7]})
    texts = _texts(grid_heatmap(runs, factors, "y"))
    assert sorted(texts) == ["-", "0.500", "0.600", "0.700"]
    assert len(_texts(grid_heatmap(runs, factors[1:], "y"))) == 2


def test_a_cell_with_a_collapsed_run_is_hatched_and_does_not_change_the_scale() -> None:
    factors = [Factor("a", 1, 2, "integer"), Factor("b", 1, 2, "integer")]
    runs = pd.DataFrame(
        {
            "a": [1, 1, 2, 2],
            "b": [1, 2, 1, 2],
            "y": [0.90, 0.92, 0.5, 0.91],
            "collapsed": [False, False, True, False],
        }
    )
    axes = grid_heatmap(runs, factors, "y").axes[0]
    assert axes.collections[0].get_clim() == (0.90, 0.92)
    assert [patch.get_hatch() for patch in axes.patches] == ["///", None]
    assert "0.500" in [text.get_text() for text in axes.texts]
    every = grid_heatmap(runs.assign(collapsed=True), factors, "y").axes[0]
    assert every.collections[0].get_clim() == (0.5, 0.92)


def test_an_interaction_names_the_effects_that_it_is_aliased_with() -> None:
    rows = [(a, b, c, a * b * c) for a, b, c in product((-1, 1), repeat=3)]
    runs = pd.DataFrame(rows, columns=["a", "b", "c", "d"])
    y = np.random.default_rng(1).normal(size=8)
    effects = fit_effects(runs.assign(y=y), [Factor(n, -1, 1) for n in "abcd"], "y")
    titles = [axes.get_title() for axes in effect_plots.interactions(effects).axes]
    assert len(titles) == 6
    assert [title.partition("aliased with ")[2] for title in titles] == [
        "c:d",
        "b:d",
        "b:c",
        "a:d",
        "a:c",
        "a:b",
    ]
    full = effect_plots.interactions(_effects(3)).axes
    assert not any("aliased" in axes.get_title() for axes in full)


@pytest.mark.parametrize("name", ["pareto", "half_normal", "main_effects", "interactions"])
def test_a_figure_is_drawn_within_a_width(name: str) -> None:
    figure = getattr(effect_plots, name)(_effects(7), width=3.7)
    figure.draw_without_rendering()
    assert figure.get_figwidth() <= 3.7
    # Panels that do not fit side by side are below each other.
    assert figure.get_figheight() >= 4


def test_scales_are_drawn_side_by_side() -> None:
    figure = effect_plots.scales([_effects(3, 2), _effects(3, 3)])
    assert len(figure.axes) == 4


def test_cells_that_lie_one_by_one_among_many_factors_are_no_grid() -> None:
    factors = [Factor(name, 0.0, 1.0) for name in "abc"]
    grid = pd.DataFrame(product((0.0, 1.0), (0.0, 1.0), (0.0, 0.5, 1.0)), columns=list("abc"))
    assert is_grid(grid.assign(y=0.5), factors, "y")
    assert is_grid(grid[::2].assign(y=0.5), factors, "y")
    lonely = pd.DataFrame({name: [0.1, 0.2, 0.3, 0.4] for name in "abc"}).assign(y=0.5)
    assert not is_grid(lonely, factors, "y")
    assert not is_grid(lonely[:1], factors, "y")
    assert is_grid(lonely, factors[:2], "y")
    assert is_grid(lonely, factors[:1], "y")
