"""Dispersion: whether figures scatter more at one level of a factor than at the other."""

import numpy as np
import pandas as pd

from analysis.effects.result import Effects


def dispersion(effects: Effects) -> pd.DataFrame:
    """Compare the spread of the residuals at each factor's levels.

    Parameters
    ----------
    effects : a model that leaves something to the residual.

    Returns
    -------
    A row a factor: ``sd_low``, ``sd_high`` (standard deviations of the residuals, in units of the
    response) and ``log_ratio``, the logarithm of the variances' ratio, high over low. About normal
    with standard deviation 2 / sqrt(N / 2 - 1) where nothing is going on.

    References
    ----------
    Box, G. E. P. and Meyer, R. D. (1986), Dispersion effects from fractional designs,
    Technometrics 28, 19-27; Montgomery (2013), example 8.4.
    """
    residual = effects.runs["residual"]
    rows = {}
    for factor in effects.factors:
        low, high = (residual[effects.runs[factor.name] == level].std() for level in factor.levels)
        ratio = 2 * np.log(high / low) if low > 0 and high > 0 else np.nan
        rows[factor.name] = {"sd_low": low, "sd_high": high, "log_ratio": ratio}
    return pd.DataFrame(rows).T.rename_axis("factor")
