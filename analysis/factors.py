"""Factors: levels in natural units, and the only place that codes and decodes them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.errors import FactorError

Level = bool | int | float | str
Scale = Literal["linear", "log", "integer", "categorical"]

#: A level below this share of the range is 0 with the rounding errors of its calculation.
ZERO_SHARE = 1e-12
#: Names of rows of the table of terms, which no factor can have.
RESERVED_NAMES = frozenset({"intercept", "curvature"})


@dataclass(frozen=True)
class Factor:
    """A hyperparameter, its two levels and the scale between them.

    Attributes
    ----------
    name : name of the setting of the model or of the training; without a colon, which joins names
        in interactions.
    low, high : the levels coded -1 and +1, in natural units.
    scale : ``linear``, ``log``, ``integer``, or ``categorical`` (two values, no order).
    domain : the lowest and the highest valid value, in natural units.
    counts : whether only whole numbers are valid, on any scale; an integer scale has no others.

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

    def __post_init__(self) -> None:
        if not self.name or ":" in self.name or self.name in RESERVED_NAMES:
            raise FactorError(
                f"factor {self.name!r}: not a valid name (no colon, not intercept, not curvature); "
                "rename it"
            )
        if self.scale == "categorical":
            if self.low == self.high:
                raise FactorError(f"factor {self.name}: both levels are {self.low!r}; give two")
            return
        self._check_domain()
        for field in ("low", "high"):
            self._check_number(field, getattr(self, field))
        low, high = float(self.low), float(self.high)
        if not low < high:
            raise FactorError(
                f"factor {self.name}: low {self.low} is not below high {self.high}; "
                "swap them or widen the range"
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
    def levels(self) -> tuple[Level, Level]:
        """The low and the high level."""
        return self.low, self.high

    def code(self, level: Level) -> float:
        """Return a natural level in coded units: -1 low, +1 high, linear on the factor's scale.

        Raises
        ------
        FactorError
            If a category is neither level, or a number is not valid on this scale.
        """
        for known, coded in zip(self.levels, (-1.0, 1.0), strict=True):
            if level == known:
                return coded
        if self.scale == "categorical":
            raise FactorError(
                f"factor {self.name}: {level!r} is neither {self.low!r} nor {self.high!r}; "
                "a categorical factor has two values"
            )
        low, high = self._scaled(self.low), self._scaled(self.high)
        return 2 * (self._scaled(level) - low) / (high - low) - 1

    def decode(self, coded: float) -> Level:
        """Return a coded level in natural units.

        Integers are rounded: the coded value of what is run is ``code(decode(x))``. Other numbers
        have twelve digits, so that a level is the same number after a logarithm and back.

        Raises
        ------
        FactorError
            If the factor is categorical and `coded` is neither -1 nor +1.
        """
        if coded in (-1, 1):
            return self.levels[int(coded > 0)]
        if self.scale == "categorical":
            raise FactorError(
                f"factor {self.name}: categorical, so it has no level at coded {coded:g}; leave "
                "out centre and axial points, or the factor"
            )
        low, high = self._scaled(self.low), self._scaled(self.high)
        value = low + (coded + 1) / 2 * (high - low)
        if self.scale == "linear" and abs(value) < ZERO_SHARE * (high - low):
            value = 0.0
        return self.number(math.exp(value) if self.scale == "log" else value)

    def number(self, value: float) -> Level:
        """Return the nearest valid number: a whole one, or one with twelve digits."""
        return round(value) if self.whole else float(f"{value:.12g}")

    def inside(self, level: Level) -> bool:
        """Whether a natural level lies in the factor's domain, and on its scale."""
        if isinstance(level, bool | str):
            return True
        if self.scale == "log" and level <= 0:
            return False
        if self.domain is None:
            return True
        return self.domain[0] <= level <= self.domain[1]

    def _scaled(self, level: Level) -> float:
        try:
            return math.log(float(level)) if self.scale == "log" else float(level)
        except ValueError:
            raise FactorError(
                f"factor {self.name}: {level!r} is not a number on a {self.scale} scale; correct it"
            ) from None


def show(level: object) -> str:
    """Return a level as text, as a person writes it: 0.001, 3, same."""
    return f"{level:.6g}" if isinstance(level, float) else str(level)


def cell_name(levels: Mapping[Any, Any]) -> str:
    """Return a cell's name, as in ``conv_layers=3 learning_rate=0.001``; always the same."""
    return " ".join(f"{name}={show(level)}" for name, level in levels.items())
