"""Measure the analysis of the largest screen: 7 factors, full design, 3 replicates, with plots.

    python infra/benchmarks/analysis_speed.py

384 runs; the libraries are loaded before the clock starts. The aim is under 5 s. On a machine that
is busy with other work, use the processor seconds, and set OMP_NUM_THREADS=1 so that the linear
algebra does not wait for a second core.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.designs.factorial import full_factorial
from analysis.effects.fit import fit_effects
from analysis.effects.model_matrix import code_levels
from analysis.factors import Factor
from analysis.search.refined_grid import decide_grid
from tasks.analyze.analyze import save_figures
from tasks.languages import translator
from tasks.wording.effects import effects_as_text


def main() -> None:
    factors = [Factor(name, 0, 10) for name in "ABCDEFG"]
    runs = full_factorial(factors, replicates=3, seed=1).cells
    coded = code_levels(runs, factors)
    rng = np.random.default_rng(1)
    runs["y"] = (
        0.8 + 0.05 * coded["A"] - 0.02 * coded["A"] * coded["B"] + rng.normal(0, 0.02, len(runs))
    )
    for turn in (1, 2, 3):
        start, used = time.perf_counter(), time.process_time()
        effects = fit_effects(runs, factors, "y")
        decide_grid(effects)
        effects_as_text(effects, translator("en"))
        analysed = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            files = save_figures(effects, Path(folder))
        done = time.perf_counter()
        print(
            f"turn {turn}: {len(runs)} runs, {len(effects.terms)} terms: analysed in "
            f"{analysed - start:.2f} s, {len(files)} figures in {done - analysed:.2f} s, "
            f"together {done - start:.2f} s ({time.process_time() - used:.2f} s of processor time)"
        )


if __name__ == "__main__":
    main()
