"""Tables of trained cells, and replays of searches on them without training."""

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.search.space import Cell, Space

#: A cell that was run, and its response.
Run = tuple[Cell, float]
#: One search: it yields the cells to run next, receives their responses, and returns the cell that
#: it delivers.
Search = Generator[list[Cell], list[float], Cell]


class CellOfLength(tuple[int, ...]):  # noqa: SLOT001 # a tuple of any length has no slots
    """A cell that is to be run with a certain seed and length; it is equal to the cell.

    Attributes
    ----------
    number : of its seed, from 1; the same cell and number are one training at all lengths.
    epochs : the length.
    """

    number: int
    epochs: int

    @classmethod
    def of(cls, cell: Cell, number: int, epochs: int) -> "CellOfLength":
        """Return a cell with a seed and a length."""
        made = cls(cell)
        made.number, made.epochs = number, epochs
        return made


@dataclass(frozen=True)
class Table:
    """Cells with the responses of several seeds each.

    Attributes
    ----------
    name : for messages, for example the path of the file.
    space : the factors and their levels.
    responses : (cells, seeds), the cells in the order of `Space.cells`; higher is better; NaN if a
        cell has fewer seeds than others.
    shorter : the same after fewer epochs, by their number; empty if only the end is known.
    """

    name: str
    space: Space
    responses: NDArray[np.float64] = field(repr=False)
    shorter: Mapping[int, NDArray[np.float64]] = field(
        default_factory=dict, repr=False, kw_only=True
    )

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """The mean over the seeds of each cell (cells,)."""
        return np.asarray(np.nanmean(self.responses, axis=1))

    def row(self, cell: Cell) -> int:
        """Return the row of a cell."""
        return int(np.ravel_multi_index(cell, self.space.shape))

    def regret(self, cell: Cell) -> float:
        """Return the regret of a cell by its true mean: 0 for the best cell, 1 for the median."""
        best, median = float(self.truth.max()), float(np.median(self.truth))
        # If half of the cells are equally good, the regret is in units of the response.
        return (best - float(self.truth[self.row(cell)])) / ((best - median) or 1.0)


class SeedLookup:
    """Looks up responses in a table: the seeds of a cell in random order, each once.

    When all seeds of a cell were used, the lookup starts again with the first one, so that further
    runs of this cell give no new information.

    Parameters
    ----------
    table : the table.
    repetition : determines the order of the seeds of every cell; the order does not depend on the
        tuner or on the other cells that were run.
    used : cells whose seeds were used before, one entry per run.
    """

    def __init__(self, table: Table, repetition: int, used: Sequence[Cell] = ()) -> None:
        self._table, self._repetition = table, repetition
        self._used = Counter(used)

    def next_response(self, cell: Cell) -> float:
        """Return the response of the next seed of a cell."""
        row = self._table.row(cell)
        finite = np.flatnonzero(np.isfinite(self._table.responses[row]))
        order = np.random.default_rng([self._repetition, row]).permutation(finite)
        responses = self._table.responses
        if isinstance(cell, CellOfLength):
            number = cell.number - 1
            responses = self._table.shorter.get(cell.epochs, responses)
        else:
            number = self._used[cell]
            self._used[cell] += 1
        return float(responses[row, order[number % len(order)]])


def run_search(search: Search, response_of: Callable[[Cell], float]) -> tuple[list[Run], Cell]:
    """Run a search to its end; return its runs and the cell that it delivers.

    Parameters
    ----------
    search : the search, not started yet.
    response_of : returns the response of one run of a cell.
    """
    history: list[Run] = []
    cells = next(search)
    while True:
        responses = [response_of(cell) for cell in cells]
        history += zip(cells, responses, strict=True)
        try:
            cells = search.send(responses)
        except StopIteration as end:
            return history, end.value
