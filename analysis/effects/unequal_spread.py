"""Tests of effects where the runs of some cells scatter more than those of others."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: The spread of cells is taken to be unequal below this p-value. It is large, because a missed
#: difference costs more false alarms than a needless Welch test costs power: chosen on cells that
#: scatter 2, 3 and 5 times as much as the others, of 2^3 with 2 and 3 replicates.
UNEQUAL_P = 0.5
#: Fewer degrees of freedom from runs of the same cell show nothing about the spread of cells.
FEWEST_DF = 3
#: Simulated sets of variances, and their seed.
SETS, SEED = 20_000, 1938


@dataclass(frozen=True)
class CellSpreads:
    """Standard errors from the spread of each cell, of one experiment or of many (...).

    Attributes
    ----------
    p : (...), p-value of equal spread in all cells.
    std_error : (..., p) of the coefficients.
    df : (..., p) their approximate degrees of freedom, at most those of equal spread.
    """

    p: Array
    std_error: Array
    df: Array


def cell_spreads(
    x: Array, y: Array, cells: NDArray[Any], blocks: Array | None = None
) -> CellSpreads | None:
    """Return the standard errors of least-squares coefficients without equal spread of cells.

    Parameters
    ----------
    x : (N, p) columns of the model, linearly independent.
    y : (..., N) responses.
    cells : (N,) number of the cell of each run, from 0.
    blocks : (N, b) columns of the blocks, which have no effect on the spread; None without blocks.

    Returns
    -------
    None if fewer than half of the cells that the effects are of were run twice.

    Notes
    -----
    The variance of a coefficient is the sum over runs of its squared weight times the variance of
    the run's cell, estimated from the runs of that cell; a cell with one run has the pooled
    variance. The degrees of freedom are Satterthwaite's. In a balanced design this is Welch's
    test. The statistic of the test of equal spread is the sum of squared variances over the square
    of their sum; its p-value is simulated for normal responses.

    References
    ----------
    Welch, B. L. (1938), Biometrika 29, 350-362, and (1951), Biometrika 38, 330-336; Satterthwaite,
    F. E. (1946), Biometrics Bulletin 2, 110-114.
    """
    counts = np.bincount(cells)
    own = np.eye(len(counts))[cells]
    weights = ((np.linalg.inv(x.T @ x) @ x.T) ** 2) @ own
    effects = weights[1:].max(axis=0) > 1e-12 * weights.max()
    replicated = (counts > 1) & effects
    df = (counts - 1)[replicated]
    if 2 * replicated.sum() < effects.sum() or df.sum() < FEWEST_DF or len(df) < 2:  # noqa: PLR2004 # to compare
        return None
    saturated = own if blocks is None else np.hstack([own, blocks])
    residual = y - y @ saturated @ np.linalg.pinv(saturated)
    error_df = len(x) - np.linalg.matrix_rank(saturated)
    # Blocks take degrees of freedom from all cells alike.
    share = error_df / (counts - 1).sum()
    if error_df < FEWEST_DF:
        return None
    variances = (residual**2 @ own)[..., replicated] / df / share
    single = weights[:, effects & ~replicated].sum(axis=1, keepdims=True)
    weights = weights[:, replicated] + single * df / df.sum()
    squares = variances @ weights.T
    parts = (variances**2 / df) @ (weights**2).T
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.clip(share * squares**2 / parts, 1, error_df)
        ratio = (variances**2).sum(axis=-1) / variances.sum(axis=-1) ** 2
    null = _ratios_of_equal_spread(tuple(int(n) for n in df))
    p = 1 - np.searchsorted(null, ratio) / len(null)
    return CellSpreads(np.asarray(p), np.sqrt(squares), found)


@lru_cache(maxsize=256)
def _ratios_of_equal_spread(df: tuple[int, ...]) -> Array:
    """Return simulated values of the statistic if all cells have the same spread, sorted."""
    rng = np.random.default_rng([SEED, *df])
    variances = rng.chisquare(df, (SETS, len(df))) / np.array(df)
    return np.sort((variances**2).sum(axis=1) / variances.sum(axis=1) ** 2)
