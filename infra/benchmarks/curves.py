"""Race tuners on trainings with learning curves, at equal epochs.

    python infra/benchmarks/curves.py --kept folder --repetitions 20      # race, keep and print
    python infra/benchmarks/curves.py --kept folder --print               # only print

Each problem is a data set of scikit-learn on which a small network (dense layers, SGD with
momentum) trains for 16 epochs. It has seven factors of five levels each: learning rate, batch size,
weight decay, momentum, layers, units, dropout. Every training is carried out, in NumPy, in 0.05 to
1 s; no figure is looked up in a model of the trainings.

A budget of B is B trainings of 16 epochs. The tuners:

- the default search, with short trainings of 4 epochs that are continued (two lengths),
- the same with trainings of full length only,
- random search and TPE (Optuna) with trainings of full length,
- TPE with Hyperband (Optuna's `HyperbandPruner` from 1 epoch, with its default reduction factor of
  3, and with 4): a stopped trial costs the epochs that it trained. It delivers the best trial of
  full length.

The same cell and seed number is one training for all tuners. A tuner is judged by the cell that it
delivers: the mean accuracy over 10 fresh seeds on data that no tuner saw (a third). Regret is 0 for
the best cell that any tuner delivered, and 1 for the median of 100 random cells. The problems were
not used to choose anything in the default search; `digits`, `breast_cancer`, two problems of
`make_classification` and pictures of 12 pixels were.

The results are in the folder, written after each repetition; the same command continues.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# For `infra`, which is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analysis.comparison.replay import CellOfLength, run_search
from analysis.comparison.tuners import Anytime, BudgetTuner, Tuner, random_search
from analysis.factors import Factor
from analysis.search.space import Cell, Space
from tasks.comparison.optuna_tuners import OPTUNA_TUNERS, HyperbandTuner

Array = NDArray[np.float32]

EPOCHS = 16
FACTORS = (
    Factor("learning_rate", 1e-4, 1e-1, "log"),
    Factor("batch_size", 16, 512, "log", counts=True),
    Factor("weight_decay", 1e-5, 1e-1, "log"),
    Factor("momentum", 0.1, 0.99),
    Factor("layers", 1, 5, "integer"),
    Factor("units", 16, 256, "log", counts=True),
    Factor("dropout", 0.0, 0.8),
)
LEVELS = (
    (1e-4, 5.62e-4, 3.16e-3, 1.78e-2, 1e-1),
    (16, 38, 90, 215, 512),
    (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    (0.1, 0.3, 0.6, 0.9, 0.99),
    (1, 2, 3, 4, 5),
    (16, 32, 64, 128, 256),
    (0.0, 0.2, 0.4, 0.6, 0.8),
)
SPACE = Space(FACTORS, LEVELS)
PROBLEMS = ("hastie", "quantiles", "moons", "diabetes", "friedman")
JUDGED_SEEDS, MEDIAN_CELLS = 10, 100
#: Seeds of the judges are far from those of the tuners.
FIRST_JUDGE = 10**6


@dataclass(frozen=True)
class Data:
    """Features (n, p) and classes (n,) for training, validation and test."""

    train: tuple[Array, NDArray[np.int64]]
    validation: tuple[Array, NDArray[np.int64]]
    test: tuple[Array, NDArray[np.int64]]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.train[1].max()) + 1


@cache
def load(problem: str) -> Data:
    """Draw or read a problem's data, in equal parts of a third."""
    from sklearn import datasets

    rng = np.random.default_rng(1)
    if problem == "hastie":
        x, y = datasets.make_hastie_10_2(2400, random_state=1)
        y = (y > 0).astype(int)
    elif problem == "quantiles":
        x, y = datasets.make_gaussian_quantiles(
            n_samples=2400, n_features=8, n_classes=3, random_state=1
        )
    elif problem == "moons":
        x, y = datasets.make_moons(1800, noise=0.3, random_state=1)
        x = np.hstack([x, rng.standard_normal((len(x), 20))])
    elif problem == "friedman":
        x, y = datasets.make_friedman1(2400, n_features=15, noise=2.0, random_state=1)
        y = (y > np.median(y)).astype(int)
    else:
        x, y = datasets.load_diabetes(return_X_y=True)
        y = (y > np.median(y)).astype(int)
    order = rng.permutation(len(x))
    x, y = x[order], y[order]
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    a, b = len(x) // 3, 2 * (len(x) // 3)
    return Data((x[:a], y[:a]), (x[a:b], y[a:b]), (x[b:], y[b:]))


def train(data: Data, levels: dict[str, float], seed: int) -> list[tuple[float, float]]:
    """Return validation and test accuracy after each epoch; chance from where it diverged."""
    x, y = data.train
    rng = np.random.default_rng(seed)
    units, batch = int(levels["units"]), int(levels["batch_size"])
    sizes = [x.shape[1], *[units] * int(levels["layers"]), data.classes]
    weights = [
        (rng.standard_normal(shape) * np.sqrt(2 / shape[0])).astype(np.float32)
        for shape in pairwise(sizes)
    ]
    biases = [np.zeros(size, np.float32) for size in sizes[1:]]
    velocity = [np.zeros_like(array) for array in (*weights, *biases)]
    rate, momentum, decay, keep = (
        np.float32(value)
        for value in (
            levels["learning_rate"],
            levels["momentum"],
            levels["weight_decay"],
            1 - levels["dropout"],
        )
    )
    curve: list[tuple[float, float]] = []
    with np.errstate(all="ignore"):
        for _ in range(EPOCHS):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch):
                chosen = order[start : start + batch]
                gradients = _gradients(x[chosen], y[chosen], weights, biases, keep, rng)
                for index, array in enumerate((*weights, *biases)):
                    penalty = decay * array if index < len(weights) else np.float32(0)
                    velocity[index] = momentum * velocity[index] + gradients[index] + penalty
                    np.subtract(array, rate * velocity[index], out=array)
            figures = [_accuracy(part, weights, biases) for part in (data.validation, data.test)]
            if not np.isfinite(weights[-1]).all():
                figures = [1 / data.classes] * 2
            curve.append((figures[0], figures[1]))
    return curve


def _gradients(
    x: Array,
    y: NDArray[np.int64],
    weights: Sequence[Array],
    biases: Sequence[Array],
    keep: np.float32,
    rng: np.random.Generator,
) -> list[Array]:
    """Return the gradient of the mean cross-entropy, weights first, then biases."""
    layers, masks = [x], []
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        hidden = np.maximum(layers[-1] @ w + b, 0)
        mask = (rng.random(hidden.shape, dtype=np.float32) < keep) / keep
        masks.append(mask)
        layers.append(hidden * mask)
    gradient = _softmax(layers[-1] @ weights[-1] + biases[-1])
    gradient[np.arange(len(y)), y] -= 1
    gradient /= np.float32(len(y))
    of_weights: list[Array] = []
    of_biases: list[Array] = []
    for index in reversed(range(len(weights))):
        of_weights.insert(0, layers[index].T @ gradient)
        of_biases.insert(0, gradient.sum(0))
        if index:
            gradient = (gradient @ weights[index].T) * masks[index - 1] * (layers[index] > 0)
    return [*of_weights, *of_biases]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), dtype=np.float32)


def _accuracy(
    part: tuple[Array, NDArray[np.int64]], weights: Sequence[Array], biases: Sequence[Array]
) -> float:
    hidden = part[0]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        hidden = np.maximum(hidden @ w + b, 0)
    return float(((hidden @ weights[-1] + biases[-1]).argmax(1) == part[1]).mean())


@dataclass
class Trainings:
    """The trainings of one problem, each carried out once.

    Attributes
    ----------
    problem : its name.
    curves : by cell and seed, validation and test accuracy after each epoch.
    """

    problem: str
    curves: dict[tuple[Cell, int], list[tuple[float, float]]] = field(default_factory=dict)

    def curve(self, cell: Cell, seed: int) -> list[tuple[float, float]]:
        """Return validation and test accuracy after each epoch of a training."""
        key = (tuple(cell), seed)
        if key not in self.curves:
            levels = {name: float(value) for name, value in SPACE.natural(key[0]).items()}
            self.curves[key] = train(load(self.problem), levels, hash_of(*key))
        return self.curves[key]

    def judged(self, cell: Cell, seeds: int = JUDGED_SEEDS) -> float:
        """Return a cell's mean test accuracy over fresh seeds."""
        numbers = range(FIRST_JUDGE, FIRST_JUDGE + seeds)
        return float(np.mean([self.curve(cell, n)[-1][1] for n in numbers]))


def hash_of(cell: Cell, seed: int) -> int:
    """Return the seed of a training; it does not depend on the tuner."""
    return int(np.random.SeedSequence([*cell, seed]).generate_state(1)[0])


# -- the tuners -----------------------------------------------------------------------------------

#: Carries out one search: from the trainings, the budget and the repetition to a cell.
Race = Callable[[Trainings, int, int], Cell]


def by_cells(tuner: Tuner) -> Race:
    """Return the race of a tuner that requests cells."""

    def race(trainings: Trainings, budget: int, repetition: int) -> Cell:
        used: dict[Cell, int] = {}
        spent: dict[tuple[Cell, int], int] = {}

        def respond(cell: Cell) -> float:
            plain = tuple(cell)
            if isinstance(cell, CellOfLength):
                number, epochs = cell.number, cell.epochs
            else:
                number, epochs = used.get(plain, 0) + 1, EPOCHS
                used[plain] = number
            key = (plain, number)
            spent[key] = max(spent.get(key, 0), epochs)
            seed = 1000 * repetition + number
            return trainings.curve(plain, seed)[epochs - 1][0]

        rng = np.random.default_rng([1, repetition])
        _, delivered = run_search(tuner(SPACE, budget, rng), respond)
        if sum(spent.values()) > budget * EPOCHS:
            raise AssertionError(f"{sum(spent.values())} epochs for a budget of {budget}")
        return tuple(delivered)

    return race


def own_tuner(tuner: Tuner) -> Tuner:
    return tuner.tuner if isinstance(tuner, Anytime) else tuner


RACES: dict[str, Race] = {
    "FactorGrid, two lengths (default)": by_cells(BudgetTuner(EPOCHS)),
    "FactorGrid, full length": by_cells(BudgetTuner()),
    "random": by_cells(random_search),
    "TPE": by_cells(own_tuner(OPTUNA_TUNERS["TPE"])),
    "TPE with Hyperband, factor 3": by_cells(HyperbandTuner(EPOCHS)),
    "TPE with Hyperband, factor 4": by_cells(HyperbandTuner(EPOCHS, reduction=4)),
}


# -- results --------------------------------------------------------------------------------------


def carry_out(kept: Path, problems: Sequence[str], budgets: Sequence[int], wanted: int) -> None:
    """Carry out the repetitions that the folder lacks."""
    for problem in problems:
        file = kept / f"{problem}.json"
        rows = json.loads(file.read_text()) if file.exists() else []
        known = {(row["tuner"], row["budget"], row["repetition"]) for row in rows}
        trainings = Trainings(problem)
        for repetition in range(wanted):
            for tuner, race in RACES.items():
                for budget in budgets:
                    if (tuner, budget, repetition) in known:
                        continue
                    cell = race(trainings, budget, repetition)
                    rows.append(
                        {
                            "tuner": tuner,
                            "budget": budget,
                            "repetition": repetition,
                            "cell": cell,
                            "accuracy": trainings.judged(cell),
                        }
                    )
            trainings.curves.clear()
            part = file.with_suffix(".part")
            part.write_text(json.dumps(rows))
            part.replace(file)
            print(f"{problem}: {repetition + 1} repetitions", flush=True)
        median = kept / f"{problem}-median.json"
        if not median.exists():
            drawn = SPACE.draw(np.random.default_rng(7), MEDIAN_CELLS)
            median.write_text(json.dumps(float(np.median([trainings.judged(c, 1) for c in drawn]))))


def show(kept: Path, problems: Sequence[str]) -> None:
    """Print the regret of each tuner, for each problem and as the mean over all."""
    tables = []
    for problem in problems:
        file = kept / f"{problem}.json"
        if file.exists() and (kept / f"{problem}-median.json").exists():
            rows = pd.DataFrame(json.loads(file.read_text()))
            median = json.loads((kept / f"{problem}-median.json").read_text())
            best = rows["accuracy"].max()
            rows["regret"] = (best - rows["accuracy"]) / (best - median)
            n = rows["repetition"].nunique()
            print(f"\n{problem}: best {best:.4f}, median cell {median:.4f}, n = {n}")
            tables.append(_quantiles(rows))
            print(_wide(tables[-1]))
    if tables:
        print(f"\nmean over {len(tables)} problems")
        print(_wide(pd.concat(tables).groupby(["tuner", "budget"], sort=False).mean()))


def _quantiles(rows: pd.DataFrame) -> pd.DataFrame:
    grouped = rows.groupby(["tuner", "budget"], sort=False)["regret"]
    return pd.DataFrame({"median": grouped.median(), "90th": grouped.quantile(0.9)})


def _wide(table: pd.DataFrame) -> str:
    budgets = sorted(table.index.get_level_values("budget").unique())
    lines = ["| tuner (median / 90th percentile) | " + " | ".join(map(str, budgets)) + " |"]
    lines.append("|" + "---|" * (len(budgets) + 1))
    for tuner in dict.fromkeys(table.index.get_level_values("tuner")):
        figures = [table.loc[(tuner, budget)] for budget in budgets]
        row = " | ".join(f"{own['median']:.3f} / {own['90th']:.3f}" for own in figures)
        lines.append(f"| {tuner} | {row} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--budgets", nargs="+", type=int, default=[12, 20])
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--kept", type=Path, required=True, help="folder of the results")
    parser.add_argument("--print", action="store_true", help="race nothing")
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    if not options.print:
        carry_out(options.kept, options.problems, options.budgets, options.repetitions)
    show(options.kept, options.problems)


if __name__ == "__main__":
    main()
