"""Refining by a model of the runs so far: a Gaussian process, or a second-order surface."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import gaussian, uphill
from analysis.decision import Decision, refine
from analysis.factors import Factor, Level, cell_name
from analysis.space import Space
from tasks.plan import short, typed_level
from tasks.study import Study
from tasks.tracking import Execution

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
    ends = [float(level) for level in (*factor.levels, *refine(factor, best))]
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


def propose(execution: Execution, decision: Decision) -> list[dict[str, Level]]:
    """Return the process's next cell, as a list; log what is expected of it.

    An empty list once the budget is spent, in this process or in one that was cut off.

    The study's screen has runs: the decision could not be without.
    """
    study, runs = execution.study, execution.runs()
    if _is_spent(execution):
        return []
    usable = runs[runs[study.response].notna()]
    cell, words = next_cell(study, usable, region(study.factor_list, decision))
    execution.log_text(execution.run_id, words, f"refine/after-{len(usable)}-runs.txt")
    return [cell]


def _is_spent(execution: Execution) -> bool:
    names = list(execution.study.factors)
    refined = execution.runs("refine")[names].drop_duplicates()
    return len(refined) >= execution.study.refine.budget


def star_cells(study: Study, decision: Decision) -> list[dict[str, Level]]:
    """Return the centre and the axial points of the region, as far as the budget goes."""
    space = region(study.factor_list, decision)
    cells = uphill.star(space, space.cell(decision.corner))
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
    found = uphill.next_cell(
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


def next_cell(study: Study, runs: pd.DataFrame, space: Space) -> tuple[dict[str, Level], str]:
    """Return the next cell of a space, and what the process expects of it in words.

    The same runs give the same cell: a study that was cut off goes on with it.

    Parameters
    ----------
    runs : a row a replicate: levels, and the response.
    """
    cells = [space.cell(levels) for levels in _typed(study, runs)]
    figures = runs[study.response].tolist()
    rng = np.random.default_rng([study.seed, len(runs)])
    cell = gaussian.next_cell(space, cells, figures, rng)
    mean, deviation = gaussian.fit(space, cells, figures).predict([cell])
    levels = space.natural(cell)
    words = (
        f"{cell_name(levels)}: expected {study.response} {mean[0]:.4f}, standard deviation "
        f"{deviation[0]:.4f}, from {len(runs)} runs"
    )
    return levels, words
