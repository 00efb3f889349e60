"""What to do after a study, as data: the next moves, the most useful first.

Each move is about what the study's own numbers show: a winner at the edge of what was tried, cells
that cannot be distinguished, an active effect that is aliased, levels at which networks learn
nothing, an accuracy that was still rising. `next_moves` returns at least one: if there is nothing
to do, that the answer stands.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import fisher_exact, nct, norm

from analysis.designs.fractions import Fraction, fraction
from analysis.effects.least_squares import table_value
from analysis.effects.model_matrix import INTERCEPT, REGULAR_TOLERANCE, code_levels, model_matrix
from analysis.effects.power import POWER
from analysis.effects.result import Effects
from analysis.errors import DesignError
from analysis.factors import Factor, Level
from analysis.search.best_cell import ROUNDING, Selection, many_to_one
from analysis.search.budget import least_factorial_budget
from analysis.search.pilot import swept_factors
from analysis.search.procedure import SearchRules, screen_runs
from analysis.search.untried_rates import other_range

#: More seeds per cell than this are not worth their training.
MOST_SEEDS = 30
#: No larger number of seeds is searched for; many times what is practical.
SEARCHED_SEEDS = 4096
#: Beyond as many degrees of freedom, the critical value no longer changes.
LARGE_DF = 400
#: A level at which at least this share of the runs collapsed is one where networks do not learn.
MOSTLY = 0.5
#: Where nothing was learned, training is to be this many times as long.
MORE_EPOCHS = 4
#: Curves of fewer epochs do not show whether the accuracy was still rising.
FEWEST_EPOCHS = 8
#: Standard errors by which a rise must differ from zero.
CLEAR_RISE = 2.0


@dataclass(frozen=True)
class NextMove:
    """One move; `code` says which kind it is."""

    code: ClassVar[str] = ""


@dataclass(frozen=True)
class NewRange:
    """A factor's range for the next study, in natural units."""

    factor: str
    low: Level
    high: Level


@dataclass(frozen=True)
class NothingLearned(NextMove):
    """Every run collapsed: no answer, and the training must change.

    Attributes
    ----------
    runs : number of runs.
    mean : the best mean response of a cell.
    learning_rates : ranges of usual values that were not tried, of the learning rates that were
        factors; empty if there are none.
    """

    code: ClassVar[str] = "nothing_learned"
    runs: int
    mean: float
    learning_rates: tuple[NewRange, ...] = ()


@dataclass(frozen=True)
class BeyondEdge(NextMove):
    """The winner's level is the lowest or the highest that was tried, and the domain continues.

    Attributes
    ----------
    factor : its name.
    level : the winner's.
    end : which end of the levels that were tried it is.
    tried : the lowest and the highest level that was tried and at which networks learnt.
    low, high : a range as wide as that (on the factor's scale) with the winner in its middle, or up
        to the end of the domain.
    """

    code: ClassVar[str] = "beyond_edge"
    factor: str
    level: Level
    end: Literal["lowest", "highest"]
    tried: tuple[Level, Level]
    low: Level
    high: Level


@dataclass(frozen=True)
class FoldOver(NextMove):
    """An active effect is aliased with other main effects or two-way interactions.

    Attributes
    ----------
    chains : for each such effect, its name, then the terms that the screen cannot distinguish from
        it (wholly or in part).
    on : the factors whose signs change in the fold-over.
    separated : the active effects that are aliased with none of these terms any longer.
    runs : runs of the fold-over, all of them new.
    larger_cells : cells of the smallest fraction, or full design, that separates the same effects;
        None if there is none.
    larger_runs : how many new runs it has.
    """

    code: ClassVar[str] = "fold_over"
    chains: tuple[tuple[str, ...], ...]
    on: tuple[str, ...]
    separated: tuple[str, ...]
    runs: int
    larger_cells: int | None = None
    larger_runs: int = 0


@dataclass(frozen=True)
class MeasureEffects(NextMove):
    """No effects were fitted, because the screen is a Latin hypercube.

    Attributes
    ----------
    cells : of the screen.
    budget : trainings of a search whose screen is a two-level design, at least those of this one.
    """

    code: ClassVar[str] = "measure_effects"
    cells: int
    budget: int


@dataclass(frozen=True)
class LongerTraining(NextMove):
    """The winner's response was still rising in its last epochs.

    Attributes
    ----------
    epochs : length of its training.
    runs : number of curves.
    window : epochs of each of the two means.
    before, after : mean response of the last epochs but `window`, and of the last ones.
    standard_error : of their difference.
    """

    code: ClassVar[str] = "longer_training"
    epochs: int
    runs: int
    window: int
    before: float
    after: float
    standard_error: float


@dataclass(frozen=True)
class MoreSeeds(NextMove):
    """The best cell cannot be distinguished from others.

    Attributes
    ----------
    best, other : the best cell, and the next of those that cannot be distinguished from it.
    cells : number of cells that cannot be distinguished, the best included.
    lead : of the best mean over the next.
    runs : seeds of the one of both that has fewer.
    spread : pooled standard deviation between seeds of one cell; NaN if it is unknown.
    least_lead : smaller leads do not count, however little the seeds vary.
    more : further seeds per cell that would show this lead with the chance `power`; None if no
        number would.
    reason : ``seeds``; ``impractical``: more than `MOST_SEEDS`; ``equal``: there is no lead;
        ``images``: the lead is not above `least_lead`; ``unknown``: no cell learnt twice.
    power : the chance.
    image_ratio : how many times as many validation images it takes for this lead to count; None if
        it does, or if there is no lead.
    """

    code: ClassVar[str] = "more_seeds"
    best: Mapping[str, Level]
    other: Mapping[str, Level]
    cells: int
    lead: float
    runs: int
    spread: float
    least_lead: float
    more: int | None
    reason: Literal["seeds", "impractical", "equal", "images", "unknown"]
    power: float = POWER
    image_ratio: float | None = None


@dataclass(frozen=True)
class NarrowRange(NextMove):
    """Most runs at some levels of a factor collapsed, and those at the others did not.

    Attributes
    ----------
    factor : its name.
    levels : the levels that the new range leaves out, in rising order.
    collapsed, runs : how many of their runs collapsed, and how many runs they have.
    p : two-sided p-value of Fisher's exact test against the runs at the other levels.
    low, high : the range without them.
    """

    code: ClassVar[str] = "narrow_range"
    factor: str
    levels: tuple[Level, ...]
    collapsed: int
    runs: int
    p: float
    low: Level
    high: Level


@dataclass(frozen=True)
class AnswerStands(NextMove):
    """There is nothing to do.

    Attributes
    ----------
    cell : the chosen one.
    cells, runs : how many were tried.
    """

    code: ClassVar[str] = "answer_stands"
    cell: Mapping[str, Level]
    cells: int
    runs: int


def next_moves(
    rules: SearchRules,
    effects: Effects | None,
    selection: Selection,
    curves: Sequence[Sequence[float]] = (),
) -> tuple[NextMove, ...]:
    """Return what to do next, the most useful move first; at least one.

    If nothing was learned, this is the only move. Otherwise first come moves that may find a better
    cell (beyond an edge, longer training), then those that may change what is known of the effects
    (a fold-over, a two-level screen) or which cell is best (more seeds), then those that save runs
    (a narrower range).

    Parameters
    ----------
    rules : of the search.
    effects : of its screen; None without a design.
    selection : of the winner.
    curves : the response by epoch of the winner's runs.
    """
    if selection.all_collapsed:
        return (_nothing_learned(rules, selection),)
    edges = _beyond_edges(rules, effects, selection)
    seeds = more_seeds(rules, selection)
    practical = [move for move in seeds if move.reason in {"seeds", "unknown"}]
    moved = {move.factor for move in edges}
    moves = (
        *edges,
        *_fold_over(rules, effects),
        *_measure_effects(rules),
        *_longer_training(rules, curves),
        *practical,
        *(move for move in _narrow_ranges(rules, selection) if move.factor not in moved),
        *(move for move in seeds if move not in practical),
    )
    cells = selection.cells
    return moves or (AnswerStands(selection.chosen, len(cells), int(cells["n"].sum())),)


# -- scales ---------------------------------------------------------------------------------------


def _from_scale(factor: Factor, place: float, width: float) -> Level:
    """Return the level at a place on a factor's scale, in as few digits as its range needs.

    Parameters
    ----------
    width : of the range, in natural units.
    """
    value = math.exp(place) if factor.scale == "log" else place
    if factor.whole:
        return round(value)
    size = abs(value) / width if value and width else 1.0
    digits = 3 + max(0, math.ceil(math.log10(size)))
    return float(f"{value:.{digits}g}")


def _lowest_valid(factor: Factor, tried: Sequence[float]) -> float:
    """Return the lowest level that may be tried.

    Without a domain, a factor whose levels are all positive, or not negative, stays so.
    """
    if factor.domain is not None:
        return float(factor.domain[0])
    lowest = min(tried)
    if lowest >= 1 and factor.whole:
        return 1.0
    return 0.0 if lowest >= 0 else -math.inf


def _range_around(
    factor: Factor, level: Level, reach: float, tried: Sequence[float]
) -> tuple[Level, Level] | None:
    """Return a range around a level that has it inside; None if the domain ends there.

    Parameters
    ----------
    reach : distance of both ends from the level, on the factor's scale.
    """
    middle = factor.scaled(level)
    width = max(tried) - min(tried)
    low, high = (_from_scale(factor, middle + sign * reach, width) for sign in (-1, 1))
    if factor.whole:
        low, high = min(low, int(level) - 1), max(high, int(level) + 1)
    bottom = _lowest_valid(factor, tried)
    top = float(factor.domain[1]) if factor.domain else math.inf
    low, high = factor.number(max(float(low), bottom)), factor.number(min(float(high), top))
    if factor.scale == "log" and float(low) <= 0:
        return None
    return (low, high) if float(low) < float(level) < float(high) else None


# -- the moves ------------------------------------------------------------------------------------


def _nothing_learned(rules: SearchRules, selection: Selection) -> NothingLearned:
    cells = selection.cells
    ranges = []
    for factor in swept_factors(rules.factors):
        new = other_range(cells[factor.name])
        # A list of values has no other ones.
        if new is not None and not factor.values and all(map(factor.inside, new)):
            ranges.append(NewRange(factor.name, *new))
    return NothingLearned(int(cells["n"].sum()), selection.best_mean, tuple(ranges))


def _beyond_edges(
    rules: SearchRules, effects: Effects | None, selection: Selection
) -> list[BeyondEdge]:
    """Return one move for each edge that can move, largest main effect first."""
    found = [
        _beyond_edge(f, selection)
        for f in rules.factors
        if f.name in selection.edges and not _can_search_on(rules, f, selection)
    ]
    moves = [move for move in found if move is not None]
    return sorted(moves, key=lambda move: _main_effect(effects, move.factor), reverse=True)


def _can_search_on(rules: SearchRules, factor: Factor, selection: Selection) -> bool:
    """Whether the winner's level is inside the range of a search that is not bound to its screen.

    Such a search could have run the levels beyond, so no wider range is needed.
    """
    if rules.trainings is None or rules.space is None:
        return False
    levels = rules.space.levels_of(factor.name)
    return float(levels[0]) < float(selection.chosen[factor.name]) < float(levels[-1])


def _main_effect(effects: Effects | None, name: str) -> float:
    effect = table_value(effects.terms, name, "effect") if effects else 0.0
    return 0.0 if math.isnan(effect) else abs(effect)


def _beyond_edge(factor: Factor, selection: Selection) -> BeyondEdge | None:
    level, cells = selection.chosen[factor.name], selection.cells
    learnt = cells[cells["collapsed"] < cells["n"]]
    tried = sorted({float(x) for x in learnt[factor.name]} | {float(level)})
    end: Literal["lowest", "highest"] = (
        "lowest" if float(level) == float(cells[factor.name].min()) else "highest"
    )
    others = [abs(factor.scaled(x) - factor.scaled(level)) for x in cells[factor.name]]
    # At a level that collapses, half of the way to it.
    width = max(
        factor.scaled(tried[-1]) - factor.scaled(tried[0]),
        0.0 if len(tried) > 1 else min(x for x in others if x),
    )
    around = _range_around(factor, level, width / 2, sorted(map(float, cells[factor.name])))
    if around is None:
        return None
    ends = (factor.number(tried[0]), factor.number(tried[-1]))
    return BeyondEdge(factor.name, level, end, ends, *around)


def _narrow_ranges(rules: SearchRules, selection: Selection) -> list[NarrowRange]:
    """Return one move for each factor with a collapsing end, the clearest first.

    The runs at the levels that one move leaves out do not count for the next: they collapsed
    whatever the level of another factor was.
    """
    cells = selection.cells
    found: list[NarrowRange] = []
    while True:
        known = {move.factor for move in found}
        moves = [
            move
            for factor in rules.factors
            if factor.scale != "categorical" and factor.name not in known
            for move in [_narrow_range(rules, factor, cells, selection.chosen[factor.name])]
            if move is not None
        ]
        if not moves:
            return found
        clearest = min(moves, key=lambda move: move.p)
        found.append(clearest)
        cells = cells[~cells[clearest.factor].isin(clearest.levels)]


def _narrow_range(
    rules: SearchRules, factor: Factor, cells: pd.DataFrame, chosen: Level
) -> NarrowRange | None:
    counts = cells.groupby(factor.name, observed=True)[["n", "collapsed"]].sum().sort_index()
    share = counts["collapsed"] / counts["n"]
    levels = [float(level) for level in counts.index]
    fails = [bool(x >= MOSTLY) for x in share]
    at = levels.index(float(chosen)) if float(chosen) in levels else -1
    if at < 0 or fails[at] or not any(fails):
        return None
    # The levels around the winner's up to the first one, on either side, that fails.
    first = max((i for i in range(at) if fails[i]), default=-1) + 1
    last = min((i for i in range(at, len(levels)) if fails[i]), default=len(levels)) - 1
    outside = [i for i in range(len(levels)) if not first <= i <= last]
    if not any(fails[i] and _in_range(factor, levels[i]) for i in outside):
        return None
    dead, rest = counts.iloc[outside], counts.iloc[first : last + 1]
    table = [[int(part["collapsed"].sum()), int(_learnt(part))] for part in (dead, rest)]
    p = float(fisher_exact(table).pvalue)
    kept = _kept_range(factor, levels, first, last, outside)
    if p >= rules.alpha or kept is None:
        return None
    names = tuple(factor.number(levels[i]) for i in outside)
    return NarrowRange(factor.name, names, table[0][0], sum(table[0]), p, *kept)


def _learnt(counts: pd.DataFrame) -> int:
    return int((counts["n"] - counts["collapsed"]).sum())


def _in_range(factor: Factor, level: float) -> bool:
    return float(factor.low) <= level <= float(factor.high)


def _kept_range(
    factor: Factor, levels: Sequence[float], first: int, last: int, outside: Sequence[int]
) -> tuple[Level, Level] | None:
    """Return the range of the levels that are kept; around a single one, up to half way out."""
    if first < last:
        return factor.number(levels[first]), factor.number(levels[last])
    only = factor.number(levels[first])
    places = [factor.scaled(levels[i]) for i in outside]
    reach = min(abs(place - factor.scaled(only)) for place in places) / 2
    around = _range_around(factor, only, reach, levels)
    crossed = around and any(float(around[0]) <= levels[i] <= float(around[1]) for i in outside)
    return None if crossed else around


def _fold_over(rules: SearchRules, effects: Effects | None) -> list[FoldOver]:
    """Return the fold-over that separates most active effects from their aliases, if there is one.

    Main effects and two-way interactions count; by effect hierarchy, higher ones are rarely real.
    The fold-over changes the signs of all factors, which separates main effects from two-way
    interactions, or of one, which separates it and its interactions: Montgomery (2013), section
    8.6.3. Where a level always collapses, the range must be narrowed first.
    """
    if effects is None or rules.design is None or _collapses(effects):
        return []
    names = [f.name for f in rules.factors]
    if any(len(f.levels) != 2 for f in rules.factors):  # noqa: PLR2004 # signs of two levels
        return []
    corners = _corners(effects, names)
    active = [term for term in effects.active if term.count(":") < 2]  # noqa: PLR2004 # two-way
    chains = [(term, *_partners(corners, names, term)) for term in active]
    chains = [chain for chain in chains if len(chain) > 1]
    if not chains:
        return []
    terms = [chain[0] for chain in chains]
    candidates = [tuple(names), *((name,) for name in names)]
    # Of equally good ones, the first.
    on = max(candidates, key=lambda own: len(_separated(corners, names, terms, own)))
    separated = _separated(corners, names, terms, on)
    if not separated:
        return []
    runs = sum(not run.centre for run in screen_runs(rules))
    larger = _larger_fraction(rules.design, separated)
    if larger is None:
        return [FoldOver(tuple(chains), on, separated, runs)]
    new = _new_cells(rules, larger) * rules.replicates
    return [FoldOver(tuple(chains), on, separated, runs, larger.n_runs, new)]


def _measure_effects(rules: SearchRules) -> list[MeasureEffects]:
    if rules.design is not None or rules.trainings is None or rules.space is None:
        return []
    epochs = rules.short.full if rules.short else None
    try:
        least = least_factorial_budget(rules.space.factors, epochs)
    except DesignError:  # too many categories
        return []
    budget = rules.trainings + rules.most_confirmed
    return [MeasureEffects(rules.spread_cells, max(least, budget))]


def _collapses(effects: Effects) -> bool:
    """Whether the chance of collapse depends on a factor."""
    return effects.collapse is not None and bool(effects.collapse.active)


def _corners(effects: Effects, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the coded cells (N, k) of the screen that are corners, each once."""
    coded = code_levels(effects.runs, effects.factors)[list(names)]
    cells = coded[(coded.abs() == 1).all(axis=1)].drop_duplicates()
    return cells.to_numpy(dtype=float)


def _partners(corners: NDArray[np.float64], names: Sequence[str], term: str) -> tuple[str, ...]:
    """Return the main effects and two-way interactions that are aliased with a term."""
    matrix = model_matrix(pd.DataFrame(corners, columns=list(names)), 2).drop(columns=INTERCEPT)
    shares = np.abs(matrix.to_numpy().T @ matrix[term].to_numpy()) / len(corners)
    return tuple(
        str(name)
        for name, share in zip(matrix.columns, shares, strict=True)
        if name != term and share > REGULAR_TOLERANCE
    )


def _separated(
    corners: NDArray[np.float64], names: Sequence[str], terms: Sequence[str], on: Sequence[str]
) -> tuple[str, ...]:
    """Return the terms that are no longer aliased in a design with its fold-over."""
    signs = np.array([-1.0 if name in on else 1.0 for name in names])
    both = np.vstack([corners, corners * signs])
    return tuple(term for term in terms if not _partners(both, names, term))


def _larger_fraction(design: Fraction, terms: Sequence[str]) -> Fraction | None:
    """Return the smallest fraction of the table in which none of these terms is aliased."""
    for p in range(design.p - 1, -1, -1):
        try:
            found = fraction(design.names, p)
        except DesignError:  # the table has no such fraction
            continue
        if not any(found.aliases(term, 2) for term in terms):
            return found
    return None


def _new_cells(rules: SearchRules, larger: Fraction) -> int:
    """Return how many cells of a larger fraction the screen does not have."""
    known = {
        tuple(run.levels[f.name] == f.high for f in rules.factors)
        for run in screen_runs(rules)
        if not run.centre
    }
    base = {name: index for index, name in enumerate(larger.names)}
    shared = sum(
        all(math.prod(1 if cell[base[n]] else -1 for n in word) == 1 for word in larger.words)
        for cell in known
    )
    return larger.n_runs - shared


def _longer_training(rules: SearchRules, curves: Sequence[Sequence[float]]) -> list[LongerTraining]:
    """Return whether the response was improving: the last quarter of the epochs and the one before.

    The noise of an epoch is that of the pseudo-residuals of the last half of the epochs: Gasser,
    Sroka and Jennen-Steinmetz (1986), Biometrika 73, 625-633.
    """
    epochs = max((len(curve) for curve in curves), default=0)
    if epochs < FEWEST_EPOCHS or any(f.name == "epochs" for f in rules.factors):
        return []
    sign = rules.measured.sign
    whole = sign * np.array([curve for curve in curves if len(curve) == epochs], dtype=float)
    window = epochs // 4
    after, before = whole[:, -window:].mean(), whole[:, -2 * window : -window].mean()
    half = whole[:, -max(2 * window, 3) :]
    residuals = (half[:, :-2] + half[:, 2:]) / 2 - half[:, 1:-1]
    error = math.sqrt(float((residuals**2).mean()) * 2 / 3 * 2 / (window * len(whole)))
    if not math.isfinite(error) or after - before <= max(CLEAR_RISE * error, ROUNDING):
        return []
    before, after = sign * float(before), sign * float(after)
    return [LongerTraining(epochs, len(whole), window, before, after, error)]


def more_seeds(rules: SearchRules, selection: Selection) -> list[MoreSeeds]:
    """Return how many seeds would distinguish the best cell from the next; empty if it leads.

    Only the lead over the next cell counts, which is the hardest to show.
    """
    if len(selection.tied) < 2:  # noqa: PLR2004 # one cell leads
        return []
    rows = [selection.row(cell) for cell in selection.tied]
    # If all means are equal, the cheapest of the tied cells is listed first.
    at_best = next(i for i, cell in enumerate(selection.tied) if cell == selection.best)
    best = rows.pop(at_best)
    others = [cell for i, cell in enumerate(selection.tied) if i != at_best]
    sign = rules.measured.sign
    at = max(range(len(rows)), key=lambda i: sign * rows[i]["mean"])
    lead = sign * float(best["mean"] - rows[at]["mean"])
    runs = int(min(best["n"], rows[at]["n"]))
    spread = selection.standard_error * math.sqrt(float(best["n"]))
    more, reason = _needed(rules, selection, lead, spread, runs)
    return [
        MoreSeeds(
            selection.best,
            others[at],
            len(selection.tied),
            lead,
            runs,
            spread if selection.error_df else math.nan,
            selection.least_lead,
            more,
            reason,
            # Below 1 by rounding, if the lead is the least one that counts.
            image_ratio=max(1.0, selection.least_lead / lead) if reason == "images" else None,
        )
    ]


def _needed(
    rules: SearchRules, selection: Selection, lead: float, spread: float, runs: int
) -> tuple[int | None, Literal["seeds", "impractical", "equal", "images", "unknown"]]:
    if not selection.error_df:
        # One more seed shows the spread.
        return 1, "unknown"
    if lead <= ROUNDING:
        return None, "equal"
    if lead <= selection.least_lead + ROUNDING:
        return None, "images"
    cells = min(len(selection.tied), max(2, rules.confirm_cells))
    more = seeds_to_distinguish(
        lead,
        spread,
        cells=cells,
        runs=runs,
        df=selection.error_df,
        alpha=rules.alpha,
        least_lead=selection.least_lead,
    )
    return more, "impractical" if more is None or more > MOST_SEEDS else "seeds"


def seeds_to_distinguish(
    lead: float,
    spread: float,
    *,
    cells: int,
    runs: int,
    df: int,
    alpha: float = 0.05,
    power: float = POWER,
    least_lead: float = 0.0,
) -> int | None:
    """Return how many further seeds per cell would show a lead of the best cell over another.

    Parameters
    ----------
    lead : true difference of their means, above 0.
    spread : standard deviation between seeds of one cell.
    cells : cells that get the seeds, the best and the other included.
    runs : seeds that each of them has.
    df : degrees of freedom of the spread; each further run adds one.
    alpha : of the comparison of the best cell with all others.
    power : the chance with which the lead is to be shown.
    least_lead : smaller observed leads do not count.

    Returns
    -------
    At least 1, because the seeds so far did not show it; None if `SEARCHED_SEEDS` are not enough.

    Notes
    -----
    The rule is that of `select`: the lead is above d s sqrt(2 / n), with the one-sided critical
    value d of Dunnett's many-to-one comparison. The difference of two means of n runs over its
    standard error has a noncentral t distribution with noncentrality lead / (s sqrt(2 / n)).

    References
    ----------
    Montgomery (2013), section 2.4.3 (choice of the sample size by the noncentral t distribution).
    Dunnett, C. W. (1955), Journal of the American Statistical Association 50, 1096-1121.
    """

    def is_enough(more: int) -> bool:
        n, error_df = runs + more, df + cells * more
        error = max(spread, ROUNDING) * math.sqrt(2 / n)
        limit = max(many_to_one(cells - 1, min(error_df, LARGE_DF), alpha), least_lead / error)
        distance = lead / error
        if distance > limit + 10:  # the chance is 1; SciPy's noncentral t is not accurate there
            return True
        chance = nct.sf(limit, error_df, distance)
        return float(chance if error_df < LARGE_DF else norm.sf(limit - distance)) >= power

    high = 1
    while not is_enough(high):
        high *= 2
        if high > SEARCHED_SEEDS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
