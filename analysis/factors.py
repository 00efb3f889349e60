"""Factors: levels in natural units, and the one place that codes and decodes them."""

import math
from dataclasses import dataclass
from typing import Literal

from analysis.errors import FactorError

Level = bool | int | float | str
Scale = Literal["linear", "log", "integer", "categorical"]


@dataclass(frozen=True)
class Factor:
    """A hyperparameter, its two levels and the scale between them.

    Attributes
    ----------
    name : as the model or the training knows it.
    low, high : the levels coded -1 and +1, in natural units.
    scale : ``linear``, ``log``, ``integer``, or ``categorical`` (two values, no order).
    domain : the least and the greatest value that makes sense, in natural units.

    Raises
    ------
    FactorError
        If the levels do not fit the scale or the domain.
    """

    name: str
    low: Level
    high: Level
    scale: Scale = "linear"
    domain: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.scale == "categorical":
            if self.low == self.high:
                raise FactorError(f"factor {self.name}: both levels are {self.low!r}; give two")
            return
        for field in ("low", "high"):
            self._check_number(field, getattr(self, field))
        low, high = float(self.low), float(self.high)
        if not low < high:
            raise FactorError(
                f"factor {self.name}: low {self.low} is not below high {self.high}; "
                "swap them or widen the range"
            )

    def _check_number(self, field: str, level: Level) -> None:
        where = f"factor {self.name}: {field} {level!r}"
        if isinstance(level, bool | str) or not math.isfinite(level):
            raise FactorError(f'{where} is no number; give one, or scale = "categorical"')
        if self.scale == "log" and level <= 0:
            raise FactorError(f"{where} is not above 0, as a log scale needs; raise it")
        if self.scale == "integer" and level != int(level):
            raise FactorError(f"{where} is no whole number; round it, or take a linear scale")
        if self.domain and not self.domain[0] <= level <= self.domain[1]:
            raise FactorError(f"{where} lies outside {self.domain[0]:g} to {self.domain[1]:g}")

    @property
    def levels(self) -> tuple[Level, Level]:
        """The low and the high level."""
        return self.low, self.high

    def code(self, level: Level) -> float:
        """Return a natural level in coded units: -1 low, +1 high, linear on the factor's scale."""
        if self.scale == "categorical":
            if level not in self.levels:
                raise FactorError(f"factor {self.name}: {level!r} is not one of {self.levels}")
            return -1.0 if level == self.low else 1.0
        low, high = self._scaled(self.low), self._scaled(self.high)
        return 2 * (self._scaled(level) - low) / (high - low) - 1

    def decode(self, coded: float) -> Level:
        """Return a coded level in natural units; integers are rounded."""
        if self.scale == "categorical":
            return self.low if coded < 0 else self.high
        low, high = self._scaled(self.low), self._scaled(self.high)
        value = low + (coded + 1) / 2 * (high - low)
        if self.scale == "log":
            return math.exp(value)
        return round(value) if self.scale == "integer" else value

    def inside(self, level: Level) -> bool:
        """Whether a natural level lies in the factor's domain."""
        if self.domain is None or isinstance(level, bool | str):
            return True
        return self.domain[0] <= level <= self.domain[1]

    def _scaled(self, level: Level) -> float:
        return math.log(float(level)) if self.scale == "log" else float(level)
