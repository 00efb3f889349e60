"""Simulate the multipliers in `analysis/effects/lenth_table.py`, and print that file.

2,000,000 sets of m standard normals for each m, with fixed seeds; 2 to 3 minutes on one core:

    python infra/benchmarks/lenth_table.py > analysis/effects/lenth_table.py
"""

import numpy as np

from analysis.effects.lenth import SEED, _pse

SIZES = (*range(3, 17), 19, 23, 27, 31, 63, 127)
ALPHAS = (0.01, 0.05, 0.1)
SETS = 2_000_000
CHUNK = 1_000_000
BINS = np.linspace(0, 60, 600_001)

HEAD = '''"""Lenth's multipliers by simulation: made by `infra/benchmarks/lenth_table.py`."""

#: (effects judged, alpha) -> multipliers of the margin of error and of the simultaneous margin.
TABLE: dict[tuple[int, float], tuple[float, float]] = {'''


def ratios(m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return histograms of all ratios, and of each set's largest."""
    rng = np.random.default_rng([SEED, m, 1])
    every = np.zeros(len(BINS) - 1)
    largest = np.zeros(len(BINS) - 1)
    rows = CHUNK // m
    for _ in range(-(-SETS // rows)):
        sets = np.abs(rng.standard_normal((rows, m)))
        sets = np.minimum(sets / _pse(sets)[:, None], BINS[-1])
        every += np.histogram(sets, BINS)[0]
        largest += np.histogram(sets.max(axis=1), BINS)[0]
    return every, largest


def quantile(counts: np.ndarray, share: float) -> float:
    cumulative = np.cumsum(counts) / counts.sum()
    return float(np.interp(share, cumulative, BINS[1:]))


def main() -> None:
    print(HEAD)
    for m in SIZES:
        counts = ratios(m)
        for alpha in ALPHAS:
            single, simultaneous = (quantile(c, 1 - alpha) for c in counts)
            print(f"    ({m}, {alpha}): ({single:.4f}, {simultaneous:.4f}),")
    print("}")


if __name__ == "__main__":
    main()
