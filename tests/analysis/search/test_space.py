from itertools import combinations

import numpy as np
import pytest

from analysis.factors import Factor, Level
from analysis.search.refined_grid import move_outward, refined_levels
from analysis.search.space import Space, levels_between, typed_level

BATCHES = Factor("batch_size", 16, 128, "log", (16, 128), counts=True, values=(16, 32, 64, 128))
OPTIMIZERS = Factor(
    "optimizer", "adam", "rmsprop", "categorical", values=("adam", "sgd", "rmsprop")
)
NORM = Factor("norm", "none", "batch", "categorical")
FILTERS = Factor("filters", 4, 16, "log", (1, 4096), counts=True)


def test_the_levels_of_a_list_are_its_values_between_the_ends() -> None:
    assert levels_between(BATCHES, 16, 128) == (16, 32, 64, 128)
    assert levels_between(BATCHES, 20, 64) == (32, 64)
    assert levels_between(OPTIMIZERS, "adam", "rmsprop") == OPTIMIZERS.levels


@pytest.mark.parametrize(
    ("best", "around"), [(16, (16, 32)), (32, (16, 32, 64)), (64, (32, 64, 128)), (128, (64, 128))]
)
def test_refined_levels_of_a_list_are_the_value_and_its_neighbours(
    best: int, around: tuple[int, ...]
) -> None:
    assert refined_levels(BATCHES, best) == around


def test_a_grid_on_a_list_moves_to_the_next_value_and_ends_with_the_list() -> None:
    moved = move_outward({"batch_size": (16, 32)}, {"batch_size": 32}, [BATCHES])
    assert moved == {"batch_size": (32, 64)}
    assert move_outward({"batch_size": (64, 128)}, {"batch_size": 128}, [BATCHES]) is None
    assert move_outward({"batch_size": (16, 32)}, {"batch_size": 16}, [BATCHES]) is None


def test_whole_numbers_on_a_log_scale_stay_whole_everywhere() -> None:
    levels = levels_between(FILTERS, 4, 16)
    assert all(isinstance(level, int) for level in (*levels, *refined_levels(FILTERS, 16)))
    assert levels == (4, 16)
    assert refined_levels(FILTERS, 4) == (1, 4, 40)
    assert levels_between(FILTERS, 4, 16, 5) == (4, 6, 8, 11, 16)
    assert FILTERS.decode(0) == 8


def test_any_two_categories_are_as_far_apart_as_the_ends_of_another_factor() -> None:
    factors = (OPTIMIZERS, NORM, BATCHES)
    space = Space(factors, tuple(levels_between(f, f.low, f.high) for f in factors))
    assert space.n_cells == 3 * 2 * 4
    base: dict[str, Level] = {"optimizer": "adam", "norm": "none", "batch_size": 16}
    ends = [base, {**base, "norm": "batch"}]
    cells = [space.cell({**base, "optimizer": name}) for name in OPTIMIZERS.levels]
    features = space.features(cells)
    assert features.shape == (3, 5)
    for a, b in combinations(features, 2):
        assert np.linalg.norm(a - b) == pytest.approx(2)
    a, b = space.features([space.cell(cell) for cell in ends])
    assert np.linalg.norm(a - b) == pytest.approx(2)
    two = Space((NORM, BATCHES), ((*NORM.levels,), (*BATCHES.values,)))
    every = list(two.cells())
    assert np.array_equal(two.features(every), two.points(every))


def test_cells_with_three_categories_keep_their_levels() -> None:
    factors = (OPTIMIZERS, BATCHES)
    space = Space(factors, (OPTIMIZERS.levels, BATCHES.values))
    for cell in space.cells():
        assert space.cell(space.natural(cell)) == cell
    assert typed_level(OPTIMIZERS, np.str_("sgd")) == "sgd"
