"""A second-order model fitted to the runs so far, and the cell with its highest prediction."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.search import gaussian_process
from analysis.search.space import Cell, Space

Array = NDArray[np.float64]

#: Ridge penalty on all terms but the intercept, in units of one run: with fewer runs than terms,
#: least squares has no unique solution.
PENALTY = 0.1
#: In a larger space, this many random cells are predicted.
MOST = 20_000


def second_order(points: Array) -> Array:
    """Return intercept, linear, square and product columns (N, 1 + k + k (k + 1) / 2).

    Parameters
    ----------
    points : (N, k) coded levels.
    """
    first, second = np.triu_indices(points.shape[1])
    return np.column_stack([np.ones(len(points)), points, points[:, first] * points[:, second]])


def predicted(
    space: Space, cells: Sequence[Cell], figures: Sequence[float], others: Sequence[Cell]
) -> Array:
    """Return the predictions (M,) of a second-order model fitted to runs.

    The model is fitted by ridge regression; responses far below the best are raised first (see
    `gaussian_process.clip_low_outliers`).

    Parameters
    ----------
    space : the space of the cells.
    cells, figures : the runs and their responses.
    others : the M cells to predict.
    """
    y = gaussian_process.clip_low_outliers(np.asarray(figures, dtype=float))
    matrix = second_order(space.features(cells))
    penalty = np.diag([0.0] + [PENALTY] * (matrix.shape[1] - 1))
    model = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T @ (y - y.mean()))
    return np.asarray(y.mean() + second_order(space.features(others)) @ model)


def star(space: Space, best: Cell) -> list[Cell]:
    """Return the centre of a space and its axial points, each at one end of one factor.

    Parameters
    ----------
    space : the region.
    best : a cell; all points have its levels of the categories.
    """
    numeric = [i for i, f in enumerate(space.factors) if f.scale != "categorical"]
    ends = [(float(own.min()), float(own.max())) for own in space.coded]
    centre = space.points([best])[0].copy()
    for i in numeric:
        centre[i] = sum(ends[i]) / 2
    points = [centre]
    for i in numeric:
        for end in ends[i]:
            point = centre.copy()
            point[i] = end
            points.append(point)
    return list(dict.fromkeys(space.nearest(point) for point in points))


def next_cell(
    space: Space,
    cells: Sequence[Cell],
    figures: Sequence[float],
    rng: np.random.Generator,
    tried: Sequence[Cell] = (),
) -> tuple[Cell, float] | None:
    """Return the untried cell with the highest prediction, and the prediction.

    Parameters
    ----------
    space : the region. In a large one, only random cells and the neighbours of the best cell are
        predicted.
    cells, figures : the runs and their responses.
    rng : draws the random cells.
    tried : cells without a response that are not to be tried again.

    Returns
    -------
    The cell and its predicted response; None if every cell was tried.
    """
    if space.n_cells <= MOST:
        looked = list(space.cells())
    else:
        best = cells[int(np.argmax(figures))]
        looked = [*space.draw(rng, MOST), *gaussian_process.neighbours(space, best)]
    known = {*cells, *tried}
    untried = [cell for cell in looked if cell not in known]
    if not untried:
        return None
    expected = predicted(space, cells, figures, untried)
    at = int(np.argmax(expected))
    return untried[at], float(expected[at])
