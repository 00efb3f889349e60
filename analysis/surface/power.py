"""The smallest main effect that a second-order design will find."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.effects.model_matrix import code_levels
from analysis.effects.power import POWER, DetectableEffect, smallest_ratio, t_power
from analysis.factors import Factor
from analysis.surface.fit import largest_model, surface_matrix


def smallest_surface_effect(
    cells: pd.DataFrame, factors: Sequence[Factor], *, alpha: float = 0.05, power: float = POWER
) -> DetectableEffect:
    """Return the smallest main effect that a t-test of a surface finds with a given chance.

    Parameters
    ----------
    cells : one row per planned run: the factors, in natural units.
    factors : of the design.
    alpha : significance level of the test of one effect.
    power : the chance, between 0 and 1.

    Notes
    -----
    The effect is the difference between the coded levels -1 and +1, twice the coefficient, of the
    factor whose effect has the largest standard error; the model is the one that `fit_surface`
    takes by itself. The power is that of the noncentral t distribution: Montgomery (2013), section
    2.4.
    """
    levels = code_levels(cells, factors)
    matrix = surface_matrix(levels, largest_model(levels))
    df = len(matrix) - matrix.shape[1]
    if df < 1:
        return DetectableEffect(math.inf, "none", df, power)
    x = matrix.to_numpy(dtype=float)
    main = matrix.columns.isin(levels.columns)
    error = 2 * math.sqrt(np.diag(np.linalg.inv(x.T @ x))[main].max())
    ratio = smallest_ratio(t_power(df, alpha), power)
    return DetectableEffect(ratio * error, "pooled", df, power)
