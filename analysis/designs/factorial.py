"""Designs: which cells to run, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pydoe
from numpy.typing import NDArray

from analysis.designs.fractions import Fraction, fraction, smallest_fraction
from analysis.errors import DesignError
from analysis.factors import Factor

MAX_FACTORS = 7
Coded = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """A design in run order.

    Attributes
    ----------
    factors : k factors.
    cells : a row a run: ``run`` (1 to N), a column a factor (natural units), ``replicate``,
        ``centre``, whether it is a centre point, and ``block`` (1, 2, ...; 1 throughout without).
    fraction : its defining relation; None where it has none (Plackett-Burman).
    """

    factors: tuple[Factor, ...]
    cells: pd.DataFrame
    fraction: Fraction | None = None


def full_factorial(
    factors: Sequence[Factor],
    *,
    replicates: int = 1,
    centre_points: int = 0,
    blocks: bool = False,
    seed: int = 0,
) -> Design:
    """Return the full 2^k design with replicates and centre points, in random order.

    Parameters
    ----------
    factors : 1 to 7 of them.
    replicates : runs a cell.
    centre_points : runs at the coded zero, in each block where replicates are blocks.
    blocks : whether each replicate is a block, a seed shared by all its cells for one; the order is
        then random within each.
    seed : of the order.

    Raises
    ------
    DesignError
        If there are too many factors, or a centre point has no meaning.

    References
    ----------
    Box, Hunter and Hunter (2005), Statistics for Experimenters, 2nd ed., chapter 5.
    """
    k = len(factors)
    if not 1 <= k <= MAX_FACTORS:
        raise DesignError(
            f"{k} factors: a full two-level design takes 1 to {MAX_FACTORS}; take a fraction, or a "
            "Plackett-Burman design"
        )
    names = [f.name for f in factors]
    return _design(
        factors, corners(k), replicates, centre_points, fraction(names, 0), blocks=blocks, seed=seed
    )


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
    factors : 3 to 15 of them.
    resolution : the least; the smallest fraction that reaches it is taken.
    runs : of one replicate, a power of two; instead of the resolution.
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
    if resolution is not None:
        chosen = smallest_fraction(names, resolution)
    else:
        chosen = fraction(names, len(names) - _log2(int(runs or 0)))
    coded = fraction_corners(chosen)
    return _design(factors, coded, replicates, centre_points, chosen, blocks=blocks, seed=seed)


def _log2(runs: int) -> int:
    power = runs.bit_length() - 1
    if runs < 1 or 2**power != runs:
        raise DesignError(f"{runs} runs: a regular fraction has a power of two of them: 8, 16, ...")
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
    factors : 2 to 47 of them.
    runs : N, a multiple of 4 from 8 to 48; by default the smallest that leaves a column or more
        over.
    replicates, centre_points, seed : as for `full_factorial`.

    Raises
    ------
    DesignError
        If there are too many factors for the runs, or no such design.

    Notes
    -----
    Every main effect holds a share (1/3 in 12 runs) of every two-way interaction of the others;
    where N is a power of two the design is a regular fraction, and one holds all of it.

    References
    ----------
    Plackett, R. L. and Burman, J. P. (1946), Biometrika 33, 305-325. For 28, 36 and 44 runs, which
    pydoe does not make: Paley, R. E. A. C. (1933), Journal of Mathematics and Physics 12, 311-320.
    """
    k = len(factors)
    n = runs or max(8, 4 * (k // 4 + 1))
    if n % 4 or not 8 <= n <= 48 or k >= n:  # noqa: PLR2004 # what the docstring says
        raise DesignError(
            f"{k} factors in {n} runs: a Plackett-Burman design has a multiple of 4 runs, 8 to 48, "
            "and fewer factors than runs"
        )
    return _design(factors, _hadamard(n)[:, :k], replicates, centre_points, None, seed=seed)


def fold_over(design: Design, *, on: Sequence[str] | None = None, seed: int = 0) -> Design:
    """Add the mirror image of a design, as a second block.

    Parameters
    ----------
    design : at two levels; its centre points are not repeated.
    on : factors whose signs change; all of them by default, which frees main effects from two-way
        interactions; one alone frees its main effect and all its interactions.
    seed : of the new runs' order.

    Raises
    ------
    DesignError
        If there is no such factor.

    References
    ----------
    Montgomery (2013), section 8.6.3.
    """
    names = [f.name for f in design.factors]
    flipped = list(names if on is None else on)
    unknown = sorted(set(flipped).difference(names))
    if unknown:
        raise DesignError(f"fold-over on {unknown[0]}: no factor; there are {', '.join(names)}")
    mirror = design.cells[~design.cells["centre"]].copy()
    for factor in (f for f in design.factors if f.name in flipped):
        mirror[factor.name] = [factor.decode(-factor.code(x)) for x in mirror[factor.name]]
    mirror["block"] += design.cells["block"].max()
    mirror = mirror.iloc[np.random.default_rng(seed).permutation(len(mirror))]
    cells = pd.concat([design.cells, mirror], ignore_index=True)
    cells["run"] = range(1, len(cells) + 1)
    return replace(
        design, cells=cells, fraction=design.fraction and design.fraction.folded(flipped)
    )


def corners(k: int) -> Coded:
    """Return the 2^k corners (2^k, k) in standard order: the first factor changes fastest.

    pydoe's `ff2n` changes the last one fastest, its `fullfact` the first.
    """
    return np.asarray(pydoe.ff2n(k), dtype=float)[:, ::-1]


def fraction_corners(chosen: Fraction) -> Coded:
    """Return the corners (N, k) of a fraction, in the standard order of its first factors."""
    base = len(chosen.names) - chosen.p
    coded = np.column_stack([corners(base), np.ones((2**base, chosen.p))])
    places = {name: i for i, name in enumerate(chosen.names)}
    for column, name in enumerate(chosen.names[base:], start=base):
        word = next(w for w in chosen.words if name in w and len(w & set(chosen.names[base:])) == 1)
        coded[:, column] = np.prod([coded[:, places[n]] for n in word - {name}], axis=0)
    return coded


def _hadamard(n: int) -> Coded:
    """Return the n - 1 balanced columns of a Hadamard matrix (n, n - 1)."""
    match n:
        case 44:
            columns = _paley_one(43)
        case 28 | 36:
            columns = _paley_two(n // 2 - 1)
        case _:
            columns = np.asarray(pydoe.pbdesign(n - 1), dtype=float)[:, : n - 1]
    if not np.allclose(columns.T @ columns, n * np.eye(n - 1)):
        raise AssertionError(f"the columns of the design in {n} runs are not orthogonal")
    return columns


def _jacobsthal(q: int) -> Coded:
    """Return the quadratic characters of all differences modulo a prime, (q, q)."""
    squares = {i * i % q for i in range(1, q)}
    character = np.array([0] + [1 if i in squares else -1 for i in range(1, q)])
    return np.asarray(character[(np.arange(q)[:, None] - np.arange(q)) % q], dtype=float)


def _paley_one(q: int) -> Coded:
    """Return the design in q + 1 runs, q a prime of the form 4n + 3."""
    return np.vstack([np.ones(q), _jacobsthal(q) - np.eye(q)])


def _paley_two(q: int) -> Coded:
    """Return the design in 2 (q + 1) runs, q a prime of the form 4n + 1."""
    conference = np.ones((q + 1, q + 1))
    conference[0, 0] = 0
    conference[1:, 1:] = _jacobsthal(q)
    one, two = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
    whole = np.kron(conference, one) + np.kron(np.eye(q + 1), two)
    return np.asarray((whole * whole[:, :1])[:, 1:])


def _design(
    factors: Sequence[Factor],
    coded: Coded,
    replicates: int,
    centre_points: int,
    chosen: Fraction | None,
    *,
    blocks: bool = False,
    seed: int,
) -> Design:
    _check_counts(factors, replicates, centre_points)
    zero = [[0.0] * len(factors)] * centre_points
    parts = []
    for number in range(1, replicates + 1):
        part = _rows(factors, coded, centre=False).assign(replicate=number)
        parts.append(part.assign(block=number if blocks else 1))
        if centre_points and (blocks or number == 1):
            middle = _rows(factors, np.array(zero), centre=True)
            middle["replicate"] = range(1, centre_points + 1)
            parts.append(middle.assign(block=number if blocks else 1))
    cells = _shuffled(pd.concat(parts, ignore_index=True), seed)
    names = [f.name for f in factors]
    columns = ["run", *names, "replicate", "centre", "block"]
    return Design(tuple(factors), cells[columns], chosen)


def _check_counts(factors: Sequence[Factor], replicates: int, centre_points: int) -> None:
    if replicates < 1 or centre_points < 0:
        raise DesignError(
            f"{replicates} replicates and {centre_points} centre points: give 1 or more, and 0 or "
            "more"
        )
    names = [f.name for f in factors]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DesignError(f"factor {min(twice)} is named twice; name each once")
    middles = [f.name for f in factors if f.scale == "categorical"]
    if centre_points and middles:
        raise DesignError(f"centre points: factor {middles[0]} is categorical and has no middle")


def _rows(factors: Sequence[Factor], coded: Coded, *, centre: bool) -> pd.DataFrame:
    columns = {f.name: [f.decode(x) for x in coded[:, i]] for i, f in enumerate(factors)}
    return pd.DataFrame({**columns, "centre": centre})


def _shuffled(cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the runs in random order within each block, numbered."""
    rng = np.random.default_rng(seed)
    parts = [part.iloc[rng.permutation(len(part))] for _, part in cells.groupby("block")]
    shuffled = pd.concat(parts, ignore_index=True)
    shuffled["run"] = range(1, len(shuffled) + 1)
    return shuffled
