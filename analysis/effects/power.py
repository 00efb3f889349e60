"""The smallest effect that a design will find: power, before any run is made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import ncf
from scipy.stats import t as student

from analysis.effects.fit import fit_effects
from analysis.effects.lenth import MAX_VARIATES, POWER_SETS, SEED, lenth_power
from analysis.effects.model_matrix import (
    block_columns,
    cell_numbers,
    code_levels,
)
from analysis.effects.result import Effects, fitted_columns
from analysis.effects.unequal_spread import UNEQUAL_P, cell_spreads
from analysis.factors import Factor

#: The usual chance with which an effect is to be found.
POWER = 0.8
#: No design needs an effect of more standard errors than this.
LARGEST_RATIO = 1e4


@dataclass(frozen=True)
class DetectableEffect:
    """The smallest effect that a design finds with a given power.

    Attributes
    ----------
    size : in standard deviations between runs of one cell; infinite if no test is possible.
    test : the test that will judge: ``pooled``, ``lenth`` or ``none``.
    error_df : its degrees of freedom of the error.
    power : the chance that an effect of this size is called active.
    """

    size: float
    test: str
    error_df: int
    power: float = POWER


def smallest_effect(
    cells: pd.DataFrame,
    factors: Sequence[Factor],
    *,
    alpha: float = 0.05,
    power: float = POWER,
    block: str | None = None,
) -> DetectableEffect:
    """Return the smallest effect that will be called active with a given chance.

    Parameters
    ----------
    cells : one row per planned run: the factors, in natural units; a balanced two-level design,
        with or without centre points.
    factors : of the design.
    alpha : significance level of the test of one effect.
    power : the chance, between 0 and 1.
    block : a column of `cells` whose values are blocks.

    Notes
    -----
    The effect of a balanced design of N corner runs has the standard error 2 s / sqrt(N). A t-test
    has the power of the noncentral t distribution: Montgomery (2013), section 2.4 and chapter 6.
    Lenth's method has no such formula, so its power is simulated with all other effects zero. If
    runs of the same cell show whether the spread of the cells is equal, the power is simulated for
    cells of equal spread, some of which do not look so.
    """
    # A fit of noise shows which test the runs allow, and its degrees of freedom.
    noise = np.random.default_rng(1).standard_normal(len(cells))
    effects = fit_effects(
        cells.assign(**{"(noise)": noise}),
        factors,
        "(noise)",
        alpha=alpha,
        equal_spread=True,
        block=block,
    )
    verdict = effects.verdict
    corners = sum(
        all(row[f.name] in f.levels or not f.applies(row) for f in factors)
        for row in cells.to_dict("records")
    )
    error = 2 / math.sqrt(corners)
    match verdict.test:
        case "pooled" | "welch":
            chance = _welch_power(effects, alpha, block) or t_power(verdict.error_df, alpha)
        case "lenth":
            chance = lenth_power(len(verdict.scores), alpha)
        case "none":
            return DetectableEffect(math.inf, "none", verdict.error_df, power)
    ratio = smallest_ratio(chance, power)
    return DetectableEffect(ratio * error, verdict.test, verdict.error_df, power)


def smallest_ratio(chance: Callable[[float], float], power: float) -> float:
    """Return how many standard errors an effect needs, so that a test finds it with a power."""
    return float(brentq(lambda ratio: chance(ratio) - power, 0, LARGEST_RATIO, xtol=1e-3))


def _welch_power(
    effects: Effects, alpha: float, block: str | None
) -> Callable[[float], float] | None:
    """Return the power if runs of the same cell show whether their spread is equal, else None."""
    x, blocks = fitted_columns(effects), None
    if block:
        columns = block_columns(effects.runs[block], about="mean")
        x, blocks = pd.concat([x, columns], axis=1), columns.to_numpy(dtype=float)
    matrix = x.to_numpy(dtype=float)
    sets = min(POWER_SETS, MAX_VARIATES // len(matrix))
    y = np.random.default_rng(SEED).standard_normal((sets, len(matrix)))
    cells = cell_numbers(code_levels(effects.runs, effects.factors))
    spreads = cell_spreads(matrix, y, cells, blocks)
    if spreads is None:
        return None
    inverse = np.linalg.inv(matrix.T @ matrix)
    found = y @ matrix @ inverse
    own = float(np.sqrt(inverse[1, 1]))
    df = effects.residual_df
    error = np.sqrt(((y - found @ matrix.T) ** 2).sum(axis=1) / df) * own
    unequal = spreads.p < UNEQUAL_P
    limits = student.ppf(1 - alpha / 2, np.where(unequal, spreads.df[:, 1], df))
    limits = limits * np.where(unequal, spreads.std_error[:, 1], error) / own
    return lambda ratio: float(np.mean(np.abs(found[:, 1] / own + ratio) > limits))


def t_power(df: int, alpha: float) -> Callable[[float], float]:
    """Return the power of a two-sided t-test for an effect of a number of standard errors."""
    limit = float(student.ppf(1 - alpha / 2, df))
    # The square of a noncentral t is a noncentral F, whose tail SciPy knows at every distance.
    return lambda ratio: float(ncf.sf(limit**2, 1, df, ratio**2))
