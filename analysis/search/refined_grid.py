"""The refined grid that follows from the effects, as data with its reasons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product

import numpy as np
import pandas as pd

from analysis.effects.least_squares import table_value
from analysis.effects.model_matrix import code_levels, factors_of, model_matrix
from analysis.effects.result import Effects
from analysis.errors import DesignError
from analysis.factors import Factor, Level, with_conditions
from analysis.runs.response import response_of

Grid = dict[str, tuple[Level, ...]]

#: The order in which levels are dropped if the grid is larger than the budget.
DROPPED_FIRST = ("conditional", "inactive", "unknown", "active", "strongest", "collapsed")


@dataclass(frozen=True)
class LevelReason:
    """Why a factor has its refined levels.

    Attributes
    ----------
    factor : its name.
    code : ``conditional``: it does not count at the best levels of its condition, which are in
        `at`; ``active``; ``inactive``: not shown to be active; ``collapsed``: every run at its
        other level learnt nothing; ``strongest``: some runs collapsed, and its main effect on all
        runs, these included, is the largest; ``unknown``: its effect is aliased with another;
        ``budget``: kept at one level because of the budget.
    level : the better level.
    effect : its main effect, from low to high, in units of the response, in the runs in which it
        counts; NaN if unknown.
    between : the low and the high level, between which the effect goes; of three or more
        categories, the reference and another.
    levels : the refined levels.
    terms : the active terms that contain it; of a factor whose effect is unknown, the terms that
        the runs cannot distinguish from it.
    test : the test that decided: ``pooled``, ``lenth`` or ``none``.
    at : the factor and level at which it was judged, if the runs at the other level collapsed.
    """

    factor: str
    code: str
    level: Level
    effect: float
    between: tuple[Level, Level]
    levels: tuple[Level, ...]
    terms: tuple[str, ...] = ()
    test: str = "none"
    at: Mapping[str, Level] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """A refined grid around the best corner."""

    grid: Grid
    corner: dict[str, Level]
    reasons: tuple[LevelReason, ...]

    @property
    def n_cells(self) -> int:
        """Number of cells of the grid."""
        return math.prod(len(levels) for levels in self.grid.values())


def decide_grid(
    effects: Effects, *, budget: int | None = None, maximise: bool | None = None
) -> Decision:
    """Decide the grid: the best corner by the active terms, and the levels around it.

    Parameters
    ----------
    effects : of the screen. If runs collapsed, the factor with the largest effect on all of them
        takes its better level first, or the factor of which a level always collapses the other
        one; the other factors are judged there, by the runs that learned.
    budget : the most cells. Levels of inactive factors are dropped first, weakest effect first.
    maximise : whether a higher response is better; by default what its name says, see
        `analysis.runs.response`.

    Raises
    ------
    DesignError
        If the budget is smaller than one cell.

    Notes
    -----
    The corner is the best one by the model of the active terms, of the terms that these are made of
    (effect heredity: Wu and Hamada, 2009, Experiments, 2nd ed., section 4.6), and of all main
    effects, which decide where the active terms do not. Interactions of three or more factors count
    only beyond the simultaneous margin: of many terms, one in twenty is called active by chance,
    and such interactions are rarely real (effect hierarchy, the same section). A factor that is not
    shown to be active still has a better level: the more likely of the two.
    """
    if budget is not None and budget < 1:
        raise DesignError(f"budget {budget}: a grid has at least one cell; raise it")
    sign = response_of(effects.response).sign
    if maximise is not None:
        sign = 1.0 if maximise else -1.0
    found = _reasons(effects, sign)
    corner = {name: reason.level for name, reason in found.items()}
    for factor in effects.factors:
        if not factor.applies(corner):
            found[factor.name] = replace(
                found[factor.name],
                code="conditional",
                level=factor.neutral,
                levels=(factor.neutral,),
                at={name: corner[name] for name, _ in factor.when},
            )
    reasons = _within(budget, [found[f.name] for f in effects.factors])
    grid = {r.factor: r.levels for r in reasons}
    return Decision(grid, {r.factor: r.level for r in reasons}, tuple(reasons))


def _reasons(effects: Effects, sign: float) -> dict[str, LevelReason]:
    """Return the reasons by factor; if runs collapsed, those of both parts of the model."""
    corner = _best_corner(effects, sign)
    reasons = {f.name: _reason(effects, f, corner[f.name]) for f in effects.factors}
    collapse = effects.collapse
    if collapse is None or collapse.learned is None:
        return reasons
    own = next(f for f in effects.factors if f.name == collapse.strongest)
    level = _better_level(effects, own, sign)
    if collapse.working_level is not None:
        level = collapse.working_level
    learned = collapse.learned
    best = _best_corner(learned, sign, fixed={own.name: level})
    varies = own.name in best
    at = {} if varies else {own.name: level}
    judged = {
        f.name: replace(_reason(learned, f, best[f.name]), at=at)
        for f in learned.factors
        if f.name != own.name
    }
    low, high, effect = _effect_between(effects, own, level)
    code = "strongest" if collapse.working_level is None else "collapsed"
    first = LevelReason(own.name, code, level, effect, (low, high), refined_levels(own, level))
    return {**reasons, **judged, own.name: first}


def _better_level(effects: Effects, factor: Factor, sign: float) -> Level:
    """Return the level of a factor with the best mean over all runs."""
    runs = effects.runs[effects.runs[factor.name].isin(factor.levels)]
    means = (sign * runs.groupby(factor.name, observed=True)[effects.response].mean()).to_dict()
    return max(factor.levels, key=lambda level: means.get(level, -math.inf))


def _reason(effects: Effects, factor: Factor, best: Level) -> LevelReason:
    low, high, effect = _effect_between(effects, factor, best)
    alias = next((x for x in effects.aliased if x.term in factor.columns), None)
    levels: tuple[Level, ...] = factor.levels
    if alias is not None:
        code, terms = "unknown", tuple(alias.aliased_with)
    else:
        terms = tuple(t for t in effects.active if factor.name in factors_of(t, effects.factors))
        code, levels = "active" if terms else "inactive", refined_levels(factor, best)
    test = effects.verdict.test
    return LevelReason(factor.name, code, best, effect, (low, high), levels, terms, test)


def _effect_between(effects: Effects, factor: Factor, best: Level) -> tuple[Level, Level, float]:
    """Return low, high and the effect between them; of categories, the reference and another.

    The other one is the best; if the reference is the best, the one that differs most from it.
    """
    found = {
        level: table_value(effects.terms, column, "effect")
        for level, column in zip(factor.levels[1:], factor.columns, strict=True)
    }
    known = {level: size for level, size in found.items() if np.isfinite(size)}
    largest = max(known, key=lambda level: abs(known[level]), default=factor.high)
    other = best if best in found else largest
    return factor.low, other, found[other]


def _best_corner(
    effects: Effects, sign: float, *, fixed: Mapping[str, Level] | None = None
) -> dict[str, Level]:
    """Return the best corner by the active terms and their parents, ties by the main effects.

    Parameters
    ----------
    effects : the model.
    sign : -1 if a lower response is better.
    fixed : levels that the corner has, of those factors that are in the model.
    """
    names = [f.name for f in effects.factors]
    terms = [t for t in effects.active if t.count(":") < 2 or t in effects.verdict.active_jointly]  # noqa: PLR2004 # three factors
    # Of a category, all contrasts count where one does.
    kept = {part for t in terms for part in _parents(factors_of(t, effects.factors))}
    kept |= {(name,) for name in names}
    columns = [str(t) for t in effects.terms.index if factors_of(str(t), effects.factors) in kept]
    order = max((term.count(":") + 1 for term in columns), default=1)
    given = fixed or {}
    levels = ([given[f.name]] if f.name in given else f.levels for f in effects.factors)
    cells = list(product(*levels))
    corners = code_levels(pd.DataFrame(cells, columns=names), effects.factors)
    matrix = model_matrix(corners, order, effects.factors)[columns].to_numpy()
    predicted = sign * (matrix @ effects.terms.loc[columns, "coefficient"].to_numpy())
    best = int(np.argmax(predicted))
    corner = dict(zip(names, cells[best], strict=True))
    found = corner | _levels_run_with(corner, effects, sign)
    return with_conditions(effects.factors, found)


def _levels_run_with(
    corner: Mapping[str, Level], effects: Effects, sign: float
) -> dict[str, Level]:
    """Return the levels of the factors whose effects are unknown.

    They are those of a cell that was run: of the cells that have most of the corner's other levels,
    the one with the best mean.
    """
    known = [f.name for f in effects.factors if set(f.columns) <= set(effects.terms.index)]
    unknown = [f.name for f in effects.factors if f.name not in known]
    if not unknown:
        return {}
    runs = effects.runs
    for factor in effects.factors:
        runs = runs[runs[factor.name].isin(factor.levels)]
    cells = runs.groupby([*known, *unknown], observed=True, sort=False)[effects.response]
    means = (sign * cells.mean()).reset_index()
    same = means[known].eq(pd.Series(corner)[known]).sum(axis=1)
    nearest = means[same == same.max()]
    best = nearest.loc[nearest[effects.response].idxmax()]
    factors = {f.name: f for f in effects.factors}
    return {
        name: next(level for level in factors[name].levels if level == best[name])
        for name in unknown
    }


def _parents(names: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {part for n in range(1, len(names) + 1) for part in combinations(names, n)}


def refined_levels(factor: Factor, best: Level) -> tuple[Level, ...]:
    """Return the levels around the better level, on the factor's scale and inside its domain.

    A level outside the domain is replaced by the end of the domain.

    An integer has the level and one step outward (a quarter of the range, at least 1; inward if the
    domain ends there). A log scale has one decade below and above, a linear scale half the range
    below and above. A list of values has the value and its two neighbours. A category keeps its
    level.
    """
    outward = -1 if best == factor.low else 1
    return tuple(dict.fromkeys(_clipped(factor, level) for level in _around(factor, best, outward)))


def _clipped(factor: Factor, level: Level) -> Level:
    """Return a level, or the end of the domain beyond which it lies."""
    if factor.inside(level) or factor.domain is None:
        return level
    low, high = factor.domain
    return factor.number(low if float(level) < low else high)


def _around(factor: Factor, best: Level, outward: int) -> list[Level]:
    if factor.scale == "categorical" or isinstance(best, bool | str):
        return [best]
    if factor.values:
        at = factor.values.index(factor.number(float(best)))
        return list(factor.values[max(0, at - 1) : at + 2])
    if factor.scale == "log":
        return [factor.number(float(best) * 10.0**power) for power in (-1, 0, 1)]
    if factor.scale == "linear":
        # Coded levels are 2 apart, so half the range is 1.
        around = [factor.decode(factor.code(best) + step) for step in (-1, 0, 1)]
        return [factor.number(float(level)) for level in around]
    width = int(factor.high) - int(factor.low)
    step = max(1, width // 4) * outward
    beyond = int(best) + step
    return sorted([int(best), beyond if factor.inside(beyond) else int(best) - step])


def _within(budget: int | None, reasons: list[LevelReason]) -> list[LevelReason]:
    """Drop levels until the grid is within the budget; see `DROPPED_FIRST`."""
    order = sorted(
        reasons, key=lambda r: (DROPPED_FIRST.index(r.code), abs(np.nan_to_num(r.effect)))
    )
    kept = {r.factor: r for r in reasons}
    for reason in order:
        cells = math.prod(len(r.levels) for r in kept.values())
        if budget is None or cells <= budget:
            break
        if len(reason.levels) > 1:
            kept[reason.factor] = replace(reason, code="budget", levels=(reason.level,))
    return [kept[r.factor] for r in reasons]


def move_outward(
    grid: Mapping[str, Sequence[Level]], best: Mapping[str, Level], factors: Sequence[Factor]
) -> Grid | None:
    """Return the grid moved towards its best cell, if that cell lies on an edge that can move.

    Parameters
    ----------
    grid : levels by factor, in rising order.
    best : the levels of the best cell.
    factors : their domains bound the move. The new level is one step beyond the edge, as far as the
        edge is from the level before it; on a log scale, by the same ratio; the next value of a
        list.

    Returns
    -------
    The new grid; None if the best cell is inside, or if its edges are the ends of the domains.
    """
    moved = {f.name: _moved(f, list(grid[f.name]), best[f.name]) for f in factors}
    same = all(tuple(grid[name]) == levels for name, levels in moved.items())
    return None if same else moved


def _moved(factor: Factor, levels: list[Level], best: Level) -> tuple[Level, ...]:
    if factor.scale == "categorical" or len(levels) < 2 or best not in (levels[0], levels[-1]):  # noqa: PLR2004 # no edge
        return tuple(levels)
    up = best == levels[-1]
    inner, edge = (levels[-2], levels[-1]) if up else (levels[1], levels[0])
    step = _next(factor, float(inner), float(edge))
    # The next whole number below 1 on a log scale is 1 itself, or 0.
    if not factor.inside(step) or step in levels:
        return tuple(levels)
    return (*levels[1:], step) if up else (step, *levels[:-1])


def _next(factor: Factor, inner: float, edge: float) -> Level:
    if factor.values:
        outward = 1 if edge > inner else -1
        at = factor.values.index(factor.number(edge)) + outward
        return factor.values[min(max(at, 0), len(factor.values) - 1)]
    step = edge * edge / inner if factor.scale == "log" else 2 * edge - inner
    return factor.number(step)
