"""What a Gaussian process expects of one change of a cell: the effect of each factor around it.

The screen's effects are averages over the other factors. Around the best cell they may be others,
and a search without a screen has none. The process has seen all runs, most of them near the best
cell, so it can say what each factor does there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from scipy.stats import fisher_exact
from scipy.stats import t as students_t

from analysis.factors import Factor, Level, with_conditions
from analysis.search.procedure import SearchRules, fit_surrogate, region
from analysis.search.space import typed_level


@dataclass(frozen=True)
class Change:
    """One change of a cell, with the difference of the response that the process expects.

    Attributes
    ----------
    factor : that is changed; all others stay as they are.
    level, instead_of : its new level, and that of the cell.
    difference : of the response, new less old, as it is measured.
    low, high : the ends of its interval.
    dead : the new level and those beside it, towards the cell's, at which every run collapsed, from
        low to high; empty if chance explains that.
    collapsed : how many runs these are.
    """

    factor: str
    level: Level
    instead_of: Level
    difference: float
    low: float
    high: float
    dead: tuple[Level, ...] = ()
    collapsed: int = 0

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not contain 0, or networks learn nothing at the new level."""
        return self.low > 0 or self.high < 0 or bool(self.dead)


def changes_of_cell(
    rules: SearchRules, runs: pd.DataFrame, cell: Mapping[str, Level], confidence: float = 0.95
) -> list[Change]:
    """Return what the process expects if one factor of a cell has an end of its range.

    A category has each of its other values. A factor that does not count in this cell is left out.

    Parameters
    ----------
    rules : of the search; their `space` says which levels may be run.
    runs : all runs of the search; ``collapsed`` is used if it is a column.
    cell : natural levels, for example those of the best cell.
    confidence : of the intervals.

    Raises
    ------
    DesignError
        If no run has a response.
    """
    space = region(rules, None)
    surrogate = fit_surrogate(rules, space, runs)
    found = []
    for factor, levels in zip(space.factors, space.levels, strict=True):
        others = levels if factor.scale == "categorical" else (levels[0], levels[-1])
        for level in others:
            changed = with_conditions(space.factors, {**cell, factor.name: level})
            if level != cell[factor.name] and changed != dict(cell):
                found.append((factor.name, level, space.cell(changed)))
    if not found:
        return []
    means, deviations = surrogate.differences([new for *_, new in found], space.cell(cell))
    # The amplitude has 2 degrees of freedom before the runs: see `gaussian_process.fit_process`.
    margins = students_t.ppf((1 + confidence) / 2, 2 + len(runs)) * deviations
    sign, factors = rules.measured.sign, {f.name: f for f in space.factors}
    changes = []
    for (name, level, _), mean, margin in zip(found, means, margins, strict=True):
        low, high = sorted((sign * (mean - margin), sign * (mean + margin)))
        dead, collapsed = _dead_levels(runs, factors[name], level, cell[name], rules.alpha)
        changes.append(Change(name, level, cell[name], sign * mean, low, high, dead, collapsed))
    return changes


def _dead_levels(
    runs: pd.DataFrame, factor: Factor, level: Level, instead_of: Level, alpha: float
) -> tuple[tuple[Level, ...], int]:
    """Return the levels beyond those at which a network learned, and how many runs they have.

    None if they have no run, or if Fisher's exact test against the other runs, one-sided, does not
    show at `alpha` that runs collapse more often there.
    """
    if "collapsed" not in runs:
        return (), 0
    collapsed = runs["collapsed"].eq(True)  # noqa: FBT003 # unknown of a run that failed
    values = pd.Series([typed_level(factor, value) for value in runs[factor.name]], runs.index)
    if factor.scale == "categorical":
        there = values.eq(level)
        if not collapsed[there].all():
            return (), 0
    else:
        outward = 1.0 if float(level) > float(instead_of) else -1.0
        places = outward * values.astype(float)
        there = places > max(outward * float(instead_of), places[~collapsed].max())
    n, others = int(there.sum()), collapsed[~there]
    table = [[n, 0], [int(others.sum()), int((~others).sum())]]
    if n == 0 or fisher_exact(table, alternative="greater").pvalue >= alpha:
        return (), 0
    return tuple(sorted(set(values[there]))), n
