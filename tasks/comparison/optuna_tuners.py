"""Samplers of Optuna as tuners.

Optuna is optional, and its Gaussian process needs torch. To add a sampler, add one line to
`OPTUNA_TUNERS`.
"""

import importlib.util
import itertools
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from analysis.comparison.replay import CellOfLength, Search
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
        study = self.new_study(rng)
        distributions = _distributions(space)
        history = []
        for _ in range(budget):
            trial, cell = _ask(study, space, distributions)
            responses = yield [cell]
            study.tell(trial, responses[0])
            history.append((cell, responses[0]))
        return cell_with_best_mean(history)

    def new_study(self, rng: np.random.Generator, pruner: Any = None) -> Any:
        """Return a study of Optuna that maximizes; the same one for the same random numbers."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        build_sampler = getattr(optuna.samplers, self.sampler)
        seed = int(rng.integers(2**31))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = build_sampler(seed=seed, **self.settings)
            # Hyperband chooses the bracket of a trial by the name, which is random by default.
            return optuna.create_study(
                direction="maximize", sampler=sampler, pruner=pruner, study_name=str(seed)
            )


@dataclass(frozen=True)
class HyperbandTuner:
    """Optuna's sampler with Hyperband: a trial that is behind others after few epochs is stopped.

    A stopped trial costs the epochs that it was trained. The cell of the best trial of full length
    is delivered. Hyperband: Li et al. (2018), Journal of Machine Learning Research 18 (185).

    Attributes
    ----------
    epochs : of a training of full length; at least 2.
    continues : whether a longer training continues a shorter one; otherwise it costs all of its
        epochs again.
    reduction : the ratio of one length to the one before, Optuna's ``reduction_factor``.
    sampler : chooses the cells.
    """

    epochs: int
    continues: bool = True
    reduction: int = 3
    sampler: OptunaTuner = OptunaTuner("TPESampler")

    @property
    def lengths(self) -> tuple[int, ...]:
        """The epochs after which a trial may be stopped, and those of full length."""
        shorter = itertools.takewhile(
            lambda length: length < self.epochs,
            (self.reduction**power for power in itertools.count()),
        )
        return (*shorter, self.epochs)

    def __call__(self, space: Space, budget: int, rng: np.random.Generator) -> Search:
        """Start a search; the budget counts trainings of full length."""
        import optuna

        pruner = optuna.pruners.HyperbandPruner(1, self.epochs, self.reduction)
        study = self.sampler.new_study(rng, pruner)
        distributions = _distributions(space)
        left, used = budget * self.epochs, Counter[Cell]()
        best: tuple[float, Cell] | None = None
        while True:
            trial, cell = _ask(study, space, distributions)
            used[cell] += 1
            trained = 0
            for length in self.lengths:
                cost = length - trained if self.continues else length
                if cost > left:
                    return cell if best is None else best[1]
                left, trained = left - cost, length
                (value,) = yield [CellOfLength.of(cell, used[cell], length)]
                trial.report(value, length)
                if length < self.epochs and trial.should_prune():
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, value)
                if best is None or value > best[0]:
                    best = value, cell


def _ask(study: Any, space: Space, distributions: Mapping[str, Any]) -> tuple[Any, Cell]:
    """Return a new trial of a study, and its cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = study.ask(distributions)
    # A category's index is a string in Optuna; see `_distributions`.
    return trial, tuple(int(str(trial.params[f.name])) for f in space.factors)


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
OPTUNA_TUNERS: dict[str, OptunaTuner] = {
    "TPE": OptunaTuner("TPESampler"),
    "Gaussian process (Optuna)": OptunaTuner(
        "GPSampler", {"deterministic_objective": False}, needs=("torch",)
    ),
}


#: The name that is shown of TPE with Hyperband; it needs trainings of several lengths.
HYPERBAND = "TPE with Hyperband"


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


def available_optuna_tuners(
    hyperband: HyperbandTuner | None = None,
) -> tuple[dict[str, Tuner], tuple[Unavailable, ...]]:
    """Return the tuners of Optuna that can be used, by name, and those that cannot.

    Parameters
    ----------
    hyperband : for the trainings that can be run; None if all of them have one length.
    """
    early: dict[str, Tuner] = {} if hyperband is None else {HYPERBAND: hyperband}
    if importlib.util.find_spec("optuna") is None:
        return {}, (Unavailable((*OPTUNA_TUNERS, *early), "Optuna", "'.[compare]'"),)
    tuners = dict(early)
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
