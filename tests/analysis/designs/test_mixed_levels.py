from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from analysis.designs.factorial import (
    design_of_fraction,
    fold_over,
    fraction_corners,
    fractional_factorial,
    full_factorial,
    plackett_burman,
)
from analysis.designs.fractions import GENERATORS, fraction
from analysis.designs.mixed_levels import coded_levels, design_within, usual_design
from analysis.designs.summary import design_as_json, design_as_text, summarise
from analysis.effects.model_matrix import code_levels, model_matrix
from analysis.errors import DesignError
from analysis.factors import Factor

THREE = Factor("optimizer", "adam", "rmsprop", "categorical", values=("adam", "sgd", "rmsprop"))
FOUR = Factor("activation", "a", "d", "categorical", values=("a", "b", "c", "d"))
FIVE = Factor("stack", "p", "t", "categorical", values=tuple("pqrst"))


def _two(k: int) -> list[Factor]:
    return [Factor(f"x{i}", 1, 2) for i in range(k)]


@pytest.mark.parametrize(
    ("factors", "most", "runs"),
    [
        ([THREE], 8, 3),
        ([THREE, *_two(1)], 8, 6),
        ([THREE, *_two(2)], 8, 8),
        ([THREE, *_two(2)], 12, 12),
        ([THREE, *_two(4)], 8, 8),
        ([THREE, *_two(4)], 32, 32),
        ([FOUR, *_two(4)], 8, 8),
        ([THREE, FOUR, *_two(4)], 32, 32),
        ([FIVE, *_two(4)], 16, 16),
        ([THREE, *_two(8)], 16, 16),
    ],
)
def test_contrasts_of_categories_are_orthogonal_to_the_other_main_effects(
    factors: list[Factor], most: int, runs: int
) -> None:
    chosen = design_within(factors, most)
    assert chosen is not None
    design = design_of_fraction(chosen, factors, seed=1)
    assert (chosen.n_runs, len(design.cells)) == (runs, runs)
    for factor in factors:
        counts = Counter(design.cells[factor.name])
        assert set(counts) == set(factor.levels)
        # Each value as often as the combinations of two-level columns allow.
        assert max(counts.values()) <= 2 * min(counts.values())
    coded = code_levels(design.cells, factors)
    for a, b in combinations(factors, 2):
        xa, xb = (f.contrasts(coded[f.name].to_numpy()) for f in (a, b))
        centred = (xa - xa.mean(axis=0)).T @ (xb - xb.mean(axis=0))
        assert np.allclose(centred, 0)
    matrix = model_matrix(coded, 1, factors)
    assert np.linalg.matrix_rank(matrix) == matrix.shape[1] <= runs


def test_no_main_effect_is_mixed_with_interactions_in_a_mixed_design_of_resolution_four() -> None:
    factors = [THREE, *_two(6)]
    chosen = usual_design(factors)
    assert (chosen.n_runs, chosen.resolution) == (32, 4)
    coded = code_levels(design_of_fraction(chosen, factors).cells, factors)
    matrix = model_matrix(coded, 2, factors)
    mains = [f.name for f in factors[1:]]
    for name in mains:
        others = [t for t in map(str, matrix) if ":" in t and name not in t.split(":")]
        assert np.allclose(matrix[name].to_numpy() @ matrix[others].to_numpy(), 0)


def test_alias_chains_of_a_mixed_design_name_factors() -> None:
    factors = [THREE, *_two(6)]
    design = design_of_fraction(usual_design(factors), factors)
    chains = summarise(design).aliases
    names = {f.name for f in factors}
    assert chains
    assert {part for chain in chains for term in chain for part in term.split(":")} <= names
    assert all(":" in term for chain in chains for term in chain)  # resolution IV
    text = design_as_text(design)
    assert "mixed-level design of resolution IV" in text
    assert "optimizer (adam, sgd, rmsprop) is held by the columns" in text
    assert design_as_json(design)["factors"][0]["values"] == ["adam", "sgd", "rmsprop"]


def test_the_full_design_of_categories_has_every_combination_once() -> None:
    design = full_factorial([THREE, FOUR, *_two(1)], seed=1)
    cells = design.cells[["optimizer", "activation", "x0"]].drop_duplicates()
    assert len(cells) == len(design.cells) == 3 * 4 * 2
    assert "full mixed-level design" in design_as_text(design)
    with pytest.raises(DesignError, match="192 cells"):
        full_factorial([THREE, FOUR, *_two(4)])


@pytest.mark.parametrize(
    ("k", "runs", "resolution"),
    [(2, 4, 3), (7, 128, 8), (8, 16, 4), (9, 32, 4), (11, 32, 4), (12, 32, 4), (15, 32, 4)],
)
def test_the_screen_of_many_factors_is_the_smallest_of_resolution_four(
    k: int, runs: int, resolution: int
) -> None:
    chosen = usual_design(_two(k))
    assert (chosen.n_runs, chosen.resolution) == (runs, resolution)


def test_too_many_categories_for_32_cells_is_one_line() -> None:
    many = [
        Factor(f"c{i}", "a", "d", "categorical", values=("a", "b", "c", "d")) for i in range(11)
    ]
    with pytest.raises(DesignError, match="no design has at most 32 cells"):
        usual_design(many)


@pytest.mark.parametrize("k", [12, 13, 14, 15])
def test_fractions_in_32_runs_have_even_words_and_the_published_count_of_four(k: int) -> None:
    # Chen, Sun and Wu (1993), table 3.
    published = {12: 38, 13: 55, 14: 77, 15: 105}
    found = fraction([f"x{i}" for i in range(k)], k - 5)
    assert (k, k - 5) in GENERATORS
    assert all(len(word) % 2 == 0 for word in found.words)
    assert found.word_lengths[:2] == (0, published[k])


def test_twelve_runs_of_eight_to_eleven_factors_are_a_plackett_burman_design() -> None:
    for k in (8, 11):
        chosen = design_within(_two(k), 12)
        assert chosen is not None
        assert (chosen.n_runs, chosen.resolution) == (12, 3)
        design = design_of_fraction(chosen, _two(k), seed=3)
        assert design.kind == "plackett-burman"
        assert design.cells.equals(plackett_burman(_two(k), runs=12, seed=3).cells)
    assert design_within(_two(12), 12) is None
    assert design_within(_two(8), 11) is None


@pytest.mark.parametrize("category", [THREE, FOUR])
def test_a_fold_over_of_a_mixed_design_separates_main_effects(category: Factor) -> None:
    factors = [category, *_two(4)]
    design = fractional_factorial(factors, runs=8, seed=1)
    folded = fold_over(design)
    assert design.fraction is not None
    assert folded.fraction is not None
    assert (folded.fraction.n_runs, len(folded.cells)) == (16, 16)
    first, second = (part for _, part in folded.cells.groupby("block"))
    assert Counter(first["optimizer" if category is THREE else "activation"]) == Counter(
        second["optimizer" if category is THREE else "activation"]
    )
    # The runs are those of the fraction that the fold-over claims to make.
    claimed = coded_levels(factors, folded.fraction.names, fraction_corners(folded.fraction))
    found = code_levels(folded.cells, factors).to_numpy()
    assert Counter(map(tuple, claimed.round(6))) == Counter(map(tuple, found.round(6)))
    before, after = summarise(design).aliases, summarise(folded).aliases
    main = [chain for chain in before if "x0" in chain]
    assert main
    assert sum(len(c) for c in after if ":" not in c[0]) < sum(
        len(c) for c in before if ":" not in c[0]
    )


def test_a_fold_over_on_five_categories_is_refused() -> None:
    factors = [FIVE, *_two(4)]
    design = fractional_factorial(factors, runs=16, seed=1)
    assert len(fold_over(design).cells) == 32
    with pytest.raises(DesignError, match="fold-over on stack: it has more than 4 values"):
        fold_over(design, on=["stack"])
    with pytest.raises(DesignError, match="stack: a Plackett-Burman design has two levels"):
        plackett_burman(factors)


def test_a_fraction_with_categories_is_found_by_resolution_or_runs() -> None:
    factors = [THREE, *_two(4)]
    assert len(fractional_factorial(factors, resolution=5).cells) == 32
    assert len(fractional_factorial([THREE, *_two(2)], resolution=4).cells) == 12  # full
    with pytest.raises(DesignError, match="in 10 runs; runs: 8, 16, 32, 48"):
        fractional_factorial(factors, runs=10)
    with pytest.raises(DesignError, match="resolution 7"):
        fractional_factorial([THREE, *_two(8)], resolution=7)
