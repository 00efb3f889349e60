"""How often verdicts are wrong, and how often they see what is there, by simulation.

Every experiment goes through `fit_effects`, as a user's would. A rate of 5 % from 2,000 experiments
has a standard error of 0.5 points, less for rates over several effects:

    python infra/benchmarks/verdicts.py            # 2,000 experiments a row, about 10 minutes
    python infra/benchmarks/verdicts.py --n 200

'One effect' is the rate at which a nil effect is called active (nominal 5 %); 'any effect' that at
which any of them is, by the margin for all at once (nominal 5 %). An effect of 4 s.e. is four times
the standard error of an effect in that very design.
"""

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd

from analysis.effects import Effects, fit_effects
from analysis.factors import Factor

NAMES = "ABCDE"


def corners(k: int, replicates: int = 1) -> pd.DataFrame:
    rows = [row[::-1] for row in product((-1, 1), repeat=k)] * replicates
    return pd.DataFrame(rows, columns=list(NAMES[:k]))


def with_centre(k: int, centre: int) -> pd.DataFrame:
    middle = pd.DataFrame([[0] * k] * centre, columns=list(NAMES[:k]))
    return pd.concat([corners(k), middle], ignore_index=True)


#: Design, runs, order of the model.
DESIGNS: dict[str, tuple[Callable[[], pd.DataFrame], int | None]] = {
    "2^3": (lambda: corners(3), None),
    "2^4": (lambda: corners(4), None),
    "2^5": (lambda: corners(5), None),
    "2^3, one cell missing": (lambda: corners(3).drop(index=5), None),
    "2^3, 2 replicates": (lambda: corners(3, 2), None),
    "2^3, 4 centre points": (lambda: with_centre(3, 4), None),
    "2^3, main effects only": (lambda: corners(3), 1),
}


def simulate(design: str, effects: dict[str, float], n: int, seed: int) -> list[Effects]:
    """Fit n experiments with effects given in standard errors, noise of s.d. 1."""
    make, order = DESIGNS[design]
    runs = make()
    factors = [Factor(str(name), -1, 1) for name in runs.columns]
    count = int((runs.abs() == 1).all(axis=1).sum())
    standard_error = 2 / np.sqrt(count)
    signal = pd.Series(0.0, index=runs.index)
    for name, size in effects.items():
        signal += size * standard_error / 2 * runs[name.split(":")].prod(axis=1)
    rng = np.random.default_rng([seed, n])
    return [
        fit_effects(runs.assign(y=signal + rng.normal(size=len(runs))), factors, "y", order=order)
        for _ in range(n)
    ]


def false_alarms(n: int) -> None:
    print(f"\nFalse alarms: every effect nil, {n:,} experiments a row, nominal 5 %")
    print("design                     test    effects  one effect  any effect   t(m/3)")
    for design in DESIGNS:
        fits = simulate(design, {}, n, seed=1)
        test, m = fits[0].verdict.test, len(fits[0].verdict.scores)
        one = np.mean([len(fit.active) / m for fit in fits])
        every = np.mean([bool(fit.verdict.surely) for fit in fits])
        t = _share(by_t(fits, list(fits[0].verdict.scores.index)))
        print(f"{design:26} {test:8} {m:6} {one:11.1%} {every:11.1%} {t:>8}", flush=True)


def power(n: int) -> None:
    print(f"\nPower: share of the effects there called active, {n:,} experiments a row")
    print("design              effects  s.e.  verdict   t(m/3)  t, 1 df  false alarms")
    cases = [["A"], ["A", "B", "A:B"]]
    for design in ("2^3", "2^4", "2^3, 2 replicates"):
        for there, size in product(cases, (2, 3, 4, 5)):
            fits = simulate(design, dict.fromkeys(there, float(size)), n, seed=size)
            seen = np.mean([[name in fit.active for name in there] for fit in fits])
            row = f"{design:18} {len(there):7} {size:6} {seen:8.0%}"
            t, single = _share(by_t(fits, there)), _share(by_one_df(fits, there))
            print(f"{row} {t:>8} {single:>8} {nil_called(fits, there):11.1%}", flush=True)


def by_t(fits: list[Effects], names: list[str]) -> list[bool]:
    """Return what Lenth's t(m/3) margin calls active, where Lenth's method spoke."""
    judged = [(fit.verdict.scores, fit.lenth) for fit in fits if fit.verdict.test == "lenth"]
    return [abs(s[name]) > margins.me_t for s, margins in judged if margins for name in names]


def by_one_df(fits: list[Effects], names: list[str]) -> list[bool]:
    """Return what a t-test on one degree of freedom calls active, where that was all there was."""
    tested = [fit for fit in fits if fit.residual_df == 1]
    return [fit.terms["p"][name] < 0.05 for fit in tested for name in names]


def nil_called(fits: list[Effects], there: list[str]) -> float:
    m = len(fits[0].verdict.scores) - len(there)
    return float(np.mean([len(set(fit.active) - set(there)) / m for fit in fits]))


def _share(called: list[bool]) -> str:
    return f"{np.mean(called):.1%}" if called else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    n = parser.parse_args().n
    false_alarms(n)
    power(n)


if __name__ == "__main__":
    main()
