"""Samplers of Optuna as tuners.

Optuna is optional, and its Gaussian process needs torch. To add a sampler, add one line to
`OPTUNA_TUNERS`.
"""

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from analysis.comparison.replay import Search
from analysis.comparison.tuners import Anytime, Tuner, cell_with_best_mean
from analysis.search.space import Cell, Space
from tasks.languages import Translate


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


class Unavailable(NamedTuple):
    """Tuners that cannot be used, and why.

    Attributes
    ----------
    names : of the tuners.
    packages : that they need, and that are not installed.
    install : what pip installs to get them.
    """

    names: tuple[str, ...]
    packages: str
    install: str


def available_optuna_tuners() -> tuple[dict[str, Tuner], tuple[Unavailable, ...]]:
    """Return the tuners of Optuna that can be used, by name, and those that cannot."""
    if importlib.util.find_spec("optuna") is None:
        return {}, (Unavailable(tuple(OPTUNA_TUNERS), "Optuna", "'.[compare]'"),)
    tuners: dict[str, Tuner] = {}
    unavailable = []
    for name, tuner in OPTUNA_TUNERS.items():
        missing = [module for module in tuner.needs if importlib.util.find_spec(module) is None]
        if missing:
            packages = " ".join(missing)
            unavailable.append(Unavailable((name,), packages, packages))
        else:
            tuners[name] = Anytime(tuner)  # no sampler knows the budget
    return tuners, tuple(unavailable)


def unavailable_as_text(found: Unavailable, say: Translate) -> str:
    """Return which tuners are not available, and how to install what they need."""
    return say(
        "comparison_unavailable",
        names=", ".join(found.names),
        packages=found.packages,
        install=found.install,
    )
