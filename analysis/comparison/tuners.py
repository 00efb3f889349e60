"""Tuners, ours and the alternatives: each yields cells to run, and is sent their figures."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.comparison.replay import Run, Tuner
from analysis.designs.fractions import fraction_within
from analysis.errors import AnalysisError
from analysis.factors import Factor, Level
from analysis.search import procedure
from analysis.search.pilot import pilot_points
from analysis.search.procedure import START_CELLS, CellRun, Method, Rules
from analysis.search.refined_grid import Decision
from analysis.search.space import Cell, Space

#: Builds a tuner for a space, a budget in runs and a source of randomness.
Start = Callable[[Space, int, np.random.Generator], Tuner]
Steps = Generator[list[Cell], list[float], None]
#: Adds columns to a table of runs.
Complete = Callable[[pd.DataFrame], pd.DataFrame]

#: Share of the budget that a screen may take. A grid or a surface cannot do without one, and a
#: small screen may take all that is left there.
SCREEN = 0.5
SMALLEST_SCREEN = 8
#: Share of the budget that confirms, and the cells that it is spent on.
CONFIRM, CONFIRMED = 0.2, 3
#: The response, as a column of a replayed search.
FIGURE = "figure"


def means(history: Iterable[Run]) -> dict[Cell, float]:
    """Return each cell's mean figure, in the order of their first runs."""
    figures: dict[Cell, list[float]] = defaultdict(list)
    for cell, figure in history:
        figures[cell].append(figure)
    return {cell: float(np.mean(own)) for cell, own in figures.items()}


def best_mean(history: Iterable[Run]) -> Cell:
    """Return the cell with the best mean; the first run of equals."""
    own = means(history)
    return max(own, key=own.__getitem__)


def full_grid(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
    """Run the full grid in random order, as far as the budget goes."""
    return _plain(space.draw(rng, min(budget, space.n_cells)))


def random_search(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
    """Run cells drawn at random, the same one perhaps again."""
    drawn = rng.integers(space.shape, size=(budget, len(space.shape)))
    return _plain([tuple(map(int, row)) for row in drawn])


def manual(cells: Sequence[Cell]) -> Start:
    """Return a tuner that runs a list of cells, in its order."""

    def start(space: Space, budget: int, rng: np.random.Generator) -> Tuner:  # noqa: ARG001 # a list needs neither
        return _plain(list(cells)[:budget])

    return start


def _plain(cells: list[Cell]) -> Tuner:
    history = []
    for cell in cells:
        figures = yield [cell]
        history.append((cell, figures[0]))
    return best_mean(history)


def confirm_runs(budget: int) -> int:
    """Return how many runs of a budget confirm."""
    return max(2, round(CONFIRM * budget))


def confirmed(history: Sequence[Run], runs: int) -> Tuner:
    """Run the best cells again, and deliver the best mean of all their runs."""
    own = means(history)
    top = sorted(own, key=own.__getitem__, reverse=True)[:CONFIRMED]
    asked = [top[i % len(top)] for i in range(runs)]
    figures = yield asked
    again = [*history, *zip(asked, figures, strict=True)]
    return best_mean(run for run in again if run[0] in top)


def with_confirm(start: Start) -> Start:
    """Return a tuner that leaves the last fifth of its budget to run its best cells again.

    Until then it runs what it would run without, so that of equal seeds only the last are new.
    """

    def begin(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
        again = confirm_runs(budget)
        search, history = start(space, budget, rng), list[Run]()
        asked = next(search)
        while len(history) < budget - again:
            figures = yield asked[: budget - again - len(history)]
            history += zip(asked, figures, strict=False)
            if len(figures) < len(asked):
                break
            try:
                asked = search.send(figures)
            except StopIteration:  # it has no more cells to run
                break
        return (yield from confirmed(history, again))

    return begin


@dataclass(frozen=True)
class Procedure:
    """Our search within a budget: the rules of `analysis.search.procedure`, as users run them.

    Attributes
    ----------
    method : how the refinement chooses cells; with ``grid`` and without a pilot it is the published
        procedure.
    pilot : whether a few runs place the screen's levels; otherwise they are the ends of the ranges.
    confirm : whether a fifth of the budget goes to fresh seeds for the best cells.
    """

    method: Method = "gp"
    pilot: bool = True
    confirm: bool = False

    def __call__(self, space: Space, budget: int, rng: np.random.Generator) -> Tuner:
        """Start on a space, with a budget in runs."""
        return carry_out(self.rules(space, budget, int(rng.integers(2**31))), space, budget)

    def rules(self, space: Space, budget: int, seed: int) -> Rules:
        """Return the rules that fit into a budget.

        The screen takes half of what confirmation leaves, or 8 runs if a grid or a surface needs
        them; the refinement takes the rest.
        """
        factors = tuple(replace(f, domain=_domain(f)) for f in space.factors)
        looked = len(pilot_points(factors)) if self.pilot else 0
        again = confirm_runs(budget) if self.confirm else 0
        least = 0 if self.method == "gp" else SMALLEST_SCREEN
        most = max(round(SCREEN * (budget - again)), min(least, budget - again - looked))
        design = fraction_within([f.name for f in factors], most)
        left = budget - again - looked - (design.n_runs if design else START_CELLS)
        return Rules(
            factors,
            FIGURE,
            design,
            seed=seed,
            pilot=self.pilot,
            method=self.method if design else "gp",
            budget=max(1, left),
            rounds=max(1, left),
            confirm_replicates=-(-again // CONFIRMED),
            confirm_cells=CONFIRMED,
            space=space,
        )


def carry_out(rules: Rules, space: Space, budget: int, complete: Complete | None = None) -> Tuner:
    """Carry out a search's rules on a space, as `flows.search` does with real training.

    Parameters
    ----------
    rules : with `space` as theirs, unless every cell that they ask for is one of its cells.
    budget : runs, at most; the search ends where they are used up.
    complete : adds to the table of runs what a study knows besides the response: ``collapsed``,
        ``train_seconds``.
    """
    runs = _Runs(space, budget, complete)
    yield from runs.ask("pilot", procedure.pilot_runs(rules))
    if rules.pilot and runs.complete:
        rules, _ = procedure.narrow(rules, runs.of("pilot"))

    yield from runs.ask("screen", procedure.screen_runs(rules))
    decision = _decision(rules, runs)
    if decision is None and rules.design is not None:
        rules = replace(rules, method="gp")  # nothing to decide by, for example equal figures

    last: tuple[dict[str, Level], ...] = ()
    for _ in range(rules.steps):
        cells = procedure.refined_cells(rules, decision, runs.table, runs.of("refine"), last).cells
        if not cells or not runs.left:
            break
        yield from runs.ask("refine", procedure.refine_runs(rules, cells))
        last = cells

    selection = procedure.select_cell(rules, runs.table)
    if rules.confirm_replicates and runs.left:
        yield from runs.ask("confirm", procedure.confirm_runs(rules, selection))
        selection = procedure.select_cell(rules, runs.table)
    return space.cell(selection.chosen)


def _decision(rules: Rules, runs: "_Runs") -> Decision | None:
    if rules.design is None or not runs.complete:
        return None
    try:
        return procedure.decide(rules, procedure.screen_effects(rules, runs.of("screen")))
    except AnalysisError:
        return None


@dataclass
class _Runs:
    """The runs of one search under way, as a study has them in MLflow.

    Attributes
    ----------
    complete : whether every run that was asked for could be paid.
    """

    space: Space
    left: int
    add_columns: Complete | None = None
    complete: bool = True
    rows: dict[tuple[Cell, int], dict[str, object]] = field(default_factory=dict)
    asked: dict[str, list[tuple[Cell, int]]] = field(default_factory=lambda: defaultdict(list))

    def ask(self, stage: str, wanted: Sequence[CellRun]) -> Steps:
        """Run what a stage asks for; a cell and seed that was run for another stage is reused."""
        keys = list(dict.fromkeys((self.space.cell(run.levels), run.number) for run in wanted))
        new = [key for key in keys if key not in self.rows]
        self.complete = len(new) <= self.left
        paid = new[: self.left]
        figures = (yield [cell for cell, _ in paid]) if paid else []
        self.left -= len(paid)
        for (cell, number), figure in zip(paid, figures, strict=True):
            levels = self.space.natural(cell)
            row: dict[str, object] = {**levels, "stage": stage, "replicate": number, FIGURE: figure}
            self.rows[cell, number] = row
        self.asked[stage] += [key for key in keys if key in self.rows]

    @property
    def table(self) -> pd.DataFrame:
        """All runs, in the order of cells and seeds, as they are read from MLflow."""
        return self._table(self.rows)

    def of(self, stage: str) -> pd.DataFrame:
        """Return the runs that a stage asked for."""
        return self._table(dict.fromkeys(self.asked[stage]))

    def _table(self, keys: Iterable[tuple[Cell, int]]) -> pd.DataFrame:
        names = [f.name for f in self.space.factors]
        columns = [*names, "stage", "replicate", FIGURE]
        table = pd.DataFrame([self.rows[key] for key in keys], columns=columns)
        table = table.sort_values([*names, "replicate"], ignore_index=True)
        return self.add_columns(table) if self.add_columns else table


def _domain(factor: Factor) -> tuple[float, float] | None:
    return None if factor.scale == "categorical" else (float(factor.low), float(factor.high))


#: Those that need nothing but numpy; Optuna's come from `tasks`.
TUNERS: dict[str, Start] = {
    "full grid": full_grid,
    "random": random_search,
    "factorial at the ends + grid (published)": Procedure("grid", pilot=False),
    "pilot + factorial + grid": Procedure("grid"),
    "pilot + factorial + surface": Procedure("surface"),
    "pilot + factorial + process": Procedure("gp"),
    "pilot + factorial + process + confirm": Procedure("gp", confirm=True),
}
#: Those that do not plan by their budget: the same search serves every smaller one.
ANYTIME = frozenset({"full grid", "random", "manual", "TPE", "Gaussian process (Optuna)"})
