"""Optuna's samplers as tuners. Optuna is optional, and its Gaussian process needs torch besides."""

import importlib.util
import warnings
from typing import Any, Literal

import numpy as np

from analysis.comparison.replay import Tuner
from analysis.comparison.tuners import Start, best_mean
from analysis.search.space import Cell, Space

TPE, PROCESS = "TPE", "Gaussian process (Optuna)"
SamplerKind = Literal["tpe", "gp"]


def samplers() -> tuple[dict[str, Start], tuple[str, ...]]:
    """Return Optuna's samplers that are at hand, by name, and a line for each that is not."""
    if importlib.util.find_spec("optuna") is None:
        return {}, ("TPE and Optuna's Gaussian process are left out: pip install '.[compare]'",)
    if importlib.util.find_spec("torch") is None:
        return {TPE: sampler("tpe")}, (
            "Optuna's Gaussian process is left out: it needs torch (pip install torch)",
        )
    return {TPE: sampler("tpe"), PROCESS: sampler("gp")}, ()


def sampler(kind: SamplerKind) -> Start:
    """Return a tuner that asks one of Optuna's samplers, with Optuna's own settings.

    Parameters
    ----------
    kind : ``tpe``, or ``gp``, told that figures are noisy.
    """

    def start(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                direction="maximize", sampler=_sampler(kind, int(rng.integers(2**31)))
            )
        asked = _distributions(space)
        history = []
        for _ in range(budget):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = study.ask(asked)
            cell: Cell = tuple(_place(trial.params[f.name]) for f in space.factors)
            figures = yield [cell]
            study.tell(trial, figures[0])
            history.append((cell, figures[0]))
        return best_mean(history)

    return start


def _sampler(kind: SamplerKind, seed: int) -> Any:
    import optuna

    if kind == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)


def _distributions(space: Space) -> dict[str, Any]:
    """Return what Optuna chooses from: a numeric factor's places in order, a category's values."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        f.name: CategoricalDistribution([str(i) for i in range(n)])
        if f.scale == "categorical"
        else IntDistribution(0, n - 1)
        for f, n in zip(space.factors, space.shape, strict=True)
    }


def _place(value: object) -> int:
    return int(str(value))
