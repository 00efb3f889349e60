"""Replaying tuners on a table of trained cells: each asks, the table answers with a seed."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.search.space import Cell, Space

Run = tuple[Cell, float]
#: A tuner: it yields the cells to run next, is sent their figures, and returns what it delivers.
Tuner = Generator[list[Cell], list[float], Cell]


@dataclass(frozen=True)
class Table:
    """Cells with the figures of several seeds each.

    Attributes
    ----------
    name : for people.
    space : its factors and levels.
    figures : (cells, seeds), in the order of `Space.cells`; higher is better; NaN where there is
        none.
    """

    name: str
    space: Space
    figures: NDArray[np.float64] = field(repr=False)

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """The mean of each cell's seeds (cells,)."""
        return np.asarray(np.nanmean(self.figures, axis=1))

    def row(self, cell: Cell) -> int:
        """Return a cell's row."""
        return int(np.ravel_multi_index(cell, self.space.shape))

    def regret(self, cell: Cell) -> float:
        """Return how far a cell's true mean lies below the best: 0 the best, 1 the median cell."""
        best, median = float(self.truth.max()), float(np.median(self.truth))
        # Where half of the cells are the best, regret is in units of the figure.
        return (best - float(self.truth[self.row(cell)])) / ((best - median) or 1.0)


class Oracle:
    """What a table answers in one repetition: a cell's seeds in random order, none twice.

    Once they are used up it begins again with the first: nothing new is learnt by asking.

    Parameters
    ----------
    table : the table.
    repetition : fixes the order of every cell's seeds, whoever asks and when.
    asked : cells asked before.
    """

    def __init__(self, table: Table, repetition: int, asked: Sequence[Cell] = ()) -> None:
        self._table, self._repetition = table, repetition
        self._asked = Counter(asked)

    def answer(self, cell: Cell) -> float:
        """Return the figure of a cell's next seed."""
        row = self._table.row(cell)
        own = self._table.figures[row]
        own = own[np.isfinite(own)]
        order = np.random.default_rng([self._repetition, row]).permutation(len(own))
        number = self._asked[cell]
        self._asked[cell] += 1
        return float(own[order[number % len(own)]])


def play(tuner: Tuner, answer: Callable[[Cell], float]) -> tuple[list[Run], Cell]:
    """Let a tuner run to its end; return its runs and what it delivers."""
    history: list[Run] = []
    asked = next(tuner)
    while True:
        figures = [answer(cell) for cell in asked]
        history += zip(asked, figures, strict=True)
        try:
            asked = tuner.send(figures)
        except StopIteration as end:
            return history, end.value
