"""The refined grid that follows from the effects, as data with its reasons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from analysis.effects import Effects, model_matrix
from analysis.factors import Factor, Level

Grid = dict[str, tuple[Level, ...]]


@dataclass(frozen=True)
class Reason:
    """Why a factor has its refined levels.

    Attributes
    ----------
    factor : its name, or empty for the grid as a whole.
    code : ``active``, ``inactive`` or ``budget``.
    level : the better level.
    effect : its main effect, low to high.
    levels : the refined levels.
    """

    factor: str
    code: str
    level: Level
    effect: float
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Decision:
    """A refined grid around the best corner."""

    grid: Grid
    corner: dict[str, Level]
    reasons: tuple[Reason, ...]

    @property
    def n_cells(self) -> int:
        """Cells of the grid."""
        return math.prod(len(levels) for levels in self.grid.values())


def decide(effects: Effects, *, budget: int | None = None) -> Decision:
    """Decide the grid: the best corner by the active terms, and the levels around it.

    Parameters
    ----------
    effects : of the screen; a higher response is better.
    budget : the most cells; levels of inactive factors go first.
    """
    corner = _best_corner(effects)
    grid = {f.name: refine(f, corner[f.name]) for f in effects.factors}
    codes = {f.name: _code(effects, f) for f in effects.factors}
    grid, dropped = _within(budget, grid, corner, codes, effects)
    reasons = tuple(
        Reason(
            f.name,
            "budget" if f.name in dropped else codes[f.name],
            corner[f.name],
            _main(effects, f.name),
            grid[f.name],
        )
        for f in effects.factors
    )
    return Decision(grid, corner, reasons)


def _main(effects: Effects, name: str) -> float:
    return float(effects.terms["effect"][name])


def _code(effects: Effects, factor: Factor) -> str:
    parts = (term.split(":") for term in effects.active)
    return "active" if any(factor.name in names for names in parts) else "inactive"


def _best_corner(effects: Effects) -> dict[str, Level]:
    """Return the best corner by the active terms and their parents, ties by the main effects."""
    names = [f.name for f in effects.factors]
    kept = {names_ for term in effects.active for names_ in _parents(term)}
    kept = {term for term in kept if term in effects.terms.index} | set(names)
    corners = np.array(list(product((-1.0, 1.0), repeat=len(names))))
    import pandas as pd

    matrix = model_matrix(pd.DataFrame(corners, columns=names), len(names))
    columns = [c for c in matrix.columns if c in kept]
    predicted = matrix[columns].to_numpy() @ effects.terms.loc[columns, "coefficient"].to_numpy()
    best = corners[int(np.argmax(predicted))]
    return {f.name: f.levels[int(x > 0)] for f, x in zip(effects.factors, best, strict=True)}


def _parents(term: str) -> set[str]:
    from itertools import combinations

    names = term.split(":")
    return {":".join(part) for n in range(1, len(names) + 1) for part in combinations(names, n)}


def refine(factor: Factor, best: Level) -> tuple[Level, ...]:
    """Return the levels around the better one, in the factor's own scale and domain.

    An integer keeps the level and the step outward; a log scale goes a decade down and up; a
    linear one half the range down and up; a category stays.
    """
    levels = _around(factor, best, -1 if best == factor.low else 1)
    return tuple(level for level in levels if factor.inside(level))


def _around(factor: Factor, best: Level, outward: int) -> list[Level]:
    if factor.scale == "categorical" or isinstance(best, bool | str):
        return [best]
    match factor.scale:
        case "integer":
            step = int(best) + outward
            # Where there is no step outward, the step inward.
            step = step if factor.inside(step) else int(best) - outward
            return sorted([int(best), step])
        case "log":
            return [float(f"{float(best) * 10.0**power:.12g}") for power in (-1, 0, 1)]
        case _:
            half = (float(factor.high) - float(factor.low)) / 4
            return [float(best) - half, float(best), float(best) + half]


def _within(
    budget: int | None,
    grid: Grid,
    corner: Mapping[str, Level],
    codes: Mapping[str, str],
    effects: Effects,
) -> tuple[Grid, set[str]]:
    """Drop levels until the grid keeps to the budget: of inactive factors first, weakest first."""
    order = sorted(grid, key=lambda name: (codes[name] == "active", abs(_main(effects, name))))
    dropped: set[str] = set()
    for name in order:
        if budget is None or math.prod(map(len, grid.values())) <= budget:
            break
        grid = {**grid, name: (corner[name],)}
        dropped.add(name)
    return grid, dropped


def explain(decision: Decision) -> list[str]:
    """Return the decision in words, a line a factor."""
    words = {
        "active": "active",
        "inactive": "not shown to be active",
        "budget": "kept at one level for the budget",
    }
    lines = [
        f"{r.factor}: {words[r.code]}, effect {r.effect:+.4f} from low to high; better at "
        f"{_show(r.level)}, so try {', '.join(map(_show, r.levels))}"
        for r in decision.reasons
    ]
    return [*lines, f"that makes a grid of {decision.n_cells} cells"]


def _show(level: Level) -> str:
    return f"{level:.6g}" if isinstance(level, float) else str(level)


def move_outward(
    grid: Mapping[str, Sequence[Level]], best: Mapping[str, Level], factors: Sequence[Factor]
) -> Grid | None:
    """Return the grid moved towards its best cell, where that lies on an edge that can move.

    None where the best cell is inside, or every edge it lies on is the domain's.
    """
    moved = {f.name: _moved(f, list(grid[f.name]), best[f.name]) for f in factors}
    same = all(tuple(grid[name]) == levels for name, levels in moved.items())
    return None if same else moved


def _moved(factor: Factor, levels: list[Level], best: Level) -> tuple[Level, ...]:
    if factor.scale == "categorical" or len(levels) < 2 or best not in (levels[0], levels[-1]):  # noqa: PLR2004 # no edge
        return tuple(levels)
    up = best == levels[-1]
    low, high = (
        (float(levels[-2]), float(levels[-1])) if up else (float(levels[1]), float(levels[0]))
    )
    step: Level = high * high / low if factor.scale == "log" else high + (high - low)
    step = round(float(step)) if factor.scale == "integer" else float(f"{float(step):.12g}")
    if not factor.inside(step):
        return tuple(levels)
    return (*levels[1:], step) if up else (step, *levels[:-1])
