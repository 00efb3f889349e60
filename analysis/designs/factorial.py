"""Two-level designs: which cells to run, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
import pydoe
from numpy.typing import NDArray

from analysis.designs.fractions import (
    LARGEST_FULL_DESIGN,
    Fraction,
    count_of_factors,
    fraction,
    regular_fraction,
    smallest_fraction,
)
from analysis.designs.mixed_levels import (
    MOST_FLIPPED,
    PlackettBurman,
    coded_levels,
    columns_of,
    design_in_runs,
    flipped_level,
    full_design,
    smallest_design,
)
from analysis.errors import DesignError
from analysis.factors import Factor

Coded = NDArray[np.float64]
#: Columns of every design, besides its factors.
DESIGN_COLUMNS = frozenset({"run", "replicate", "centre", "block"})
DesignKind = Literal[
    "full",
    "fraction",
    "plackett-burman",
    "fold-over",
    "central-composite",
    "box-behnken",
    "definitive-screening",
]


@dataclass(frozen=True)
class Design:
    """A design in run order.

    Attributes
    ----------
    kind : which design it is.
    factors : k factors.
    cells : one row per run: ``run`` (1 to N), one column per factor (natural units),
        ``replicate``, ``centre`` (whether it is a centre point) and ``block`` (1, 2, ...; 1 for
        every run of a design without blocks).
    fraction : its defining relation; None if it has none (Plackett-Burman, second-order designs).
    """

    kind: DesignKind
    factors: tuple[Factor, ...]
    cells: pd.DataFrame
    fraction: Fraction | None = None

    @property
    def corner_levels(self) -> Coded:
        """Coded levels (N, k) of the runs that are not centre points."""
        corners = self.cells[~self.cells["centre"]]
        return np.column_stack([[f.code(level) for level in corners[f.name]] for f in self.factors])


def full_factorial(
    factors: Sequence[Factor],
    *,
    replicates: int = 1,
    centre_points: int = 0,
    blocks: bool = False,
    seed: int = 0,
) -> Design:
    """Return the full design with replicates and centre points, in random order.

    It has 2^k cells for factors of two levels; a category has all its values.

    Parameters
    ----------
    factors : 1 to 7 factors.
    replicates : runs per cell.
    centre_points : runs at coded zero; per block if replicates are blocks.
    blocks : whether each replicate is a block (for example, one seed shared by all its cells); the
        order is then random within each block.
    seed : seed of the random order.

    Raises
    ------
    DesignError
        If there are too many factors or cells, or a factor has no level for a centre point.

    References
    ----------
    Box, Hunter and Hunter (2005), Statistics for Experimenters, 2nd ed., chapter 5.
    """
    k = len(factors)
    if not 1 <= k <= LARGEST_FULL_DESIGN:
        raise DesignError(
            f"{count_of_factors(k)}: a full two-level design takes 1 to {LARGEST_FULL_DESIGN}; "
            "take a fraction, or a Plackett-Burman design"
        )
    chosen = full_design(factors)
    coded = corners(k)
    if chosen.n_runs != len(coded):
        coded = np.array(list(product(*([f.code(x) for x in f.levels] for f in factors))))
    cells = _randomised_cells(factors, coded, replicates, centre_points, blocks=blocks, seed=seed)
    return Design("full", tuple(factors), cells, chosen)


def fractional_factorial(
    factors: Sequence[Factor],
    *,
    resolution: int | None = None,
    runs: int | None = None,
    replicates: int = 1,
    centre_points: int = 0,
    blocks: bool = False,
    seed: int = 0,
) -> Design:
    """Return the fraction of least aberration, by resolution or by number of runs.

    Parameters
    ----------
    factors : 3 to 15 factors.
    resolution : the lowest resolution; the smallest fraction that reaches it is taken.
    runs : number of runs of one replicate, a power of two; instead of the resolution.
    replicates, centre_points, blocks, seed : as for `full_factorial`.

    Raises
    ------
    DesignError
        If there is no such fraction, or neither or both of resolution and runs are given.

    References
    ----------
    Montgomery, D. C. (2013), Design and Analysis of Experiments, 8th ed., chapter 8.
    """
    names = [f.name for f in factors]
    if (resolution is None) == (runs is None):
        raise DesignError("a fraction: give either its resolution or its number of runs")
    if any(f.many_categories for f in factors):
        chosen = (
            smallest_design(factors, resolution)
            if resolution is not None
            else design_in_runs(factors, int(runs or 0))
        )
        if not chosen.p:
            return full_factorial(
                factors,
                replicates=replicates,
                centre_points=centre_points,
                blocks=blocks,
                seed=seed,
            )
        coded = coded_levels(factors, chosen.names, fraction_corners(chosen))
    else:
        chosen = (
            smallest_fraction(names, resolution)
            if resolution is not None
            else fraction(names, len(names) - _log2(int(runs or 0)))
        )
        coded = fraction_corners(chosen)
    cells = _randomised_cells(factors, coded, replicates, centre_points, blocks=blocks, seed=seed)
    return Design("fraction" if chosen.p else "full", tuple(factors), cells, chosen)


def design_of_fraction(
    chosen: Fraction,
    factors: Sequence[Factor],
    *,
    replicates: int = 1,
    centre_points: int = 0,
    seed: int = 0,
) -> Design:
    """Return the design, in random order, that `mixed_levels.design_within` chose.

    Parameters
    ----------
    chosen : full, a fraction, or a Plackett-Burman design.
    factors : those that it was chosen for; their levels may have been narrowed.
    replicates, centre_points, seed : as for `full_factorial`.

    Raises
    ------
    DesignError
        If a factor has no level for a centre point.
    """
    if isinstance(chosen, PlackettBurman):
        build = partial(plackett_burman, runs=chosen.n_runs)
    elif chosen.p:
        build = partial(fractional_factorial, runs=chosen.n_runs)
    else:
        build = partial(full_factorial)
    return build(factors, replicates=replicates, centre_points=centre_points, seed=seed)


def _log2(runs: int) -> int:
    power = runs.bit_length() - 1
    if runs < 1 or 2**power != runs:
        raise DesignError(f"{runs} runs: a regular fraction has a power of two: 8, 16, ...")
    return power


def plackett_burman(
    factors: Sequence[Factor],
    *,
    runs: int | None = None,
    replicates: int = 1,
    centre_points: int = 0,
    seed: int = 0,
) -> Design:
    """Return a Plackett-Burman design: main effects of up to N - 1 factors in N runs.

    Parameters
    ----------
    factors : 2 to 47 factors.
    runs : N, a multiple of 4 from 8 to 48; by default the smallest that has more columns than
        factors.
    replicates, centre_points, seed : as for `full_factorial`.

    Raises
    ------
    DesignError
        If there are too many factors for the runs, or no design has that number of runs.

    Notes
    -----
    Every main effect is partially aliased with every two-way interaction of other factors. The
    share is 1/3 in 12 runs and at most 1/3 in 24, 44 and 48. It is up to 0.6 in 20 runs, 0.71 in 28
    and 0.78 in 36. In 8, 16 and 32 runs the design is a regular fraction, and in 40 runs it is the
    one in 20 runs doubled: there main effects are wholly aliased with two-way interactions.

    References
    ----------
    Plackett, R. L. and Burman, J. P. (1946), Biometrika 33, 305-325. For 28, 36 and 44 runs, which
    pydoe does not make: Paley, R. E. A. C. (1933), Journal of Mathematics and Physics 12, 311-320.
    """
    k = len(factors)
    if many := [f.name for f in factors if f.many_categories]:
        raise DesignError(
            f"factor {many[0]}: a Plackett-Burman design has two levels of each factor; take a "
            "fraction, or two of its values"
        )
    n = runs or max(8, 4 * (k // 4 + 1))
    if n % 4 or not 8 <= n <= 48 or not 2 <= k < n:  # noqa: PLR2004 # what the docstring says
        raise DesignError(
            f"{count_of_factors(k)} in {n} runs: a Plackett-Burman design has a multiple of 4 "
            "runs, 8 to 48, and 2 or more factors, fewer than runs; change one of them"
        )
    coded = hadamard(n)[:, :k]
    cells = _randomised_cells(factors, coded, replicates, centre_points, seed=seed)
    chosen = regular_fraction([f.name for f in factors], coded)
    return Design("plackett-burman", tuple(factors), cells, chosen)


def fold_over(design: Design, *, on: Sequence[str] | None = None, seed: int = 0) -> Design:
    """Return a design with its fold-over, the same runs with changed signs, as a second block.

    Parameters
    ----------
    design : a two-level design; its centre points are not repeated.
    on : factors whose signs change. By default all (but categories of more than four values), which
        separates main effects from two-way interactions of factors of two levels; with one factor,
        its main effect and all its interactions are separated from other terms.
    seed : seed of the random order of the new runs.

    Raises
    ------
    DesignError
        If `on` names an unknown factor, or a category of more than four values.

    References
    ----------
    Montgomery (2013), section 8.6.3.
    """
    names = [f.name for f in design.factors]
    can_flip = [f.name for f in design.factors if len(f.levels) <= MOST_FLIPPED]
    flipped = list(can_flip if on is None else on)
    unknown = sorted(set(flipped).difference(names))
    if unknown:
        raise DesignError(
            f"fold-over on {unknown[0]}: no factor has that name; there are {', '.join(names)}"
        )
    if many := [name for name in flipped if name not in can_flip]:
        raise DesignError(
            f"fold-over on {many[0]}: it has more than {MOST_FLIPPED} values; take another factor"
        )
    mirror = design.cells[~design.cells["centre"]].copy()
    for factor in (f for f in design.factors if f.name in flipped):
        mirror[factor.name] = [flipped_level(factor, x) for x in mirror[factor.name]]
    mirror["block"] += design.cells["block"].max()
    mirror = mirror.iloc[np.random.default_rng(seed).permutation(len(mirror))]
    cells = pd.concat([design.cells, mirror], ignore_index=True)
    cells["run"] = range(1, len(cells) + 1)
    folded = replace(design, kind="fold-over", cells=cells)
    if design.fraction:
        columns = [c for f in design.factors if f.name in flipped for c in columns_of(f)]
        return replace(folded, fraction=design.fraction.folded(columns))
    return replace(folded, fraction=regular_fraction(names, folded.corner_levels))


def design_of_runs(runs: pd.DataFrame, factors: Sequence[Factor]) -> Design:
    """Return the two-level design that a table of runs follows.

    Parameters
    ----------
    runs : one row per run, in run order: the factors in natural units. Columns ``replicate`` and
        ``block`` are kept, blocks as numbers from 1; without them, each is 1.
    factors : k factors.

    Raises
    ------
    DesignError
        If a run is neither at two levels of the factors nor between the levels of every numeric
        factor (a centre point).
    """
    coded = np.column_stack([[f.code(level) for level in runs[f.name]] for f in factors])
    corner = (np.abs(coded) == 1).all(axis=1)
    centre = (np.abs(coded) < 1).all(axis=1)
    stray = ~(corner | centre)
    if stray.any():
        raise DesignError(
            f"row {int(np.flatnonzero(stray)[0]) + 1}: neither at the two levels of every factor "
            "nor a centre point; a fold-over needs a two-level design"
        )
    cells = pd.DataFrame({f.name: list(runs[f.name]) for f in factors})
    cells.insert(0, "run", range(1, len(cells) + 1))
    cells["replicate"] = list(runs["replicate"]) if "replicate" in runs else 1
    cells["centre"] = centre
    cells["block"] = pd.factorize(runs["block"], sort=True)[0] + 1 if "block" in runs else 1
    names = [f.name for f in factors]
    return Design("full", tuple(factors), cells, regular_fraction(names, coded[corner]))


def corners(k: int) -> Coded:
    """Return the 2^k corners (2^k, k) in standard order: the first factor changes fastest.

    pydoe's `ff2n` changes the last factor fastest, its `fullfact` the first.
    """
    return np.asarray(pydoe.ff2n(k), dtype=float)[:, ::-1]


def fraction_corners(chosen: Fraction) -> Coded:
    """Return the corners (N, k) of a fraction, in the standard order of its first factors."""
    base = len(chosen.names) - chosen.p
    coded = np.column_stack([corners(base), np.ones((2**base, chosen.p))])
    positions = {name: i for i, name in enumerate(chosen.names)}
    for column, name in enumerate(chosen.names[base:], start=base):
        word = next(w for w in chosen.words if name in w and len(w & set(chosen.names[base:])) == 1)
        coded[:, column] = np.prod([coded[:, positions[n]] for n in word - {name}], axis=0)
    return coded


def hadamard(n: int) -> Coded:
    """Return the n - 1 balanced columns of a Hadamard matrix (n, n - 1), n a multiple of 4.

    In 12, 20, 24 and 48 runs, the rows are those that Plackett and Burman (1946) print. pydoe
    doubles 12 runs and 24 for the latter two, which aliases main effects with interactions wholly.
    In 8, 16 and 32 runs, the signs are those of the principal fraction: one run is all high.
    """
    match n:
        case 12 | 20 | 24 | 44 | 48:
            columns = _paley_one(n - 1)
        case 28 | 36:
            columns = _paley_two(n // 2 - 1)
        case _:
            columns = np.asarray(pydoe.pbdesign(n - 1), dtype=float)[:, : n - 1]
            columns = columns * columns[-1]
    if not np.allclose(columns.T @ columns, n * np.eye(n - 1)):
        raise AssertionError(f"the columns of the design in {n} runs are not orthogonal")
    return columns


def _jacobsthal(q: int) -> Coded:
    """Return the quadratic characters of all differences modulo a prime, (q, q)."""
    squares = {i * i % q for i in range(1, q)}
    character = np.array([0] + [1 if i in squares else -1 for i in range(1, q)])
    return np.asarray(character[(np.arange(q)[:, None] - np.arange(q)) % q], dtype=float)


def _paley_one(q: int) -> Coded:
    """Return the design in q + 1 runs, q a prime of the form 4n + 3.

    Each of the first q rows is the row above it, shifted cyclically; the last one is all low.
    """
    return -np.vstack([_jacobsthal(q) - np.eye(q), np.ones(q)])


def _paley_two(q: int) -> Coded:
    """Return the design in 2 (q + 1) runs, q a prime of the form 4n + 1."""
    conference = np.ones((q + 1, q + 1))
    conference[0, 0] = 0
    conference[1:, 1:] = _jacobsthal(q)
    off_diagonal, diagonal = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
    matrix = np.kron(conference, off_diagonal) + np.kron(np.eye(q + 1), diagonal)
    return np.asarray((matrix * matrix[:, :1])[:, 1:])


def _randomised_cells(
    factors: Sequence[Factor],
    coded: Coded,
    replicates: int,
    centre_points: int,
    *,
    blocks: bool = False,
    seed: int,
) -> pd.DataFrame:
    """Return the runs of a two-level design, with replicates and centre points, in run order."""
    _check_counts(factors, replicates, centre_points)
    zeros = np.zeros((centre_points, len(factors)))
    parts = []
    for number in range(1, replicates + 1):
        part = _natural_levels(factors, coded, centre=False).assign(replicate=number)
        parts.append(part.assign(block=number if blocks else 1))
        if centre_points and (blocks or number == 1):
            centre = _natural_levels(factors, zeros, centre=True)
            centre["replicate"] = range(1, centre_points + 1)
            parts.append(centre.assign(block=number if blocks else 1))
    cells = _shuffled(pd.concat(parts, ignore_index=True), seed)
    return cells[["run", *(f.name for f in factors), "replicate", "centre", "block"]]


def _check_counts(factors: Sequence[Factor], replicates: int, centre_points: int) -> None:
    if replicates < 1 or centre_points < 0:
        raise DesignError(
            f"{replicates} replicates and {centre_points} centre points: give 1 or more replicates "
            "and 0 or more centre points"
        )
    check_names(factors)
    categorical = [f.name for f in factors if f.scale == "categorical"]
    if centre_points and categorical:
        raise DesignError(
            f"centre points: factor {categorical[0]} is categorical and has no middle; leave out "
            "the centre points or the factor"
        )


def check_names(factors: Sequence[Factor]) -> None:
    """Check that no two factors have the same name, and none that of a column of every design.

    Raises
    ------
    DesignError
        If two have, or one has.
    """
    names = [f.name for f in factors]
    if taken := [name for name in names if name in DESIGN_COLUMNS]:
        raise DesignError(
            f"factor {taken[0]}: every design has a column of that name; rename the factor"
        )
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise DesignError(f"factor {min(repeated)} is named twice; name each once")


def _natural_levels(factors: Sequence[Factor], coded: Coded, *, centre: bool) -> pd.DataFrame:
    columns = {f.name: [f.decode(x) for x in coded[:, i]] for i, f in enumerate(factors)}
    return pd.DataFrame({**columns, "centre": centre})


def _shuffled(cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the runs in random order within each block, numbered."""
    rng = np.random.default_rng(seed)
    parts = [part.iloc[rng.permutation(len(part))] for _, part in cells.groupby("block")]
    shuffled = pd.concat(parts, ignore_index=True)
    shuffled["run"] = range(1, len(shuffled) + 1)
    return shuffled
