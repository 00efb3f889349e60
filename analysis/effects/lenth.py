"""Lenth's method: judging the effects of an unreplicated experiment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.effects.lenth_table import TABLE
from analysis.errors import AnalysisError

#: Lenth's method needs the median of at least this many effects.
FEWEST_EFFECTS = 3
#: Simulated if the table has no multiplier: at most this many sets of effects, and at most this
#: many normal variates in all.
MAX_SIMULATED_SETS = 200_000
MAX_VARIATES = 4_000_000
SEED = 1989
#: Simulated sets of effects for a power, fewer for many effects: its standard error is below 0.4 %
#: for up to 200 effects, and below 1 % for 1,000.
POWER_SETS = 20_000


@dataclass(frozen=True)
class Lenth:
    """Margins for effects, on the scale of the effects.

    Attributes
    ----------
    m : number of effects judged.
    alpha : of the margins.
    pse : pseudo standard error.
    me, sme : margin of error and simultaneous margin, by the simulated reference distribution.
    me_t, sme_t : the same by Lenth's t(m/3) approximation, which is too wide.
    """

    m: int
    alpha: float
    pse: float
    me: float
    sme: float
    me_t: float
    sme_t: float


def lenth(
    effects: Sequence[float], *, alpha: float = 0.05, correlation: NDArray[np.float64] | None = None
) -> Lenth:
    """Return the margins.

    Parameters
    ----------
    effects : (m,) effects of a two-level design, all of equal variance.
    alpha : of the margin of error for one effect, and of the simultaneous margin for all.
    correlation : correlation (m, m) of the effects, if cells are missing; the reference
        distribution is then simulated for it. By default the effects are independent.

    Raises
    ------
    AnalysisError
        If there are fewer than three effects.

    Notes
    -----
    The share of zero effects that the margin of error calls active is alpha if all effects are
    zero, and less if some are not; the simultaneous margin bounds the probability of any such call
    by alpha. Both assume that most effects are zero: if more than half are not, the pseudo standard
    error measures effects, and nothing is called active. The error rates of the t(m/3) margins are
    2.0 % (m = 7), 2.9 % (15) and 3.8 % (31) instead of the nominal 5 %.

    References
    ----------
    Lenth, R. V. (1989), Quick and easy analysis of unreplicated factorials,
    Technometrics 31, 469-473. The simulated multipliers: Loughin (1998), Journal of Quality
    Technology 30, 171-190; Edwards and Mee (2008), Journal of Quality Technology 40, 393-402.
    """
    values = np.abs(np.asarray(effects, dtype=float))
    m = len(values)
    if m < FEWEST_EFFECTS:
        raise AnalysisError(
            f"{m} effects: Lenth's method needs {FEWEST_EFFECTS} or more; replicate the runs"
        )
    pse = float(_pse(values[None, :])[0])
    single, simultaneous = (
        multipliers(m, alpha) if correlation is None else correlated_multipliers(correlation, alpha)
    )
    gamma = 0.5 * (1 + (1 - alpha) ** (1 / m))
    me_t = float(student.ppf(1 - alpha / 2, m / 3)) * pse
    sme_t = float(student.ppf(gamma, m / 3)) * pse
    return Lenth(m, alpha, pse, single * pse, simultaneous * pse, me_t, sme_t)


def _pse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pseudo standard error of each row of sizes (S, m) -> (S,)."""
    s0 = 1.5 * np.median(values, axis=1, keepdims=True)
    trimmed = values < 2.5 * s0
    # If s0 is zero, more than half of the effects are, and so is the pseudo standard error.
    trimmed |= s0 == 0
    counts = trimmed.sum(axis=1)
    ordered = np.sort(np.where(trimmed, values, np.inf), axis=1)
    rows = np.arange(len(values))
    middle = ordered[rows, (counts - 1) // 2] + ordered[rows, counts // 2]
    # 1.5 times the median, which is the mean of two middle values: 0.75 times their sum.
    return np.asarray(0.75 * middle)


def multipliers(m: int, alpha: float) -> tuple[float, float]:
    """Return the multipliers of the margin of error and of the simultaneous margin.

    From `analysis.effects.lenth_table` if it has them, else by simulation with a fixed seed: sets
    of m standard normal variates, each set divided by its pseudo standard error; the 1 - alpha
    quantile of all sizes, and that of the largest size of each set.
    """
    return TABLE.get((m, alpha)) or simulate(m, alpha)


def lenth_power(m: int, alpha: float) -> Callable[[float], float]:
    """Return the power of the margin of error, if one of m effects is not zero.

    Returns
    -------
    A function from the size of that effect, in standard errors, to the chance that it is called
    active; simulated with a fixed seed.
    """
    multiplier, _ = multipliers(m, alpha)
    sets = min(POWER_SETS, MAX_VARIATES // m)
    noise = np.random.default_rng([SEED, m]).standard_normal((sets, m))

    def power(ratio: float) -> float:
        effects = noise.copy()
        effects[:, 0] += ratio
        sizes = np.abs(effects)
        return float(np.mean(sizes[:, 0] > multiplier * _pse(sizes)))

    return power


@lru_cache(maxsize=64)
def simulate(m: int, alpha: float, sets: int | None = None) -> tuple[float, float]:
    """Return the multipliers by simulation, in about 0.3 s."""
    rng = np.random.default_rng([SEED, m])
    size = (sets or min(MAX_SIMULATED_SETS, MAX_VARIATES // m), m)
    return _margin_quantiles(np.abs(rng.standard_normal(size)), alpha)


def correlated_multipliers(correlation: NDArray[np.float64], alpha: float) -> tuple[float, float]:
    """Return the multipliers for correlated effects, (m, m) -> two numbers."""
    rounded = np.round(correlation, 9)
    return _simulate_correlated(rounded.tobytes(), len(rounded), alpha)


@lru_cache(maxsize=64)
def _simulate_correlated(content: bytes, m: int, alpha: float) -> tuple[float, float]:
    values, vectors = np.linalg.eigh(np.frombuffer(content).reshape(m, m))
    root = vectors * np.sqrt(np.clip(values, 0, None))
    rng = np.random.default_rng([SEED, m])
    normals = rng.standard_normal((min(MAX_SIMULATED_SETS, MAX_VARIATES // m), m))
    return _margin_quantiles(np.abs(normals @ root.T), alpha)


def _margin_quantiles(sets: NDArray[np.float64], alpha: float) -> tuple[float, float]:
    ratios: Any = sets / _pse(sets)[:, None]
    single = float(np.quantile(ratios, 1 - alpha))
    return single, float(np.quantile(ratios.max(axis=1), 1 - alpha))
