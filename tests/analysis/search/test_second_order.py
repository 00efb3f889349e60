"""The second-order model: its first cells, and the cells that it chooses next."""

import numpy as np

from analysis.factors import Factor
from analysis.search import second_order
from analysis.search.space import Cell, Space

SPACE = Space(
    (
        Factor("depth", 1, 9, "integer"),
        Factor("learning_rate", 1e-4, 1e-2, "log"),
        Factor("optimizer", "adam", "sgd", "categorical"),
    ),
    (tuple(range(1, 10)), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), ("adam", "sgd")),
)


def _surface(cell: Cell) -> float:
    """A maximum at depth 7 and 3e-3 with adam."""
    depth, rate, optimizer = SPACE.points([cell])[0]
    return float(0.8 - 0.1 * (depth - 0.5) ** 2 - 0.1 * (rate - 0.5) ** 2 - 0.01 * optimizer)


def test_the_star_is_the_centre_and_the_axial_points() -> None:
    best = SPACE.cell({"depth": 9, "learning_rate": 1e-2, "optimizer": "sgd"})
    cells = [tuple(SPACE.natural(cell).values()) for cell in second_order.star(SPACE, best)]
    assert cells == [
        (5, 1e-3, "sgd"),
        (1, 1e-3, "sgd"),
        (9, 1e-3, "sgd"),
        (5, 1e-4, "sgd"),
        (5, 1e-2, "sgd"),
    ]


def test_the_columns_are_those_of_a_second_order_model() -> None:
    row = second_order.second_order(np.array([[2.0, 3.0]]))
    assert row.tolist() == [[1, 2, 3, 4, 6, 9]]


def test_a_factorial_and_its_star_find_the_maximum_of_a_second_order_surface() -> None:
    corners = [cell for cell in SPACE.cells() if cell[0] in {0, 8} and cell[1] in {0, 4}]
    cells = [*corners, *second_order.star(SPACE, (8, 4, 0))]
    rng = np.random.default_rng(1)
    for _ in range(3):
        found = second_order.next_cell(SPACE, cells, [_surface(c) for c in cells], rng)
        assert found is not None
        cells.append(found[0])
    top = max(SPACE.cells(), key=_surface)
    assert top in cells[-3:]
    assert len(set(cells)) == len(cells)


def test_no_cell_is_returned_if_all_were_tried() -> None:
    cells = list(SPACE.cells())
    figures = [_surface(c) for c in cells]
    rng = np.random.default_rng(1)
    assert second_order.next_cell(SPACE, cells, figures, rng) is None
    # A cell that failed has no response, and is not returned again.
    assert second_order.next_cell(SPACE, cells[1:], figures[1:], rng, tried=cells[:1]) is None
