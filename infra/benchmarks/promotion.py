"""Simulate a challenger each week on the same test images, and count the false promotions.

Each network answers the images of one test side. Image i is answered correctly with a chance p_i
that differs from image to image, so that two networks of one accuracy differ on about 8 % of the
images. In `equal`, no network is better than another. In `mixed`, the true accuracies scatter by 1
point: a promotion is false if the challenger's true accuracy is not above the champion's.

    python infra/benchmarks/promotion.py           # 2,000 years per row, some minutes

false : the share of years in which at least one promotion was false (at most 5 %).
drift : by how many points the last champion's accuracy on the test images exceeds its true one.
gain : the true accuracy of the last champion less that of the first, in points.
"""

import argparse
from collections.abc import Callable

import numpy as np

from analysis.mcnemar import Look, McNemarResult, mcnemar_test

ALPHA = 0.05
WEEKS = 52
IMAGES = 1500
#: p_i has this beta distribution: mean 0.9.
EASY, HARD = 1.0, 1.0 / 9
#: Standard deviation of the true accuracies in `mixed`.
SCATTER = 0.01

Level = Callable[[int], float]
LEVELS: dict[str, Level] = {
    "alpha each time": lambda _: ALPHA,
    "the product": lambda look: Look(look, ALPHA).level,
}


def answers(chances: np.ndarray, better: float, rng: np.random.Generator) -> np.ndarray:
    """Return which images a network answers correctly; its accuracy is better by so much."""
    right = rng.random(len(chances)) < chances
    mean = EASY / (EASY + HARD)
    if better > 0:
        return np.asarray(right | (rng.random(len(chances)) < better / (1 - mean)))
    return np.asarray(right & (rng.random(len(chances)) >= -better / mean))


def year(seed: int, scatter: float, level: Level, weeks: int = WEEKS) -> tuple[bool, float, float]:
    """Return whether a promotion was false, the last champion's drift and its gain, in points."""
    rng = np.random.default_rng([52, seed])
    chances = rng.beta(EASY, HARD, IMAGES)
    accuracies = rng.normal(0, scatter, weeks + 1) if scatter else np.zeros(weeks + 1)
    champion, best, wrong = answers(chances, accuracies[0], rng), accuracies[0], False
    for week, accuracy in enumerate(accuracies[1:], start=1):
        challenger = answers(chances, accuracy, rng)
        if is_promoted(challenger, champion, level(week)):
            wrong = wrong or accuracy <= best
            champion, best = challenger, accuracy
    drift = champion.mean() - EASY / (EASY + HARD) - best
    return bool(wrong), 100 * float(drift), 100 * float(best - accuracies[0])


def is_promoted(challenger: np.ndarray, champion: np.ndarray, level: float) -> bool:
    only = int((challenger & ~champion).sum()), int((champion & ~challenger).sum())
    # The exact test is slow, and no lead below that of the normal approximation can pass at 5 %.
    if only[0] - only[1] <= 1.5 * np.sqrt(sum(only)):
        return False
    found: McNemarResult = mcnemar_test(challenger, champion)
    return found.challenger_is_better(level)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2_000)
    n = parser.parse_args().n
    print(f"{n:,} years of {WEEKS} challengers per row, {IMAGES:,} test images, alpha {ALPHA:.0%}")
    print("networks  levels            false   drift    gain")
    for name, scatter in (("equal", 0.0), ("mixed", SCATTER)):
        for rule, level in LEVELS.items():
            wrong, drift, gain = np.transpose([year(seed, scatter, level) for seed in range(n)])
            row = f"{wrong.mean():8.1%} {drift.mean():+7.2f} {gain.mean():+7.2f}"
            print(f"{name:9} {rule:15} {row}", flush=True)


if __name__ == "__main__":
    main()
