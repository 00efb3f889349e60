"""A space of cells: the levels that each factor may take, and where they lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from analysis.errors import DesignError
from analysis.factors import Factor, Level

#: A cell as the place of each factor's level among its levels.
Cell = tuple[int, ...]

#: Levels that a factor between two ends is given: half decades on a log scale, else so many.
STEPS = 9


@dataclass(frozen=True)
class Space:
    """Every combination of so many levels of each factor.

    Attributes
    ----------
    factors : k factors; low and high are the ends of what may be tried.
    levels : their levels, natural units, in rising order.
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

    @property
    def shape(self) -> tuple[int, ...]:
        """How many levels each factor has."""
        return tuple(len(own) for own in self.levels)

    @cached_property
    def n_cells(self) -> int:
        """How many cells there are."""
        return int(np.prod(self.shape))

    def cells(self) -> Iterator[Cell]:
        """Yield every cell, the last factor fastest."""
        return product(*(range(n) for n in self.shape))

    def points(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        """Return coded levels (N, k) of cells."""
        places = np.asarray(cells, dtype=int).reshape(-1, len(self.factors))
        return np.column_stack([own[places[:, i]] for i, own in enumerate(self.coded)])

    def nearest(self, point: Sequence[float] | NDArray[np.float64]) -> Cell:
        """Return the cell nearest to a point in coded units; between two, the lower level."""
        return tuple(
            int(np.argmin(np.abs(own - x).round(9)))
            for own, x in zip(self.coded, point, strict=True)
        )

    def natural(self, cell: Cell) -> dict[str, Level]:
        """Return a cell's levels by factor, natural units."""
        return {f.name: own[i] for f, own, i in zip(self.factors, self.levels, cell, strict=True)}

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
        """Return n different cells at random, all of them where there are no more."""
        n = min(n, self.n_cells)
        flat = rng.choice(self.n_cells, n, replace=False)
        return [
            tuple(int(i) for i in row)
            for row in zip(*np.unravel_index(flat, self.shape), strict=True)
        ]
