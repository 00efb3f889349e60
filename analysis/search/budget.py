"""How a budget of trainings is divided between the stages of a search.

The rules were chosen on drawn landscapes and on small networks (`infra/docs/comparison.md` says
which), not on the tables on which the comparison is reported.
"""

import math
from collections.abc import Sequence

from analysis.designs.fractions import LARGEST_FULL_DESIGN, Fraction, count_of_factors
from analysis.designs.mixed_levels import design_within
from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search.best_cell import ROUNDING
from analysis.search.pilot import pilot_points
from analysis.search.procedure import START_CELLS, SearchRules, ShortTrainings
from analysis.search.space import Space, levels_between

#: Share of the budget for fresh seeds of the best cells, and how many of these cells.
CONFIRM_SHARE, CONFIRM_CELLS = 1 / 8, 3
#: The fewest runs that confirm; with fewer, no cell is run twice.
FEWEST_CONFIRMED = 2
#: Share of the rest that the screen may take, if a smaller design exists.
SCREEN_SHARE = 0.5
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


def least_budget(factors: Sequence[Factor], epochs: int | None = None) -> int:
    """Return the fewest trainings for a pilot and a screen of these factors.

    Parameters
    ----------
    factors : what is varied.
    epochs : of a training of full length; None if all trainings have full length.

    Raises
    ------
    DesignError
        If there is no design of these factors.
    """
    screen = smallest_screen(factors)
    if screen is None:
        raise DesignError(
            f"{count_of_factors(len(factors))}: no design has all of their categories in "
            f"{LARGEST_SCREEN} cells; remove factors or values"
        )
    runs = len(pilot_points(factors)) + screen.n_runs
    enough = (n for n in range(1, runs) if _runs_before_refinement(n, epochs) >= runs)
    return next(enough, runs)


def _runs_before_refinement(budget: int, epochs: int | None) -> int:
    short = short_trainings(budget, epochs)
    return short.number if short else budget


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
    without_screen: bool = False,
    epochs: int | None = None,
    continues: bool = True,
) -> SearchRules:
    """Return the rules of a search with at most this many trainings.

    A pilot of three runs places the learning rate. The screen is the best two-level design (full or
    a fraction) that takes at most half of what confirmation leaves; if even the smallest one is
    larger, it is taken if it fits at all. Two runs or an eighth of the budget confirm the best
    three cells. A Gaussian process that uses all runs so far chooses the other cells, one at a
    time, in the whole space.

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
    without_screen : whether a budget that is too small for any design is accepted; the process then
        begins with a few random cells.
    epochs : of a training of full length; None if they are not known or differ, then all trainings
        have full length.
    continues : whether a training of full length continues a short one.

    Raises
    ------
    DesignError
        If the budget is too small for any design; the error names the smallest budget. If there is
        no design of these factors.
    """
    pilot, least = len(pilot_points(factors)), math.inf
    if not without_screen or smallest_screen(factors) is not None:
        least = least_budget(factors, epochs)
    if budget < least and not without_screen:
        raise DesignError(_too_small(factors, budget, int(least), epochs))
    reserved = max(FEWEST_CONFIRMED, round(CONFIRM_SHARE * budget))
    short = short_trainings(budget, epochs, continues=continues) if budget >= least else None
    runs = short.number if short else budget - reserved
    most = round(SCREEN_SHARE * runs)
    if budget >= least:
        most = max(most, least_budget(factors) - pilot)
    design = design_within(factors, most)
    if short is not None:
        confirmed, cells = reserved, _cells_to_continue(short, budget - reserved)
    else:
        left = budget - pilot - (design.n_runs if design else START_CELLS)
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


def _too_small(factors: Sequence[Factor], budget: int, least: int, epochs: int | None) -> str:
    fitting = [n for n in range(1, len(factors)) if least_budget(factors[:n], epochs) <= budget]
    buys = f"it is enough for {fitting[-1]} of them" if fitting else "no design is so small"
    return (
        f"budget {budget}: {len(factors)} factors need at least {least} trainings for pilot and "
        f"screen; {buys}. Raise the budget, or remove factors"
    )
