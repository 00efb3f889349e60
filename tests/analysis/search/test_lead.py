"""The lead of the chosen cell, over seeds and pictures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from analysis.errors import AnalysisError
from analysis.search.lead import Lead, lead_over


def lead(own: object, other: object, spread: float = 0.01, df: int = 6) -> Lead:
    return lead_over({"depth": 2}, np.asarray(own), np.asarray(other), spread, df)


def test_one_network_against_one_is_the_difference_of_paired_answers() -> None:
    # McNemar's table: both right 60, only the first 12, only the second 5, none 23.
    own = [True] * 60 + [True] * 12 + [False] * 5 + [False] * 23
    other = [True] * 60 + [False] * 12 + [True] * 5 + [False] * 23
    found = lead([own], [other], math.nan, 0)
    assert found.size == pytest.approx(0.07)
    # The standard error of a difference of paired shares: Agresti (2013), Categorical Data
    # Analysis, section 11.1.1, with n - 1 instead of n.
    expected = math.sqrt((12 + 5 - (12 - 5) ** 2 / 100) / 99 / 100)
    assert found.pictures == pytest.approx(expected)
    assert math.isnan(found.seeds)
    assert math.isnan(found.both)
    assert math.isnan(found.low)


def test_the_error_over_seeds_is_that_of_two_means() -> None:
    rng = np.random.default_rng(3)
    own, other = rng.random((3, 50)) < 0.8, rng.random((2, 50)) < 0.7
    found = lead(own, other, 0.02, 9)
    assert found.seeds == pytest.approx(0.02 * math.sqrt(1 / 3 + 1 / 2))
    assert found.both >= found.seeds
    assert found.df >= 9
    assert found.low < found.size < found.high
    assert (found.size - found.low) == pytest.approx(found.high - found.size)


def test_the_intervals_cover_the_lead_of_other_networks_on_other_pictures() -> None:
    """An answer is right if the sum of independent normal parts is positive."""
    rng, sets, covered, by_seeds = np.random.default_rng(11), 600, 0, 0
    abilities, deviations = (1.0, 0.8), (0.8, 0.8, 0.05, 0.4)
    total = math.sqrt(sum(x * x for x in deviations))
    truth = norm.cdf(abilities[0] / total) - norm.cdf(abilities[1] / total)
    for _ in range(sets):
        difficulty = rng.normal(0, deviations[0], 400)  # of a picture, for all networks
        cells = []
        for ability in abilities:
            suits = rng.normal(0, deviations[1], 400)  # a picture suits one of the cells
            networks = rng.normal(0, deviations[2], (3, 1))
            answers = rng.normal(0, deviations[3], (3, 400))
            cells.append(ability + difficulty + suits + networks + answers > 0)
        spread = math.sqrt(sum(cell.mean(axis=1).var(ddof=1) for cell in cells) / 2)
        found = lead(cells[0], cells[1], spread, 4)
        covered += bool(found.low <= truth <= found.high)
        by_seeds += bool(abs(found.size - truth) <= student.ppf(0.975, 4) * found.seeds)
    # The standard error of a share of 600 is 0.009. Over seeds alone, intervals are too narrow.
    assert 0.92 <= covered / sets <= 0.98
    assert by_seeds / sets < 0.88


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(2, 60),
    st.integers(0, 2**16),
    st.sampled_from([(0.01, 5), (math.nan, 0)]),
)
def test_an_exchange_of_the_cells_turns_the_lead_around(
    n: int, m: int, pictures: int, seed: int, error: tuple[float, int]
) -> None:
    rng = np.random.default_rng(seed)
    own, other = rng.random((n, pictures)) < 0.7, rng.random((m, pictures)) < 0.6
    there, back = lead(own, other, *error), lead(other, own, *error)
    assert there.size == pytest.approx(own.mean() - other.mean())
    assert (there.size, there.low, there.pictures) == pytest.approx(
        (-back.size, -back.high, back.pictures), nan_ok=True
    )


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (np.ones((0, 5)), np.ones((1, 5))),
        (np.ones((1, 5)), np.ones((1, 4))),
        (np.ones((1, 1)), np.ones((1, 1))),
    ],
)
def test_cells_without_answers_to_the_same_pictures_have_no_lead(
    own: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    other: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    with pytest.raises(AnalysisError, match="give the answers of at least one run"):
        lead(own, other)
