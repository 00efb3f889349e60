"""How far what the report says of one change of the chosen cell can be trusted.

    python infra/benchmarks/changes.py --repetitions 5

The default search is replayed on the drawn spaces of `spaces.py`, whose true responses are known.
For each change of the delivered cell that `analysis.search.changes` reports: whether it is clear,
whether the sign of a clear one is right, and whether the true difference is in the 95% interval,
below it or above it. Printed in percent, by the noise of the space and by the budget.
"""

import argparse
import os
import sys
from pathlib import Path

# One thread, because the matrices have 40 rows. It must be set before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

# For `infra`, which is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analysis.comparison.replay import SeedLookup, Table, run_search
from analysis.comparison.tuners import RESPONSE, budget_driven
from analysis.search.budget import rules_for_budget
from analysis.search.changes import changes_of_cell
from infra.benchmarks.spaces import NAMES, drawn_space

BUDGETS = (12, 20, 40)
#: Columns that say whether something is true of a change; a change that is not clear has no sign.
SHARES = ("clear", "right", "inside", "below", "above")


def changes_of_search(name: str, table: Table, budget: int, repetition: int) -> pd.DataFrame:
    """Return one row per change of the cell that a search delivers, with the truth about it."""
    space, look_up = table.space, SeedLookup(table, repetition)
    search = budget_driven(space, budget, np.random.default_rng([1, repetition]))
    history, delivered = run_search(search, look_up.next_response)
    rules = rules_for_budget(space.factors, RESPONSE, budget, space=space, anything=True)
    runs = pd.DataFrame([{**space.natural(cell), RESPONSE: y} for cell, y in history])
    cell = space.natural(delivered)
    truth = table.truth.reshape(space.shape)
    rows = []
    for change in changes_of_cell(rules, runs.assign(stage="refine"), cell):
        changed = space.cell({**cell, change.factor: change.level})
        difference = float(truth[changed] - truth[delivered])
        rows.append(
            {
                "noise": name.rpartition("-")[2],
                "budget": budget,
                "clear": change.is_clear,
                "right": np.sign(difference) == np.sign(change.difference)
                if change.is_clear
                else np.nan,
                "inside": change.low <= difference <= change.high,
                "below": difference < change.low,
                "above": difference > change.high,
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Replay, and print the shares in percent."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5, help="searches of each space")
    options = parser.parse_args()
    found = pd.concat(
        changes_of_search(name, drawn_space(name), budget, repetition)
        for name in NAMES
        for budget in BUDGETS
        for repetition in range(options.repetitions)
    )
    shares = found.astype(dict.fromkeys(SHARES, float)).groupby(["noise", "budget"], sort=False)
    table = 100 * shares[list(SHARES)].mean()
    print(table.assign(n=shares.size()).round(0).astype("Int64").to_string())


if __name__ == "__main__":
    main()
