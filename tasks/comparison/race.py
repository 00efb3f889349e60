"""Tuners against each other on a study's own space, each of their runs really trained.

All searches go on in step: what they ask for in one turn is trained together, once where several
ask for the same cell and seed. MLflow has every replicate, so that a comparison that was cut off,
or has one more tuner, trains only what is new.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.comparison.replay import Tuner
from analysis.comparison.tuners import Start
from analysis.search.space import Cell, Space
from tasks.comparison.entrants import APART, FRESH, entrants, space_of
from tasks.comparison.request import ComparisonOptions
from tasks.study.replicates import Planned, planned
from tasks.study.study_file import Study
from tasks.training.context import TrainingContext

#: Trains replicates in parallel and returns the ids of the runs that finished.
TrainStage = Callable[[TrainingContext, Iterable[Planned]], list[str]]


class Trained(NamedTuple):
    """One run of a search: its cell, replicate, run, response and seconds of training."""

    cell: Cell
    number: int
    run_id: str
    figure: float
    seconds: float


@dataclass
class Search:
    """One tuner's search under way.

    Attributes
    ----------
    tuner, repetition : whose search it is.
    runs : what it has seen, in its order.
    asked : what it asks for now; nothing once it has delivered.
    delivered : its answer.
    """

    tuner: str
    repetition: int
    steps: Tuner = field(repr=False)
    runs: list[Trained] = field(default_factory=list)
    asked: list[Cell] = field(default_factory=list)
    delivered: Cell | None = None

    @property
    def name(self) -> str:
        """The search in words."""
        return f"{self.tuner}, repetition {self.repetition}"

    def next(self) -> list[tuple[Cell, int]]:
        """Return the cells it asks for, with the number of each one's replicate."""
        seen = Counter(run.cell for run in self.runs)
        found = []
        for cell in self.asked:
            seen[cell] += 1
            found.append((cell, APART * (self.repetition - 1) + seen[cell]))
        return found

    def tell(self, runs: Sequence[Trained]) -> None:
        """Tell it what came of them; it asks for more, or delivers."""
        self.runs += runs
        try:
            self.asked = self.steps.send([run.figure for run in runs])
        except StopIteration as end:
            self.asked, self.delivered = [], end.value


@dataclass(frozen=True)
class Raced:
    """What came of it.

    Attributes
    ----------
    space : the cells that could be asked for.
    searches : a row a run of a search: ``tuner``, ``repetition``, ``order`` (1 the first), the
        levels, ``replicate``, ``run_id``, the response and ``train_seconds``.
    delivered : a row a search: ``tuner``, ``repetition``, the delivered levels, and ``fresh``, the
        mean response of that cell with seeds that no search saw.
    notes : what is to be known of it, a line each.
    """

    space: Space
    searches: pd.DataFrame
    delivered: pd.DataFrame
    notes: tuple[str, ...]


def race(context: TrainingContext, asked: ComparisonOptions, train_stage: TrainStage) -> Raced:
    """Let the tuners search, train what they deliver with fresh seeds, and return all of it.

    A replicate that failed counts for the tuner that asked as a network that learnt nothing.

    Parameters
    ----------
    train_stage : trains replicates in parallel.

    Raises
    ------
    UserError
        If a tuner is not there.
    """
    study = context.study
    space = space_of(study)
    starts, notes = entrants(study, space, asked.names)
    searches = [
        _begin(name, start, space, asked.budget, number)
        for number in range(1, asked.repetitions + 1)
        for name, start in starts.items()
    ]
    context.progress.print_line(
        f"{len(starts)} x {asked.repetitions} searches (tuners x repetitions) of {asked.budget} "
        f"runs: at most {len(searches) * asked.budget} trainings, fewer where they ask for the "
        f"same, and {asked.fresh} for each cell that is delivered"
    )
    track = _Track(context, study, space, train_stage)
    while live := [search for search in searches if search.asked]:
        track.turn(live)
    cells = list(dict.fromkeys(s.delivered for s in searches if s.delivered is not None))
    judged = {cell: [(cell, FRESH + i) for i in range(asked.fresh)] for cell in cells}
    figures = track.train(one for own in judged.values() for one in own)
    if failed := sum(np.isnan(run.figure) for run in figures.values()):
        notes.append(f"{failed} of the fresh trainings failed; their cells are judged by the rest.")
    if asked.repetitions == 1:
        notes.append("One search a tuner: who is ahead may be chance; raise --repetitions.")
    fresh = {cell: _mean([figures[one].figure for one in own]) for cell, own in judged.items()}
    rows = _runs_of(searches, space, study.response)
    return Raced(space, rows, _delivered_of(searches, space, fresh), tuple(notes))


def _begin(name: str, start: Start, space: Space, budget: int, repetition: int) -> Search:
    # Alike with and without confirmation: what they run until then is the same.
    steps = start(space, budget, np.random.default_rng(repetition))
    return Search(name, repetition, steps, asked=next(steps))


@dataclass
class _Track:
    """What is raced on: trains cells, each with each seed once."""

    context: TrainingContext
    study: Study
    space: Space
    train_stage: TrainStage
    known: dict[tuple[Cell, int], Trained] = field(default_factory=dict)

    def turn(self, live: Sequence[Search]) -> None:
        """Train what the searches ask for, together, and tell them."""
        wanted = {search.name: search.next() for search in live}
        found = self.train(one for own in wanted.values() for one in own)
        chance = self.context.execution.facts.chance
        for search in live:
            runs = [found[one] for one in wanted[search.name]]
            search.tell([r._replace(figure=chance) if np.isnan(r.figure) else r for r in runs])

    def train(self, wanted: Iterable[tuple[Cell, int]]) -> dict[tuple[Cell, int], Trained]:
        """Train cells with their replicate numbers, and read them back; NaN where one failed."""
        asked = list(dict.fromkeys(wanted))
        version, execution = self.context.images.version, self.context.execution
        todo: dict[tuple[Cell, int], Planned] = {
            (cell, n): planned(self.study, version, "compare", self.space.natural(cell), n)
            for cell, n in asked
            if (cell, n) not in self.known
        }
        if todo:
            self.train_stage(self.context, todo.values())
            runs = execution.runs("compare")
            rows = dict(zip(runs["key"], runs.to_dict("records"), strict=True)) if len(runs) else {}
            for one, plan in todo.items():
                self.known[one] = _trained(one, rows.get(plan.key, {}), self.study.response)
        return {one: self.known[one] for one in asked}


def _trained(one: tuple[Cell, int], row: Mapping[str, object], response: str) -> Trained:
    figure, seconds = (float(str(row.get(name, "nan"))) for name in (response, "train_seconds"))
    return Trained(*one, str(row.get("run_id", "")), figure, 0.0 if np.isnan(seconds) else seconds)


def _mean(figures: Sequence[float]) -> float:
    """Return the mean of those that there are; NaN of none."""
    own = [figure for figure in figures if not np.isnan(figure)]
    return float(np.mean(own)) if own else float("nan")


def _runs_of(searches: Sequence[Search], space: Space, response: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "tuner": search.tuner,
                "repetition": search.repetition,
                "order": order,
                **space.natural(run.cell),
                "replicate": run.number,
                "run_id": run.run_id,
                response: run.figure,
                "train_seconds": run.seconds,
            }
            for search in searches
            for order, run in enumerate(search.runs, 1)
        ]
    )


def _delivered_of(
    searches: Sequence[Search], space: Space, fresh: Mapping[Cell, float]
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
