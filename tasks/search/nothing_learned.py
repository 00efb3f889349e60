"""Stopping a study in which no network learned: what was run, and what to change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from analysis.factors import show
from analysis.runs.response import DEFAULT
from analysis.search.next_moves import MORE_EPOCHS
from analysis.search.procedure import SearchRules, full_length
from analysis.search.untried_rates import other_range, other_rate
from tasks.study.next_study import LEARNING_RATE
from tasks.study.study_file import Study
from tasks.tracking.dataset_facts import DatasetFacts

#: Networks have learned the training images if their accuracy on these is this much above chance.
LEARNED_TRAINING = 0.1
#: More learning rates than this are named by the lowest and the highest.
NAMED_RATES = 4
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
    proposed : what to try instead, as text: a value, or the two ends of a range; empty if the kind
        says it.
    """

    kind: RemedyKind
    now: str
    proposed: tuple[str, ...] = ()


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


def nothing_learned(
    study: Study, judged: pd.DataFrame, runs: pd.DataFrame, facts: DatasetFacts
) -> NothingLearned | None:
    """Return what to change if every finished run collapsed; None if one learned.

    Parameters
    ----------
    judged : the runs of `runs_that_show_learning`.
    runs : of all stages so far: the pilot has tried learning rates, too.
    """
    finished = judged[judged[study.response].notna()]
    if finished.empty or not finished["collapsed"].all():
        return None
    failed = len(judged) - len(finished)
    return NothingLearned(
        len(finished),
        failed,
        float(finished["val_accuracy"].max()),
        facts.chance,
        facts.validation_images,
        tuple(_remedies(study, finished, _learning_rate(study, runs), facts, failed)),
        *_best_response(study, finished),
    )


def _best_response(study: Study, finished: pd.DataFrame) -> tuple[str, float]:
    if study.response == DEFAULT:
        return "", math.nan
    sign = study.measured.sign
    return study.response, sign * float((sign * finished[study.response]).max())


def _remedies(
    study: Study, finished: pd.DataFrame, rate: Remedy, facts: DatasetFacts, failed: int
) -> list[Remedy]:
    trained = finished["train_accuracy"].max() if "train_accuracy" in finished else float("nan")
    memorized = trained > facts.chance + LEARNED_TRAINING
    first = [Remedy("memorized", f"{trained:.4f}")] if memorized else []
    if failed:
        first.append(Remedy("diverged", str(failed)))
    epochs = _epochs(study, finished)
    # If no other rate is proposed, what can be changed comes first.
    training = [rate, epochs] if rate.proposed else [epochs]
    data = [_pictures(study), *_image_size(study), *([] if rate.proposed else [rate])]
    # Networks that know the training images need other images, not a longer training.
    return [*first, *data, *training] if memorized else [*first, *training, *data]


def _tried(study: Study, runs: pd.DataFrame, name: str) -> list[Any]:
    """Return the levels of a setting of the training that were run, in ascending order."""
    levels = set(runs[name]) if name in study.factors else {getattr(study.training, name)}
    return sorted(levels)


def _listed(levels: Sequence[Any]) -> str:
    return ", ".join(show(level.item() if hasattr(level, "item") else level) for level in levels)


def _learning_rate(study: Study, runs: pd.DataFrame) -> Remedy:
    learned = runs[study.response].notna() & ~runs["collapsed"].astype(bool)
    rates = _tried(study, runs[~learned], LEARNING_RATE)
    if len(rates) > NAMED_RATES:
        now = f"{_listed(rates[:1])}, ..., {_listed(rates[-1:])}"
    else:
        now = _listed(rates)
    if LEARNING_RATE in study.factors:
        new = other_range(rates)
        return Remedy("learning_rate", now, () if new is None else (show(new[0]), show(new[1])))
    one = other_rate(rates)
    return Remedy("learning_rate", now, () if one is None else (show(one),))


def _epochs(study: Study, runs: pd.DataFrame) -> Remedy:
    epochs = _tried(study, runs, "epochs")
    return Remedy("epochs", _listed(epochs), (str(MORE_EPOCHS * int(epochs[-1])),))


def _pictures(study: Study) -> Remedy:
    data = study.data
    limit = data.per_class or data.drawn
    name = "per_class" if data.per_class else "drawn" if data.drawn else ""
    return Remedy("pictures", f"{name} = {limit}" if name else "")


def _image_size(study: Study) -> list[Remedy]:
    size = study.data.image_size
    return [Remedy("image_size", str(size), (str(2 * size),))] if size < SMALL_IMAGES else []
