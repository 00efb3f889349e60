"""A second-order model of the runs so far, and the cells that it puts highest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.search import gaussian_process
from analysis.search.space import Cell, Space

Array = NDArray[np.float64]

#: Ridge penalty on all but the intercept, in units of a run: with as many runs as terms, and
#: corners alone in a direction, least squares has no one answer.
PENALTY = 0.1
#: A space with more cells is looked at by so many drawn at random.
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
    """Return what a second-order model of some runs expects of other cells (M,).

    The model is fitted by ridge regression; figures far below the rest count as less far.

    Parameters
    ----------
    space : where the cells are.
    cells, figures : the runs.
    others : M cells.
    """
    y = gaussian_process.clip_low_outliers(np.asarray(figures, dtype=float))
    matrix = second_order(space.points(cells))
    penalty = np.diag([0.0] + [PENALTY] * (matrix.shape[1] - 1))
    model = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T @ (y - y.mean()))
    return np.asarray(y.mean() + second_order(space.points(others)) @ model)


def star(space: Space, best: Cell) -> list[Cell]:
    """Return the centre of a space and its axial points, each at an end of one factor.

    Parameters
    ----------
    space : the region.
    best : whose level a category keeps.
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
    """Return the untried cell that the model puts highest, and what it expects there.

    None where every cell was tried.

    Parameters
    ----------
    space : the region. Of one that is too large to look at as a whole, cells drawn at random and
        the neighbours of the best are looked at.
    cells, figures : the runs.
    rng : draws them.
    tried : cells without a figure that are not to be tried again.
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
