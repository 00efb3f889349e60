"""Many replays of every tuner on a table of trained cells, in parallel processes."""

import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.comparison.replay import Run, SeedLookup, Table, run_search
from analysis.comparison.tuners import (
    Anytime,
    Tuner,
    cell_with_best_mean,
    confirm_best_cells,
    confirmation_runs,
)
from analysis.search.space import Cell
from tasks.comparison.entrants import CONFIRM_SUFFIX
from tasks.comparison.request import DEFAULT_BUDGETS
from tasks.tables.reading import Reading

ResultRow = dict[str, object]


@dataclass(frozen=True)
class ReplayResult:
    """What every tuner delivered on a table.

    Attributes
    ----------
    table : the table.
    delivered : one row per tuner, budget and repetition: ``truth``, the true mean of the delivered
        cell; ``regret`` (0 for the best cell, 1 for the median); ``optimism``, the mean of the runs
        of this cell in the search minus its true mean; ``runs``, the number of runs.
    notes : one line per tuner that is not available, and about the response.
    reading : how the table was read, if it is from a file.
    """

    table: Table
    delivered: pd.DataFrame
    notes: tuple[str, ...] = ()
    reading: Reading | None = None

    def summary(self) -> pd.DataFrame:
        """Return one row per tuner and budget, over the repetitions.

        Columns: ``tuner``, ``budget``, ``n``, ``median`` and ``tenth`` (10th percentile) of the
        truth, ``regret`` (median), ``regret_90`` (90th percentile), ``optimism`` (mean).
        """
        grouped = self.delivered.groupby(["tuner", "budget"], sort=False)
        return grouped.agg(
            n=("truth", "size"),
            median=("truth", "median"),
            tenth=("truth", lambda truth: truth.quantile(0.1)),
            regret=("regret", "median"),
            regret_90=("regret", lambda regret: regret.quantile(0.9)),
            optimism=("optimism", "mean"),
        ).reset_index()


def replay_tuners(
    table: Table,
    tuners: Mapping[str, Tuner],
    *,
    budgets: Sequence[int] = DEFAULT_BUDGETS,
    repetitions: int = 200,
    first: int = 0,
    seed: int = 1,
    processes: int = 1,
    notes: tuple[str, ...] = (),
) -> ReplayResult:
    """Replay every tuner on a table, with each budget and many repetitions.

    Parameters
    ----------
    table : the table.
    tuners : by name.
    budgets : in runs; the runs for confirmation are part of the budget.
    repetitions : per tuner and budget. A repetition determines the order of the cells' seeds, which
        is the same for all tuners, and the random numbers of the tuner.
    first : number of the first repetition; a result is continued with the next number.
    seed : of all repetitions.
    processes : that share the repetitions.
    notes : for the result.
    """
    work = [
        Repetition(table, name, tuner, tuple(budgets), seed, number)
        for name, tuner in tuners.items()
        for number in range(first, first + repetitions)
    ]
    rows = [row for part in _results(work, processes) for row in part]
    return ReplayResult(table, pd.DataFrame(rows), notes)


@dataclass(frozen=True)
class Repetition:
    """One repetition of one tuner, with each budget.

    Attributes
    ----------
    table : the table.
    name : of the tuner.
    tuner : starts the search.
    budgets : in runs.
    seed : of all repetitions.
    number : of this repetition, from 0.
    """

    table: Table
    name: str
    tuner: Tuner
    budgets: tuple[int, ...]
    seed: int
    number: int

    def results(self) -> list[ResultRow]:
        """Replay the tuner with each budget; an `Anytime` tuner also with confirmation."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # for matrices of 40 rows, threads cost more than they save
            if isinstance(self.tuner, Anytime):
                history, _ = self._replay(max(self.budgets))
                return [row for budget in self.budgets for row in self._shortened(history, budget)]
            return [self._row(self.name, budget, *self._replay(budget)) for budget in self.budgets]

    def _replay(self, budget: int) -> tuple[list[Run], Cell]:
        rng = np.random.default_rng([self.seed, self.number])
        search = self.tuner(self.table.space, budget, rng)
        return run_search(search, self._lookup().next_response)

    def _lookup(self, used: Sequence[Cell] = ()) -> SeedLookup:
        # The order of the seeds is the same for every tuner.
        return SeedLookup(self.table, self.number + self.seed * 10**6, used)

    def _shortened(self, history: list[Run], budget: int) -> list[ResultRow]:
        """Return the results of a longer search at a budget, without and with confirmation."""
        seen = history[:budget]
        plain = self._row(self.name, budget, seen, cell_with_best_mean(seen))
        reserved = confirmation_runs(budget)
        before = history[: budget - reserved]
        lookup = self._lookup(used=[cell for cell, _ in before])
        again, cell = run_search(confirm_best_cells(before, reserved), lookup.next_response)
        return [plain, self._row(self.name + CONFIRM_SUFFIX, budget, [*before, *again], cell)]

    def _row(self, name: str, budget: int, history: Sequence[Run], delivered: Cell) -> ResultRow:
        truth = float(self.table.truth[self.table.row(delivered)])
        seen = float(np.mean([response for cell, response in history if cell == delivered]))
        return {
            "tuner": name,
            "budget": budget,
            "repetition": self.number,
            "runs": len(history),
            "truth": truth,
            "regret": self.table.regret(delivered),
            "optimism": seen - truth,
        }


def _results(work: Sequence[Repetition], processes: int) -> Iterator[list[ResultRow]]:
    if processes == 1:
        yield from (repetition.results() for repetition in work)
        return
    # Forked processes share the table, so that its up to 30,000 cells need not be sent to them.
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, initializer=_start_process, initargs=(work,)) as pool:
        yield from pool.imap(_results_of_number, range(len(work)), chunksize=4)


#: The repetitions, in each forked process.
_SHARED_WORK: list[Repetition] = []


def _start_process(work: Sequence[Repetition]) -> None:
    # Only the parent reports Ctrl-C and ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _SHARED_WORK[:] = work


def _results_of_number(number: int) -> list[ResultRow]:
    return _SHARED_WORK[number].results()
