"""Many replays of every tuner on a table, and what they show."""

import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.replay import Oracle, Run, Table, play
from analysis.space import Cell
from analysis.tuners import ANYTIME, TUNERS, Start, best_mean, confirm_runs, confirmed, manual
from tasks.samplers import samplers

BUDGETS = (8, 12, 20, 40)
CONFIRMED = " + confirm"
Row = dict[str, object]


@dataclass(frozen=True)
class Race:
    """What every tuner delivered.

    Attributes
    ----------
    table : the table.
    delivered : a row a tuner, budget and repetition: ``truth``, the true mean of the delivered
        cell, ``regret`` (0 the best cell, 1 the median one) and ``optimism``, by how much the mean
        that the tuner saw of it is higher.
    notes : tuners that are left out, a line each.
    """

    table: Table
    delivered: pd.DataFrame
    notes: tuple[str, ...] = ()

    def summary(self) -> pd.DataFrame:
        """Return a row a tuner and budget: n, median and 10th percentile of the truth, regrets."""
        grouped = self.delivered.groupby(["tuner", "budget"], sort=False)
        return grouped.agg(
            n=("truth", "size"),
            median=("truth", "median"),
            tenth=("truth", lambda own: own.quantile(0.1)),
            regret=("regret", "median"),
            regret_90=("regret", lambda own: own.quantile(0.9)),
            optimism=("optimism", "mean"),
        ).reset_index()


@dataclass(frozen=True)
class Job:
    """One repetition of one tuner, with each budget."""

    table: Table
    name: str
    start: Start
    budgets: tuple[int, ...]
    seed: int
    number: int

    @property
    def order(self) -> int:
        """What fixes the order of the cells' seeds: the same for every tuner."""
        return self.number + self.seed * 10**6


def tuners(cells: Sequence[Cell] = ()) -> tuple[dict[str, Start], tuple[str, ...]]:
    """Return every tuner that is at hand, and a line for each that is not.

    Parameters
    ----------
    cells : a manual list, where there is one.
    """
    found, notes = samplers()
    listed = {"manual": manual(cells)} if cells else {}
    return {**TUNERS, **listed, **found}, notes


def race(
    table: Table,
    entrants: Mapping[str, Start],
    *,
    budgets: Sequence[int] = BUDGETS,
    repetitions: int = 200,
    seed: int = 1,
    processes: int = 1,
    notes: tuple[str, ...] = (),
) -> Race:
    """Replay every tuner so many times on a table, with each budget.

    Parameters
    ----------
    table : the table.
    entrants : tuners by name.
    budgets : in runs; what a tuner confirms with is part of it.
    repetitions : each draws the order of the cells' seeds, the same for all tuners, and the
        tuner's own randomness.
    seed : of all of them.
    processes : that share the repetitions.
    """
    jobs = [
        Job(table, name, start, tuple(budgets), seed, number)
        for name, start in entrants.items()
        for number in range(repetitions)
    ]
    rows = [row for part in _mapped(jobs, processes) for row in part]
    return Race(table, pd.DataFrame(rows), notes)


def _mapped(jobs: Sequence[Job], processes: int) -> Iterator[list[Row]]:
    if processes == 1:
        yield from map(_repetition, jobs)
        return
    # Forked: a table of 30,000 cells need not be sent.
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, initializer=_share, initargs=(jobs,)) as pool:
        yield from pool.imap(_numbered, range(len(jobs)), chunksize=4)


_SHARED: list[Job] = []


def _share(jobs: Sequence[Job]) -> None:
    # Ctrl-C and the pool's own stop are the parent's to word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _SHARED[:] = jobs


def _numbered(number: int) -> list[Row]:
    return _repetition(_SHARED[number])


def _repetition(job: Job) -> list[Row]:
    """Replay one tuner with each budget; where it plans by none, also with a confirming stage."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # threads cost more than matrices of 40 rows take
        if job.name not in ANYTIME:
            return [_row(job, job.name, budget, *_played(job, budget)) for budget in job.budgets]
        whole, _ = _played(job, max(job.budgets))
        return [row for budget in job.budgets for row in _judged(job, whole, budget)]


def _played(job: Job, budget: int) -> tuple[list[Run], Cell]:
    rng = np.random.default_rng([job.seed, job.number])
    return play(job.start(job.table.space, budget, rng), Oracle(job.table, job.order).answer)


def _judged(job: Job, whole: list[Run], budget: int) -> list[Row]:
    """Return what a search of any length delivers after so many runs, unconfirmed and confirmed."""
    plain = _row(job, job.name, budget, whole[:budget], best_mean(whole[:budget]))
    again = confirm_runs(budget)
    begun = whole[: budget - again]
    oracle = Oracle(job.table, job.order, [cell for cell, _ in begun])
    ended, cell = play(confirmed(begun, again), oracle.answer)
    return [plain, _row(job, job.name + CONFIRMED, budget, [*begun, *ended], cell)]


def _row(job: Job, name: str, budget: int, history: Sequence[Run], cell: Cell) -> Row:
    table = job.table
    truth = float(table.truth[table.row(cell)])
    reported = float(np.mean([figure for own, figure in history if own == cell]))
    return {
        "tuner": name,
        "budget": budget,
        "repetition": job.number,
        "runs": len(history),
        "truth": truth,
        "regret": table.regret(cell),
        "optimism": reported - truth,
    }
