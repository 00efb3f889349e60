"""Lenth's method: judging the effects of an experiment without replicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import t as student

SIMULATIONS = 200_000
SEED = 1989


@dataclass(frozen=True)
class Lenth:
    """Margins for effects, on the scale of the effects.

    Attributes
    ----------
    m : effects judged.
    pse : pseudo standard error.
    me, sme : margin of error, simultaneous margin, by the simulated reference distribution.
    me_t, sme_t : the same by Lenth's t(m/3) approximation, which is too wide.
    """

    m: int
    alpha: float
    pse: float
    me: float
    sme: float
    me_t: float
    sme_t: float


def lenth(effects: Sequence[float], *, alpha: float = 0.05) -> Lenth:
    """Return the margins.

    Parameters
    ----------
    effects : (m,) of a two-level design, all of equal variance.
    alpha : of the margin of error for one effect, and of the simultaneous one for all.

    References
    ----------
    Lenth, R. V. (1989), Quick and easy analysis of unreplicated factorials,
    Technometrics 31, 469-473. The simulated multipliers: Loughin (1998), Journal of Quality
    Technology 30, 171-190.
    """
    values = np.abs(np.asarray(effects, dtype=float))
    m = len(values)
    pse = float(_pse(values[None, :])[0])
    single, simultaneous = multipliers(m, alpha)
    gamma = 0.5 * (1 + (1 - alpha) ** (1 / m))
    me_t = float(student.ppf(1 - alpha / 2, m / 3)) * pse
    sme_t = float(student.ppf(gamma, m / 3)) * pse
    return Lenth(m, alpha, pse, single * pse, simultaneous * pse, me_t, sme_t)


def _pse(
    values: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    s0 = 1.5 * np.median(values, axis=1, keepdims=True)
    trimmed = np.where(values < 2.5 * s0, values, np.nan)
    return np.asarray(1.5 * np.nanmedian(trimmed, axis=1))


@lru_cache(maxsize=64)
def multipliers(m: int, alpha: float) -> tuple[float, float]:
    """Return the multipliers of the margin and of the simultaneous margin, by simulation.

    ``SIMULATIONS`` sets of m standard normals, each divided by its own pseudo standard error.
    """
    rng = np.random.default_rng([SEED, m])
    sets = np.abs(rng.standard_normal((SIMULATIONS, m)))
    ratios = sets / _pse(sets)[:, None]
    single = float(np.quantile(ratios, 1 - alpha))
    return single, float(np.quantile(ratios.max(axis=1), 1 - alpha))
