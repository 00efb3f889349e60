"""The drawn spaces of the replay benchmark are what their names say."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.benchmarks.spaces import (
    BATCH_SIZE,
    BEST,
    CHANCE,
    CODED,
    DEAD,
    KINDS,
    LEARNING_RATE,
    NAMES,
    NOISES,
    SEEDS,
    DrawnTable,
    drawn_space,
    is_space,
)
from tasks.comparison.cell_table import read_cell_table

ROOT = Path(__file__).parents[2]
#: Without noise: the draw that is reported, and two others.
DRAWS = ("none", "none-2", "none-3")


def by_level(table: DrawnTable) -> NDArray[np.float64]:
    """Return the expected responses with one axis per factor."""
    return table.truth.reshape(table.space.shape)


def mean_at_ends(table: DrawnTable, *axes: int) -> NDArray[np.float64]:
    """Return the mean response at the low and high ends of some factors, over all other factors."""
    others = tuple(i for i in range(len(table.space.factors)) if i not in axes)
    means = by_level(table).mean(axis=others)
    return np.asarray(means[np.ix_(*[[0, -1]] * len(axes))])


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_cells_are_at_the_drawn_optimum_and_nowhere_else(kind: str, draw: str) -> None:
    table = drawn_space(f"{kind}-{draw}")
    assert table.space.n_cells == 78_125
    assert table.responses.shape == (78_125, SEEDS)
    best = np.flatnonzero(np.isclose(table.truth, table.truth.max(), atol=1e-12))
    coded = CODED[np.array(np.unravel_index(best, table.space.shape))]
    known = np.isfinite(table.optimum)
    assert np.all(coded[known] == table.optimum[known, None])
    if kind == "cliff":
        # Two batch sizes, each with its own learning rate, may be equally good.
        assert len(best) in {1, 2}
    else:
        # Each level of a factor without effect is equally good.
        assert len(best) == len(CODED) ** DEAD.get(kind, 0)
        assert table.truth.max() == pytest.approx(BEST)
        assert table.truth.min() == pytest.approx(CHANCE)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_corner_has_all_factors_at_an_end_and_a_middle_none(draw: str) -> None:
    assert np.all(np.abs(drawn_space(f"corner-{draw}").optimum) == 1)
    assert np.all(np.abs(drawn_space(f"middle-{draw}").optimum) < 1)


def test_cells_are_numbered_as_a_search_numbers_them() -> None:
    table = drawn_space("corner-none")
    ends = {
        f.name: f.high if o > 0 else f.low
        for f, o in zip(table.space.factors, table.optimum, strict=True)
    }
    assert table.regret(table.space.cell(ends)) == 0
    assert table.space.natural(table.space.nearest([0.0] * 7)) == {
        "learning_rate": pytest.approx(10**-2.5),
        "batch_size": 91,
        "weight_decay": pytest.approx(1e-4),
        "momentum": pytest.approx(0.45),
        "layers": 4,
        "units": 128,
        "dropout": pytest.approx(0.25),
    }


@pytest.mark.parametrize("draw", DRAWS)
def test_the_main_effects_of_an_interaction_point_away_from_the_optimum(draw: str) -> None:
    table = drawn_space(f"interaction-{draw}")

    def interaction(pair: tuple[int, int]) -> float:
        means = mean_at_ends(table, *pair)
        return abs(float(means[0, 0] + means[1, 1] - means[0, 1] - means[1, 0]))

    pair = max(combinations(range(7), 2), key=interaction)
    pointed_at = [int(mean_at_ends(table, axis).argmax()) for axis in pair]
    optimum = [int(table.optimum[axis] > 0) for axis in pair]
    assert pointed_at != optimum
    means = mean_at_ends(table, *pair)
    assert means[tuple(optimum)] == means.max()
    # What the main effects advise is worse than the average of the four corners.
    assert means[tuple(pointed_at)] < means.mean()


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("kind", DEAD)
def test_a_dead_factor_has_no_effect_at_all_and_every_other_has_one(kind: str, draw: str) -> None:
    table = drawn_space(f"{kind}-{draw}")
    dead = [axis for axis in range(7) if np.ptp(by_level(table), axis=axis).max() < 1e-12]
    assert len(dead) == DEAD[kind]
    assert dead == np.flatnonzero(np.isnan(table.optimum)).tolist()


@pytest.mark.parametrize("name", ["cliff-study", "cliff-none-2", "cliff-small-3"])
def test_beyond_the_cliff_every_seed_is_at_chance_level_and_larger_batches_move_it(
    name: str,
) -> None:
    table = drawn_space(name)
    at_chance = table.responses.reshape(*table.space.shape, SEEDS) == CHANCE
    at_chance = np.moveaxis(at_chance, (LEARNING_RATE, BATCH_SIZE), (0, 1)).reshape(5, 5, -1)
    # Whether a cell learns depends on learning rate and batch size only.
    beyond = at_chance.all(axis=2)
    assert not at_chance[~beyond].any()
    learning_rates_that_learn = (~beyond).sum(axis=0)
    assert learning_rates_that_learn.tolist() == [2, 2, 3, 3, 4]
    for column, count in zip(beyond.T, learning_rates_that_learn, strict=True):
        assert not column[:count].any()

    expected = np.moveaxis(by_level(table), (LEARNING_RATE, BATCH_SIZE), (0, 1))
    assert np.all(expected[~beyond] > CHANCE)
    # The best learning rate is the last one before the cliff, for every batch size.
    assert expected.reshape(5, 5, -1).max(axis=2).argmax(axis=0).tolist() == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_has_the_stated_size_and_does_not_change_the_expected_response(kind: str) -> None:
    tables = {noise: drawn_space(f"{kind}-{noise}") for noise in NOISES}
    expected = tables["none"].truth
    learned = expected > CHANCE
    assert np.all(tables["none"].responses == expected[:, None])
    for noise, share in NOISES.items():
        assert np.array_equal(tables[noise].truth, expected)
        stated = share * (expected.max() - np.median(expected))
        scatter = (tables[noise].responses - expected[:, None])[learned]
        # 390,625 draws of all cells: a standard error of 0.1 % of a standard deviation.
        assert scatter.std() == pytest.approx(stated, rel=0.01)
        assert scatter.mean() == pytest.approx(0, abs=0.01 * stated)
        # The seeds of a cell are independent of each other.
        if share:
            assert abs(np.corrcoef(scatter[:, 0], scatter[:, 1])[0, 1]) < 0.03


def test_the_noise_of_the_study_is_its_seed_spread_over_best_minus_median() -> None:
    table, _ = read_cell_table(ROOT / "infra" / "docs" / "cells-48.csv")
    pooled = np.sqrt(np.nanvar(table.responses, axis=1, ddof=1).mean())
    effects = table.truth.max() - np.median(table.truth)
    assert NOISES["study"] == pytest.approx(pooled / effects, abs=0.001)


def test_a_space_is_drawn_again_equally_and_another_draw_differs() -> None:
    first, again, other = map(drawn_space, ("middle-small", "middle-small-1", "middle-small-2"))
    assert np.array_equal(first.responses, again.responses)
    assert not np.array_equal(first.truth, other.truth)
    assert all(map(is_space, [*NAMES, "dead-four-study-12"]))
    assert not any(map(is_space, ["car", "corner", "corner-none-0", "corner-none-x", "cliff-"]))
    with pytest.raises(ValueError, match="corner-loud: no drawn space"):
        drawn_space("corner-loud")
