"""The rules of the search, written once: pure functions from runs to the next cells.

`tasks.search` carries them out with real training and MLflow. `analysis.comparison.tuners` replays
the same functions on tables of trained cells, so that a comparison measures what users run. The
stages: pilot, screen, decide, refine, confirm, select. Each function needs the rules and the runs
so far, and nothing else: a study that was interrupted continues with the same cells.

Runs are a table with one row per replicate: a column per factor (natural levels), the response
(NaN if the training failed), ``stage``, and optionally ``collapsed``, ``multiply_adds`` and
``parameters``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from analysis.designs.factorial import Design, design_of_fraction
from analysis.designs.fractions import Fraction
from analysis.effects.fit import fit_effects
from analysis.effects.result import Effects
from analysis.errors import DesignError
from analysis.factors import Factor, Level, cell_name, with_conditions
from analysis.runs.response import Response, response_of
from analysis.search import gaussian_process, pilot, second_order
from analysis.search.best_cell import ROUNDING, Pick, Selection, picked, select
from analysis.search.gaussian_process import Surrogate
from analysis.search.refined_grid import Decision, Grid, decide_grid, move_outward, refined_levels
from analysis.search.space import Cell, Space, grid_cells, levels_between, short_level, typed_level

#: How the neighbourhood of the best corner is searched: the published grid; a Gaussian process that
#: chooses one cell after the other; or the centre and axial points, then a second-order model.
Method = Literal["grid", "gp", "surface"]
Levels = dict[str, Level]

#: Cells of full length after which it is known whether networks learn, if no short one has learned.
ENOUGH_TO_TELL = 4
#: Coordinate of the full length of training in the Gaussian process; a short one has the negative.
LENGTH_DISTANCE = 0.5


@dataclass(frozen=True)
class ShortTrainings:
    """Trainings of a part of the full length: at a low cost they show which cells are promising.

    Attributes
    ----------
    epochs, full : epochs of a short training, and of one of full length.
    number : short trainings of pilot, screen and refinement together, at most.
    continues : whether a training of full length continues the short one of the same cell and seed,
        so that it costs only the other epochs.
    """

    epochs: int
    full: int
    number: int
    continues: bool = True

    @property
    def cost(self) -> float:
        """The cost of a short training, in trainings of full length."""
        return self.epochs / self.full

    @property
    def cost_of_full(self) -> float:
        """The cost of a training of full length after a short one of the same cell and seed."""
        return 1 - self.cost if self.continues else 1.0


@dataclass(frozen=True)
class SearchRules:
    """What a search is to do.

    Attributes
    ----------
    factors : their low and high levels are those of the screen; with a pilot, the ends of ranges.
    response : column of the runs; see `analysis.runs.response` for its direction.
    design : of the screen; None if the budget has no room for any.
    alpha : significance level of the effects and of the tied cells.
    seed : of the run order and of the models that draw candidates.
    pilot : whether a few runs place the screen's levels.
    replicates : seeds per cell of the screen.
    centre_points : extra runs in the middle of the numeric factors.
    method : how the refinement chooses cells.
    screen_inside : with a pilot, the coded distance from the middle of the screen's levels of the
        factors that the pilot does not vary; 1 for the ends of their ranges.
    spread_cells : cells of a Latin hypercube between the screen's levels, which are the screen
        without a design.
    trainings : if given, the Gaussian process searches the whole `space`, not only around the
        decided corner, and ends when pilot, screen and refinement have cost this many trainings of
        full length together.
    short : if given, pilot and screen have short trainings, and the process first chooses short
        ones and then which of these cells are trained to full length. Only runs of full length are
        confirmed and selected.
    budget : cells of the refinement, at most.
    rounds : for a grid, how often it may move outward, plus one.
    refine_replicates : seeds per refined cell.
    confirm_replicates, confirm_cells : fresh seeds for the best cells that cannot be distinguished,
        and for how many cells at most.
    confirm_trainings : if given, this many runs confirm the best cells in turn, which replaces
        `confirm_replicates`.
    space : if given, the only cells that may be run; a level is replaced by the nearest of them.
    parallel : how many cells the Gaussian process chooses at once, at most, so that as many devices
        train them at the same time.
    second : a second response, a column of the runs of which lower is better; None without one.
    pick : how the cell is chosen by both; None for the usual choice.
    """

    factors: tuple[Factor, ...]
    response: str
    design: Fraction | None
    alpha: float = 0.05
    seed: int = 1
    pilot: bool = False
    screen_inside: float = 1.0
    spread_cells: int = 4
    trainings: int | None = None
    short: ShortTrainings | None = None
    replicates: int = 1
    centre_points: int = 0
    method: Method = "grid"
    budget: int = 12
    rounds: int = 2
    refine_replicates: int = 1
    confirm_replicates: int = 2
    confirm_cells: int = 4
    confirm_trainings: int | None = None
    space: Space | None = None
    parallel: int = 1
    second: str | None = None
    pick: Pick | None = None

    @property
    def measured(self) -> Response:
        """The response with its direction."""
        return response_of(self.response)

    @property
    def steps(self) -> int:
        """How often refined cells are chosen, at most: moves of a grid, or single cells."""
        if self.trainings is not None:
            return self.trainings + (self.short.number if self.short else 0)
        return self.rounds if self.method == "grid" else self.budget

    @property
    def most_refined(self) -> int:
        """The most runs of the refinement."""
        rounds = self.rounds if self.method == "grid" else 1
        return self.budget * rounds * self.refine_replicates

    @property
    def most_confirmed(self) -> int:
        """The most runs of the confirm stage."""
        if self.confirm_trainings is not None:
            return self.confirm_trainings
        return self.confirm_cells * self.confirm_replicates

    @property
    def grid_budget(self) -> int | None:
        """The most cells of a decided grid; a model's search is not bound to one."""
        return self.budget if self.method == "grid" else None

    def allowed(self, factor: Factor, level: Level, *, higher: bool = False) -> Level:
        """Return the nearest level of a factor that may be run.

        Parameters
        ----------
        factor : of the level.
        level : natural units.
        higher : whether the higher of two equally near levels is returned.
        """
        if self.space is None:
            return level
        index = self.space.factors_by_name[factor.name]
        coded = self.space.coded[index]
        distance = np.abs(coded - self.space.factors[index].code(level)).round(9)
        nearest = int(np.flatnonzero(distance == distance.min())[-1 if higher else 0])
        return self.space.levels[index][nearest]

    def allowed_cell(self, levels: Mapping[str, Level]) -> Levels:
        """Return the nearest cell that may be run."""
        return {f.name: self.allowed(f, levels[f.name]) for f in self.factors}


@dataclass(frozen=True)
class CellRun:
    """One run that a stage asks for.

    Attributes
    ----------
    levels : the cell, in natural units.
    number : of its seed, from 1; the same cell and number are one run in all stages.
    centre : whether it is a centre point.
    epochs : the length of the training; None for the study's own, or the cell's.
    """

    levels: Levels
    number: int
    centre: bool = False
    epochs: int | None = None


def cell_runs(cells: Sequence[Mapping[str, Level]], numbers: Iterable[int]) -> list[CellRun]:
    """Return one run for each cell and number, the numbers outermost."""
    return [CellRun(dict(cell), number) for number in numbers for cell in cells]


@dataclass(frozen=True)
class NextCells:
    """The cells to refine next, and what a model expects of the first one.

    Attributes
    ----------
    cells : natural levels; empty if the refinement has ended.
    epochs : the length of their trainings; None for the full length.
    expected, deviation : mean and standard deviation of the response there, as it is measured; None
        without a model.
    runs : how many runs the model was fitted to.
    """

    cells: tuple[Levels, ...] = ()
    epochs: int | None = None
    expected: float | None = None
    deviation: float | None = None
    runs: int = 0


# -- two lengths of training --------------------------------------------------------------------


def is_short(rules: SearchRules, runs: pd.DataFrame) -> "pd.Series[bool]":
    """Return which runs are short trainings, by their column ``epochs``."""
    if rules.short is None or "epochs" not in runs:
        return pd.Series(data=False, index=runs.index)
    return runs["epochs"].lt(rules.short.full)


def full_length(rules: SearchRules, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of full length: only these are compared, confirmed and selected."""
    return runs[~is_short(rules, runs)]


def cost(rules: SearchRules, runs: pd.DataFrame) -> float:
    """Return what runs cost together, in trainings of full length.

    It follows from the plan and not from what was trained: a run that was reused counts as if it
    had been trained, so that a study takes the same decisions on every server.
    """
    if rules.short is None:
        return float(len(runs))
    short = is_short(rules, runs)
    both = runs.duplicated([*(f.name for f in rules.factors), "replicate"]).sum()
    new = (~short).sum() - both
    return float(short.sum() * rules.short.cost + both * rules.short.cost_of_full + new)


def means_at_lengths(rules: SearchRules, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean responses of the cells that have both lengths, one row per cell.

    Returns
    -------
    Columns True (short) and False (full length).
    """
    names = [f.name for f in rules.factors]
    table = runs.assign(**{"(short)": is_short(rules, runs)}).dropna(subset=[rules.response])
    means = table.pivot_table(rules.response, names, "(short)", observed=True)
    return means.reindex(columns=[True, False]).dropna()


def _begin(rules: SearchRules, runs: Iterable[CellRun]) -> list[CellRun]:
    """Return runs with the length of the stages before the refinement."""
    return [replace(run, epochs=rules.short.epochs) if rules.short else run for run in runs]


# -- pilot ----------------------------------------------------------------------------------------


def pilot_runs(rules: SearchRules) -> list[CellRun]:
    """Return the runs of the pilot, in the order of `pilot.pilot_points`; none without a pilot.

    A list of values may have the same value at an end and in the middle: it is run once.
    """
    cells = _pilot_cells(rules) if rules.pilot else []
    distinct = [cell for i, cell in enumerate(cells) if cell not in cells[:i]]
    return _begin(rules, cell_runs(distinct, [1]))


def _pilot_cells(rules: SearchRules) -> list[Levels]:
    return [
        with_conditions(
            rules.factors,
            {f.name: _level(rules, f, x) for f, x in zip(rules.factors, point, strict=True)},
        )
        for point in pilot.pilot_points(rules.factors)
    ]


def _level(rules: SearchRules, factor: Factor, coded: float) -> Level:
    """Return a natural level: the factor's own at its ends, three digits between them."""
    # Of two equally near levels, the one farther from the middle.
    if factor.values and factor.scale != "categorical":
        outward = factor.values if coded <= 0 else factor.values[::-1]
        level = min(outward, key=lambda value: round(abs(factor.code(value) - coded), 9))
    else:
        level = factor.decode(coded)
    known = level in (*factor.levels, *factor.values)
    return rules.allowed(factor, level if known else short_level(level), higher=coded > 0)


def narrow(rules: SearchRules, runs: pd.DataFrame) -> tuple[SearchRules, list[pilot.ScreenRange]]:
    """Return the rules with the screen's levels where the pilot puts them, and what it found.

    Parameters
    ----------
    runs : those of the pilot.

    Raises
    ------
    DesignError
        If a run of the pilot has no response; with a number of trainings, if none has.
    """
    cells = _pilot_cells(rules)
    sign = rules.measured.sign
    figures = [sign * _only_figure(rules, runs, cell) for cell in cells]
    failed = [cell for cell, y in zip(cells, figures, strict=True) if math.isnan(y)]
    # At the high end of a wide range, training may diverge: this is what the pilot looks for.
    if failed and (rules.trainings is None or len(failed) == len(cells)):
        raise DesignError(f"the pilot's run at {cell_name(failed[0])} has no {rules.response}")
    ranges = pilot.screen_ranges(rules.factors, figures, rules.screen_inside)
    factors = []
    for factor, found in zip(rules.factors, ranges, strict=True):
        low, high = _screen_levels(rules, factor, found)
        # Whole numbers, or the levels of a table, may leave no two levels inside.
        factors.append(factor if low == high else replace(factor, low=low, high=high))
    ranges = [replace(x, figures=tuple(sign * figure for figure in x.figures)) for x in ranges]
    return replace(rules, factors=tuple(factors), pilot=False), ranges


def _screen_levels(
    rules: SearchRules, factor: Factor, found: pilot.ScreenRange
) -> tuple[Level, Level]:
    """Return the two levels of a factor in the screen.

    Of three learning rates, the nearest to the wanted levels are both ends of the range, although
    the pilot found the middle to be the best, or twice the same one. Then the levels are the best
    value and the one beside it, on the side of the better end.
    """
    low, high = _level(rules, factor, found.low), _level(rules, factor, found.high)
    values = rules.space.levels_of(factor.name) if rules.space else factor.values
    if not found.figures or not values or (low != high and (low, high) != (values[0], values[-1])):
        return low, high
    distances = [abs(factor.code(value) - pilot.best_place(found.figures)) for value in values]
    best = int(np.argmin(distances))
    first, _, last = (-math.inf if math.isnan(y) else y for y in found.figures)
    below = best == len(values) - 1 or (best > 0 and first >= last)
    return (values[best - 1], values[best]) if below else (values[best], values[best + 1])


def _only_figure(rules: SearchRules, runs: pd.DataFrame, cell: Levels) -> float:
    same = runs[[f.name for f in rules.factors]].eq(pd.Series(cell)).all(axis=1)
    figures = runs.loc[same, rules.response].dropna()
    return math.nan if figures.empty else float(figures.iloc[0])


# -- screen ---------------------------------------------------------------------------------------


def screen_runs(rules: SearchRules) -> list[CellRun]:
    """Return the runs of the screen, in random order: a two-level design, full or a fraction.

    Without a design they are the cells of a Latin hypercube, one run each: `SearchRules.design`.
    """
    if rules.design is None:
        return _begin(rules, distinct_runs(rules.factors, cell_runs(_spread_cells(rules), [1])))
    design = screen_design(rules)
    names = [factor.name for factor in rules.factors]
    runs = [
        CellRun(
            rules.allowed_cell({name: row[name] for name in names}),
            int(row["replicate"]),
            centre=bool(row["centre"]),
        )
        for row in design.cells.to_dict("records")
    ]
    return _begin(rules, distinct_runs(rules.factors, runs))


def _spread_cells(rules: SearchRules) -> list[Levels]:
    """Return the cells of a Latin hypercube whose ends are the levels of a screen.

    Each factor has as many equally distant levels as there are cells, as far as it has so many, in
    an order of its own.

    References
    ----------
    McKay, Beckman and Conover (1979), Technometrics 21, 239-245.
    """
    rng, n = np.random.default_rng(rules.seed), rules.spread_cells
    places = [rng.permutation(np.linspace(-1, 1, n)) for _ in rules.factors]
    return [
        {f.name: _spread_level(rules, f, x) for f, x in zip(rules.factors, point, strict=True)}
        for point in zip(*places, strict=True)
    ]


def _spread_level(rules: SearchRules, factor: Factor, coded: float) -> Level:
    """Return the level at a place between a factor's low level, -1, and its high one, 1."""
    if factor.scale == "categorical":
        last = len(factor.levels) - 1
        return rules.allowed(factor, factor.levels[round((coded + 1) / 2 * last)])
    return _level(rules, factor, coded)


def distinct_runs(factors: Sequence[Factor], runs: Sequence[CellRun]) -> list[CellRun]:
    """Return the runs in order, each once: without those that differ in nothing that counts."""
    if not any(factor.when for factor in factors):
        return list(runs)
    equal = [replace(run, levels=with_conditions(factors, run.levels)) for run in runs]
    return [run for i, run in enumerate(equal) if run not in equal[:i]]


def screen_design(rules: SearchRules) -> Design:
    """Return the two-level design of the screen, in run order.

    Raises
    ------
    DesignError
        If the rules have no design.
    """
    if rules.design is None:
        raise DesignError("the budget has no room for a design; raise it")
    return design_of_fraction(
        rules.design,
        rules.factors,
        replicates=rules.replicates,
        centre_points=rules.centre_points,
        seed=rules.seed,
    )


def screen_effects(rules: SearchRules, runs: pd.DataFrame) -> Effects:
    """Fit the effects model to the runs of the screen; if all are equal, every effect is 0.

    Raises
    ------
    AnalysisError
        If the runs cannot be fitted; see `fit_effects`.
    """
    return fit_effects(runs, rules.factors, rules.response, alpha=rules.alpha, constant=True)


# -- refine ---------------------------------------------------------------------------------------


def decide(rules: SearchRules, effects: Effects) -> Decision:
    """Decide the refined grid."""
    return decide_grid(effects, budget=rules.grid_budget)


def refined_cells(
    rules: SearchRules,
    decision: Decision | None,
    runs: pd.DataFrame,
    refined: pd.DataFrame,
    last: Sequence[Mapping[str, Level]] = (),
) -> NextCells:
    """Return the next cells of the refinement; none where it has ended.

    Parameters
    ----------
    decision : after the screen; None without a design, then only a Gaussian process can search.
    runs : all runs so far; those of the confirm stage, which an execution that is resumed may have
        already, do not count.
    refined : those of them that the refinement asked for.
    last : the cells that were returned before this call; empty at the first.
    """
    runs = before_confirm(runs)
    if decision is None or rules.method == "gp":
        if rules.parallel == 1:
            return _process_cell(rules, decision, runs, refined)
        begin = _chosen_together if last else _chosen_since_the_start
        return begin(rules, decision, runs, refined)
    if rules.method == "surface":
        return _surface_cells(rules, decision, runs, refined, last)
    if not last:
        return NextCells(tuple(grid_cells(_allowed_grid(rules, decision.grid))))
    return NextCells(tuple(_moved_cells(rules, refined, last)))


def _allowed_grid(rules: SearchRules, grid: Grid) -> Grid:
    factors = {f.name: f for f in rules.factors}
    return {
        name: tuple(dict.fromkeys(rules.allowed(factors[name], level) for level in levels))
        for name, levels in grid.items()
    }


def _moved_cells(
    rules: SearchRules, refined: pd.DataFrame, last: Sequence[Mapping[str, Level]]
) -> list[Levels]:
    """Return the grid moved outward, if its best cell lies on an edge that can move.

    A grid whose cells are all equal has no best cell, and stays.
    """
    # An execution that is resumed has the runs of later grids too. A moved grid contains the best
    # cell of the grid before, so the best of the last grid is the best of all grids up to it.
    in_last = [cell in last for cell in typed_cells(rules.factors, refined)]
    selection = select(refined[in_last], rules.factors, rules.response)
    if selection.all_equal:
        return []
    best = selection.best
    grid = {name: tuple(dict.fromkeys(cell[name] for cell in last)) for name in last[0]}
    moved = move_outward(grid, best, rules.factors)
    if moved is None:
        return []
    allowed = _allowed_grid(rules, moved)
    # Among the levels of a table, a move may lead back to the same levels.
    return [] if allowed == grid else grid_cells(allowed)


def region(rules: SearchRules, decision: Decision | None) -> Space:
    """Return where the refinement by a model may search.

    The whole space of rules with a number of trainings; otherwise from the screen's levels to the
    refined levels outside them, or without a decision between the ends of the factors. The levels
    are those of `levels_between`.
    """
    if rules.trainings is not None and rules.space is not None:
        return rules.space
    return Space(rules.factors, tuple(_region_levels(rules, f, decision) for f in rules.factors))


def _region_levels(
    rules: SearchRules, factor: Factor, decision: Decision | None
) -> tuple[Level, ...]:
    if factor.scale == "categorical":
        return factor.levels
    outer = refined_levels(factor, decision.corner[factor.name]) if decision else ()
    ends = [float(level) for level in (*factor.levels, *outer)]
    low, high = min(ends), max(ends)
    if rules.space is None:
        return levels_between(factor, low, high)
    table = rules.space.levels_of(factor.name)
    low, high = (float(rules.allowed(factor, end)) for end in (low, high))
    return tuple(level for level in table if low <= float(level) <= high)


def _is_spent(rules: SearchRules, refined: pd.DataFrame) -> bool:
    names = [f.name for f in rules.factors]
    return len(refined[names].drop_duplicates()) >= rules.budget


def _chosen_since_the_start(
    rules: SearchRules, decision: Decision | None, runs: pd.DataFrame, refined: pd.DataFrame
) -> NextCells:
    """Return the next cells of an execution that is resumed.

    It may have some runs of the last cells that were chosen together. So the choices are repeated
    from the first one, each from the runs that were there before it.
    """
    asked = runs["stage"] == "refine"
    before, known, left = runs[~asked], runs[:0], runs[asked]
    while True:
        found = _chosen_together(rules, decision, pd.concat([before, known]), known)
        chosen = _is_one_of(rules, left, found)
        new, left = left[chosen], left[~chosen]
        trained = typed_cells(rules.factors, new)
        if not found.cells or any(cell not in trained for cell in found.cells):
            break
        known = pd.concat([known, new])
    # If a run was repeated, and has another response since, other cells follow from it: then all
    # runs that are there count.
    return found if left.empty else _chosen_together(rules, decision, runs, refined)


def _chosen_together(
    rules: SearchRules, decision: Decision | None, runs: pd.DataFrame, refined: pd.DataFrame
) -> NextCells:
    """Return cells of one length, each chosen as if those before it were trained as expected [1]_.

    References
    ----------
    .. [1] Ginsbourger, D., Le Riche, R. and Carraro, L. (2010), Kriging is well-suited to
       parallelize optimization: the kriging believer.
    """
    # Runs that are trained at once end in any order, and sums of floats depend on it.
    order = [*(f.name for f in rules.factors), *(x for x in ("epochs", "replicate") if x in runs)]
    runs = runs.sort_values(order, ignore_index=True)
    first = found = _process_cell(rules, decision, runs, refined)
    cells = first.cells
    while found.cells and len(cells) < rules.parallel:
        row = _as_expected(rules, found, runs)
        runs, refined = (pd.concat([x, row], ignore_index=True) for x in (runs, refined))
        found = _process_cell(rules, decision, runs, refined)
        if found.epochs != first.epochs:
            break
        cells += found.cells
    return replace(first, cells=cells)


def _as_expected(rules: SearchRules, found: NextCells, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the run of a cell as the process expects it, as a table of one row."""
    # The process predicts the response at full length.
    gain = _gain_of_length(rules, runs) if found.epochs else 0.0
    row: dict[str, object] = {
        **found.cells[0],
        rules.response: (found.expected or 0.0) - gain,
        "stage": "refine",
        "replicate": 1,
        "collapsed": False,
    }
    if rules.short is not None:
        row["epochs"] = found.epochs or rules.short.full
    return pd.DataFrame([row])


def _is_one_of(rules: SearchRules, runs: pd.DataFrame, found: NextCells) -> "pd.Series[bool]":
    """Return which runs are of the cells that were chosen, and of their length."""
    chosen = [cell in found.cells for cell in typed_cells(rules.factors, runs)]
    same_length = is_short(rules, runs).eq(found.epochs is not None)
    return pd.Series(chosen, runs.index, dtype=bool) & same_length


def _process_cell(
    rules: SearchRules, decision: Decision | None, runs: pd.DataFrame, refined: pd.DataFrame
) -> NextCells:
    if rules.trainings is None:
        if _is_spent(rules, refined):
            return NextCells()
    elif _left(rules, runs) <= 0 or _nothing_learned_at_full_length(rules, runs):
        return NextCells()
    if runs[rules.response].isna().all():
        return NextCells()
    space = region(rules, decision)
    surrogate = fit_surrogate(rules, space, runs)
    cells = [space.cell(levels) for levels in typed_cells(rules.factors, runs)]
    rng = np.random.default_rng([rules.seed, len(runs)])
    found, epochs = None, None
    if rules.short is None or _has_short_trainings_left(rules, runs):
        found = _new_cell(surrogate, cells, rng)
        epochs = rules.short.epochs if rules.short and found else None
    if found is None and rules.short is not None:
        found = _cell_at_full_length(rules, surrogate, cells, runs, rng)
    if found is None:
        return NextCells()
    mean, deviation = surrogate.predict([found])
    expected = rules.measured.sign * float(mean[0])
    return NextCells((space.natural(found),), epochs, expected, float(deviation[0]), len(runs))


def _new_cell(surrogate: Surrogate, cells: Sequence[Cell], rng: np.random.Generator) -> Cell | None:
    """Return the cell to try next; None if every cell was tried."""
    found = gaussian_process.next_cell(surrogate, cells, rng)
    return None if found in cells else found


def _cell_at_full_length(
    rules: SearchRules,
    surrogate: Surrogate,
    cells: Sequence[Cell],
    runs: pd.DataFrame,
    rng: np.random.Generator,
) -> Cell | None:
    """Return the cell to train to full length next; None if the budget has no room for any."""
    left, short = _left(rules, runs), is_short(rules, runs)
    trained = {cell for cell, is_short in zip(cells, short, strict=True) if not is_short}
    begun = [cell for cell in dict.fromkeys(cells) if cell not in trained]
    if begun:
        affordable = rules.short is not None and left >= rules.short.cost_of_full
        most_promising = gaussian_process.most_promising
        return most_promising(surrogate, begun, sorted(trained)) if affordable else None
    return _new_cell(surrogate, cells, rng) if left >= 1 else None


def _left(rules: SearchRules, runs: pd.DataFrame) -> float:
    """Return the trainings of full length that are left for the refinement.

    A rounding error is added: a quarter is exact, a third is not.
    """
    left = float(rules.trainings or 0) - cost(rules, runs)
    return left if rules.short is None else left + ROUNDING


def _has_short_trainings_left(rules: SearchRules, runs: pd.DataFrame) -> bool:
    """Whether the next training is a short one; not if nothing learned in the short ones so far."""
    short = is_short(rules, runs)
    return (
        rules.short is not None
        and int(short.sum()) < rules.short.number
        and _left(rules, runs) >= rules.short.cost
        and not _all_collapsed(runs[short])
    )


def _all_collapsed(runs: pd.DataFrame) -> bool:
    return "collapsed" in runs and len(runs) > 0 and bool(runs["collapsed"].all())


def _nothing_learned_at_full_length(rules: SearchRules, runs: pd.DataFrame) -> bool:
    """Whether no network learned in a part of the epochs, nor the first ones in all of them."""
    whole = full_length(rules, runs)
    some = rules.short is not None and len(whole) >= ENOUGH_TO_TELL
    return some and _all_collapsed(runs)


def fit_surrogate(rules: SearchRules, space: Space, runs: pd.DataFrame) -> Surrogate:
    """Fit the Gaussian process to runs; it predicts the response at full length.

    What it predicts is the response times its sign: higher is better.

    With two lengths, the length is one more coordinate, and the responses of the short trainings
    are moved by the median difference in the cells that have both.

    Raises
    ------
    DesignError
        If no run has a response.
    """
    cells = [space.cell(levels) for levels in typed_cells(rules.factors, runs)]
    # A cell whose training failed counts as the worst: otherwise it would be chosen again.
    short = is_short(rules, runs)
    figures = rules.measured.sign * (runs[rules.response] + short * _gain_of_length(rules, runs))
    if figures.isna().all():
        raise DesignError(f"no run has a {rules.response}")
    figures = figures.fillna(figures.min())
    if rules.short is None:
        return gaussian_process.fit_process(space, cells, figures.tolist())
    lengths = np.where(short, -LENGTH_DISTANCE, LENGTH_DISTANCE)[:, None]
    return gaussian_process.fit_process(space, cells, figures.tolist(), lengths, (LENGTH_DISTANCE,))


def _gain_of_length(rules: SearchRules, runs: pd.DataFrame) -> float:
    """Return the median difference between the lengths in the cells that have both; else 0."""
    means = means_at_lengths(rules, runs)
    return 0.0 if means.empty else float((means[False] - means[True]).median())


def _surface_cells(
    rules: SearchRules,
    decision: Decision,
    runs: pd.DataFrame,
    refined: pd.DataFrame,
    last: Sequence[Mapping[str, Level]],
) -> NextCells:
    space = region(rules, decision)
    if not last:
        star = second_order.star(space, space.cell(decision.corner))
        return NextCells(tuple(space.natural(cell) for cell in star[: rules.budget]))
    usable = runs[runs[rules.response].notna()]
    if _is_spent(rules, refined) or usable.empty:
        return NextCells()
    sign = rules.measured.sign
    found = second_order.next_cell(
        space,
        [space.cell(levels) for levels in typed_cells(rules.factors, usable)],
        (sign * usable[rules.response]).tolist(),
        np.random.default_rng(rules.seed),
        [space.cell(levels) for levels in typed_cells(rules.factors, runs)],
    )
    if found is None:
        return NextCells()
    cell, expected = found
    return NextCells((space.natural(cell),), None, sign * expected, None, len(usable))


def typed_cells(factors: Sequence[Factor], runs: pd.DataFrame) -> list[Levels]:
    """Return the cells of runs, each level in its factor's own type."""
    return [
        {f.name: typed_level(f, row[f.name]) for f in factors} for row in runs.to_dict("records")
    ]


def refine_runs(rules: SearchRules, next_cells: NextCells) -> list[CellRun]:
    """Return the runs of refined cells, replicates outermost; the screen's cells have theirs."""
    runs = cell_runs(next_cells.cells, range(1, rules.refine_replicates + 1))
    return [replace(run, epochs=next_cells.epochs) for run in runs]


# -- confirm and select ---------------------------------------------------------------------------


def before_confirm(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the stages before the confirm stage.

    What is confirmed depends on these alone, so an execution that was cut off while it confirmed
    cells confirms the same cells when it is resumed.
    """
    return runs[runs["stage"] != "confirm"]


def select_cell(rules: SearchRules, runs: pd.DataFrame, images: int | None = None) -> Selection:
    """Select among the cells that were confirmed with fresh seeds; before that, among all.

    Short trainings do not count.

    Parameters
    ----------
    images : of how many images the response is a share of right answers; None if it is not one.

    Raises
    ------
    DesignError
        If no run has a response.
    """
    whole = full_length(rules, runs)
    # Without any, as in a study that ends after its screen, the short trainings are compared.
    tried, runs = runs, runs if whole[rules.response].isna().all() else whole
    confirmed = runs[runs["stage"] == "confirm"]
    return select(
        runs,
        rules.factors,
        rules.response,
        alpha=rules.alpha,
        among=confirmed if len(confirmed) else None,
        images=images,
        second=rules.second,
        pick=rules.pick,
        tried=tried,
    )


def confirm_runs(rules: SearchRules, selection: Selection, runs: pd.DataFrame) -> list[CellRun]:
    """Return fresh seeds for the best cells; none if one cell leads.

    A rule that takes the smallest of the nearly best cells chooses among the best cell and the
    smallest ones. Otherwise, without a number of trainings these are the cells that cannot be
    distinguished. With it, most
    cells were run once, and the best single runs owe much to chance: so these are the cells with
    the best mean of the Gaussian process, which knows their neighbours too.

    Parameters
    ----------
    selection : from the runs so far.
    runs : the runs so far; those of the confirm stage do not count.
    """
    cells = _cells_to_confirm(rules, selection, before_confirm(runs))
    if len(cells) < 2:  # noqa: PLR2004 # one cell leads
        return []
    first = 1 + max(rules.replicates, rules.refine_replicates)
    most = rules.confirm_trainings
    # In turn: the best cells get one seed more if the trainings are no multiple of the cells.
    seeds = rules.confirm_replicates if most is None else -(-most // len(cells))
    return cell_runs(cells, range(first, first + seeds))[:most]


def _cells_to_confirm(
    rules: SearchRules, selection: Selection, runs: pd.DataFrame
) -> Sequence[Levels]:
    if rules.pick is not None and rules.pick.within is not None and not selection.all_equal:
        return _cells_to_pick_from(rules, rules.pick, selection)
    one_leads = len(selection.tied) < 2  # noqa: PLR2004
    if rules.trainings is None or one_leads or selection.all_equal:
        return selection.tied[: rules.confirm_cells]
    space = region(rules, None)
    candidates = selection.cells[selection.cells["left_out"].eq("")]
    cells = typed_cells(rules.factors, candidates)
    means, _ = fit_surrogate(rules, space, runs).predict([space.cell(cell) for cell in cells])
    return [cells[i] for i in np.argsort(-means, kind="stable")[: rules.confirm_cells]]


def _cells_to_pick_from(rules: SearchRules, pick: Pick, selection: Selection) -> list[Levels]:
    """Return the best cell, and the smallest of those that are nearly as good."""
    candidates = selection.cells[selection.cells["left_out"].eq("")]
    better = candidates.assign(mean=rules.measured.sign * candidates["mean"])
    smallest = typed_cells(rules.factors, picked(better, pick))
    others = [cell for cell in smallest if cell != selection.best]
    return [selection.best, *others][: rules.confirm_cells]
