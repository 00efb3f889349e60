"""What it costs, and what it saves, to choose several cells at once.

    python infra/benchmarks/parallel.py [--repetitions 20] [--processes 2]

Method. The default search (trainings of full length only) is replayed on the drawn spaces of
`spaces.py` with the noise of a real study, one cell or several at once, with equal seeds. The
regret is that of the delivered cell: 0 is the best cell of the space, 1 the median cell. A step is
what has to wait for the trainings before it: pilot, screen, each choice of the refinement, and the
confirmation. With as many devices as cells at once, the steps are the duration, in trainings, as
far as all trainings take as long and the screen has its devices, too.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import numpy as np

# For `infra`, which is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from analysis.comparison.replay import SeedLookup
from analysis.comparison.tuners import BudgetTuner
from infra.benchmarks.spaces import drawn_space

SPACES = [f"{kind}-study" for kind in ("corner", "middle", "interaction", "dead-four", "cliff")]
AT_ONCE = (1, 2, 4, 8)
BUDGETS = (20, 40)


def searches(at_once: int, budget: int, space: str, repetitions: int) -> list[tuple[float, int]]:
    """Return the regret and the steps of searches on a space."""
    table = drawn_space(space)
    found = []
    for repetition in range(repetitions):
        tuner = BudgetTuner(parallel=at_once)
        search = tuner(table.space, budget, np.random.default_rng(repetition))
        lookup, steps = SeedLookup(table, repetition), 1
        cells = next(search)
        while True:
            try:
                cells = search.send([lookup.next_response(cell) for cell in cells])
            except StopIteration as end:
                found.append((table.regret(end.value), steps))
                break
            steps += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as pool:
        for budget in BUDGETS:
            pairs = [(at_once, space) for at_once in AT_ONCE for space in SPACES]
            run = partial(_run, budget=budget, repetitions=options.repetitions)
            found = dict(zip(pairs, pool.map(run, pairs), strict=True))
            alone = [regret for space in SPACES for regret, _ in found[1, space]]
            print(f"{budget} trainings, {len(SPACES)} spaces, n = {options.repetitions} each")
            for at_once in AT_ONCE:
                regrets, steps = zip(*(x for s in SPACES for x in found[at_once, s]), strict=True)
                behind = [a - b for a, b in zip(regrets, alone, strict=True)]
                error = stdev(behind) / len(behind) ** 0.5
                print(
                    f"  {at_once} at once: regret {mean(regrets):.3f}, behind one at a time "
                    f"{mean(behind):+.3f} ({error:.3f}), {mean(steps):.1f} steps",
                    flush=True,
                )


def _run(pair: tuple[int, str], budget: int, repetitions: int) -> list[tuple[float, int]]:
    at_once, space = pair
    return searches(at_once, budget, space, repetitions)


if __name__ == "__main__":
    main()
