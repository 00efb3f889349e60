from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from analysis.designs.factorial import (
    Design,
    design_of_runs,
    fold_over,
    fractional_factorial,
    full_factorial,
    hadamard,
    plackett_burman,
)
from analysis.designs.fractions import (
    GENERATORS,
    LETTERS,
    Fraction,
    fraction,
    from_generators,
    regular_fraction,
)
from analysis.designs.summary import largest_share
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
        *((k, k - 5) for k in range(12, 16)),
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
def test_no_fraction_of_up_to_eight_factors_has_less_aberration(k: int, p: int) -> None:
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


def test_the_alias_chains_are_those_that_montgomery_prints() -> None:
    # Table 8.8: the 2^(6-2) with E = ABC, F = BCD.
    found = fraction("ABCDEF", 2)
    assert found.relation == "I = A:B:C:E = A:D:E:F = B:C:D:F"
    assert found.aliases("A", 3) == ("B:C:E", "D:E:F")
    assert found.aliases("A:E", 2) == ("B:C", "D:F")
    chains = {chain for chain in found.chains(2) if len(chain) > 1}
    assert len(chains) == 7
    assert found.generators == ("E = A:B:C", "F = B:C:D")


@pytest.mark.parametrize(("k", "p"), GENERATORS)
def test_the_generators_of_a_fraction_are_those_of_the_table(k: int, p: int) -> None:
    words = [":".join(sorted(word)) for word in GENERATORS[k, p].split()]
    added = LETTERS[k - p : k]
    expected = tuple(f"{name} = {word}" for name, word in zip(added, words, strict=True))
    assert fraction(LETTERS[:k], p).generators == expected


@pytest.mark.parametrize(("k", "p"), [(3, 1), (6, 2), (7, 4), (9, 5), (11, 6), (15, 11)])
def test_the_defining_relation_is_found_from_the_runs(k: int, p: int) -> None:
    design = fractional_factorial(_factors(k), runs=2 ** (k - p), replicates=2)
    found = design_of_runs(design.cells, design.factors)
    assert found.fraction == design.fraction
    assert found.cells.equals(design.cells)


def test_runs_that_are_no_principal_fraction_have_no_defining_relation() -> None:
    corners = np.array([[-1, -1, -1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]], dtype=float)
    names = ("A", "B", "C")
    assert regular_fraction(names, -corners) == fraction(names, 1)
    assert regular_fraction(names, corners) is None
    assert regular_fraction(names, corners[:3]) is None
    assert regular_fraction(names, np.vstack([-corners[:3], -corners[:1] * [1, 1, -1]])) is None


def test_the_smallest_fraction_of_a_resolution() -> None:
    runs = {r: len(fractional_factorial(_factors(7), resolution=r).cells) for r in (3, 4, 5, 7)}
    assert runs == {3: 8, 4: 16, 5: 64, 7: 64}


def test_the_fold_over_of_a_resolution_iii_fraction_has_resolution_iv() -> None:
    design = fold_over(fractional_factorial(_factors(7), resolution=3))
    assert design.fraction is not None
    assert (len(design.cells), design.fraction.resolution) == (16, 4)
    assert sorted(design.cells["block"].unique()) == [1, 2]
    coded = _coded(design)
    for word in design.fraction.words:
        assert (coded[sorted(word)].prod(axis=1) == 1).all()


def test_a_fold_over_on_one_factor_separates_all_its_interactions() -> None:
    design = fold_over(fractional_factorial(_factors(7), resolution=3), on=["A"])
    assert design.fraction is not None
    assert not any("A" in word for word in design.fraction.words)


@pytest.mark.parametrize("runs", range(8, 52, 4))
def test_plackett_burman_designs_are_orthogonal(runs: int) -> None:
    factors = [Factor(f"x{i}", 0, 1) for i in range(runs - 1)]
    coded = _coded(plackett_burman(factors, runs=runs)).to_numpy()
    np.testing.assert_array_equal(coded.T @ coded, runs * np.eye(runs - 1))
    np.testing.assert_array_equal(coded.sum(axis=0), 0)


def test_in_twelve_runs_a_main_effect_contains_a_third_of_each_interaction() -> None:
    coded = _coded(plackett_burman(_factors(11), runs=12))
    interaction = coded["A"] * coded["B"]
    shares = [abs(float((interaction * coded[name]).mean())) for name in coded.columns[2:]]
    assert shares == pytest.approx([1 / 3] * 9)


#: Plackett and Burman (1946), Biometrika 33, 305-325: the first row of each cyclic design.
FIRST_ROWS = {
    12: "++-+++---+-",
    20: "++--++++-+-+----++-",
    24: "+++++-+-++--++--+-+----",
    48: "+++++-++++--+-+-+++--+--++-++---+-+-++----+----",
}


@pytest.mark.parametrize("runs", FIRST_ROWS)
def test_the_cyclic_designs_are_those_of_1946(runs: int) -> None:
    columns = hadamard(runs)
    signs = np.array([1.0 if sign == "+" else -1.0 for sign in FIRST_ROWS[runs]])
    expected = [np.roll(signs, shift) for shift in range(runs - 1)]
    np.testing.assert_array_equal(columns, [*expected, -np.ones(runs - 1)])


@pytest.mark.parametrize(("runs", "most"), [(12, 1 / 3), (24, 1 / 3), (44, 1 / 3), (48, 1 / 3)])
def test_no_main_effect_contains_more_than_a_third_of_an_interaction(
    runs: int, most: float
) -> None:
    assert 0 < largest_share(hadamard(runs)) <= most + 1e-12


def test_a_plackett_burman_design_in_eight_runs_is_the_regular_fraction() -> None:
    design = plackett_burman(_factors(7), runs=8)
    assert design.fraction is not None
    assert design.fraction.resolution == 3
    assert fold_over(design).fraction == design.fraction.folded("ABCDEFG")


def test_the_fold_over_of_a_plackett_burman_design_separates_main_effects() -> None:
    folded = fold_over(plackett_burman(_factors(11), runs=12))
    assert (folded.kind, len(folded.cells)) == ("fold-over", 24)
    assert largest_share(folded.corner_levels) == 0


@pytest.mark.parametrize("k", range(1, 8))
def test_a_full_design_has_every_cell_equally_often_in_an_order_that_depends_on_the_seed(
    k: int,
) -> None:
    first, second, third = (full_factorial(_factors(k), replicates=2, seed=s) for s in (1, 1, 2))
    names = [f.name for f in first.factors]
    assert set(first.cells.groupby(names).size()) == {2}
    assert len(first.cells) == 2 ** (k + 1)
    assert first.cells.equals(second.cells)
    assert k == 1 or not first.cells.equals(third.cells)


def test_each_block_has_every_cell_once_and_centre_points() -> None:
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


def test_an_impossible_design_is_an_error_that_names_the_remedy() -> None:
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
    with pytest.raises(DesignError, match="no factor has that name; there are A, B"):
        fold_over(full_factorial(_factors(2)), on=["Z"])
    with pytest.raises(DesignError, match="3 to 15 factors"):
        fractional_factorial(_factors(2), runs=2)
    with pytest.raises(DesignError, match="neither at the two levels"):
        design_of_runs(pd.DataFrame({"A": [0, 10, 5], "B": [0, 10, 10]}), _factors(2))
    with pytest.raises(DesignError, match="named twice"):
        full_factorial([Factor("a", 0, 1), Factor("a", 0, 1)])
    with pytest.raises(DesignError, match="1 or more"):
        full_factorial(_factors(2), replicates=0)
    with pytest.raises(DesignError, match="no factor Q"):
        Fraction(("A", "B"), 0, ()).aliases("Q", 2)
    with pytest.raises(FactorError):
        Factor("a", 1, 0)
