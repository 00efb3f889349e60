"""The tuners of a comparison: the search of FactorGrid and its alternatives.

To add a tuner, write a function or a class that starts a search, and add one line to `TUNERS`.
Tuners of Optuna are in `tasks.comparison.optuna_tuners`.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.comparison.replay import CellOfLength, Run, Search
from analysis.designs.mixed_levels import design_within
from analysis.errors import AnalysisError
from analysis.factors import Factor, Level
from analysis.search import procedure
from analysis.search.best_cell import ROUNDING
from analysis.search.budget import FEWEST_SPREAD_CELLS, rules_for_budget
from analysis.search.pilot import pilot_points
from analysis.search.procedure import CellRun, Method, SearchRules, ShortTrainings
from analysis.search.refined_grid import Decision
from analysis.search.space import Cell, Space

#: A tuner starts one search: on a space, with a budget in runs and a source of randomness.
Tuner = Callable[[Space, int, np.random.Generator], Search]
#: Adds columns to a table of runs.
AddColumns = Callable[[pd.DataFrame], pd.DataFrame]

#: Share of the budget that the screen may take.
SCREEN_SHARE = 0.5
#: Runs that the screen may take at least if a grid or a surface follows, which need a screen.
SMALLEST_SCREEN = 8
#: Share of the budget for confirmation.
CONFIRM_SHARE = 0.2
#: How many of the best cells are confirmed.
CONFIRM_CELLS = 3
#: Column of the response in the table of runs.
RESPONSE = "response"


@dataclass(frozen=True)
class Anytime:
    """A tuner that does not plan by its budget: the runs of a long search contain a shorter one.

    Therefore one search gives the results for all smaller budgets, and every such tuner takes part
    in a comparison twice: as it is, and with confirmation (`with_confirmation`).
    """

    tuner: Tuner

    def __call__(self, space: Space, budget: int, rng: np.random.Generator) -> Search:
        """Start a search."""
        return self.tuner(space, budget, rng)


# -- simple tuners --------------------------------------------------------------------------------


def full_grid(space: Space, budget: int, rng: np.random.Generator) -> Search:
    """Run the cells of the full grid in random order until the budget is used."""
    return _run_in_order(space.draw(rng, min(budget, space.n_cells)))


def random_search(space: Space, budget: int, rng: np.random.Generator) -> Search:
    """Run cells drawn at random with replacement."""
    drawn = rng.integers(space.shape, size=(budget, len(space.shape)))
    return _run_in_order([tuple(map(int, row)) for row in drawn])


def manual_list(cells: Sequence[Cell]) -> Tuner:
    """Return a tuner that runs the cells of a list in its order."""

    def start(space: Space, budget: int, rng: np.random.Generator) -> Search:  # noqa: ARG001 # a list needs neither
        return _run_in_order(list(cells)[:budget])

    return start


def _run_in_order(cells: list[Cell]) -> Search:
    history = []
    for cell in cells:
        responses = yield [cell]
        history.append((cell, responses[0]))
    return cell_with_best_mean(history)


def mean_responses(history: Iterable[Run]) -> dict[Cell, float]:
    """Return the mean response of each cell, in the order of their first runs."""
    responses: dict[Cell, list[float]] = defaultdict(list)
    for cell, response in history:
        responses[cell].append(response)
    return {cell: float(np.mean(values)) for cell, values in responses.items()}


def cell_with_best_mean(history: Iterable[Run]) -> Cell:
    """Return the cell with the best mean response; of equal ones, the cell that was run first."""
    means = mean_responses(history)
    return max(means, key=means.__getitem__)


# -- confirmation ---------------------------------------------------------------------------------


def confirmation_runs(budget: int) -> int:
    """Return how many runs of a budget are used for confirmation."""
    return max(2, round(CONFIRM_SHARE * budget))


def confirm_best_cells(history: Sequence[Run], runs: int) -> Search:
    """Run the best cells again, and deliver the best of them by the mean of all their runs."""
    means = mean_responses(history)
    best = sorted(means, key=means.__getitem__, reverse=True)[:CONFIRM_CELLS]
    cells = [best[i % len(best)] for i in range(runs)]
    responses = yield cells
    all_runs = [*history, *zip(cells, responses, strict=True)]
    return cell_with_best_mean(run for run in all_runs if run[0] in best)


def with_confirmation(tuner: Tuner) -> Tuner:
    """Return a tuner that uses the last fifth of its budget to run its best cells again.

    Before that it runs the same cells as the tuner does without confirmation. So with equal seeds
    only the last runs are new.
    """

    def start(space: Space, budget: int, rng: np.random.Generator) -> Search:
        reserved = confirmation_runs(budget)
        search, history = tuner(space, budget, rng), list[Run]()
        cells = next(search)
        while len(history) < budget - reserved:
            responses = yield cells[: budget - reserved - len(history)]
            history += zip(cells, responses, strict=False)
            if len(responses) < len(cells):
                break
            try:
                cells = search.send(responses)
            except StopIteration:  # the search has no more cells to run
                break
        return (yield from confirm_best_cells(history, reserved))

    return start


# -- the search of FactorGrid ---------------------------------------------------------------------


@dataclass(frozen=True)
class FactorGridTuner:
    """The search that users run (the rules of `analysis.search.procedure`), within a budget.

    Attributes
    ----------
    method : how the refinement chooses cells; ``grid`` without a pilot is the published procedure.
    pilot : whether a few runs place the levels of the screen; if not, the levels are the ends of
        the ranges.
    confirm : whether a fifth of the budget is used for fresh seeds of the best cells.
    """

    method: Method = "gp"
    pilot: bool = True
    confirm: bool = False

    def __call__(self, space: Space, budget: int, rng: np.random.Generator) -> Search:
        """Start a search."""
        return carry_out(self.rules(space, budget, int(rng.integers(2**31))), space, budget)

    def rules(self, space: Space, budget: int, seed: int) -> SearchRules:
        """Return the rules that fit into a budget.

        The screen takes at most half of what confirmation leaves, or 8 runs if a grid or a surface
        needs them; the refinement takes the rest.

        Parameters
        ----------
        space : the cells that may be run.
        budget : runs of the whole search.
        seed : of the run order and of the models.
        """
        factors = tuple(replace(f, domain=_ends_as_domain(f)) for f in space.factors)
        pilot_size = len(pilot_points(factors)) if self.pilot else 0
        reserved = confirmation_runs(budget) if self.confirm else 0
        least = 0 if self.method == "gp" else SMALLEST_SCREEN
        most = max(
            round(SCREEN_SHARE * (budget - reserved)), min(least, budget - reserved - pilot_size)
        )
        design = design_within(factors, most)
        left = budget - reserved - pilot_size - (design.n_runs if design else FEWEST_SPREAD_CELLS)
        return SearchRules(
            factors,
            RESPONSE,
            design,
            seed=seed,
            pilot=self.pilot,
            spread_cells=FEWEST_SPREAD_CELLS,
            method=self.method if design else "gp",
            budget=max(1, left),
            rounds=max(1, left),
            confirm_replicates=-(-reserved // CONFIRM_CELLS),
            confirm_cells=CONFIRM_CELLS,
            space=space,
        )


@dataclass(frozen=True)
class BudgetTuner:
    """The default search of `factorgrid search`, see `rules_for_budget`.

    Attributes
    ----------
    epochs : of a training of full length; None if only trainings of full length can be run.
    continues : whether a training of full length continues a short one.
    parallel : how many cells are chosen at once.
    """

    epochs: int | None = None
    continues: bool = True
    parallel: int = 1

    def __call__(self, space: Space, budget: int, rng: np.random.Generator) -> Search:
        """Start a search; the budget counts trainings of full length."""
        rules = rules_for_budget(
            space.factors,
            RESPONSE,
            budget,
            seed=int(rng.integers(2**31)),
            space=space,
            anything=True,
            epochs=self.epochs,
            continues=self.continues,
        )
        return carry_out(replace(rules, parallel=self.parallel), space, budget)


#: The default search with trainings of full length only.
budget_driven = BudgetTuner()


def _ends_as_domain(factor: Factor) -> tuple[float, float] | None:
    return None if factor.scale == "categorical" else (float(factor.low), float(factor.high))


def carry_out(
    rules: SearchRules, space: Space, budget: int, add_columns: AddColumns | None = None
) -> Search:
    """Carry out the rules of a search on a space, as `flows.search` does with real training.

    Parameters
    ----------
    rules : their `space` must be this space, unless every cell that they request is in it.
    space : the cells that may be run.
    budget : runs, at most; the search ends when they are used.
    add_columns : adds to the table of runs what a study knows besides the response: ``collapsed``,
        ``multiply_adds`` and ``parameters``.
    """
    runs = _StageRuns(space, rules.short, budget, add_columns)
    yield from runs.run("pilot", procedure.pilot_runs(rules))
    if rules.pilot and runs.all_were_run:
        rules, _ = procedure.narrow(rules, runs.of_stage("pilot"))

    yield from runs.run("screen", procedure.screen_runs(rules))
    # A search of the whole space does not depend on the decision.
    decision = _decision_after_screen(rules, runs) if rules.trainings is None else None
    if decision is None and rules.design is not None:
        rules = replace(rules, method="gp")  # no decision is possible, for example if all are equal

    last: tuple[dict[str, Level], ...] = ()
    for _ in range(rules.steps):
        refined = runs.of_stage("refine")
        found = procedure.refined_cells(rules, decision, runs.table, refined, last)
        if not found.cells or runs.left <= 0:
            break
        yield from runs.run("refine", procedure.refine_runs(rules, found))
        last = found.cells

    selection = procedure.select_cell(rules, runs.table)
    if rules.most_confirmed and runs.left > 0:
        yield from runs.run("confirm", procedure.confirm_runs(rules, selection, runs.table))
        selection = procedure.select_cell(rules, runs.table)
    return space.cell(selection.chosen)


def _decision_after_screen(rules: SearchRules, runs: "_StageRuns") -> Decision | None:
    if rules.design is None or not runs.all_were_run:
        return None
    try:
        return procedure.decide(rules, procedure.screen_effects(rules, runs.of_stage("screen")))
    except AnalysisError:
        return None


#: A run: its cell, the number of its seed, and its epochs; 0 if all runs have the same length.
RunKey = tuple[Cell, int, int]


@dataclass
class _StageRuns:
    """The runs of one search so far, stage by stage, as MLflow has them for a study.

    Attributes
    ----------
    space : the cells that may be run.
    short : the short trainings of the search, or None.
    left : trainings of full length of the budget that are left.
    add_columns : adds columns to every table of runs.
    all_were_run : whether the budget was enough for all runs of the last stage.
    rows : one row per cell, number of its seed and length, in the order of the runs.
    requested : what each stage requested, as far as it was run.
    """

    space: Space
    short: ShortTrainings | None
    left: float
    add_columns: AddColumns | None = None
    all_were_run: bool = True
    rows: dict[RunKey, dict[str, object]] = field(default_factory=dict)
    requested: dict[str, list[RunKey]] = field(default_factory=lambda: defaultdict(list))

    def run(
        self, stage: str, wanted: Sequence[CellRun]
    ) -> Generator[list[Cell], list[float], None]:
        """Run what a stage requests; a cell and seed that an earlier stage has run is reused."""
        keys = list(dict.fromkeys(self._key(run) for run in wanted))
        new = [key for key in keys if key not in self.rows]
        costs = np.cumsum([self._cost(key) for key in new])
        paid = new[: int((costs <= self.left + ROUNDING).sum())]
        self.all_were_run = len(paid) == len(new)
        responses = (yield [self._request(key) for key in paid]) if paid else []
        self.left -= float(costs[len(paid) - 1]) if paid else 0.0
        for key, response in zip(paid, responses, strict=True):
            cell, number, epochs = key
            levels = self.space.natural(cell)
            # If the epochs are a factor, they are among the levels.
            row: dict[str, object] = {"epochs": epochs, **levels, "stage": stage}
            self.rows[key] = {**row, "replicate": number, RESPONSE: response}
        self.requested[stage] += [key for key in keys if key in self.rows]

    def _key(self, run: CellRun) -> RunKey:
        full = self.short.full if self.short else 0
        return self.space.cell(run.levels), run.number, run.epochs or full

    def _cost(self, key: RunKey) -> float:
        """Return the cost of a run in trainings of full length."""
        cell, number, epochs = key
        if self.short is None:
            return 1.0
        if epochs < self.short.full:
            return self.short.cost
        return self.short.cost_of_full if (cell, number, self.short.epochs) in self.rows else 1.0

    def _request(self, key: RunKey) -> Cell:
        return key[0] if self.short is None else CellOfLength.of(*key)

    @property
    def table(self) -> pd.DataFrame:
        """All runs, in the order of cells and seeds, as they are read from MLflow."""
        return self._table_of(self.rows)

    def of_stage(self, stage: str) -> pd.DataFrame:
        """Return the runs that a stage requested."""
        return self._table_of(dict.fromkeys(self.requested[stage]))

    def _table_of(self, keys: Iterable[RunKey]) -> pd.DataFrame:
        names = [f.name for f in self.space.factors]
        columns = dict.fromkeys([*names, "stage", "replicate", "epochs", RESPONSE])
        table = pd.DataFrame([self.rows[key] for key in keys], columns=list(columns))
        order = dict.fromkeys([*names, "replicate", "epochs"])
        table = table.sort_values(list(order), ignore_index=True)
        return self.add_columns(table) if self.add_columns else table


# -- by name --------------------------------------------------------------------------------------

#: The tuner with the rules of `factorgrid search` without options.
DEFAULT_TUNER = "FactorGrid (default)"
#: All tuners that need nothing but this package, by the name that is shown.
TUNERS: dict[str, Tuner] = {
    DEFAULT_TUNER: budget_driven,
    "full grid": Anytime(full_grid),
    "random": Anytime(random_search),
    "factorial at the ends + grid (published)": FactorGridTuner("grid", pilot=False),
    "pilot + factorial + grid": FactorGridTuner("grid"),
    "pilot + factorial + response surface": FactorGridTuner("surface"),
    "pilot + factorial + Gaussian process": FactorGridTuner("gp"),
    "pilot + factorial + Gaussian process + confirm": FactorGridTuner("gp", confirm=True),
}
