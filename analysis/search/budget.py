"""How a budget of trainings is divided between the stages of a search.

The rules were chosen on drawn landscapes and on small networks (`infra/docs/comparison.md` says
which), not on the tables on which the comparison is reported.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Final, Literal

from analysis.designs.fractions import LARGEST_FULL_DESIGN, Fraction, count_of_factors
from analysis.designs.mixed_levels import design_within
from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search.best_cell import ROUNDING
from analysis.search.pilot import pilot_points
from analysis.search.procedure import SearchRules, ShortTrainings
from analysis.search.space import Space, levels_between

#: The screen: a two-level design, of which effects are fitted, or a few cells of a Latin hypercube.
Screen = Literal["factorial", "latin_hypercube"]
FACTORIAL: Final = "factorial"
LATIN_HYPERCUBE: Final = "latin_hypercube"

#: Share of the budget for fresh seeds of the best cells, and how many of these cells.
CONFIRM_SHARE, CONFIRM_CELLS = 1 / 8, 3
#: The fewest runs that confirm; with fewer, no cell is run twice.
FEWEST_CONFIRMED = 2
#: Share of the rest that the screen may take, if a smaller design exists.
SCREEN_SHARE = 0.5
#: Share of the budget that pilot and screen may take together, if all trainings have full length.
SHARE_BEFORE_PROCESS = 5 / 8
#: Cells of a Latin hypercube: half of the budget, between these limits.
FEWEST_SPREAD_CELLS, MOST_SPREAD_CELLS = 4, 6
#: Coded distance from the middle of the screen's levels, where the pilot says nothing: the ends of
#: a range that nobody has tried are often where nothing learns.
SCREEN_INSIDE = 0.5
#: Cells of a screen, at most.
LARGEST_SCREEN = 2**LARGEST_FULL_DESIGN

#: Share of the epochs in a short training, and share of the budget for short trainings.
SHORT_LENGTH, SHORT_SHARE = 1 / 4, 1 / 2
#: With fewer epochs or trainings, every training has full length: one epoch shows little.
FEWEST_EPOCHS, FEWEST_TRAININGS = 8, 8

#: Levels of a factor on a log scale, at least: a range of a factor of four has no half decades.
LEAST_LEVELS = 5


def default_budget(n_factors: int) -> int:
    """Return the trainings of a search that names no budget: 12 for one factor, 4 for each other.

    Parameters
    ----------
    n_factors : number of factors.
    """
    return 8 + 4 * n_factors


def smallest_screen(factors: Sequence[Factor]) -> Fraction | None:
    """Return the smallest design in which no main effect is aliased with another.

    Returns
    -------
    None if there is no such design, because the factors have too many categories.
    """
    sizes = range(2, LARGEST_SCREEN + 1, 2)
    return next(filter(None, (design_within(factors, runs) for runs in sizes)), None)


def least_budget(
    factors: Sequence[Factor], epochs: int | None = None, *, screen: Screen | None = None
) -> int:
    """Return the fewest trainings of a search: a pilot and a screen.

    Parameters
    ----------
    factors : what is varied.
    epochs : of a training of full length; None if all trainings have full length.
    screen : as in `rules_for_budget`.

    Raises
    ------
    DesignError
        If there is no design of these factors, and ``screen`` may be one.
    """
    pilot = len(pilot_points(factors))
    if screen == LATIN_HYPERCUBE:
        return pilot + FEWEST_SPREAD_CELLS
    runs = _smallest_screen_runs(factors)
    least = pilot + (runs if screen == FACTORIAL else min(runs, FEWEST_SPREAD_CELLS))
    enough = (n for n in range(1, least) if _has_short_screen(n, pilot + runs, epochs))
    return next(enough, least)


def least_factorial_budget(factors: Sequence[Factor], epochs: int | None = None) -> int:
    """Return the fewest trainings of a search that has a two-level screen by default.

    Parameters
    ----------
    factors, epochs : as in `least_budget`.

    Raises
    ------
    DesignError
        If there is no design of these factors.
    """
    pilot, runs = len(pilot_points(factors)), _smallest_screen_runs(factors)
    return next(
        budget
        for budget in itertools.count(pilot + 1)
        if runs <= _most_in_screen(budget, pilot) or _has_short_screen(budget, pilot + runs, epochs)
    )


def _smallest_screen_runs(factors: Sequence[Factor]) -> int:
    screen = smallest_screen(factors)
    if screen is None:
        raise DesignError(
            f"{count_of_factors(len(factors))}: no design has all of their categories in "
            f"{LARGEST_SCREEN} cells; remove factors or values"
        )
    return screen.n_runs


def _most_in_screen(budget: int, pilot: int) -> int:
    """Return the most runs of a screen after a pilot, if all trainings have full length."""
    together = math.floor(SHARE_BEFORE_PROCESS * budget + ROUNDING)
    return max(together - pilot, _spread_cells(budget, pilot))


def _spread_cells(budget: int, pilot: int) -> int:
    """Return how many cells a Latin hypercube has."""
    usual = max(FEWEST_SPREAD_CELLS, min(MOST_SPREAD_CELLS, budget // 2))
    return max(1, min(usual, budget - pilot))


def _has_short_screen(budget: int, runs: int, epochs: int | None) -> bool:
    """Whether a budget has short trainings, and enough of them for pilot and screen."""
    short = short_trainings(budget, epochs)
    return short is not None and short.number >= runs


def space_of(factors: Sequence[Factor]) -> Space:
    """Return the cells between the ends of the factors; see `levels_between`."""
    levels = (levels_between(f, f.low, f.high, LEAST_LEVELS) for f in factors)
    return Space(tuple(factors), tuple(levels))


def rules_for_budget(
    factors: Sequence[Factor],
    response: str,
    budget: int,
    *,
    alpha: float = 0.05,
    seed: int = 1,
    space: Space | None = None,
    screen: Screen | None = None,
    anything: bool = False,
    epochs: int | None = None,
    continues: bool = True,
) -> SearchRules:
    """Return the rules of a search with at most this many trainings.

    A pilot of three runs places the learning rate. The screen is the best two-level design (full or
    a fraction) that takes at most half of what confirmation leaves, or the smallest one if that is
    larger. If pilot and screen would take more than five eighths of the budget, the screen is four
    to six cells of a Latin hypercube instead, unless a design is as small. Two runs or an eighth of
    the budget confirm the best three cells. A Gaussian process that uses all runs so far chooses
    the other cells, one at a time, in the whole space.

    If a training has enough epochs, half of the budget is spent on trainings of a quarter of them:
    pilot, screen, and cells that the process chooses. Then the process chooses which of these cells
    are trained to full length.

    Parameters
    ----------
    factors : low and high are the ends of their ranges.
    response : column of the runs; higher is better.
    budget : trainings of the whole search.
    alpha, seed : as in `SearchRules`.
    space : the cells that may be run; by default those of `space_of`.
    screen : a two-level design or a Latin hypercube; by default a two-level design if it leaves
        enough of the budget.
    anything : whether a budget below `least_budget`, and factors without any design, are accepted.
    epochs : of a training of full length; None if they are not known or differ, then all trainings
        have full length.
    continues : whether a training of full length continues a short one.

    Raises
    ------
    DesignError
        If the budget is too small for any design; the error names the smallest budget. If there is
        no design of these factors.
    """
    pilot = len(pilot_points(factors))
    if not anything:
        least = least_budget(factors, epochs, screen=screen)
        if budget < least:
            raise DesignError(_too_small(factors, budget, least))
    reserved = max(FEWEST_CONFIRMED, round(CONFIRM_SHARE * budget))
    smallest = None if screen == LATIN_HYPERCUBE else smallest_screen(factors)
    spread = _spread_cells(budget, pilot)
    short = short_trainings(budget, epochs, continues=continues)
    if short is not None and short.number < pilot + (smallest.n_runs if smallest else spread):
        short = None
    if short is not None or screen == FACTORIAL:
        allowed = (short.number if short else budget) - pilot
    else:
        allowed = _most_in_screen(budget, pilot)
    design = None
    if smallest is not None and smallest.n_runs <= allowed:
        share = round(SCREEN_SHARE * (short.number if short else budget - reserved))
        design = design_within(factors, min(max(share, smallest.n_runs), allowed))
    if short is not None:
        confirmed, cells = reserved, _cells_to_continue(short, budget - reserved)
    else:
        left = budget - pilot - (design.n_runs if design else spread)
        # A seed that confirms is worth less than the first cell that the process chooses.
        confirmed = reserved if left > reserved else max(0, left - 1)
        confirmed = confirmed if confirmed >= FEWEST_CONFIRMED else 0
        cells = max(0, left - confirmed)
    return SearchRules(
        tuple(factors),
        response,
        design,
        alpha=alpha,
        seed=seed,
        pilot=True,
        screen_inside=SCREEN_INSIDE,
        spread_cells=spread,
        trainings=budget - confirmed,
        short=short,
        method="gp",
        budget=cells,
        confirm_cells=min(CONFIRM_CELLS, max(1, confirmed)),
        confirm_trainings=confirmed,
        space=space or space_of(factors),
    )


def short_trainings(
    budget: int, epochs: int | None, *, continues: bool = True
) -> ShortTrainings | None:
    """Return the short trainings of a search with a budget; None if there are none.

    Parameters
    ----------
    budget : trainings of full length.
    epochs : of one of them.
    continues : whether a training of full length continues a short one.
    """
    if epochs is None or epochs < FEWEST_EPOCHS or budget < FEWEST_TRAININGS:
        return None
    own = round(SHORT_LENGTH * epochs)
    return ShortTrainings(own, epochs, math.floor(SHORT_SHARE * budget * epochs / own), continues)


def _cells_to_continue(short: ShortTrainings, trainings: int) -> int:
    """Return how many cells are trained to full length before the confirm stage."""
    left = trainings - short.number * short.cost
    return math.floor(left / short.cost_of_full + ROUNDING)


def _too_small(factors: Sequence[Factor], budget: int, least: int) -> str:
    pilot = len(pilot_points(factors))
    parts = [f"{pilot} of the pilot"] if pilot else []
    parts += [f"{least - pilot} of the screen"]
    return (
        f"budget {budget}: a search of {count_of_factors(len(factors))} needs at least {least} "
        f"trainings ({' and '.join(parts)}); raise the budget"
    )
