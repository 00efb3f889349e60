"""The Gaussian process: what it predicts, and which cell it chooses next."""

from itertools import product

import numpy as np
import pandas as pd
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, Matern

from analysis.designs.fractions import fraction
from analysis.factors import Factor
from analysis.search import gaussian_process
from analysis.search.procedure import SearchRules, decide, refined_cells, region, screen_effects
from analysis.search.space import Cell, Space

SPACE = Space(
    (Factor("depth", 1, 5, "integer"), Factor("learning_rate", 1e-4, 1e-1, "log")),
    ((1, 2, 3, 4, 5), tuple(float(f"{10**p:.6g}") for p in np.arange(-4, -0.9, 0.5))),
)


def hill(cell: Cell) -> float:
    depth, rate = SPACE.points([cell])[0]
    return float(1 - (depth - 0.5) ** 2 - 2 * (rate + 0.3) ** 2)


def test_one_draw_of_the_hyperparameters_predicts_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(1)
    cells = SPACE.draw(rng, 9)
    rates, trends, noise = gaussian_process.prior(2)
    surrogate = gaussian_process.fit_process(SPACE, cells, [hill(c) for c in cells])
    places = [int(np.flatnonzero((rates == own).all(axis=1))[0]) for own in surrogate.rates]
    z = gaussian_process.clip_low_outliers(np.array([hill(c) for c in cells]))
    z = (z - z.mean()) / z.std()
    others = [c for c in SPACE.cells() if c not in cells]
    means, seconds = [], []
    for place, amplitude in zip(places, surrogate.amplitude, strict=True):
        kernel = Matern(rates[place] ** -0.5, nu=2.5)
        if trends[place]:
            kernel += trends[place] * DotProduct(0.0, "fixed")
        theirs = GaussianProcessRegressor(kernel, alpha=noise[place], optimizer=None).fit(
            SPACE.points(cells), z
        )
        mean, deviation = theirs.predict(SPACE.points(others), return_std=True)
        means.append(mean)
        seconds.append(deviation**2 * amplitude + mean**2)
    expected = surrogate.weight @ means
    deviation = np.sqrt(surrogate.weight @ seconds - expected**2)
    mean, own = surrogate.predict(others)
    np.testing.assert_allclose((mean - surrogate.centre) / surrogate.width, expected, atol=1e-8)
    np.testing.assert_allclose(own / surrogate.width, deviation, atol=1e-6)


def test_differences_of_one_draw_are_those_of_scikit_learn() -> None:
    cells = SPACE.draw(np.random.default_rng(1), 9)
    rates, trends, noise = gaussian_process.prior(2)
    surrogate = gaussian_process.fit_process(SPACE, cells, [hill(c) for c in cells])
    z = gaussian_process.clip_low_outliers(np.array([hill(c) for c in cells]))
    z = (z - z.mean()) / z.std()
    base, *others = [c for c in SPACE.cells() if c not in cells]
    means, seconds = [], []
    for own, amplitude in zip(surrogate.rates, surrogate.amplitude, strict=True):
        place = int(np.flatnonzero((rates == own).all(axis=1))[0])
        kernel = Matern(own**-0.5, nu=2.5)
        if trends[place]:
            kernel += trends[place] * DotProduct(0.0, "fixed")
        theirs = GaussianProcessRegressor(kernel, alpha=noise[place], optimizer=None).fit(
            SPACE.points(cells), z
        )
        mean, both = theirs.predict(SPACE.points([base, *others]), return_cov=True)
        variance = np.diagonal(both)[1:] + both[0, 0] - 2 * both[0, 1:]
        means.append(mean[1:] - mean[0])
        seconds.append(variance * amplitude + means[-1] ** 2)
    expected = surrogate.weight @ means
    deviation = np.sqrt(surrogate.weight @ seconds - expected**2)
    mean, own_deviation = surrogate.differences(others, base)
    np.testing.assert_allclose(mean / surrogate.width, expected, atol=1e-8)
    np.testing.assert_allclose(own_deviation / surrogate.width, deviation, atol=1e-6)


def test_half_of_the_draws_have_a_trend_and_the_most_likely_ones_are_of_both_kinds() -> None:
    _, trends, _ = gaussian_process.prior(3)
    assert 0.4 < np.mean(trends > 0) < 0.6
    cells = list(SPACE.cells())[::4]
    surrogate = gaussian_process.fit_process(SPACE, cells, [hill(c) for c in cells])
    assert 0 < np.mean(surrogate.trends > 0) < 1


def test_after_a_screen_with_main_effects_the_next_cell_changes_all_factors() -> None:
    """Without a trend it changed one or two of them, and went on so, one at a time."""
    factors = tuple(Factor(f"x{i}", 0.0, 1.0) for i in range(7))
    space = Space(factors, ((0.0, 0.25, 0.5, 0.75, 1.0),) * 7)
    corners = [(a, b, c, a * b, a * c, b * c, a * b * c) for a, b, c in product((-1, 1), repeat=3)]
    screen: list[Cell] = [tuple(2 + x for x in row) for row in corners]
    slopes = np.array([1.0, -0.9, 0.8, -0.7, 0.6, -0.5, 0.4])
    surrogate = gaussian_process.fit_process(
        space, screen, (space.points(screen) @ slopes).tolist()
    )
    found = gaussian_process.next_cell(surrogate, screen, np.random.default_rng(1))
    assert found == tuple(4 if slope > 0 else 0 for slope in slopes)


def test_climbing_ends_at_a_cell_that_no_untried_neighbour_improves() -> None:
    cells: list[Cell] = [(0, 0), (0, 6), (4, 0), (4, 6)]
    surrogate = gaussian_process.fit_process(SPACE, cells, [hill(c) for c in cells])
    found = gaussian_process.next_cell(surrogate, cells, np.random.default_rng(1))
    around = [found, *(c for c in gaussian_process.neighbours(SPACE, found) if c not in cells)]
    best = float(surrogate.predict(cells)[0].max())
    gains = gaussian_process.expected_improvement(surrogate, around, best)
    assert gains.argmax() == 0
    assert found not in cells


def _next_cell(cells: list[Cell], rng: np.random.Generator) -> Cell:
    surrogate = gaussian_process.fit_process(SPACE, cells, [hill(c) for c in cells])
    return gaussian_process.next_cell(surrogate, cells, rng)


def test_it_finds_the_maximum_from_the_corners() -> None:
    rng = np.random.default_rng(3)
    cells: list[Cell] = [(0, 0), (0, 6), (4, 0), (4, 6)]
    for _ in range(8):
        cells.append(_next_cell(cells, rng))
    assert len(set(cells)) == 12
    best = max(map(hill, SPACE.cells()))
    assert hill(gaussian_process.best_cell(SPACE, cells, [hill(c) for c in cells])) == best


def test_it_searches_between_the_screens_levels_and_one_step_beyond() -> None:
    factors = (
        Factor("conv_layers", 3, 6, "integer"),
        Factor("learning_rate", 0.001, 0.1, "log"),
        Factor("optimizer", "adam", "sgd", "categorical"),
    )
    rules = SearchRules(factors, "y", fraction([f.name for f in factors], 0), method="gp")
    rows = [
        {"conv_layers": c, "learning_rate": r, "optimizer": o, "y": c / 10 - r, "stage": "screen"}
        for c in (3, 6)
        for r in (0.001, 0.1)
        for o in ("adam", "sgd")
    ]
    runs = pd.DataFrame(rows)
    decision = decide(rules, screen_effects(rules, runs))
    space = region(rules, decision)
    assert space.levels[0] == (3, 4, 5, 6, 7)
    assert space.levels[1] == (0.0001, 0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1)
    assert space.levels[2] == ("adam", "sgd")
    found = refined_cells(rules, decision, runs, runs[:0])
    assert found == refined_cells(rules, decision, runs, runs[:0])
    assert found.runs == 8
    assert found.expected is not None
    assert found.deviation is not None
