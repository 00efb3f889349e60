"""Simulate the figures of a winner: the optimism of its mean, and what its intervals cover.

In each search the cells have two seeds each; with `confirmed`, one seed each and then two new ones
for the best four. A network's accuracy scatters by 1 point between seeds; each test image is
answered correctly with a chance of its own, so that two networks differ on about 8 % of them. The
best replicate of the best cell is registered, on 1,500 validation and 1,500 test images:

    python infra/benchmarks/winner.py              # 2,000 searches per row, some minutes

real, said : mean excess of the best mean, and mean of what the product says about it, in points.
network, recipe : the share of 95 % intervals that hold the true accuracy of the registered network
    and the true mean accuracy of its cell. `recipe by network`: how often the network's interval
    holds the latter, and `next by network`: the true accuracy of the next training.
"""

import argparse

import numpy as np
import pandas as pd

from analysis.factors import Factor
from analysis.mcnemar import accuracy_of_recipe, accuracy_with_interval
from analysis.search.best_cell import select

IMAGES, SEEDS_SD, MEAN = 1500, 0.01, 0.9
#: True accuracies of the cells less 0.9, in points.
SURFACES = {
    "8 equal": np.zeros(8),
    "8, one leads by 2": np.r_[2.0, np.zeros(7)],
    "8, one leads by 4": np.r_[4.0, np.zeros(7)],
    "8 in a line": np.linspace(-3, 0, 8),
    "27 equal": np.zeros(27),
    "27 scattered": np.random.default_rng(27).normal(0, 1, 27),
}


def answers(chances: np.ndarray, better: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (m, N) which images m networks answer correctly; each is better by so much."""
    right = rng.random((len(better), len(chances))) < chances
    gain = np.clip(better, 0, None)[:, None] / (1 - MEAN)
    loss = np.clip(-better, 0, None)[:, None] / MEAN
    u = rng.random(right.shape)
    return np.asarray(np.where(right, u >= loss, u < gain))


def search(seed: int, cells: np.ndarray, *, confirmed: bool) -> tuple[float, ...]:
    """Return real and said optimism in points, and whether the four intervals hold."""
    rng = np.random.default_rng([63, seed])
    validation, test = rng.beta(1, 1 / 9, (2, IMAGES))
    runs = pd.DataFrame({"cell": np.repeat(np.arange(len(cells)), 1 if confirmed else 2)})
    runs["true"] = cells[runs["cell"]] / 100 + rng.normal(0, SEEDS_SD, len(runs))
    runs["y"] = answers(validation, runs["true"].to_numpy(), rng).mean(axis=1)
    among = None
    if confirmed:
        best = runs.sort_values("y")["cell"].tail(4).to_numpy()
        among = pd.DataFrame({"cell": np.repeat(best, 2)})
        among["true"] = cells[among["cell"]] / 100 + rng.normal(0, SEEDS_SD, len(among))
        among["y"] = answers(validation, among["true"].to_numpy(), rng).mean(axis=1)
        runs = pd.concat([runs, among], ignore_index=True)
    found = select(runs, [Factor("cell", 0, len(cells) - 1, "integer")], "y", among=among)
    cell = int(found.chosen["cell"])
    own = runs[runs["cell"] == cell].sort_values("y", ascending=False)
    mean, true = cells[cell] / 100, own["true"].iloc[0]
    # The validation images make all cells better or worse alike; this is no optimism.
    common = validation.mean() - MEAN
    real = found.row(found.best)["mean"] - MEAN - common - cells[int(found.best["cell"])] / 100
    right = answers(test, own["true"].to_numpy(), rng)
    network = accuracy_with_interval(right[0])
    spread = found.standard_error * np.sqrt(found.row(found.best)["n"])
    recipe = accuracy_of_recipe(right, float(spread), found.error_df, optimism=found.optimism)
    new = mean + rng.normal(0, SEEDS_SD)
    held = [x.low <= MEAN + y <= x.high for x, y in ((network, true), (recipe, mean))]
    held += [network.low <= MEAN + y <= network.high for y in (mean, new)]
    return (100 * real, 100 * found.optimism, *map(float, held))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2_000)
    n = parser.parse_args().n
    print(f"{n:,} searches per row, {IMAGES:,} images on each side; optimism in points")
    print("cells               confirmed   real   said  network  recipe  recipe, next by network")
    for name, cells in SURFACES.items():
        for confirmed in (False, True):
            row = np.mean([search(i, cells, confirmed=confirmed) for i in range(n)], axis=0)
            rates = " ".join(f"{x:8.1%}" for x in row[2:])
            print(f"{name:20} {confirmed!s:8} {row[0]:6.2f} {row[1]:6.2f} {rates}", flush=True)


if __name__ == "__main__":
    main()
