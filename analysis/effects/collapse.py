"""How often training collapsed at each level of a factor: exact counts, intervals and tests."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import beta, fisher_exact

from analysis.effects.model_matrix import runs_that_count
from analysis.factors import Factor


def collapse_by_level(
    runs: pd.DataFrame, factors: Sequence[Factor], alpha: float
) -> tuple[pd.DataFrame, "pd.Series[float]"]:
    """Count the collapsed runs at each level, and compare the levels of each factor.

    Parameters
    ----------
    runs : one row per run: factors in natural units, and ``collapsed``.
    factors : k factors.
    alpha : 1 minus the confidence of the intervals.

    Returns
    -------
    One row per factor and level: ``factor``, ``level``, ``collapsed``, ``runs``, and ``low`` and
    ``high``, the exact interval of the chance of collapse (Clopper and Pearson); and by factor the
    two-sided p-value of Fisher's exact test that the chance is the same at all of its levels; of
    three or more levels, the smallest p of one level against the others, times their number.

    Notes
    -----
    Fisher's test is exact for any number of runs. In a balanced design it is conservative for a
    factor without an effect if another one causes the collapses, because both of its levels have
    the same number of runs at each level of the other factor.

    References
    ----------
    Fisher, R. A. (1935), Journal of the Royal Statistical Society 98, 39-82; Clopper, C. J. and
    Pearson, E. S. (1934), Biometrika 26, 404-413.
    """
    collapsed = runs["collapsed"].astype(bool)
    rows, p = [], {}
    for factor in factors:
        counts = runs_that_count(factor, runs)
        own = [(level, collapsed[counts & runs[factor.name].eq(level)]) for level in factor.levels]
        for level, at in own:
            low, high = _exact_interval(int(at.sum()), len(at), alpha)
            rows.append((factor.name, level, int(at.sum()), len(at), low, high))
        p[factor.name] = _p_of_equal_chances([(int(at.sum()), len(at)) for _, at in own])
    columns = ["factor", "level", "collapsed", "runs", "low", "high"]
    return pd.DataFrame(rows, columns=columns), pd.Series(p, dtype=float)


def _exact_interval(count: int, n: int, alpha: float) -> tuple[float, float]:
    low = float(beta.ppf(alpha / 2, count, n - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - alpha / 2, count + 1, n - count)) if count < n else 1.0
    return low, high


def _p_of_equal_chances(counts: Sequence[tuple[int, int]]) -> float:
    """Return p from the numbers of collapsed runs and of all runs at each level."""
    total = np.sum(counts, axis=0)
    tables = []
    for at, n in counts:
        rest, others = int(total[0]) - at, int(total[1]) - n
        tables.append([[at, n - at], [rest, others - rest]])
    if len(counts) == 2:  # noqa: PLR2004 # the second table is the first one, turned
        tables = tables[:1]
    return min(1.0, len(tables) * min(float(fisher_exact(table).pvalue) for table in tables))
