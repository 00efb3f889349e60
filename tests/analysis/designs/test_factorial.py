from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from analysis.designs.factorial import (
    Design,
    fold_over,
    fractional_factorial,
    full_factorial,
    plackett_burman,
)
from analysis.designs.fractions import GENERATORS, LETTERS, Fraction, fraction, from_generators
from analysis.effects.model_matrix import code_levels
from analysis.errors import DesignError, FactorError
from analysis.factors import Factor

#: Words of length 3, 4, 5, ... of the fractions of least aberration: Chen, Sun and Wu (1993),
#: International Statistical Review 61, 131-145, tables 2 and 3 (16 and 32 runs) and 4 (64 runs).
PUBLISHED = {
    (6, 2): (0, 3),
    (7, 3): (0, 7),
    (8, 4): (0, 14, 0, 0, 0, 1),
    (9, 5): (4, 14, 8, 0, 4, 1),
    (7, 2): (0, 1, 2),
    (8, 3): (0, 3, 4),
    (9, 4): (0, 6, 8, 0, 0, 1),
    (10, 5): (0, 10, 16, 0, 0, 5),
    (11, 6): (0, 25, 0, 27, 0, 10, 0, 1),
    (8, 2): (0, 0, 2, 1),
    (9, 3): (0, 1, 4, 2),
    (10, 4): (0, 2, 8, 4, 0, 1),
    (11, 5): (0, 4, 14, 8, 0, 3, 2),
}
#: Montgomery (2013), table 8.14.
RESOLUTIONS = {
    3: [
        (3, 1),
        (5, 2),
        (6, 3),
        (7, 4),
        (9, 5),
        (10, 6),
        (11, 7),
        *((k, k - 4) for k in range(12, 16)),
    ],
    4: [
        (4, 1),
        (6, 2),
        (7, 2),
        (7, 3),
        (8, 3),
        (8, 4),
        (9, 3),
        (9, 4),
        (10, 4),
        (10, 5),
        (11, 5),
        (11, 6),
    ],
    5: [(5, 1), (8, 2), (10, 3)],
    6: [(6, 1), (9, 2)],
    7: [(7, 1)],
}


def _factors(k: int) -> list[Factor]:
    return [Factor(name, 0, 10) for name in LETTERS[:k]]


def _coded(design: Design) -> pd.DataFrame:
    return code_levels(design.cells, design.factors)


@pytest.mark.parametrize(("k", "p"), GENERATORS)
def test_a_fraction_has_the_published_resolution_and_word_lengths(k: int, p: int) -> None:
    found = fraction(LETTERS[:k], p)
    assert (k, p) in RESOLUTIONS[found.resolution]
    published = PUBLISHED.get((k, p))
    if published:
        rest = (0,) * (k - 2 - len(published))
        assert found.word_lengths == published + rest


@pytest.mark.parametrize(("k", "p"), [(k, p) for k, p in GENERATORS if k <= 8])
def test_no_fraction_of_up_to_eight_factors_aberrates_less(k: int, p: int) -> None:
    names = LETTERS[:k]
    base = names[: k - p]
    words = [frozenset(w) for n in range(2, k - p + 1) for w in combinations(base, n)]
    best = min(from_generators(names, part).word_lengths for part in combinations(words, p))
    assert fraction(names, p).word_lengths == best


@pytest.mark.parametrize(("k", "p"), [(k, p) for k, p in GENERATORS if k <= 11])
def test_the_runs_of_a_fraction_obey_its_defining_relation(k: int, p: int) -> None:
    design = fractional_factorial(_factors(k), runs=2 ** (k - p))
    coded = _coded(design)
    assert design.fraction is not None
    for word in design.fraction.words:
        assert (coded[sorted(word)].prod(axis=1) == 1).all()
    assert len(coded.drop_duplicates()) == 2 ** (k - p)


def test_montgomerys_alias_chains() -> None:
    # Table 8.8: the 2^(6-2) with E = ABC, F = BCD.
    found = fraction("ABCDEF", 2)
    assert found.relation == "I = A:B:C:E = A:D:E:F = B:C:D:F"
    assert found.aliases("A", 3) == ("B:C:E", "D:E:F")
    assert found.aliases("A:E", 2) == ("B:C", "D:F")
    chains = {chain for chain in found.chains(2) if len(chain) > 1}
    assert len(chains) == 7


def test_the_smallest_fraction_of_a_resolution() -> None:
    runs = {r: len(fractional_factorial(_factors(7), resolution=r).cells) for r in (3, 4, 5, 7)}
    assert runs == {3: 8, 4: 16, 5: 64, 7: 64}


def test_folding_a_resolution_iii_fraction_over_frees_main_effects() -> None:
    design = fold_over(fractional_factorial(_factors(7), resolution=3))
    assert design.fraction is not None
    assert (len(design.cells), design.fraction.resolution) == (16, 4)
    assert sorted(design.cells["block"].unique()) == [1, 2]
    coded = _coded(design)
    for word in design.fraction.words:
        assert (coded[sorted(word)].prod(axis=1) == 1).all()


def test_folding_over_one_factor_frees_all_its_interactions() -> None:
    design = fold_over(fractional_factorial(_factors(7), resolution=3), on=["A"])
    assert design.fraction is not None
    assert not any("A" in word for word in design.fraction.words)


@pytest.mark.parametrize("runs", range(8, 52, 4))
def test_plackett_burman_designs_are_orthogonal(runs: int) -> None:
    factors = [Factor(f"x{i}", 0, 1) for i in range(runs - 1)]
    coded = _coded(plackett_burman(factors, runs=runs)).to_numpy()
    np.testing.assert_array_equal(coded.T @ coded, runs * np.eye(runs - 1))
    np.testing.assert_array_equal(coded.sum(axis=0), 0)


def test_the_twelve_run_plackett_burman_shares_interactions_out_in_thirds() -> None:
    coded = _coded(plackett_burman(_factors(11), runs=12))
    interaction = coded["A"] * coded["B"]
    shares = [abs(float((interaction * coded[name]).mean())) for name in coded.columns[2:]]
    assert shares == pytest.approx([1 / 3] * 9)


@pytest.mark.parametrize("k", range(1, 8))
def test_a_full_design_has_every_cell_as_often_in_an_order_that_the_seed_decides(k: int) -> None:
    first, second, third = (full_factorial(_factors(k), replicates=2, seed=s) for s in (1, 1, 2))
    names = [f.name for f in first.factors]
    assert set(first.cells.groupby(names).size()) == {2}
    assert len(first.cells) == 2 ** (k + 1)
    assert first.cells.equals(second.cells)
    assert k == 1 or not first.cells.equals(third.cells)


def test_replicates_as_blocks_hold_every_cell_once_and_their_own_centre_points() -> None:
    cells = full_factorial(_factors(2), replicates=3, centre_points=2, blocks=True).cells
    assert list(cells["block"].unique()) == [1, 2, 3]
    for _, block in cells.groupby("block"):
        assert len(block) == 6
        assert block["centre"].sum() == 2


def test_centre_points_lie_at_the_coded_zero_of_each_scale() -> None:
    factors = [Factor("lr", 0.001, 0.1, "log"), Factor("conv", 3, 6, "integer")]
    cells = full_factorial(factors, centre_points=3).cells
    centre = cells[cells["centre"]]
    assert len(centre) == 3
    assert set(centre["lr"]) == {0.01}
    assert set(centre["conv"]) == {4}


def test_what_cannot_be_designed_says_what_to_do() -> None:
    with pytest.raises(DesignError, match="take a fraction"):
        full_factorial(_factors(8))
    with pytest.raises(DesignError, match="categorical"):
        full_factorial([Factor("o", "a", "b", "categorical")], centre_points=1)
    with pytest.raises(DesignError, match="power of two"):
        fractional_factorial(_factors(5), runs=12)
    with pytest.raises(DesignError, match="runs: 32, 16, 8"):
        fractional_factorial(_factors(6), runs=4)
    with pytest.raises(DesignError, match="either"):
        fractional_factorial(_factors(5))
    with pytest.raises(DesignError, match="resolution 6"):
        fractional_factorial(_factors(10), resolution=6)
    with pytest.raises(DesignError, match="multiple of 4"):
        plackett_burman(_factors(11), runs=10)
    with pytest.raises(DesignError, match="no factor"):
        fold_over(full_factorial(_factors(2)), on=["Z"])
    with pytest.raises(DesignError, match="named twice"):
        full_factorial([Factor("a", 0, 1), Factor("a", 0, 1)])
    with pytest.raises(DesignError, match="1 or more"):
        full_factorial(_factors(2), replicates=0)
    with pytest.raises(DesignError, match="no factor Q"):
        Fraction(("A", "B"), 0, ()).aliases("Q", 2)
    with pytest.raises(FactorError):
        Factor("a", 1, 0)
