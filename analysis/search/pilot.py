"""The pilot: a few runs that find where the levels of the screen belong.

A screen with levels at the ends of wide ranges spends most of its runs on cells that learn nothing.
The factors that can cause this are known beforehand, first of all the learning rate. For each of
them the pilot runs the low end, the middle and the high end, with all other factors in the middle;
the levels of the screen are then narrowed around the best of the three. The pilot knows nothing of
the other factors: whoever asks decides how far inside their ranges the screen has its levels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.factors import Factor

#: Coded levels at which a factor is run: its ends and its middle.
PLACES = (-1.0, 0.0, 1.0)
#: Coded distance of the screen's levels from the best point of a factor that the pilot varies.
AROUND_BEST = 0.5


@dataclass(frozen=True)
class ScreenRange:
    """Where the two levels of a factor lie in the screen, in coded units of the given range.

    Attributes
    ----------
    factor : its name.
    low, high : coded levels; -1 and 1 are the ends of the given range.
    figures : the responses of the pilot at `PLACES`, NaN for a run that failed; empty if the pilot
        does not vary the factor.
    """

    factor: str
    low: float
    high: float
    figures: tuple[float, ...] = ()


def swept_factors(factors: Sequence[Factor]) -> list[Factor]:
    """Return the factors that can keep a network from learning: learning rates, by name."""
    return [f for f in factors if f.scale == "log" and _is_learning_rate(f.name)]


def _is_learning_rate(name: str) -> bool:
    return "learning_rate" in name or "lr" in name.split("_")


def pilot_points(factors: Sequence[Factor]) -> list[list[float]]:
    """Return the coded points of the pilot: each swept factor at `PLACES`, others in the middle.

    A category has no middle; its first value is used.
    """
    middle = [-1.0 if f.scale == "categorical" else 0.0 for f in factors]
    found = []
    for factor in swept_factors(factors):
        place = list(factors).index(factor)
        found += [[*middle[:place], x, *middle[place + 1 :]] for x in PLACES]
    return found


def screen_ranges(
    factors: Sequence[Factor], figures: Sequence[float], others: float = 1.0
) -> list[ScreenRange]:
    """Return the levels of each factor for the screen.

    The levels of a swept factor are half a range apart around the best point, inside the range.

    Parameters
    ----------
    figures : the responses at `pilot_points`, in order, higher is better, NaN for a run that
        failed; empty without a pilot.
    others : coded distance from the middle of the levels of the other numeric factors; with 1 they
        are the ends of the ranges.
    """
    looked = swept_factors(factors) if figures else []
    found = []
    for factor in factors:
        if factor.scale == "categorical":
            found.append(ScreenRange(factor.name, -1.0, 1.0))
        elif factor in looked:
            first = looked.index(factor) * len(PLACES)
            own = tuple(figures[first : first + len(PLACES)])
            best = best_place(own)
            found.append(
                ScreenRange(
                    factor.name, max(-1.0, best - AROUND_BEST), min(1.0, best + AROUND_BEST), own
                )
            )
        else:
            found.append(ScreenRange(factor.name, -others, others))
    return found


def best_place(figures: Sequence[float]) -> float:
    """Return where the best of the three runs is, in coded units; a run that failed is the worst.

    Equal figures show no direction: then it is the middle, unless the run there failed.

    Parameters
    ----------
    figures : the responses at `PLACES`, higher is better, NaN for a run that failed.
    """
    known = {x: y for x, y in zip(PLACES, figures, strict=True) if not math.isnan(y)}
    if not known or (0.0 in known and len(set(known.values())) == 1):
        return 0.0
    return max(known, key=known.__getitem__)
