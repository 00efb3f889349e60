"""Measure how often the decision finds the right corner and grid, on surfaces whose best is known.

Random surfaces of accuracy over convolutional layers, dense layers and learning rate, screened at
3/6, 1/3, 0.001/0.1: a peak of 0.92 at a random place, a decrease on each side, and networks that
collapse to 0.5 if the learning rate is far too high. The noise between runs has a standard
deviation of 0.01, or of 0.017, which the published study's repeated cell suggests (2.4 points
between two runs); the 2,000 validation images add their own noise:

    python infra/benchmarks/decisions.py           # 400 surfaces per row, some minutes
    python infra/benchmarks/decisions.py --soft    # only the rows of a soft cliff

With a soft cliff, a run near it collapses with a chance that rises over the learning rate, so that
some seeds of a cell learn and others do not; the true accuracy of a cell is the mean over seeds.

corner : the decision's corner has the highest true accuracy of the eight.
near : its true accuracy is within half a point of that.
grid : the grid contains the best cell of the whole lattice (1 to 9 layers, 1 to 3 dense, 0.00001 to
    0.1 by decades), or one within half a point of it.
moved : the same after two moves off the edge, each towards the best cell as it was measured.
left : by how many points of true accuracy the best measured cell of the last grid is lower.
"""

import argparse
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from analysis.effects.fit import fit_effects
from analysis.effects.model_matrix import code_levels, model_matrix
from analysis.factors import Factor
from analysis.runs.collapsed import find_collapsed
from analysis.search.refined_grid import decide_grid, move_outward

FACTORS = (
    Factor("conv", 3, 6, "integer", (1, 9)),
    Factor("fc", 1, 3, "integer", (1, 3)),
    Factor("lr", 0.001, 0.1, "log", (1e-5, 0.1)),
)
NAMES = [f.name for f in FACTORS]
LATTICE = pd.DataFrame(
    list(product(range(1, 10), range(1, 4), (1e-5, 1e-4, 1e-3, 1e-2, 1e-1))), columns=NAMES
)
IMAGES = 2000
CLOSE = 0.005
#: Decades of learning rate over which the odds of collapsing at a soft cliff rise by a factor of e.
SOFT = 0.3


class Surface:
    """A true accuracy with its best at a random place, and a drop at a learning rate.

    The drop is sharp, or soft: the chance of collapsing rises over `SOFT` decades.
    """

    def __init__(self, rng: np.random.Generator, *, soft: bool = False) -> None:
        self.at = np.array([rng.uniform(2, 9), rng.uniform(0.5, 3.5), rng.uniform(-4.2, -2.0)])
        self.fall = np.array(
            [rng.uniform(0.001, 0.008), rng.uniform(0.0, 0.02), rng.uniform(0.01, 0.06)]
        )
        self.cliff = rng.uniform(-1.8, -0.5)
        self.soft = soft

    def __call__(self, cells: pd.DataFrame) -> np.ndarray:
        """Return the true accuracy of each cell, (N,), the mean over seeds."""
        accuracy, chance = self.parts(cells)
        return np.asarray(0.5 * chance + accuracy * (1 - chance))

    def parts(self, cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return for each cell the accuracy of runs that learn, and the chance of collapsing."""
        x = np.column_stack([cells["conv"], cells["fc"], np.log10(cells["lr"].astype(float))])
        accuracy = 0.92 - ((x - self.at) ** 2 * self.fall).sum(axis=1)
        # Deeper networks collapse at lower rates.
        beyond = x[:, 2] - (self.cliff - 0.05 * (x[:, 0] - 3))
        chance = expit(beyond / SOFT) if self.soft else (beyond > 0).astype(float)
        return np.maximum(accuracy, 0.5), chance

    def measured(self, cells: pd.DataFrame, noise: float, rng: np.random.Generator) -> np.ndarray:
        """Return accuracies as they would be measured, (N,)."""
        accuracy, chance = self.parts(cells)
        dead = rng.random(len(cells)) < chance if self.soft else chance == 1
        true = np.where(dead, 0.5, accuracy)
        seeds = np.where(true > 0.5, rng.normal(0, noise, len(cells)), 0.0)
        return np.asarray(rng.binomial(IMAGES, np.clip(true + seeds, 0.5, 0.99)) / IMAGES)


def screen(
    surface: Surface, replicates: int, noise: float, rng: np.random.Generator
) -> pd.DataFrame:
    corners = list(product(*(f.levels for f in FACTORS)))
    cells = pd.DataFrame(corners * replicates, columns=NAMES)
    share = surface.measured(cells, noise, rng)
    dead = find_collapsed(pd.Series(share), None, chance=0.5, classes=2, images=IMAGES)
    return cells.assign(y=share, collapsed=dead)


def judge(
    surface: Surface, replicates: int, noise: float, rng: np.random.Generator
) -> dict[str, Any]:
    runs = screen(surface, replicates, noise, rng)
    decision = decide_grid(fit_effects(runs, FACTORS, "y"))
    best = surface(LATTICE).max()
    top = surface(runs[NAMES].drop_duplicates()).max()
    corner = surface(pd.DataFrame([decision.corner]))[0]
    grid: Any = decision.grid
    held = surface(cells_of(grid)).max() >= best - CLOSE
    for _ in range(2):
        grid = move_outward(grid, winner(surface, grid, replicates, noise, rng), FACTORS) or grid
    delivered = surface(pd.DataFrame([winner(surface, grid, replicates, noise, rng)]))[0]
    return {
        "corner": corner >= top - 1e-12,
        "near": corner >= top - CLOSE,
        "grid": held,
        "moved": surface(cells_of(grid)).max() >= best - CLOSE,
        "left": 100 * (best - delivered),
    }


def winner(
    surface: Surface, grid: Any, replicates: int, noise: float, rng: np.random.Generator
) -> dict[str, Any]:
    cells = cells_of(grid)
    means = np.mean([surface.measured(cells, noise, rng) for _ in range(replicates)], axis=0)
    return {str(name): cells[name].tolist()[int(np.argmax(means))] for name in cells}


def cells_of(grid: Any) -> pd.DataFrame:
    return pd.DataFrame(list(product(*grid.values())), columns=list(grid))


def rules(n: int) -> None:
    """Compare the decision's corner with simpler ways to choose one of the eight."""
    print(f"\nCorner right, and points of true accuracy lost by the choice; {n:,} surfaces per row")
    print(" noise  runs      decision    best cell  main effects   two-way")
    for noise, replicates in product((0.01, 0.017), (1, 2)):
        rng = np.random.default_rng(5)
        rows = []
        for number in range(n):
            surface = Surface(np.random.default_rng([8, number]))
            rows.append(picks(surface, screen(surface, replicates, noise, rng)))
        lost = 100 * np.array(rows)
        columns = (f"{np.mean(x < 1e-9):5.0%} {x.mean():5.2f}" for x in lost.T)
        print(f"{noise:6} {8 * replicates:5}   {'   '.join(columns)}", flush=True)


def picks(surface: Surface, runs: pd.DataFrame) -> list[float]:
    """Return the true accuracy lost by each rule: decision, best cell, models of order 1 and 2."""
    cells = runs[NAMES].drop_duplicates().reset_index(drop=True)
    true = surface(cells)
    means = runs.groupby(NAMES)["y"].mean().reindex(pd.MultiIndex.from_frame(cells)).to_numpy()
    corner = decide_grid(fit_effects(runs, FACTORS, "y")).corner
    chosen = [int(np.flatnonzero((cells == pd.Series(corner)).all(axis=1))[0])]
    chosen.append(int(np.argmax(means)))
    for order in (1, 2):
        matrix = model_matrix(code_levels(cells, FACTORS), order).to_numpy()
        fitted = matrix @ np.linalg.lstsq(matrix, means, rcond=None)[0]
        chosen.append(int(np.argmax(fitted)))
    return [float(true.max() - true[i]) for i in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--soft", action="store_true", help="only the rows of a soft cliff")
    given = parser.parse_args()
    print(f"{given.n:,} surfaces per row, {IMAGES:,} validation images")
    if not given.soft:
        corners(given.n, soft=False)
    corners(given.n, soft=True)
    if not given.soft:
        rules(min(given.n, 300))


def corners(n: int, *, soft: bool) -> None:
    """Print how often corner and grid are right; left: mean and 90th percentile."""
    print(f"\n{'soft' if soft else 'sharp'} cliff")
    print(" noise  runs  corner   near   grid  moved   left   90 %")
    for noise, replicates in product((0.01, 0.017), (1, 2, 3)):
        rng = np.random.default_rng([7, replicates])
        surfaces = [Surface(np.random.default_rng([8, number]), soft=soft) for number in range(n)]
        t = pd.DataFrame([judge(surface, replicates, noise, rng) for surface in surfaces])
        rates = " ".join(f"{t[name].mean():6.0%}" for name in ("corner", "near", "grid", "moved"))
        left = f"{t['left'].mean():6.2f} {t['left'].quantile(0.9):6.2f}"
        print(f"{noise:6} {8 * replicates:5}  {rates} {left}", flush=True)


if __name__ == "__main__":
    main()
