"""Stopping a study in which no network learned: what was run, and what to change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from analysis.factors import show
from analysis.runs.response import DEFAULT
from analysis.search.next_moves import LOW_LEARNING_RATE, MORE_EPOCHS
from analysis.search.procedure import SearchRules, full_length
from tasks.study.study_file import Study
from tasks.tracking.dataset_facts import DatasetFacts

#: Networks have learned the training images if their accuracy on these is this much above chance.
LEARNED_TRAINING = 0.1
#: The usual learning rates: outside of them, a remedy points inside.
USUAL_RATES = (LOW_LEARNING_RATE, 1e-2)
#: A remedy for the learning rate is a decade away.
DECADE = 10
#: Images with fewer pixels per side show little.
SMALL_IMAGES = 32

RemedyKind = Literal[
    "memorized",  # the training images were learned, the others were not
    "diverged",  # some trainings failed
    "learning_rate",
    "epochs",
    "pictures",
    "image_size",
]


@dataclass(frozen=True)
class Remedy:
    """One change that may help.

    Attributes
    ----------
    kind : what to change.
    now : what was run, as text.
    proposed : what to try instead, as text; empty if the kind says it.
    """

    kind: RemedyKind
    now: str
    proposed: str = ""


@dataclass(frozen=True)
class NothingLearned:
    """Runs in which no network learned.

    Attributes
    ----------
    runs, failed : number of runs that finished, and that failed.
    best : the best accuracy on the validation images.
    chance : the accuracy of the constant answer on them.
    images : number of validation images.
    remedies : what to change, the most promising first.
    response, best_response : of the study, and its best figure; empty and NaN for the accuracy.
    """

    runs: int
    failed: int
    best: float
    chance: float
    images: int
    remedies: tuple[Remedy, ...]
    response: str = ""
    best_response: float = math.nan


def runs_that_show_learning(
    rules: SearchRules, runs: pd.DataFrame, screen: pd.DataFrame
) -> pd.DataFrame:
    """Return the runs that show whether networks learn; none if it is too early to say.

    These are the runs of the screen. In short trainings, networks may not have begun to learn: with
    them these are all runs, as soon as one has full length.

    Parameters
    ----------
    runs, screen : of all stages so far, and of the screen, as `Execution.runs` returns them.
    """
    if rules.short is None:
        return screen
    too_early = full_length(rules, runs)[rules.response].isna().all()
    return runs[:0] if too_early else runs


def nothing_learned(study: Study, runs: pd.DataFrame, facts: DatasetFacts) -> NothingLearned | None:
    """Return what to change if every finished run collapsed; None if one learned.

    Parameters
    ----------
    runs : those of `runs_that_show_learning`.
    """
    finished = runs[runs[study.response].notna()]
    if finished.empty or not finished["collapsed"].all():
        return None
    failed = len(runs) - len(finished)
    return NothingLearned(
        len(finished),
        failed,
        float(finished["val_accuracy"].max()),
        facts.chance,
        facts.validation_images,
        tuple(_remedies(study, finished, facts, failed)),
        *_best_response(study, finished),
    )


def _best_response(study: Study, finished: pd.DataFrame) -> tuple[str, float]:
    if study.response == DEFAULT:
        return "", math.nan
    sign = study.measured.sign
    return study.response, sign * float((sign * finished[study.response]).max())


def _remedies(
    study: Study, finished: pd.DataFrame, facts: DatasetFacts, failed: int
) -> list[Remedy]:
    trained = finished["train_accuracy"].max() if "train_accuracy" in finished else float("nan")
    memorized = trained > facts.chance + LEARNED_TRAINING
    first = [Remedy("memorized", f"{trained:.4f}")] if memorized else []
    if failed:
        first.append(Remedy("diverged", str(failed)))
    training = [_learning_rate(study, finished), _epochs(study, finished)]
    data = [_pictures(study), *_image_size(study)]
    # Networks that know the training images need other images, not a longer training.
    return [*first, *data, *training] if memorized else [*first, *training, *data]


def _tried(study: Study, runs: pd.DataFrame, name: str) -> list[Any]:
    """Return the levels of a setting of the training that were run, in ascending order."""
    levels = set(runs[name]) if name in study.factors else {getattr(study.training, name)}
    return sorted(levels)


def _listed(levels: Sequence[Any]) -> str:
    return ", ".join(show(level.item() if hasattr(level, "item") else level) for level in levels)


def _learning_rate(study: Study, runs: pd.DataFrame) -> Remedy:
    rates = _tried(study, runs, "learning_rate")
    proposed = [rates[0] / DECADE] if rates[0] > USUAL_RATES[0] else []
    proposed += [rates[-1] * DECADE] if rates[-1] < USUAL_RATES[1] else []
    # All usual rates were tried: the middle of what was tried is left out only by a design.
    return Remedy("learning_rate", _listed(rates), _listed([float(f"{r:.3g}") for r in proposed]))


def _epochs(study: Study, runs: pd.DataFrame) -> Remedy:
    epochs = _tried(study, runs, "epochs")
    return Remedy("epochs", _listed(epochs), str(MORE_EPOCHS * int(epochs[-1])))


def _pictures(study: Study) -> Remedy:
    data = study.data
    limit = data.per_class or data.drawn
    name = "per_class" if data.per_class else "drawn" if data.drawn else ""
    return Remedy("pictures", f"{name} = {limit}" if name else "")


def _image_size(study: Study) -> list[Remedy]:
    size = study.data.image_size
    return [Remedy("image_size", str(size), str(2 * size))] if size < SMALL_IMAGES else []
