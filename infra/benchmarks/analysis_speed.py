"""How long the largest screen takes: 7 factors, full, 3 replicates, analysed and plotted.

    python infra/benchmarks/analysis_speed.py

384 runs; the libraries are loaded before the clock starts. The aim is under 5 s.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.decision import decide
from analysis.design import full_factorial
from analysis.effects import code, fit_effects
from analysis.factors import Factor
from analysis.report import effects_table
from tasks.analyze import save_figures


def main() -> None:
    factors = [Factor(name, 0, 10) for name in "ABCDEFG"]
    runs = full_factorial(factors, replicates=3, seed=1).cells
    coded = code(runs, factors)
    rng = np.random.default_rng(1)
    runs["y"] = (
        0.8 + 0.05 * coded["A"] - 0.02 * coded["A"] * coded["B"] + rng.normal(0, 0.02, len(runs))
    )
    for turn in (1, 2, 3):
        start = time.perf_counter()
        effects = fit_effects(runs, factors, "y")
        decide(effects)
        effects_table(effects)
        analysed = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            files = save_figures(effects, Path(folder))
        done = time.perf_counter()
        print(
            f"turn {turn}: {len(runs)} runs, {len(effects.terms)} terms: analysed in "
            f"{analysed - start:.2f} s, {len(files)} figures in {done - analysed:.2f} s, "
            f"together {done - start:.2f} s"
        )


if __name__ == "__main__":
    main()
