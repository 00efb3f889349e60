"""The Gaussian process: what it predicts, and which cell it chooses next."""

import numpy as np
import pandas as pd
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

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
    rates, noise = gaussian_process.prior(2)
    surrogate = gaussian_process.fit_process(SPACE, cells, [hill(c) for c in cells])
    places = [int(np.flatnonzero((rates == own).all(axis=1))[0]) for own in surrogate.rates]
    z = gaussian_process.clip_low_outliers(np.array([hill(c) for c in cells]))
    z = (z - z.mean()) / z.std()
    others = [c for c in SPACE.cells() if c not in cells]
    means, seconds = [], []
    for place, amplitude in zip(places, surrogate.amplitude, strict=True):
        theirs = GaussianProcessRegressor(
            Matern(rates[place] ** -0.5, nu=2.5), alpha=noise[place], optimizer=None
        ).fit(SPACE.points(cells), z)
        mean, deviation = theirs.predict(SPACE.points(others), return_std=True)
        means.append(mean)
        seconds.append(deviation**2 * amplitude + mean**2)
    expected = surrogate.weight @ means
    deviation = np.sqrt(surrogate.weight @ seconds - expected**2)
    mean, own = surrogate.predict(others)
    np.testing.assert_allclose((mean - surrogate.centre) / surrogate.width, expected, atol=1e-8)
    np.testing.assert_allclose(own / surrogate.width, deviation, atol=1e-6)


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
