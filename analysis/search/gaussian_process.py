"""A Gaussian process fitted to the runs so far, and the cell that it chooses next.

A process whose length scales and noise are fitted by maximum likelihood is overconfident on ten or
twenty noisy runs. Here they are averaged over: they are drawn once from a prior, and each draw is
weighted by how well it explains the runs. This also takes a tenth of the time of a fit, so that
hundreds of searches can be replayed.

In half of the draws the response has a linear trend in every coordinate. A two-level screen
measures main effects well, and these then count beyond its levels: without a trend, the process
returns to the mean of the runs there, and changes one factor at a time although the screen shows
the better level of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from analysis.search.space import Cell, Space

Array = NDArray[np.float64]

#: A response that is farther below the best than this many times the distance of the median is
#: raised to that: otherwise collapsed runs would dominate the fit.
CUT = 4.0
#: Draws of the hyperparameters, and how many of them (the most likely) are used to predict.
DRAWS, KEPT = 200, 20
#: With more runs than this, fewer of the draws are weighted: the memory of all of them would grow
#: with the square of the runs.
MANY_RUNS = 100
#: Share of the draws without a linear trend.
WITHOUT_TREND = 0.5
#: Random cells among which the next is chosen, besides the neighbours of the best cells; and from
#: how many of the most promising ones the search goes on uphill, by how many steps at most.
CANDIDATES, CLIMBED, STEPS = 250, 5, 30


@dataclass(frozen=True)
class Surrogate:
    """A process fitted to runs: mean and standard deviation of a cell's true response.

    Attributes
    ----------
    space : the space of the cells.
    runs : (n, k) coded levels of the runs.
    inverse : (d, n, n) inverse covariance of the runs under each draw, unit amplitude.
    answers : (d, n) product of that with the standardised responses.
    rates : (d, k) squared inverse length scales of the draws; ``amplitude`` and ``weight`` (d,).
    trends : (d,) variance of the slope of the trend, unit amplitude.
    centre, width : mean and standard deviation of the responses.
    at : coordinates of predictions beside those of the cells, as `fit_process` was given them.
    """

    space: Space
    runs: Array
    inverse: Array
    answers: Array
    rates: Array
    trends: Array
    amplitude: Array
    weight: Array
    centre: float
    width: float
    at: tuple[float, ...] = ()

    def predict(self, cells: Sequence[Cell]) -> tuple[Array, Array]:
        """Return posterior means and standard deviations (N,) in units of the response."""
        features = _beside(self.space.features(cells), self.at)
        cross = covariance(features, self.runs, self.rates, self.trends)
        own = 1 + self.trends[:, None] * (features**2).sum(axis=1)
        mean, deviation = self._posterior(cross, own)
        return mean + self.centre, deviation

    def differences(self, cells: Sequence[Cell], base: Cell) -> tuple[Array, Array]:
        """Return means and standard deviations (N,) of what cells have more than another cell."""
        features = _beside(self.space.features([base, *cells]), self.at)
        cross = covariance(features, self.runs, self.rates, self.trends)
        squares = (features[1:] - features[0]) ** 2
        own = 2 - 2 * matern_52(5 * self.rates @ squares.T)
        own += self.trends[:, None] * squares.sum(axis=1)
        return self._posterior(cross[:, 1:] - cross[:, :1], own)

    def _posterior(self, cross: Array, own: Array) -> tuple[Array, Array]:
        """Return means, less `centre`, and standard deviations (N,) over the draws.

        Parameters
        ----------
        cross : (d, N, n) covariance with the runs under each draw, unit amplitude.
        own : (d, N) variance before the runs.
        """
        means = (cross @ self.answers[:, :, None])[:, :, 0]
        explained = ((cross @ self.inverse) * cross).sum(axis=2)
        variances = np.maximum(own - explained, 1e-12) * self.amplitude[:, None]
        mean = self.weight @ means
        variance = self.weight @ (variances + (means - mean) ** 2)
        return mean * self.width, np.sqrt(variance) * self.width


def _beside(features: Array, more: Array | Sequence[float]) -> Array:
    """Return coordinates of cells with more columns: (n, e), or (e,) for all cells."""
    columns = np.broadcast_to(np.asarray(more, dtype=float), (len(features), np.shape(more)[-1]))
    return np.hstack([features, columns])


def covariance(a: Array, b: Array, rates: Array, trends: Array) -> Array:
    """Return the covariance (d, m, n) of points (m, k) and (n, k) under each draw.

    The sum of a Matern 5/2 covariance of unit amplitude and that of a linear trend.

    Parameters
    ----------
    rates, trends : (d, k) and (d,), see `Surrogate`.
    """
    squares = (a[:, None, :] - b[None, :, :]) ** 2
    flat = 5 * rates @ squares.reshape(-1, a.shape[1]).T
    matern = matern_52(flat).reshape(len(rates), len(a), len(b))
    return np.asarray(matern + trends[:, None, None] * (a @ b.T))


def matern_52(squares: Array) -> Array:
    """Return the Matern 5/2 correlation at five times the squared distances."""
    r = np.sqrt(squares)
    return np.asarray((1 + r + squares / 3) * np.exp(-r))


def own_covariance(a: Array, rates: Array, trends: Array) -> Array:
    """Return `covariance` (d, n, n) of points (n, k) with themselves."""
    upper, lower = np.triu_indices(len(a), 1)
    pairs = matern_52(5 * rates @ ((a[upper] - a[lower]) ** 2).T)
    kernel = np.ones((len(rates), len(a), len(a)))
    kernel[:, upper, lower] = pairs
    kernel[:, lower, upper] = pairs
    return np.asarray(kernel + trends[:, None, None] * (a @ a.T))


@lru_cache(maxsize=32)
def prior(k: int) -> tuple[Array, Array, Array]:
    """Return draws of squared inverse length scales (d, k), trends (d,) and noise (d,).

    Noise and trends are variances relative to that of the Matern covariance. Log-normal: length
    scales with a median of 1.5 coded units (three quarters of a factor's range) and a factor of e
    per standard deviation; noise with a median of a twentieth; trends with a median of 1, or none.
    """
    rng = np.random.default_rng(k)
    lengths = np.exp(np.log(1.5) + 1.0 * rng.standard_normal((DRAWS, k)))
    noise = np.exp(np.log(0.05) + 1.2 * rng.standard_normal(DRAWS))
    trends = np.exp(rng.standard_normal(DRAWS)) * (rng.random(DRAWS) >= WITHOUT_TREND)
    return lengths**-2.0, trends, noise


def clip_low_outliers(figures: Array) -> Array:
    """Raise responses far below the best; see `CUT`."""
    best, median = figures.max(), float(np.median(figures))
    return np.asarray(np.maximum(figures, best - CUT * max(best - median, 1e-12)))


def _draws(n_runs: int) -> int:
    """Return how many draws of the hyperparameters are weighted; see `MANY_RUNS`."""
    return max(KEPT, min(DRAWS, int(DRAWS * (MANY_RUNS / n_runs) ** 2)))


def fit_process(
    space: Space,
    cells: Sequence[Cell],
    figures: Sequence[float],
    more: Array | tuple[()] = (),
    at: tuple[float, ...] = (),
) -> Surrogate:
    """Fit a Gaussian process with one length scale per factor.

    Parameters
    ----------
    cells : the cells of the runs; a cell that was run twice stands twice.
    figures : the responses; higher is better.
    more : (n, e) coordinates of the runs beside those of their cells.
    at : (e,) the same coordinates, of predictions.

    Notes
    -----
    The amplitude has an inverse gamma prior (1, 1) and is integrated out of the likelihood.

    References
    ----------
    Rasmussen, C. E. and Williams, C. K. I. (2006), Gaussian Processes for Machine Learning,
    sections 2.2, 2.7, 4.2 and 5.2.
    """
    y = clip_low_outliers(np.asarray(figures, dtype=float))
    centre, width = float(y.mean()), float(y.std()) or 1.0
    z = np.asarray((y - centre) / width, dtype=np.float64)
    runs = _beside(space.features(cells), more)
    rates, trends, noise = (drawn[: _draws(len(z))] for drawn in prior(runs.shape[1]))
    kernel = own_covariance(runs, rates, trends)
    kernel += noise[:, None, None] * np.eye(len(z))
    lower = np.linalg.cholesky(kernel)
    whitened = np.linalg.solve(lower, np.broadcast_to(z[:, None], (len(lower), len(z), 1)))[..., 0]
    misfit = (whitened**2).sum(axis=1)
    halves = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    evidence = -halves - (len(z) / 2 + 1) * np.log1p(misfit / 2)
    kept = np.argsort(-evidence)[:KEPT]
    weight = np.exp(evidence[kept] - evidence[kept[0]])
    inverse: Array = np.linalg.inv(kernel[kept]).astype(np.float64)
    return Surrogate(
        space,
        runs,
        inverse,
        inverse @ z,
        rates[kept],
        trends[kept],
        (2 + misfit[kept]) / (2 + len(z)),
        weight / weight.sum(),
        centre,
        width,
        at,
    )


def neighbours(space: Space, cell: Cell) -> list[Cell]:
    """Return the cells that differ from a cell in one factor."""
    return [
        (*cell[:i], j, *cell[i + 1 :])
        for i, n in enumerate(space.shape)
        for j in range(n)
        if j != cell[i]
    ]


def next_cell(surrogate: Surrogate, cells: Sequence[Cell], rng: np.random.Generator) -> Cell:
    """Return the untried cell with the largest expected improvement over the best posterior mean.

    It is looked for among random cells and the neighbours of the best cells; from the most
    promising of these the search goes on to better neighbours. If every cell was tried, the best of
    them by the same criterion.

    Parameters
    ----------
    surrogate : the process, fitted to the runs.
    cells : of the runs.
    rng : draws candidates.

    References
    ----------
    Jones, Schonlau and Welch (1998), Journal of Global Optimization 13, 455-492.
    """
    space = surrogate.space
    known = sorted(set(cells))
    mean, _ = surrogate.predict(known)
    best = float(mean.max())
    top = [known[i] for i in np.argsort(-mean)[:3]]
    near = [cell for leader in top for cell in neighbours(space, leader)]
    tried = set(map(space.distinct, known))
    drawn = rng.integers(space.shape, size=(CANDIDATES, len(space.shape))).tolist()
    looked = dict.fromkeys(map(space.distinct, [*map(tuple, drawn), *near]))
    untried = [cell for cell in looked if cell not in tried]
    if not untried:
        return _largest_improvement(surrogate, known, best)
    gains = expected_improvement(surrogate, untried, best)
    starts = [untried[i] for i in np.argsort(-gains, kind="stable")[:CLIMBED]]
    return _climb(surrogate, starts, tried, best)


def _climb(surrogate: Surrogate, starts: Sequence[Cell], tried: set[Cell], best: float) -> Cell:
    """Go from each start to the best untried neighbour, as long as it is better.

    Returns
    -------
    The cell with the largest expected improvement of those that are reached.

    Parameters
    ----------
    starts : untried cells.
    tried : cells that cannot be chosen.
    best : the response to improve on.
    """
    space, cells = surrogate.space, list(starts)
    for _ in range(STEPS):
        around = [[cell, *map(space.distinct, neighbours(space, cell))] for cell in cells]
        around = [[cell for cell in group if cell not in tried] for group in around]
        looked = list(dict.fromkeys(cell for group in around for cell in group))
        gains = dict(zip(looked, expected_improvement(surrogate, looked, best), strict=True))
        moved = [max(group, key=gains.__getitem__) for group in around]
        if moved == cells:
            break
        cells = moved
    return max(cells, key=gains.__getitem__)


def most_promising(surrogate: Surrogate, cells: Sequence[Cell], trained: Sequence[Cell]) -> Cell:
    """Return the cell with the largest expected improvement over the best posterior mean.

    Parameters
    ----------
    surrogate : the process.
    cells : to choose from, at least one.
    trained : the cells to improve on; if there are none, those to choose from.
    """
    mean, _ = surrogate.predict(trained or cells)
    return _largest_improvement(surrogate, cells, float(mean.max()))


def _largest_improvement(surrogate: Surrogate, cells: Sequence[Cell], best: float) -> Cell:
    return cells[int(np.argmax(expected_improvement(surrogate, cells, best)))]


def expected_improvement(surrogate: Surrogate, cells: Sequence[Cell], best: float) -> Array:
    """Return by how much cells are expected to be better than a response, 0 where they are worse.

    Parameters
    ----------
    best : the response to improve on.
    """
    means, deviations = surrogate.predict(cells)
    gain = means - best
    z = gain / deviations
    return np.asarray(gain * ndtr(z) + deviations * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


def best_cell(space: Space, cells: Sequence[Cell], figures: Sequence[float]) -> Cell:
    """Return the cell of the runs with the best posterior mean."""
    known = sorted(set(cells))
    mean, _ = fit_process(space, cells, figures).predict(known)
    return known[int(np.argmax(mean))]


def doubtful_cell(space: Space, cells: Sequence[Cell], figures: Sequence[float]) -> Cell:
    """Return the run cell with the greatest posterior mean plus one deviation: to be run again."""
    known = sorted(set(cells))
    mean, deviation = fit_process(space, cells, figures).predict(known)
    return known[int(np.argmax(mean + deviation))]
