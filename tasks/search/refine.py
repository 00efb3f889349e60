"""The refine stage: the decision after the screen, and the cells that follow from it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.effects.result import Effects
from analysis.factors import Factor, Level, cell_name
from analysis.search import gaussian_process, second_order
from analysis.search.best_cell import select
from analysis.search.refined_grid import (
    Decision,
    decide_grid,
    decision_as_text,
    move_outward,
    refined_levels,
)
from analysis.search.space import Space
from models.spec import Scalar
from tasks.study.replicates import Planned, grid_cells, plan, short, typed_level
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution
from tasks.tracking.run_writer import as_json_text

Cells = Sequence[Mapping[str, Scalar]]


def plan_cells(study: Study, version: str, cells: Cells) -> list[Planned]:
    """Return the replicates of refining cells; those of the screen's cells are trained already."""
    replicates = study.refine.replicates or study.replicates
    return plan(study, version, "refine", cells, range(1, replicates + 1))


def log_decision(execution: Execution, effects: Effects) -> Decision:
    """Decide the refined grid; log it with its reasons, as data and in words."""
    decision = decide_grid(effects, budget=execution.study.refine.grid_budget)
    execution.log_text(execution.run_id, as_json_text(decision), "decision.json")
    words = "\n".join(decision_with_method_as_text(execution.study, decision))
    execution.log_text(execution.run_id, words, "decision.txt")
    return decision


def decision_with_method_as_text(study: Study, decision: Decision) -> list[str]:
    """Return a decision in words, with how its neighbourhood is searched."""
    n = study.refine.budget
    where = "from the screen's levels and what lies around the better ones"
    match study.refine.method:
        case "gp":
            how = f"a Gaussian process on the runs so far chooses {n} cells, one at a time, {where}"
        case "surface":
            how = (
                f"{n} cells {where}: the centre and the axial points of that region, then one at a "
                "time where a second-order model of the runs so far is highest"
            )
        case _:
            return decision_as_text(decision)
    return [*decision_as_text(decision)[:-1], how]


def first_refined_cells(execution: Execution, decision: Decision) -> Cells:
    """Return the decided grid's cells, the process's first one, or the surface's star."""
    match execution.study.refine.method:
        case "gp":
            return next_process_cells(execution, decision)
        case "surface":
            return star_cells(execution.study, decision)
        case _:
            return grid_cells(decision.grid)


def next_refined_cells(execution: Execution, decision: Decision, last: Cells) -> Cells:
    """Return the grid moved outward, where its best cell lies on an edge; or the next cell.

    Nothing where the search is at its end.
    """
    study = execution.study
    match study.refine.method:
        case "gp":
            return next_process_cells(execution, decision)
        case "surface":
            return step_uphill(execution, decision)
        case _:
            best = select(execution.runs("refine"), study.factor_list, study.response).best
            grid = {name: tuple(dict.fromkeys(cell[name] for cell in last)) for name in last[0]}
            moved = move_outward(grid, best, study.factor_list)
            return grid_cells(moved) if moved else []


#: Levels that a linear or a wide integer factor is given between its ends.
STEPS = 9


def region(factors: Sequence[Factor], decision: Decision) -> Space:
    """Return where the process may look: from the screen's levels to the refined ones outside them.

    A log scale has half decades, an integer every number (of a wide range, so many), a linear scale
    so many levels.
    """
    levels = tuple(_levels(factor, decision.corner[factor.name]) for factor in factors)
    return Space(tuple(factors), levels)


def _levels(factor: Factor, best: Level) -> tuple[Level, ...]:
    if factor.scale == "categorical":
        return factor.levels
    ends = [float(level) for level in (*factor.levels, *refined_levels(factor, best))]
    return levels_between(factor, min(ends), max(ends))


def levels_between(factor: Factor, low: Level, high: Level) -> tuple[Level, ...]:
    """Return a factor's levels from low to high, both among them; a category's own two."""
    if factor.scale == "categorical":
        return factor.levels
    low, high = sorted((float(low), float(high)))
    if factor.scale == "log":
        steps = max(2, 1 + round(2 * math.log10(high / low)))
        found = np.geomspace(low, high, steps)
    elif factor.scale == "integer" and high - low < STEPS:
        found = np.arange(low, high + 1)
    else:
        found = np.linspace(low, high, STEPS)
    whole = factor.scale == "integer"
    inner = {short(typed_level(factor, round(x) if whole else x)) for x in found[1:-1]}
    ends = {typed_level(factor, end) for end in (low, high)}
    return tuple(sorted(inner | ends, key=float))


def next_process_cells(execution: Execution, decision: Decision) -> list[dict[str, Level]]:
    """Return the process's next cell, as a list; log what is expected of it.

    An empty list once the budget is spent, in this process or in one that was cut off.

    The study's screen has runs: the decision could not be without.
    """
    study, runs = execution.study, execution.runs()
    if _is_spent(execution):
        return []
    usable = runs[runs[study.response].notna()]
    cell, words = process_cell(study, usable, region(study.factor_list, decision))
    execution.log_text(execution.run_id, words, f"refine/after-{len(usable)}-runs.txt")
    return [cell]


def _is_spent(execution: Execution) -> bool:
    names = list(execution.study.factors)
    refined = execution.runs("refine")[names].drop_duplicates()
    return len(refined) >= execution.study.refine.budget


def star_cells(study: Study, decision: Decision) -> list[dict[str, Level]]:
    """Return the centre and the axial points of the region, as far as the budget goes."""
    space = region(study.factor_list, decision)
    cells = second_order.star(space, space.cell(decision.corner))
    return [space.natural(cell) for cell in cells[: study.refine.budget]]


def step_uphill(execution: Execution, decision: Decision) -> list[dict[str, Level]]:
    """Return the cell that the surface puts highest, as a list; log what is expected of it.

    An empty list once the budget is spent, or every cell was tried.
    """
    study = execution.study
    space, runs = region(study.factor_list, decision), execution.runs()
    usable = runs[runs[study.response].notna()]
    if _is_spent(execution):
        return []
    cells = [space.cell(levels) for levels in _typed(study, runs)]
    fitted = [space.cell(levels) for levels in _typed(study, usable)]
    found = second_order.next_cell(
        space, fitted, usable[study.response].tolist(), np.random.default_rng(study.seed), cells
    )
    if found is None:
        return []
    cell, expected = found
    levels = space.natural(cell)
    words = (
        f"{cell_name(levels)}: expected {study.response} {expected:.4f}, from {len(usable)} runs"
    )
    execution.log_text(execution.run_id, words, f"refine/after-{len(usable)}-runs.txt")
    return [levels]


def _typed(study: Study, runs: pd.DataFrame) -> list[dict[str, Level]]:
    return [
        {f.name: typed_level(f, row[f.name]) for f in study.factor_list}
        for row in runs.to_dict("records")
    ]


def process_cell(study: Study, runs: pd.DataFrame, space: Space) -> tuple[dict[str, Level], str]:
    """Return the next cell of a space, and what the process expects of it in words.

    The same runs give the same cell: a study that was cut off goes on with it.

    Parameters
    ----------
    runs : a row a replicate: levels, and the response.
    """
    cells = [space.cell(levels) for levels in _typed(study, runs)]
    figures = runs[study.response].tolist()
    rng = np.random.default_rng([study.seed, len(runs)])
    cell = gaussian_process.next_cell(space, cells, figures, rng)
    mean, deviation = gaussian_process.fit_process(space, cells, figures).predict([cell])
    levels = space.natural(cell)
    words = (
        f"{cell_name(levels)}: expected {study.response} {mean[0]:.4f}, standard deviation "
        f"{deviation[0]:.4f}, from {len(runs)} runs"
    )
    return levels, words
