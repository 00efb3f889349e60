"""A space of cells: the levels that each factor may take, and where they lie."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from analysis.errors import DesignError
from analysis.factors import Factor, Level, with_conditions

#: A cell as the place of each factor's level among its levels.
Cell = tuple[int, ...]

#: Levels between the ends of a linear factor, or of an integer factor with a wide range.
LINEAR_LEVELS = 9


@dataclass(frozen=True)
class Space:
    """Every combination of the levels of k factors.

    Attributes
    ----------
    factors : k factors; low and high are the ends of what may be tried.
    levels : the levels of each factor in natural units, in rising order.
    """

    factors: tuple[Factor, ...]
    levels: tuple[tuple[Level, ...], ...]

    @cached_property
    def coded(self) -> tuple[NDArray[np.float64], ...]:
        """Each factor's levels in coded units: -1 the low end, +1 the high."""
        return tuple(
            np.array([f.code(level) for level in own])
            for f, own in zip(self.factors, self.levels, strict=True)
        )

    @cached_property
    def factors_by_name(self) -> dict[str, int]:
        """The index of each factor, by name."""
        return {factor.name: index for index, factor in enumerate(self.factors)}

    def levels_of(self, name: str) -> tuple[Level, ...]:
        """Return the levels of a factor, by its name."""
        return self.levels[self.factors_by_name[name]]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of levels of each factor."""
        return tuple(len(own) for own in self.levels)

    @cached_property
    def n_cells(self) -> int:
        """The number of cells."""
        return int(np.prod(self.shape))

    def cells(self) -> Iterator[Cell]:
        """Yield every cell, the last factor fastest."""
        return product(*(range(n) for n in self.shape))

    def points(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        """Return coded levels (N, k) of cells."""
        places = np.asarray(cells, dtype=int).reshape(-1, len(self.factors))
        return np.column_stack([own[places[:, i]] for i, own in enumerate(self.coded)])

    def features(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        """Return coordinates (N, d) of cells for models that compare cells by their distance.

        As `points`, but a category of three or more values has one column per value: the square
        root of 2 in cells of this value, else 0. Any two categories are then as far apart (2) as
        the two ends of another factor. A factor that does not count in a cell is in its middle, 0.
        """
        places = np.asarray(cells, dtype=int).reshape(-1, len(self.factors))
        columns = [
            (math.sqrt(2) * np.eye(len(own)))[places[:, i]]
            if factor.many_categories
            else own[places[:, i], None]
            for i, (factor, own) in enumerate(zip(self.factors, self.coded, strict=True))
        ]
        for factor, column in zip(self.factors, columns, strict=True):
            if factor.when:
                named = [self.natural(tuple(place)) for place in places.tolist()]
                column[[not factor.applies(levels) for levels in named]] = 0.0
        return np.hstack(columns)

    def nearest(self, point: Sequence[float] | NDArray[np.float64]) -> Cell:
        """Return the cell nearest to a point in coded units; of two equal ones, the lower."""
        return tuple(
            int(np.argmin(np.abs(own - x).round(9)))
            for own, x in zip(self.coded, point, strict=True)
        )

    def natural(self, cell: Cell) -> dict[str, Level]:
        """Return a cell's levels by factor, natural units."""
        return with_conditions(
            self.factors,
            {f.name: own[i] for f, own, i in zip(self.factors, self.levels, cell, strict=True)},
        )

    def distinct(self, cell: Cell) -> Cell:
        """Return the cell that stands for all that differ from it in factors that do not count."""
        return self.cell(self.natural(cell)) if any(f.when for f in self.factors) else cell

    def cell(self, levels: Mapping[str, Level]) -> Cell:
        """Return the cell nearest to natural levels.

        Raises
        ------
        DesignError
            If a factor has no level.
        """
        missing = [f.name for f in self.factors if f.name not in levels]
        if missing:
            raise DesignError(f"no level of {missing[0]}; name one of each factor")
        return self.nearest([f.code(levels[f.name]) for f in self.factors])

    def draw(self, rng: np.random.Generator, n: int) -> list[Cell]:
        """Return n different cells at random; all cells if there are fewer."""
        n = min(n, self.n_cells)
        flat = rng.choice(self.n_cells, n, replace=False)
        return [
            tuple(int(i) for i in row)
            for row in zip(*np.unravel_index(flat, self.shape), strict=True)
        ]


def typed_level(factor: Factor, level: object) -> Level:
    """Return a level in its factor's own type, whether it comes from numpy, pandas or MLflow."""
    if factor.scale == "categorical":
        return next(own for own in factor.levels if str(own) == str(level))
    if factor.whole:
        return int(float(str(level)))
    # Twelve digits: a level that was decoded from a log scale must be equal to itself.
    return float(f"{float(str(level)):.12g}")


def short_level(level: Level) -> Level:
    """Return a level with three significant digits, so that MLflow returns it as it was trained."""
    return float(f"{level:.3g}") if isinstance(level, float) else level


def grid_cells(grid: Mapping[str, Iterable[Level]]) -> list[dict[str, Level]]:
    """Return every combination of a grid's levels, the last factor fastest."""
    return [dict(zip(grid, levels, strict=True)) for levels in product(*grid.values())]


def levels_between(factor: Factor, low: Level, high: Level, least: int = 2) -> tuple[Level, ...]:
    """Return a factor's levels from low to high, both included; of a category, all its values.

    A list of values has those of them that are not outside. Otherwise, a log scale has half
    decades, an integer every number (nine if the range is wider), a linear scale nine levels.

    Parameters
    ----------
    factor : its scale counts.
    low, high : natural units.
    least : the fewest levels of a log scale, evenly spaced.
    """
    if factor.scale == "categorical":
        return factor.levels
    low, high = sorted((float(low), float(high)))
    if factor.values:
        return tuple(value for value in factor.values if low <= float(value) <= high)
    if factor.scale == "log":
        found = np.geomspace(low, high, max(least, 1 + round(2 * math.log10(high / low))))
    elif factor.scale == "integer" and high - low < LINEAR_LEVELS:
        found = np.arange(low, high + 1)
    else:
        found = np.linspace(low, high, LINEAR_LEVELS)
    inner = {short_level(typed_level(factor, round(x) if factor.whole else x)) for x in found[1:-1]}
    ends = {typed_level(factor, end) for end in (low, high)}
    return tuple(sorted(inner | ends, key=float))
