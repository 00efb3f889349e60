"""Factors: levels in natural units, and the only place that codes and decodes them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import FactorError

Level = bool | int | float | str
Scale = Literal["linear", "log", "integer", "categorical"]

#: A level below this share of the range is 0 with the rounding errors of its calculation.
ZERO_SHARE = 1e-12
#: Names of rows of the table of terms, which no factor can have.
RESERVED_NAMES = frozenset({"intercept", "curvature"})


@dataclass(frozen=True)
class Factor:
    """A hyperparameter, the levels of its screen and the scale between them.

    Attributes
    ----------
    name : name of the setting of the model or of the training; without a colon, which joins names
        in interactions.
    low, high : the levels coded -1 and +1, in natural units.
    scale : ``linear``, ``log``, ``integer``, or ``categorical`` (no order).
    domain : the lowest and the highest valid value, in natural units.
    counts : whether only whole numbers are valid, on any scale; an integer scale has no others.
    values : the only valid values; empty if every value of the domain is valid. Numbers are in
        rising order, and low and high are two of them. A category of three or more values has all
        of them here: low is the first, the reference, and high is the last. A category of two
        values has them in low and high only.
    when : the condition under which the factor counts, as categories of other factors: ``momentum``
        only where ``optimizer`` is ``sgd`` is ``(("optimizer", ("sgd",)),)``. Empty: always.
    otherwise : the value of the setting where the factor does not count; None if unknown.

    Raises
    ------
    FactorError
        If the levels do not fit the scale or the domain.

    Notes
    -----
    Coded levels are linear in the natural level, or in its logarithm: Montgomery, D. C. (2013),
    Design and Analysis of Experiments, 8th ed., section 6.2 (page 240).
    """

    name: str
    low: Level
    high: Level
    scale: Scale = "linear"
    domain: tuple[float, float] | None = None
    counts: bool = False
    values: tuple[Level, ...] = ()
    when: tuple[tuple[str, tuple[Level, ...]], ...] = ()
    otherwise: Level | None = None

    def __post_init__(self) -> None:
        if not self.name or ":" in self.name or self.name in RESERVED_NAMES:
            raise FactorError(
                f"factor {self.name!r}: not a valid name (no colon, not intercept, not curvature); "
                "rename it"
            )
        if self.scale == "categorical":
            if self.low == self.high:
                raise FactorError(f"factor {self.name}: both levels are {self.low!r}; give two")
            self._check_categories()
            if self.when and self.many_categories:
                raise FactorError(
                    f"factor {self.name}: a factor with a condition has two values at most if they "
                    "have no order; remove when, or all but two values"
                )
            return
        self._check_domain()
        self._check_values()
        for field in ("low", "high"):
            self._check_number(field, getattr(self, field))
        low, high = float(self.low), float(self.high)
        if not low < high:
            raise FactorError(
                f"factor {self.name}: low {self.low} is not below high {self.high}; "
                "swap them or widen the range"
            )

    def _check_categories(self) -> None:
        if not self.values:
            return
        if len(self.values) < 3 or (self.low, self.high) != (self.values[0], self.values[-1]):  # noqa: PLR2004 # two are low and high
            raise FactorError(
                f"factor {self.name}: the values of a category are three or more, from "
                f"{self.low!r} to {self.high!r}; two are low and high"
            )
        texts = [str(value) for value in self.values]
        if repeated := [text for text in texts if texts.count(text) > 1]:
            raise FactorError(f"factor {self.name}: the value {repeated[0]} is given twice")
        if joined := [text for text in texts if ":" in text]:
            raise FactorError(
                f"factor {self.name}: the value {joined[0]!r} has a colon, which joins the names "
                "of interactions; rename it"
            )

    def _check_values(self) -> None:
        for value in self.values:
            self._check_number("value", value)
        numbers = [float(value) for value in self.values]
        if any(a >= b for a, b in pairwise(numbers)):
            raise FactorError(
                f"factor {self.name}: the values {', '.join(map(show, self.values))} are not in "
                "rising order, each once; sort them"
            )
        if missing := [x for x in (self.low, self.high) if self.values and x not in self.values]:
            raise FactorError(
                f"factor {self.name}: {missing[0]!r} is not one of the values "
                f"{', '.join(map(show, self.values))}; take one of them"
            )

    def _check_domain(self) -> None:
        if self.domain and not self.domain[0] <= self.domain[1]:
            raise FactorError(
                f"factor {self.name}: domain {self.domain[0]:g} to {self.domain[1]:g} is empty; "
                "swap its ends"
            )

    def _check_number(self, field: str, level: Level) -> None:
        where = f"factor {self.name}: {field} {level!r}"
        if isinstance(level, bool | str) or not math.isfinite(level):
            raise FactorError(f'{where} is not a number; give one, or scale = "categorical"')
        if self.scale == "log" and level <= 0:
            raise FactorError(f"{where} is not above 0, as a log scale needs; raise it")
        if self.whole and level != int(level):
            other = "" if self.counts else ", or take a linear scale"
            raise FactorError(f"{where} is not a whole number; round it{other}")
        if self.domain and not self.domain[0] <= level <= self.domain[1]:
            raise FactorError(
                f"{where} lies outside {self.domain[0]:g} to {self.domain[1]:g}; move it inside, "
                "or widen the domain"
            )

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are valid."""
        return self.scale == "integer" or (self.counts and self.scale != "categorical")

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the screen: low and high; of a category, all values."""
        return self.values if self.many_categories else (self.low, self.high)

    def applies(self, levels: Mapping[Any, Any]) -> bool:
        """Whether the factor counts in a cell; a factor that the cell lacks is no obstacle."""
        return all(levels[name] in known for name, known in self.when if name in levels)

    @property
    def neutral(self) -> Level:
        """The level that stands for the factor in cells in which it does not count.

        It is the value that the setting has there; if that is unknown, the middle, or the first
        category.
        """
        if self.otherwise is not None:
            return self.otherwise
        return self.low if self.scale == "categorical" else self.decode(0)

    @property
    def many_categories(self) -> bool:
        """Whether this is a category of three or more values."""
        return self.scale == "categorical" and len(self.values) > 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns in a model: its name, or one contrast per further category.

        The contrast of a category with the reference is ``optimizer[sgd]``.
        """
        if not self.many_categories:
            return (self.name,)
        return tuple(f"{self.name}[{show(value)}]" for value in self.values[1:])

    def contrasts(self, coded: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns (N, d - 1) of a model from coded levels (N,).

        Two levels have one column, the coded levels themselves. A category of d values has one
        column for each value but the first: 2 - 2/d in runs of this value and -2/d in others. These
        are treatment contrasts, as those of statsmodels, about their mean over the values and twice
        as long: the intercept is then the mean over all values, and twice a coefficient is the
        difference of a value from the first, as it is for two levels.
        """
        if not self.many_categories:
            return coded[:, None]
        own = np.array([self.code(value) for value in self.values[1:]])
        return np.asarray(2.0 * np.isclose(coded[:, None], own) - 2.0 / len(self.values))

    def code(self, level: Level) -> float:
        """Return a natural level in coded units: -1 low, +1 high, linear on the factor's scale.

        Three or more categories lie at equal distances from -1 to +1 in the order of their list;
        this only numbers them: see `contrasts`.

        Raises
        ------
        FactorError
            If a category has no such value, or a number is not valid on this scale.
        """
        if level == self.low:
            return -1.0
        if level == self.high:
            return 1.0
        if self.many_categories and level in self.values:
            return 2 * self.values.index(level) / (len(self.values) - 1) - 1
        if self.scale == "categorical":
            known = ", ".join(repr(value) for value in self.values)
            raise FactorError(
                f"factor {self.name}: {level!r} is "
                + (
                    f"not one of {known}"
                    if known
                    else f"neither {self.low!r} nor {self.high!r}; a categorical factor has two "
                    "values"
                )
            )
        low, high = self.scaled(self.low), self.scaled(self.high)
        return 2 * (self.scaled(level) - low) / (high - low) - 1

    def decode(self, coded: float) -> Level:
        """Return a coded level in natural units.

        Integers are rounded: the coded value of what is run is ``code(decode(x))``. Other numbers
        have twelve digits, so that a level is the same number after a logarithm and back. A factor
        with a list of values has the nearest of them.

        Raises
        ------
        FactorError
            If the factor is categorical and no value has this code.
        """
        if coded in (-1, 1):
            return self.high if coded > 0 else self.low
        if self.many_categories:
            place = (coded + 1) / 2 * (len(self.values) - 1)
            if math.isclose(place, round(place), abs_tol=1e-9) and 0 <= place < len(self.values):
                return self.values[round(place)]
        if self.scale == "categorical":
            raise FactorError(
                f"factor {self.name}: categorical, so it has no level at coded {coded:g}; leave "
                "out centre and axial points, or the factor"
            )
        low, high = self.scaled(self.low), self.scaled(self.high)
        value = low + (coded + 1) / 2 * (high - low)
        if self.scale == "linear" and abs(value) < ZERO_SHARE * (high - low):
            value = 0.0
        return self.number(math.exp(value) if self.scale == "log" else value)

    def number(self, value: float) -> Level:
        """Return the nearest valid number: of the list, a whole one, or one with twelve digits."""
        if self.values:
            at = self.scaled(value) if self.scale != "log" or value > 0 else -math.inf
            return min(self.values, key=lambda known: abs(self.scaled(known) - at))
        return round(value) if self.whole else float(f"{value:.12g}")

    def inside(self, level: Level) -> bool:
        """Whether a natural level lies in the factor's domain, and on its scale."""
        if isinstance(level, bool | str):
            return True
        if self.scale == "log" and level <= 0:
            return False
        if self.values:
            return level in self.values
        if self.domain is None:
            return True
        return self.domain[0] <= level <= self.domain[1]

    def scaled(self, level: Level) -> float:
        """Return a natural level on the factor's scale: its logarithm on a log scale.

        Raises
        ------
        FactorError
            If it is not a number on this scale.
        """
        try:
            return math.log(float(level)) if self.scale == "log" else float(level)
        except ValueError:
            raise FactorError(
                f"factor {self.name}: {level!r} is not a number on a {self.scale} scale; correct it"
            ) from None


def show(level: object) -> str:
    """Return a level as text, as a person writes it: 0.001, 3, same."""
    return f"{level:.6g}" if isinstance(level, float) else str(level)


def with_conditions(factors: Sequence[Factor], levels: Mapping[str, Level]) -> dict[str, Level]:
    """Return a cell in which each factor that does not count has its `Factor.neutral` level.

    Cells that differ only in such a factor are then equal, and are trained once.
    """
    other = {f.name: f.neutral for f in factors if f.when and not f.applies(levels)}
    return {name: other.get(name, level) for name, level in levels.items()}


def count_of_different_cells(factors: Sequence[Factor]) -> int:
    """Return how many cells of the full design of the factors' levels are different.

    Cells that differ only in a factor that does not count are equal.
    """
    in_conditions = {name for factor in factors for name, _ in factor.when}
    conditions = [f for f in factors if f.name in in_conditions]
    others = [f for f in factors if f.name not in in_conditions]
    total = 0
    for levels in product(*(f.levels for f in conditions)):
        cell = {f.name: level for f, level in zip(conditions, levels, strict=True)}
        total += math.prod(len(f.levels) for f in others if f.applies(cell))
    return total


def cell_name(levels: Mapping[Any, Any]) -> str:
    """Return a cell's name, as in ``conv_layers=3 learning_rate=0.001``; always the same."""
    return " ".join(f"{name}={show(level)}" for name, level in levels.items())
