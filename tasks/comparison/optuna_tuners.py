"""Samplers of Optuna as tuners.

Optuna is optional, and its Gaussian process needs torch. To add a sampler, add one line to
`OPTUNA_TUNERS`.
"""

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.comparison.replay import Search
from analysis.comparison.tuners import Anytime, Tuner, cell_with_best_mean
from analysis.search.space import Cell, Space


@dataclass(frozen=True)
class OptunaTuner:
    """A tuner that asks a sampler of Optuna, with Optuna's default settings.

    Attributes
    ----------
    sampler : name of a class in `optuna.samplers`.
    settings : arguments of this class besides ``seed``.
    needs : modules that must be installed besides Optuna.
    """

    sampler: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def __call__(self, space: Space, budget: int, rng: np.random.Generator) -> Search:
        """Start a search."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        build_sampler = getattr(optuna.samplers, self.sampler)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = build_sampler(seed=int(rng.integers(2**31)), **self.settings)
            study = optuna.create_study(direction="maximize", sampler=sampler)
        distributions = _distributions(space)
        history = []
        for _ in range(budget):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = study.ask(distributions)
            # A category's index is a string in Optuna; see `_distributions`.
            cell: Cell = tuple(int(str(trial.params[f.name])) for f in space.factors)
            responses = yield [cell]
            study.tell(trial, responses[0])
            history.append((cell, responses[0]))
        return cell_with_best_mean(history)


def _distributions(space: Space) -> dict[str, Any]:
    """Return what Optuna chooses from: the index of each factor's level.

    The levels of a numeric factor are ordered, those of a categorical factor are not.
    """
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        f.name: CategoricalDistribution([str(i) for i in range(n)])
        if f.scale == "categorical"
        else IntDistribution(0, n - 1)
        for f, n in zip(space.factors, space.shape, strict=True)
    }


#: All tuners of Optuna, by the name that is shown. The Gaussian process is set to noisy responses.
OPTUNA_TUNERS = {
    "TPE": OptunaTuner("TPESampler"),
    "Gaussian process (Optuna)": OptunaTuner(
        "GPSampler", {"deterministic_objective": False}, needs=("torch",)
    ),
}


def available_optuna_tuners() -> tuple[dict[str, Tuner], tuple[str, ...]]:
    """Return the tuners of Optuna that can be used, by name, and one note per missing package."""
    if importlib.util.find_spec("optuna") is None:
        names = ", ".join(OPTUNA_TUNERS)
        return {}, (f"not available: {names}; they need Optuna (pip install '.[compare]')",)
    tuners: dict[str, Tuner] = {}
    notes = []
    for name, tuner in OPTUNA_TUNERS.items():
        missing = [module for module in tuner.needs if importlib.util.find_spec(module) is None]
        if missing:
            packages = " ".join(missing)
            notes.append(f"not available: {name}; it needs {packages} (pip install {packages})")
        else:
            tuners[name] = Anytime(tuner)  # no sampler knows the budget
    return tuners, tuple(notes)
