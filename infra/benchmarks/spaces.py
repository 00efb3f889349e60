"""Drawn spaces of seven factors, on which `replay.py` replays tuners: `--tables new`.

    python infra/benchmarks/replay.py --kept folder --tables new          # replay on all of them
    python infra/benchmarks/replay.py --kept folder --tables corner-none  # only on one of them
    python infra/benchmarks/spaces.py                                     # print what they are

Every space has 7 factors with 5 levels each: 78,125 cells, each with 5 seeds. A name is a kind and
a noise, `cliff-study`; a third part, `cliff-study-2`, draws the same kind again with other random
numbers (without it: 1). The formulas were written before any tuner was replayed on them, and are
not changed because of a result.

In all formulas x is the coded level of a factor (-1, -1/2, 0, 1/2, 1), o is its optimum, and
u = (x - o) / (1 + |o|), so that the farthest end of the range has |u| = 1. The factors in random
order have the weights w = 1, 2/3, (2/3)^2, ..., so that few matter much. The loss L is lowest at
the optimum only. With s a random sign, its parts are

    bowl:  sum of w u^2, plus s sqrt(w w') u u' for the 1st and 2nd factor, the 3rd and 4th, ...
    slope: sum of w |u|, plus s/2 w' |u u'| for the same pairs, w' the smaller weight

The expected response is 0.8 - 0.3 L / max L: from 0.8 at the optimum to 0.5, the chance level of
two classes. The kinds:

- corner: a slope; o = -1 or 1 for each factor.
- middle: a bowl; o = -1/2, 0 or 1/2 for each factor, at no end of a range.
- interaction: two factors, and a bowl of the other five (o any level). The two have o = -1 or 1,
  and with a, b = |u| the loss 2 (0.7 a + b - 1.55 a b). On average over b, the wrong end of the
  first factor is the better one. The corner that both main effects point at (loss 1.4) is far worse
  than the optimum (0) and the opposite corner (0.3): only the interaction shows this.
- dead-one, dead-four: a bowl (o any level) of the other factors; one or four have no effect.
- cliff: nothing is learned beyond a learning rate, which rises in proportion to the batch size
  (Goyal et al. 2017, arXiv:1706.02677): the response is exactly 0.5 where d = 0.2 + x_batch / 2 -
  x_lr is below 0. Elsewhere L is (d / 1.7)^2, so that the best learning rate is the highest that
  learns, plus a bowl (o any level) of the other six, batch size included, whose weights begin with
  2/3. L is divided by 10/9 of its maximum there, so that every other cell is above chance. Two
  batch sizes, each with its own learning rate, may be equally good.

The noise is normal, with the same standard deviation for all seeds of all cells that learn; cells
beyond the cliff have none, as networks that give one answer for all images have none. Its standard
deviation, as a share of the difference between the best and the median cell: 0 (none), 0.05
(small), and 0.352 (study), which is the seed spread of `infra/docs/cells-48.csv`.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.replay import Table
from analysis.factors import Factor, Level, show
from analysis.search.space import Space, typed_level

Array = NDArray[np.float64]

FACTORS = (
    Factor("learning_rate", 1e-4, 1e-1, "log"),
    Factor("batch_size", 16, 512, "log", counts=True),
    Factor("weight_decay", 1e-6, 1e-2, "log"),
    Factor("momentum", 0.0, 0.9),
    Factor("layers", 2, 6, "integer"),
    Factor("units", 32, 512, "log", counts=True),
    Factor("dropout", 0.0, 0.5),
)
LEARNING_RATE, BATCH_SIZE = 0, 1
#: Coded levels of every factor.
CODED = np.linspace(-1.0, 1.0, 5)
SEEDS = 5
BEST, CHANCE = 0.8, 0.5
#: Ratio of the weight of a factor to that of the next.
WEIGHT_RATIO = 2 / 3
KINDS = ("corner", "middle", "interaction", "dead-one", "dead-four", "cliff")
DEAD = {"dead-one": 1, "dead-four": 4}
#: Standard deviation between seeds, as a share of the difference of the best and the median cell.
#: The last is that of `infra/docs/cells-48.csv`: pooled over its cells 0.0359, over 0.1021.
NOISES = {"none": 0.0, "small": 0.05, "study": 0.352}
NAMES = tuple(f"{kind}-{noise}" for kind in KINDS for noise in NOISES)
NAME = re.compile(
    rf"(?P<kind>{'|'.join(KINDS)})-(?P<noise>{'|'.join(NOISES)})(-(?P<draw>[1-9]\d*))?"
)


@dataclass(frozen=True)
class DrawnTable(Table):
    """A table whose cells have a known expected response, by which tuners are judged.

    The mean of five noisy seeds would put the best of 78,125 cells far from the drawn optimum.

    Attributes
    ----------
    expected : the response without noise (cells,).
    optimum : the coded optimum of each factor (k,), NaN for a factor without effect; in a cliff,
        also NaN for learning rate, batch size and the factor in a pair with it, because the cliff
        moves their optimum.
    """

    expected: Array = field(repr=False)
    optimum: Array = field(repr=False)

    @cached_property
    def truth(self) -> Array:
        """The expected response of each cell (cells,)."""
        return self.expected


def is_space(name: str) -> bool:
    """Return whether a name is that of a drawn space, with or without the number of its draw."""
    return NAME.fullmatch(name) is not None


def drawn_space(name: str) -> DrawnTable:
    """Return a space by its name: `cliff-study`, or `cliff-study-2` for the second draw.

    Raises
    ------
    ValueError
        If there is no such space.
    """
    parts = NAME.fullmatch(name)
    if parts is None:
        raise ValueError(f"{name}: no drawn space; there are {', '.join(NAMES)}")
    kind, noise, draw = parts["kind"], parts["noise"], int(parts["draw"] or 1)
    rng = np.random.default_rng([23, KINDS.index(kind), draw])
    x = np.stack(np.meshgrid(*[CODED] * len(FACTORS), indexing="ij")).reshape(len(FACTORS), -1)
    expected, optimum = _expected(kind, x, rng)
    spread = NOISES[noise] * float(expected.max() - np.median(expected))
    scatter = spread * rng.standard_normal((expected.size, SEEDS))
    responses = expected[:, None] + np.where(_learns(kind, x)[:, None], scatter, 0.0)
    return DrawnTable(name, Space(FACTORS, _levels()), responses, expected, optimum)


def _levels() -> tuple[tuple[Level, ...], ...]:
    return tuple(tuple(typed_level(f, f.decode(x)) for x in CODED) for f in FACTORS)


def _expected(kind: str, x: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the expected response of every cell (cells,), and the optimum (k,)."""
    k = len(FACTORS)
    order = rng.permutation(k)
    signs = rng.choice([-1.0, 1.0], k // 2)
    ends = rng.choice([-1.0, 1.0], k)
    levels = rng.choice(CODED, k)
    weights = np.asarray(WEIGHT_RATIO ** np.arange(k), dtype=np.float64)
    learns = _learns(kind, x)
    if kind == "corner":
        optimum = ends
        loss = slope(_distance(x, optimum)[order], weights, signs)
    elif kind == "middle":
        optimum = rng.choice(CODED[1:-1], k)
        loss = bowl(_distance(x, optimum)[order], weights, signs)
    elif kind == "interaction":
        optimum = levels
        optimum[order[:2]] = ends[:2]
        u = _distance(x, optimum)[order]
        a, b = np.abs(u[:2])
        loss = 2 * (0.7 * a + b - 1.55 * a * b) + bowl(u[2:], weights, signs)
    elif kind == "cliff":
        below = _below_cliff(x)
        order = order[order != LEARNING_RATE]
        u = _distance(x, levels)[order]
        loss = np.asarray((below / 1.7) ** 2 + bowl(u, weights[1:], signs))
        loss /= 10 / 9 * loss[learns].max()
        optimum = levels
        partner = order[order.tolist().index(BATCH_SIZE) ^ 1]
        optimum[[LEARNING_RATE, BATCH_SIZE, partner]] = np.nan
    else:
        optimum = levels
        live = order[DEAD[kind] :]
        loss = bowl(_distance(x, optimum)[live], weights, signs)
        optimum[order[: DEAD[kind]]] = np.nan
    if kind != "cliff":
        loss /= loss.max()
    return np.where(learns, BEST - (BEST - CHANCE) * loss, CHANCE), optimum


def _distance(x: Array, optimum: Array) -> Array:
    """Return u (k, cells): 0 at the optimum, -1 or 1 at the farthest end of the range."""
    return np.asarray((x - optimum[:, None]) / (1 + np.abs(optimum[:, None])))


def bowl(u: Array, weights: Array, signs: Array) -> Array:
    """Return a tilted quadratic loss (cells,), see the module; it is positive definite.

    Parameters
    ----------
    u : distances of the factors, the most important first (k, cells).
    weights, signs : at least one per factor, and one per pair of factors.
    """
    w = weights[: len(u)]
    loss = w @ u**2
    for i, sign in zip(range(0, len(u) - 1, 2), signs, strict=False):
        loss += sign * np.sqrt(w[i] * w[i + 1]) * u[i] * u[i + 1]
    return np.asarray(loss)


def slope(u: Array, weights: Array, signs: Array) -> Array:
    """Return a loss (cells,) that rises in proportion to the distances; see `bowl`."""
    w, distance = weights[: len(u)], np.abs(u)
    loss = w @ distance
    for i, sign in zip(range(0, len(u) - 1, 2), signs, strict=False):
        loss += sign / 2 * w[i + 1] * distance[i] * distance[i + 1]
    return np.asarray(loss)


def _below_cliff(x: Array) -> Array:
    """Return how far the learning rate is below the cliff (cells,), in coded units."""
    return np.asarray(0.2 + x[BATCH_SIZE] / 2 - x[LEARNING_RATE])


def _learns(kind: str, x: Array) -> NDArray[np.bool_]:
    return _below_cliff(x) >= 0 if kind == "cliff" else np.ones(x.shape[1], dtype=bool)


def main() -> None:
    print("| space | best cell | median | share at chance | standard deviation of the seeds |")
    print("|---|---|---|---|---|")
    for name in NAMES:
        table = drawn_space(name)
        best = np.unravel_index(int(table.truth.argmax()), table.space.shape)
        natural = table.space.natural(tuple(map(int, best)))
        levels = ", ".join(f"{key} {show(level)}" for key, level in natural.items())
        chance = float(np.mean(table.truth == CHANCE))
        spread = float(np.sqrt(table.responses.var(axis=1, ddof=1).mean()))
        print(f"| {name} | {levels} | {np.median(table.truth):.3f} | {chance:.3f} | {spread:.4f} |")


if __name__ == "__main__":
    main()
