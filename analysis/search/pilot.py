"""The pilot: a few runs that look where a screen's levels belong before it is run.

A screen whose levels lie at the ends of wide ranges spends most of its runs on cells that learn
nothing. Which factors can do that is known beforehand, the learning rate first of all; so the
centre is run at the ends of each of them, and its levels are drawn in around the best of the three.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.factors import Factor

#: Coded levels at which a factor is looked at: its ends and its middle.
PLACES = (-1.0, 0.0, 1.0)
#: Coded distance of a screen's levels from the middle of a factor that no pilot looked at.
INNER = 0.5


@dataclass(frozen=True)
class ScreenRange:
    """Where a factor's two levels of the screen lie, in coded units of the range that was given.

    Attributes
    ----------
    factor : its name.
    low, high : coded; -1 and 1 are the ends of what was given.
    figures : what the pilot found at `PLACES`; empty where it did not look.
    """

    factor: str
    low: float
    high: float
    figures: tuple[float, ...] = ()

    @property
    def words(self) -> str:
        """The range and its reason, for people."""
        if not self.figures:
            return f"{self.factor}: not looked at; levels at {self.low:+g} and {self.high:+g}"
        low, middle, high = (f"{figure:.4g}" for figure in self.figures)
        return (
            f"{self.factor}: {low} at its low end, {middle} in the middle, {high} at its high end "
            f"(one run each); levels drawn in to {self.low:+g} and {self.high:+g}"
        )


def swept_factors(factors: Sequence[Factor]) -> list[Factor]:
    """Return the factors that can keep a network from learning: learning rates, by their names."""
    return [f for f in factors if f.scale == "log" and _is_learning_rate(f.name)]


def _is_learning_rate(name: str) -> bool:
    return "learning_rate" in name or "lr" in name.split("_")


def pilot_points(factors: Sequence[Factor]) -> list[list[float]]:
    """Return the pilot's coded points: each swept factor at its `PLACES`, the others in the middle.

    A category has no middle: its first value is taken.
    """
    middle = [-1.0 if f.scale == "categorical" else 0.0 for f in factors]
    found = []
    for factor in swept_factors(factors):
        place = list(factors).index(factor)
        found += [[*middle[:place], x, *middle[place + 1 :]] for x in PLACES]
    return found


def screen_ranges(factors: Sequence[Factor], figures: Sequence[float]) -> list[ScreenRange]:
    """Return each factor's levels for the screen.

    A swept factor's are half a range apart around the best place, inside the range; those of
    another numeric factor lie half-way between its middle and its ends.

    Parameters
    ----------
    figures : of `points`, in order, higher is better; none where there was no pilot.
    """
    looked = swept_factors(factors) if figures else []
    found = []
    for factor in factors:
        if factor.scale == "categorical":
            found.append(ScreenRange(factor.name, -1.0, 1.0))
        elif factor in looked:
            first = looked.index(factor) * len(PLACES)
            own = tuple(figures[first : first + len(PLACES)])
            best = PLACES[own.index(max(own))]
            found.append(
                ScreenRange(factor.name, max(-1.0, best - INNER), min(1.0, best + INNER), own)
            )
        else:
            found.append(ScreenRange(factor.name, -INNER, INNER))
    return found
