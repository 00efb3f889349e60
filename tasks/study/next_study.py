"""The next study: what a next move changes in the file of a study."""

import math
from collections.abc import Mapping
from typing import Any

from analysis.search.budget import FACTORIAL
from analysis.search.next_moves import (
    MORE_EPOCHS,
    BeyondEdge,
    FoldOver,
    LongerTraining,
    MeasureEffects,
    MoreSeeds,
    NarrowRange,
    NextMove,
    NothingLearned,
)
from analysis.search.untried_rates import other_rate
from tasks.errors import StudyError
from tasks.study.study_file import PilotPart, Study, parse_study
from tasks.study.study_toml import study_content

#: A table of a study file, with the tables in it.
Changes = dict[str, Any]

LEARNING_RATE = "learning_rate"


def study_changes(study: Study, move: NextMove) -> Changes:
    """Return the keys of a study file that a move changes, in their tables.

    Empty if the move changes none, or if the changed study would be beyond the limits of a study
    file, or of another method: keys of the published procedure would replace a default budget.
    """
    changes = _changes(study, move)
    try:
        changed = next_study(study, changes)
    except StudyError:
        return {}
    return changes if changed.method == study.method else {}


def _changes(study: Study, move: NextMove) -> Changes:
    changes: Changes = {}
    match move:
        case NothingLearned():
            changes = _other_training(study, move)
        case BeyondEdge() | NarrowRange():
            changes = _range(move.factor, move.low, move.high)
        case FoldOver() if move.larger_cells is not None and study.method == "published":
            changes = {"screen_cells": move.larger_cells}
        case MeasureEffects():
            screen = {} if study.screen is None else {"screen": FACTORIAL}
            changes = {"budget": move.budget, **screen}
        case LongerTraining():
            # The runs of the search are used again: one training is all that this costs.
            changes = {"final_epochs": 2 * move.epochs}
        case MoreSeeds():
            changes = _more_seeds(study, move)
    return changes


def _range(factor: str, low: object, high: object) -> Changes:
    return {"factors": {factor: {"low": low, "high": high}}}


def _other_training(study: Study, move: NothingLearned) -> Changes:
    """Return other learning rates, more epochs and more pictures, as far as the study sets them."""
    changes = _more_pictures(study, 2)
    for new in move.learning_rates:
        changes = merged(changes, _range(new.factor, new.low, new.high))
    training: Changes = {}
    if "epochs" not in study.factors:
        training["epochs"] = MORE_EPOCHS * study.training.epochs
    rate = other_rate([study.training.learning_rate])
    if LEARNING_RATE not in study.factors and rate is not None:
        training[LEARNING_RATE] = rate
    return {**changes, "training": training} if training else changes


def _more_seeds(study: Study, move: MoreSeeds) -> Changes:
    if move.image_ratio is not None:
        return _more_pictures(study, math.floor(move.image_ratio) + 1)
    # With a budget, [confirm] would silently change the study to the published procedure.
    if move.more is None or move.reason == "impractical" or study.method != "published":
        return {}
    return {"confirm": {"replicates": study.rules.confirm_replicates + move.more}}


def _more_pictures(study: Study, times: int) -> Changes:
    """Return the number of pictures times a number, if the study limits it; else nothing."""
    data = study.data
    if data.per_class is not None:
        return {"data": {"per_class": times * data.per_class}}
    if data.source is None and data.drawn is not None:
        return {"data": {"drawn": times * data.drawn}}
    return {}


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> Changes:
    """Return tables with some of their keys changed."""
    return dict(content) | {
        key: merged(content.get(key) or {}, value) if isinstance(value, Mapping) else value
        for key, value in changes.items()
    }


def next_study(study: Study, changes: Mapping[str, Any]) -> Study:
    """Return a study with some keys changed; of one with a budget, as it was before its pilot.

    Raises
    ------
    StudyError
        If the changed study is not valid.
    """
    content = study_content(before_pilot(study))
    return parse_study(merged(content, changes), f"{study.name}.toml")


def before_pilot(study: Study) -> Study:
    """Return a study with a budget without what its pilot and its minutes were resolved to.

    Its ranges are those that the user gave, so that new ones can replace them. The next search has
    a pilot again, whose runs MLflow has if the ranges are the same.
    """
    if study.method != "budget":
        return study
    budget = study.budget if study.minutes is None else None
    changes = {"factors": study.given_factors, "pilot": PilotPart(), "budget": budget}
    return study.model_copy(update=changes)
