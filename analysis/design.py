"""Designs: which cells to run, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import DesignError
from analysis.factors import Factor

MAX_FACTORS = 7


@dataclass(frozen=True)
class Design:
    """A design in run order.

    Attributes
    ----------
    factors : k factors.
    cells : a row a run: ``run`` (1 to N), a column a factor (natural units), ``replicate``, and
        ``centre``, whether it is a centre point.
    """

    factors: tuple[Factor, ...]
    cells: pd.DataFrame


def full_factorial(
    factors: Sequence[Factor], *, replicates: int = 1, centre_points: int = 0, seed: int = 0
) -> Design:
    """Return the full 2^k design with replicates and centre points, in random order.

    Parameters
    ----------
    factors : 1 to 7 of them.
    replicates : runs a cell.
    centre_points : runs at the coded zero.
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
        raise DesignError(f"{k} factors: a full two-level design takes 1 to {MAX_FACTORS}")
    rows = [
        _row(factors, coded, replicate, centre=False)
        for replicate in range(1, replicates + 1)
        for coded in _corners(k)
    ]
    if centre_points:
        names = [f.name for f in factors if f.scale == "categorical"]
        if names:
            raise DesignError(f"centre points: factor {names[0]} is categorical and has no middle")
        zero = [0.0] * k
        rows += [_row(factors, zero, n, centre=True) for n in range(1, centre_points + 1)]
    order = np.random.default_rng(seed).permutation(len(rows))
    cells = pd.DataFrame([rows[i] for i in order])
    cells.insert(0, "run", range(1, len(rows) + 1))
    return Design(tuple(factors), cells)


def _corners(k: int) -> list[list[float]]:
    """Return the 2^k corners in standard order: the first factor changes fastest."""
    return [[1.0 if corner >> bit & 1 else -1.0 for bit in range(k)] for corner in range(2**k)]


def _row(
    factors: Sequence[Factor], coded: Sequence[float], replicate: int, *, centre: bool
) -> dict[str, object]:
    levels = {
        f.name: f.decode(x) if centre else f.levels[int(x > 0)]
        for f, x in zip(factors, coded, strict=True)
    }
    return {**levels, "replicate": replicate, "centre": centre}
