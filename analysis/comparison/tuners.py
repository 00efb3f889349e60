"""Tuners that ask for cells and are told figures: the alternatives, and ours, on equal terms."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparison.replay import Run, Tuner
from analysis.designs.factorial import corners, fraction_corners
from analysis.designs.fractions import fraction_within
from analysis.effects.fit import fit_effects
from analysis.errors import AnalysisError
from analysis.factors import Factor, Level
from analysis.search import gaussian_process, pilot, second_order
from analysis.search.refined_grid import Grid, decide_grid, move_outward
from analysis.search.space import Cell, Space

#: Builds a tuner for a space, a budget in runs and a source of randomness.
Start = Callable[[Space, int, np.random.Generator], Tuner]
Refine = Literal["grid", "surface", "gp"]
Steps = Generator[list[Cell], list[float], None]

#: Share of the budget that a screen may take. A grid or a surface cannot do without one, and a
#: small screen may take all that is left there.
SCREEN = 0.5
SMALLEST_SCREEN = 8
#: Share of the budget that confirms, and the cells that it is spent on.
CONFIRM, CONFIRMED = 0.2, 3


def means(history: Iterable[Run]) -> dict[Cell, float]:
    """Return each cell's mean figure, in the order of their first runs."""
    figures: dict[Cell, list[float]] = defaultdict(list)
    for cell, figure in history:
        figures[cell].append(figure)
    return {cell: float(np.mean(own)) for cell, own in figures.items()}


def best_mean(history: Iterable[Run]) -> Cell:
    """Return the cell with the best mean; the first run of equals."""
    own = means(history)
    return max(own, key=own.__getitem__)


def full_grid(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
    """Run the full grid in random order, as far as the budget goes."""
    return _plain(space.draw(rng, min(budget, space.n_cells)))


def random_search(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
    """Run cells drawn at random, the same one perhaps again."""
    drawn = rng.integers(space.shape, size=(budget, len(space.shape)))
    return _plain([tuple(map(int, row)) for row in drawn])


def manual(cells: Sequence[Cell]) -> Start:
    """Return a tuner that runs a list of cells, in its order."""

    def start(space: Space, budget: int, rng: np.random.Generator) -> Tuner:  # noqa: ARG001 # a list needs neither
        return _plain(list(cells)[:budget])

    return start


def _plain(cells: list[Cell]) -> Tuner:
    history = []
    for cell in cells:
        figures = yield [cell]
        history.append((cell, figures[0]))
    return best_mean(history)


def confirm_runs(budget: int) -> int:
    """Return how many runs of a budget confirm."""
    return max(2, round(CONFIRM * budget))


def confirmed(history: Sequence[Run], runs: int) -> Tuner:
    """Run the best cells again, and deliver the best mean of all their runs."""
    own = means(history)
    top = sorted(own, key=own.__getitem__, reverse=True)[:CONFIRMED]
    asked = [top[i % len(top)] for i in range(runs)]
    figures = yield asked
    again = [*history, *zip(asked, figures, strict=True)]
    return best_mean(run for run in again if run[0] in top)


def with_confirm(start: Start) -> Start:
    """Return a tuner that leaves the last fifth of its budget to run its best cells again.

    Until then it runs what it would run without, so that of equal seeds only the last are new.
    """

    def begin(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
        again = confirm_runs(budget)
        search, history = start(space, budget, rng), list[Run]()
        asked = next(search)
        while len(history) < budget - again:
            figures = yield asked[: budget - again - len(history)]
            history += zip(asked, figures, strict=False)
            if len(figures) < len(asked):
                break
            try:
                asked = search.send(figures)
            except StopIteration:  # it has no more cells to run
                break
        return (yield from confirmed(history, again))

    return begin


@dataclass(frozen=True)
class Factorial:
    """A factorial screen, then a refinement: our procedure.

    Attributes
    ----------
    refine : ``grid``: around the best corner, as the published study; ``surface``: axial points,
        then steps on a second-order model; ``gp``: a Gaussian process that is given the screen's
        runs.
    pilot : whether levels are drawn in first; otherwise they are the ends of the ranges.
    confirm : whether a fifth of the budget runs the best cells again.
    """

    refine: Refine = "gp"
    pilot: bool = True
    confirm: bool = False

    def __call__(self, space: Space, budget: int, rng: np.random.Generator) -> Tuner:
        """Start on a space, with a budget in runs."""
        history: list[Run] = []
        last = confirm_runs(budget) if self.confirm else 0
        search = _Search(space, budget - last, rng, history)
        yield from search.procedure(self)
        search.budget = budget
        if self.refine == "gp":
            yield from search.replicate()
            return gaussian_process.best_cell(space, *zip(*history, strict=True))
        return (yield from confirmed(history, last)) if last else best_mean(history)


@dataclass
class _Search:
    """One search under way: what it may still run, and what it has run."""

    space: Space
    budget: int
    rng: np.random.Generator
    history: list[Run]

    @property
    def left(self) -> int:
        return self.budget - len(self.history)

    def run(self, cells: Sequence[Cell]) -> Steps:
        asked = list(cells)[: self.left]
        if asked:
            figures = yield asked
            self.history += zip(asked, figures, strict=True)

    def procedure(self, plan: Factorial) -> Steps:
        factors = self.space.factors
        found = [pilot.ScreenRange(f.name, -1.0, 1.0) for f in factors]
        if plan.pilot:
            looked = [self.space.nearest(point) for point in pilot.pilot_points(factors)]
            yield from self.run(looked)
            found = pilot.screen_ranges(factors, [figure for _, figure in self.history])
        screen = yield from self.screen(found, 0 if plan.refine == "gp" else SMALLEST_SCREEN)
        if not self.history:
            yield from self.run(self.space.draw(self.rng, 4))
        if plan.refine == "gp" or screen is None:
            yield from self.process()
        elif plan.refine == "grid":
            yield from self.grid(screen)
        else:
            yield from self.surface(found)

    def screen(
        self, found: Sequence[pilot.ScreenRange], least: int
    ) -> Generator[list[Cell], list[float], tuple[tuple[Factor, ...], list[Run]] | None]:
        """Run the design that the budget allows; return its factors and its runs."""
        names = [f.name for f in self.space.factors]
        most = max(round(SCREEN * self.budget), min(least, self.left))
        design = fraction_within(names, most)
        if design is None:
            return None
        coded = fraction_corners(design) if design.p else corners(len(names))
        coded = self.rng.permutation(coded * self.rng.choice([-1.0, 1.0], len(names)))
        low, high = (np.array([getattr(r, end) for r in found]) for end in ("low", "high"))
        cells = [self.space.nearest(point) for point in np.where(coded > 0, high, low)]
        begun = len(self.history)
        yield from self.run(cells)
        ends = [self.space.natural(self.space.nearest(end)) for end in (low, high)]
        factors = tuple(
            replace(f, low=ends[0][f.name], high=ends[1][f.name], domain=_domain(f))
            for f in self.space.factors
        )
        return factors, self.history[begun:]

    def process(self) -> Steps:
        while self.left:
            cells, figures = zip(*self.history, strict=True)
            yield from self.run([gaussian_process.next_cell(self.space, cells, figures, self.rng)])

    def replicate(self) -> Steps:
        """Run again the cells that may be the best: the highest posterior mean plus deviation."""
        while self.left:
            cells, figures = zip(*self.history, strict=True)
            yield from self.run([gaussian_process.doubtful_cell(self.space, cells, figures)])

    def grid(self, screen: tuple[tuple[Factor, ...], list[Run]]) -> Steps:
        """Search the grid that the published rule decides; move it outward while runs are left."""
        factors, runs = screen
        if not self.left:
            return
        rows = [{**self.space.natural(cell), "figure": figure} for cell, figure in runs]
        try:
            effects = fit_effects(pd.DataFrame(rows), factors, "figure")
        except AnalysisError:  # every figure the same, say: nothing to decide by
            return (yield from self.run(self.space.draw(self.rng, self.left)))
        grid: Grid | None = decide_grid(effects, budget=self.left).grid
        while self.left and grid:
            cells = {self.space.cell(levels): levels for levels in _combinations(grid)}
            new = self.untried(cells)
            yield from self.run(new)
            best = best_mean(run for run in self.history if run[0] in cells)
            # Of a grid finer than the space's levels a move may lead to cells that were run.
            grid = move_outward(grid, cells[best], factors) if new else None
        if self.left:
            near = gaussian_process.neighbours(self.space, best_mean(self.history))
            yield from self.run(self.untried(near))

    def untried(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return those that were not run yet, in random order."""
        tried = {cell for cell, _ in self.history}
        new = [cell for cell in cells if cell not in tried]
        return [new[i] for i in self.rng.permutation(len(new))]

    def surface(self, found: Sequence[pilot.ScreenRange]) -> Steps:
        """Run centre and axial points of the region, then the best of a second-order model."""
        low, high = (np.array([getattr(r, end) for r in found]) for end in ("low", "high"))
        numeric = np.array([f.scale != "categorical" for f in self.space.factors])
        best = self.space.points([best_mean(self.history)])[0]
        centre = np.where(numeric, (low + high) / 2, best)
        axial = [centre.copy() for _ in range(2 * int(numeric.sum()))]
        for point, (place, end) in zip(
            axial, product(np.flatnonzero(numeric), (low, high)), strict=True
        ):
            point[place] = end[place]
        points = [self.space.nearest(point) for point in [centre, *axial]]
        yield from self.run(list(dict.fromkeys(points))[: max(1, self.left - 2)])
        while self.left:
            yield from self.run([self._uphill(low, high)])

    def _uphill(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Cell:
        """Return the untried cell that the model puts highest, a step beyond the region at most."""
        cells, figures = zip(*self.history, strict=True)
        margin = (high - low) / 2
        drawn = self.rng.integers(self.space.shape, size=(1000, len(self.space.shape)))
        near = gaussian_process.neighbours(self.space, best_mean(self.history))
        tried = set(cells)
        untried = [c for c in dict.fromkeys([*map(tuple, drawn.tolist()), *near]) if c not in tried]
        points = self.space.points(untried)
        inside = ((points >= low - margin) & (points <= high + margin)).all(axis=1)
        predicted = second_order.predicted(self.space, cells, figures, untried)
        return untried[int(np.argmax(np.where(inside, predicted, -np.inf)))]


def _domain(factor: Factor) -> tuple[float, float] | None:
    return None if factor.scale == "categorical" else (float(factor.low), float(factor.high))


def _combinations(grid: Grid) -> list[dict[str, Level]]:
    return [dict(zip(grid, levels, strict=True)) for levels in product(*grid.values())]


#: Those that need nothing but numpy; Optuna's come from `tasks`.
TUNERS: dict[str, Start] = {
    "full grid": full_grid,
    "random": random_search,
    "factorial at the ends + grid (published)": Factorial("grid", pilot=False),
    "pilot + factorial + grid": Factorial("grid"),
    "pilot + factorial + surface": Factorial("surface"),
    "pilot + factorial + process": Factorial("gp"),
    "pilot + factorial + process + confirm": Factorial("gp", confirm=True),
}
#: Those that do not plan by their budget: the same search serves every smaller one.
ANYTIME = frozenset({"full grid", "random", "manual", "TPE", "Gaussian process (Optuna)"})
