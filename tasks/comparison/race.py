"""Searches of several tuners on the cells of a study, each of their runs with real training.

All searches advance together: the runs that they request in one round are trained in parallel, and
only once if several searches request the same cell and seed. MLflow has every replicate, so that a
comparison that was interrupted, or that has one more tuner, trains only what is new.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.comparison.replay import CellOfLength, Search
from analysis.comparison.tuners import Tuner
from analysis.runs.response import Response
from analysis.search.space import Cell, Space
from tasks.comparison.entrants import study_space, study_tuners
from tasks.comparison.optuna_tuners import Unavailable
from tasks.comparison.request import (
    FIRST_FRESH_REPLICATE,
    REPLICATES_PER_REPETITION,
    ComparisonOptions,
)
from tasks.errors import UserError
from tasks.study.replicates import Planned, planned
from tasks.study.study_file import Study
from tasks.training.context import TrainingContext

#: Columns of the tables beside the factors, the response and the epochs.
COLUMNS = {
    *("tuner", "repetition", "order", "replicate", "run_id", "train_seconds", "cost", "is_full"),
    "fresh",
}
#: Trains replicates in parallel and returns the ids of the runs that finished.
TrainStage = Callable[[TrainingContext, Iterable[Planned]], list[str]]
#: A cell, its replicate number, which determines the seed, and its epochs if a tuner sets them.
CellReplicate = tuple[Cell, int, int | None]


class TrainedRun(NamedTuple):
    """One trained replicate of a cell.

    Attributes
    ----------
    cell : the cell.
    number : of the replicate.
    epochs : of the training if the tuner set them; else None.
    run_id : of the MLflow run; empty if there is none.
    response : NaN if the training failed.
    seconds : of training, without those of a shorter training that it continued.
    """

    cell: Cell
    number: int
    epochs: int | None
    run_id: str
    response: float
    seconds: float


@dataclass
class RunningSearch:
    """One search of one tuner, and its progress.

    Attributes
    ----------
    tuner : name of the tuner.
    repetition : number of the search, from 1.
    search : yields the cells to run.
    runs : the runs so far, in order.
    requested : the cells to run next; empty when the search has ended.
    delivered : the cell that the search delivered; None until then.
    """

    tuner: str
    repetition: int
    search: Search = field(repr=False)
    runs: list[TrainedRun] = field(default_factory=list)
    requested: list[Cell] = field(default_factory=list)
    delivered: Cell | None = None

    @property
    def name(self) -> str:
        """The tuner and the repetition, as text."""
        return f"{self.tuner}, repetition {self.repetition}"

    def requested_replicates(self) -> list[CellReplicate]:
        """Return the requested cells, each with the number of its next replicate."""
        used = Counter(run.cell for run in self.runs)
        first = REPLICATES_PER_REPETITION * (self.repetition - 1)
        replicates: list[CellReplicate] = []
        for cell in self.requested:
            if isinstance(cell, CellOfLength):
                replicates.append((tuple(cell), first + cell.number, cell.epochs))
                continue
            used[cell] += 1
            replicates.append((cell, first + used[cell], None))
        return replicates

    def advance(self, runs: Sequence[TrainedRun]) -> None:
        """Give the search the runs that it requested; it requests more, or delivers a cell."""
        self.runs += runs
        try:
            self.requested = self.search.send([run.response for run in runs])
        except StopIteration as end:
            self.requested, self.delivered = [], end.value


@dataclass(frozen=True)
class RaceResult:
    """All runs of all searches, and the cells that they delivered.

    Attributes
    ----------
    space : the cells that could be run.
    searches : one row per run of a search: ``tuner``, ``repetition``, ``order`` (from 1), the
        levels, ``replicate``, ``epochs`` (None: those of the study), ``run_id``, the response,
        ``train_seconds``, ``cost``, its own epochs in trainings of full length, and ``is_full``,
        whether it is one.
    delivered : one row per search: ``tuner``, ``repetition``, the levels of the delivered cell, and
        ``fresh``, its mean response with seeds that no search used.
    unavailable : the tuners that are not available, with the packages that they need.
    failed : how many of the trainings with fresh seeds failed.
    """

    space: Space
    searches: pd.DataFrame
    delivered: pd.DataFrame
    unavailable: tuple[Unavailable, ...] = ()
    failed: int = 0


def race(
    context: TrainingContext, options: ComparisonOptions, train_stage: TrainStage
) -> RaceResult:
    """Run the searches of all tuners, then train the delivered cells with fresh seeds.

    For the tuner, a failed replicate has the response of a network that learned nothing.

    Parameters
    ----------
    context : of a study.
    options : the size of the comparison.
    train_stage : trains replicates in parallel.

    Raises
    ------
    UserError
        If a requested tuner is not available, or a factor has the name of another column.
    """
    study = context.study
    if taken := COLUMNS & set(study.factors):
        raise UserError(
            f"study {study.name}: factors.{min(taken)}: the tables of a comparison have another "
            "column of this name; rename the factor"
        )
    space = study_space(study)
    tuners, unavailable = study_tuners(study, space, options.tuners)
    searches = [
        _start_search(name, tuner, space, options.budget, repetition)
        for repetition in range(1, options.repetitions + 1)
        for name, tuner in tuners.items()
    ]
    context.progress.print_line(
        f"{len(tuners)} x {options.repetitions} searches (tuners x repetitions), each with the "
        f"epochs of {options.budget} trainings: at most those of "
        f"{len(searches) * options.budget} trainings, fewer if searches request the same runs, "
        f"and of {options.fresh} trainings for each delivered cell"
    )
    trainer = _CellTrainer(context, space, train_stage)
    while active := [search for search in searches if search.requested]:
        trainer.advance(active)
    fresh, failed = _train_fresh(trainer, searches, options.fresh)
    return RaceResult(
        space,
        _table_of_runs(searches, study, space),
        _table_of_delivered(searches, space, fresh),
        unavailable,
        failed,
    )


def _start_search(
    name: str, tuner: Tuner, space: Space, budget: int, repetition: int
) -> RunningSearch:
    # The same random numbers with and without confirmation, so that their first runs are the same.
    search = tuner(space, budget, np.random.default_rng(repetition))
    return RunningSearch(name, repetition, search, requested=next(search))


@dataclass
class _CellTrainer:
    """Trains cells of a study; each cell and replicate number once.

    Attributes
    ----------
    context : of the study.
    space : the cells that may be run.
    train_stage : trains replicates in parallel.
    trained : all runs so far.
    """

    context: TrainingContext
    space: Space
    train_stage: TrainStage
    trained: dict[CellReplicate, TrainedRun] = field(default_factory=dict)

    def advance(self, searches: Sequence[RunningSearch]) -> None:
        """Train the requested runs of all searches together, and give them to the searches."""
        requested = {search.name: search.requested_replicates() for search in searches}
        runs = self.train(replicate for own in requested.values() for replicate in own)
        response = self.context.study.measured
        facts = self.context.execution.facts
        floor = facts.floor_of(response)
        learned_nothing = response.sign * (math.log(facts.classes) if floor is None else floor)
        for search in searches:
            search.advance(
                [
                    run._replace(response=learned_nothing) if np.isnan(run.response) else run
                    for run in (runs[replicate] for replicate in requested[search.name])
                ]
            )

    def train(self, wanted: Iterable[CellReplicate]) -> dict[CellReplicate, TrainedRun]:
        """Train replicates of cells, and read them from MLflow; a failed one has NaN."""
        replicates = list(dict.fromkeys(wanted))
        study, version = self.context.study, self.context.images.version
        new: dict[CellReplicate, Planned] = {
            (cell, number, epochs): planned(
                study, version, "compare", self.space.natural(cell), number, epochs=epochs
            )
            for cell, number, epochs in replicates
            if (cell, number, epochs) not in self.trained
        }
        if new:
            self.train_stage(self.context, new.values())
            runs = self.context.execution.runs("compare")
            rows = dict(zip(runs["key"], runs.to_dict("records"), strict=True)) if len(runs) else {}
            for replicate, plan in new.items():
                row = rows.get(plan.key, {})
                self.trained[replicate] = _trained_run(replicate, row, study.measured)
        return {replicate: self.trained[replicate] for replicate in replicates}


def _trained_run(
    replicate: CellReplicate, row: Mapping[str, object], response: Response
) -> TrainedRun:
    """Return a run; of a response of which lower is better, its negative."""
    names = (response.name, "train_seconds", "continued_seconds")
    value, seconds, before = (float(str(row.get(name, "nan"))) for name in names)
    own = np.nan_to_num(seconds) - np.nan_to_num(before)
    return TrainedRun(*replicate, str(row.get("run_id", "")), response.sign * value, float(own))


def _train_fresh(
    trainer: _CellTrainer, searches: Sequence[RunningSearch], seeds: int
) -> tuple[dict[Cell, float], int]:
    """Return the mean response of each delivered cell with fresh seeds, and how many failed."""
    cells = dict.fromkeys(s.delivered for s in searches if s.delivered is not None)
    numbers = range(FIRST_FRESH_REPLICATE, FIRST_FRESH_REPLICATE + seeds)
    replicates: dict[Cell, list[CellReplicate]] = {
        cell: [(cell, number, None) for number in numbers] for cell in cells
    }
    runs = trainer.train(replicate for own in replicates.values() for replicate in own)
    means = {
        cell: _mean_of_finished([runs[replicate].response for replicate in own])
        for cell, own in replicates.items()
    }
    return means, sum(bool(np.isnan(run.response)) for run in runs.values())


def _mean_of_finished(responses: Sequence[float]) -> float:
    """Return the mean of the responses that are not NaN; NaN if all are."""
    finished = [response for response in responses if not np.isnan(response)]
    return float(np.mean(finished)) if finished else float("nan")


def _costs(runs: Sequence[TrainedRun], study: Study) -> list[float]:
    """Return the cost of each run of a search in trainings of full length."""
    full, longest, costs = study.training.epochs, Counter[tuple[Cell, int]](), []
    for run in runs:
        epochs = run.epochs or full
        before = longest[run.cell, run.number] if study.trainings_continue else 0
        longest[run.cell, run.number] = epochs
        costs.append(max(epochs - before, 0) / full)
    return costs


def _table_of_runs(searches: Sequence[RunningSearch], study: Study, space: Space) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "tuner": search.tuner,
                "repetition": search.repetition,
                "order": order,
                **space.natural(run.cell),
                "replicate": run.number,
                **({} if "epochs" in space.factors_by_name else {"epochs": run.epochs}),
                "run_id": run.run_id,
                study.response: run.response,
                "train_seconds": run.seconds,
                "cost": cost,
                "is_full": run.epochs in {None, study.training.epochs},
            }
            for search in searches
            for order, (run, cost) in enumerate(
                zip(search.runs, _costs(search.runs, study), strict=True), 1
            )
        ]
    )


def _table_of_delivered(
    searches: Sequence[RunningSearch], space: Space, fresh: Mapping[Cell, float]
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "tuner": search.tuner,
                "repetition": search.repetition,
                **space.natural(search.delivered),
                "fresh": fresh[search.delivered],
            }
            for search in searches
            if search.delivered is not None
        ]
    )
