"""Dispersion: whether responses vary more at one level of a factor than at the other."""

import numpy as np
import pandas as pd

from analysis.effects.least_squares import RESIDUAL
from analysis.effects.result import Effects
from analysis.errors import DesignError


def dispersion(effects: Effects) -> pd.DataFrame:
    """Compare the spread of the residuals at each factor's levels.

    Parameters
    ----------
    effects : a model with a residual.

    Returns
    -------
    One row per factor, of three or more categories one per value but the first, which counts as
    low: ``sd_low``, ``sd_high`` (standard deviations of the residuals, in units of
    the response) and ``log_ratio``, the logarithm of the ratio of the variances, high over low. If
    the factor has no effect on the spread, it is about normal with standard deviation
    2 / sqrt(N / 2 - 1).

    Raises
    ------
    DesignError
        If the model fits every run exactly.

    References
    ----------
    Box, G. E. P. and Meyer, R. D. (1986), Dispersion effects from fractional designs,
    Technometrics 28, 19-27; Montgomery (2013), example 8.4.
    """
    if effects.terms["std_error"].isna().all():
        raise DesignError(
            "dispersion: the model fits every run exactly and leaves no residual; fit fewer terms, "
            "or run every cell again with another seed"
        )
    residual = effects.runs[RESIDUAL]
    rows = {}
    for factor in effects.factors:
        at = effects.runs[factor.name]
        low = residual[at == factor.low].std()
        for column, level in zip(factor.columns, factor.levels[1:], strict=True):
            high = residual[at == level].std()
            ratio = 2 * np.log(high / low) if low > 0 and high > 0 else np.nan
            rows[column] = {"sd_low": low, "sd_high": high, "log_ratio": ratio}
    return pd.DataFrame(rows).T.rename_axis("factor")


def dispersion_as_text(table: pd.DataFrame) -> str:
    """Return the table of `dispersion` with how to read it, for a terminal."""
    return (
        "Dispersion: standard deviation of the residuals at each factor's levels\n"
        f"{table.to_string(float_format=lambda x: f'{x:.4g}', na_rep='-')}\n"
        "log_ratio is the logarithm of the ratio of the variances, high over low."
    )


def dispersion_as_json(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return the table of `dispersion` as plain JSON types, by factor; NaN is null."""
    return {
        str(name): {str(k): float(v) if np.isfinite(v) else None for k, v in row.items()}
        for name, row in table.iterrows()
    }
