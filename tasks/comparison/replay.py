"""Many replays of every tuner on a table, and what they show."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparison.replay import Oracle, Run, Table, play
from analysis.comparison.tuners import (
    ANYTIME,
    Start,
    best_mean,
    confirm_runs,
    confirmed,
)
from analysis.plots.comparison import delivered
from analysis.search.space import Cell
from tasks.comparison.cell_table import read_cell_table, read_cells
from tasks.comparison.entrants import CONFIRMED, chosen_tuners, tuners_at_hand
from tasks.comparison.request import SMALLEST_BUDGET, ComparisonRequest
from tasks.errors import UserError

BUDGETS = (8, 12, 20, 40)
ReplayRow = dict[str, object]


@dataclass(frozen=True)
class Replay:
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
class ReplayJob:
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


def replay_tuners(
    table: Table,
    entrants: Mapping[str, Start],
    *,
    budgets: Sequence[int] = BUDGETS,
    repetitions: int = 200,
    seed: int = 1,
    processes: int = 1,
    notes: tuple[str, ...] = (),
) -> Replay:
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
        ReplayJob(table, name, start, tuple(budgets), seed, number)
        for name, start in entrants.items()
        for number in range(repetitions)
    ]
    rows = [row for part in _mapped(jobs, processes) for row in part]
    return Replay(table, pd.DataFrame(rows), notes)


def _mapped(jobs: Sequence[ReplayJob], processes: int) -> Iterator[list[ReplayRow]]:
    if processes == 1:
        yield from map(_repetition, jobs)
        return
    # Forked: a table of 30,000 cells need not be sent.
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, initializer=_share, initargs=(jobs,)) as pool:
        yield from pool.imap(_numbered, range(len(jobs)), chunksize=4)


_SHARED: list[ReplayJob] = []


def _share(jobs: Sequence[ReplayJob]) -> None:
    # Ctrl-C and the pool's own stop are the parent's to word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _SHARED[:] = jobs


def _numbered(number: int) -> list[ReplayRow]:
    return _repetition(_SHARED[number])


def _repetition(job: ReplayJob) -> list[ReplayRow]:
    """Replay one tuner with each budget; where it plans by none, also with a confirming stage."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # threads cost more than matrices of 40 rows take
        if job.name not in ANYTIME:
            return [_row(job, job.name, budget, *_played(job, budget)) for budget in job.budgets]
        whole, _ = _played(job, max(job.budgets))
        return [row for budget in job.budgets for row in _judged(job, whole, budget)]


def _played(job: ReplayJob, budget: int) -> tuple[list[Run], Cell]:
    rng = np.random.default_rng([job.seed, job.number])
    return play(job.start(job.table.space, budget, rng), Oracle(job.table, job.order).answer)


def _judged(job: ReplayJob, whole: list[Run], budget: int) -> list[ReplayRow]:
    """Return what a search of any length delivers after so many runs, unconfirmed and confirmed."""
    plain = _row(job, job.name, budget, whole[:budget], best_mean(whole[:budget]))
    again = confirm_runs(budget)
    begun = whole[: budget - again]
    oracle = Oracle(job.table, job.order, [cell for cell, _ in begun])
    ended, cell = play(confirmed(begun, again), oracle.answer)
    return [plain, _row(job, job.name + CONFIRMED, budget, [*begun, *ended], cell)]


def _row(job: ReplayJob, name: str, budget: int, history: Sequence[Run], cell: Cell) -> ReplayRow:
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


def compare_on_table(request: ComparisonRequest) -> Replay:
    """Replay every tuner, or those that are named, on a table.

    Raises
    ------
    UserError
        If a file cannot be used, a tuner is not there, or a budget is too small to compare
        anything.
    """
    table = read_cell_table(Path(str(request.table)), request.response)
    asked = tuple(sorted(set(request.budgets))) or BUDGETS
    if asked[0] < SMALLEST_BUDGET or request.repetitions < 1:
        raise UserError(
            f"--budget {asked[0]}, --repetitions {request.repetitions}: a comparison takes a "
            f"budget of {SMALLEST_BUDGET} runs or more, and one repetition or more; raise them"
        )
    entrants, notes = tuners_at_hand(read_cells(request.manual, table) if request.manual else ())
    return replay_tuners(
        table,
        chosen_tuners(entrants, request.tuners, notes),
        budgets=asked,
        repetitions=request.repetitions,
        processes=os.cpu_count() or 1,
        notes=notes,
    )


def save_replay_figure(found: Replay, folder: Path) -> Path:
    """Write the figure of a comparison, and return its path.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    path = folder / "compare.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        delivered(found.summary(), float(found.table.truth.max())).savefig(path, dpi=120)
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}; name another folder") from error
    return path


def replay_as_json(found: Replay) -> dict[str, Any]:
    """Return what every tuner delivered, plain JSON types."""
    truth = found.table.truth
    return {
        "table": found.table.name,
        "cells": found.table.space.n_cells,
        "best": float(truth.max()),
        "tuners": found.summary().to_dict("records"),
        "notes": list(found.notes),
    }


def replay_as_text(found: Replay) -> str:
    """Return a table for people: for each tuner and budget the median and the 10th percentile."""
    summary = found.summary()
    budgets = sorted(summary["budget"].unique())
    width = max(map(len, summary["tuner"]))
    n = int(summary["n"].min())
    best = found.table.truth.max()
    lines = [
        f"{found.table.name}: {found.table.space.n_cells} cells, the best has {best:.4f}.",
        f"True mean of the cell that is delivered, median and 10th percentile of n = {n}:",
        f"{'runs':{width}}" + "".join(f"{b:>18}" for b in budgets),
    ]
    for name, own in summary.groupby("tuner", sort=False):
        rows = own.set_index("budget")
        figures = [f"{rows['median'][b]:.4f} {rows['tenth'][b]:.4f}" for b in budgets]
        lines.append(f"{name:{width}}" + "".join(f"{text:>18}" for text in figures))
    return "\n".join([*lines, *found.notes])
