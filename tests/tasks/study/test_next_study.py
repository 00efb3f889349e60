"""The next study: what a next move changes in the file of a study with a budget."""

from typing import Any

import pandas as pd
import pytest

from analysis.search.budget import least_factorial_budget
from analysis.search.next_moves import (
    BeyondEdge,
    FoldOver,
    LongerTraining,
    MeasureEffects,
    MoreSeeds,
    NextMove,
)
from analysis.search.procedure import pilot_runs
from tasks.search.pilot import narrowed_study
from tasks.study.next_study import before_pilot, next_study, study_changes
from tasks.study.study_file import Study, parse_study

FACTORS: dict[str, Any] = {
    "conv_layers": {"low": 3, "high": 9},
    "learning_rate": {"low": 0.001, "high": 0.1},
    "batch_size": {"values": [16, 32, 64, 128]},
}
SEEDS = MoreSeeds({}, {}, 2, 0.1, 1, 0.1, 0.0, 3, "seeds")
ALIASED = FoldOver((("a", "b:c"),), ("a",), ("a",), 8, 16, 8)
LOWER_RATES = BeyondEdge("learning_rate", 0.001, "lowest", (0.001, 0.1), 0.0001, 0.01)


def piloted(**size: float) -> Study:
    """Return a study with a budget after its pilot, as MLflow keeps it."""
    study = parse_study({"name": "mine", "factors": FACTORS, **size}, "test")
    runs = pd.DataFrame([{**run.levels, "stage": "pilot"} for run in pilot_runs(study.rules)])
    runs[study.response] = [0.9, 0.6, 0.5]
    if study.minutes is not None:
        study = study.model_copy(update={"budget": 20})
    return narrowed_study(study, runs)


@pytest.mark.parametrize("move", [SEEDS, ALIASED])
@pytest.mark.parametrize("size", [{}, {"budget": 20}, {"minutes": 60.0}])
def test_no_move_turns_a_study_with_a_budget_into_a_published_one(
    move: NextMove, size: dict[str, float]
) -> None:
    study = piloted(**size)
    changes = study_changes(study, move)
    assert next_study(study, changes).method == "budget"
    assert changes == {}


@pytest.mark.parametrize("size", [{}, {"budget": 20}, {"minutes": 60.0}])
def test_the_next_study_has_the_users_ranges_and_a_pilot_of_its_own(size: dict[str, float]) -> None:
    study = piloted(**size)
    assert study.factor_list != study.ranges
    following = next_study(study, study_changes(study, LOWER_RATES))
    changed = {**FACTORS, "learning_rate": {"low": 0.0001, "high": 0.01}}
    own = parse_study({"name": "mine", "factors": changed, **size}, "test")
    assert following.rules == own.rules
    given = parse_study({"name": "mine", "factors": FACTORS, **size}, "test")
    assert before_pilot(study).rules == given.rules
    assert len(pilot_runs(following.rules)) == 3
    assert (following.budget, following.minutes) == (own.budget, own.minutes)


@pytest.mark.parametrize("given", [None, 12])
def test_a_longer_training_is_one_training_more(given: int | None) -> None:
    content = {"name": "mine", "factors": FACTORS, "training": {"epochs": 8}}
    study = parse_study(content | ({} if given is None else {"final_epochs": given}), "test")
    move = LongerTraining(given or 8, 2, 2, 0.5, 0.6, 0.01)
    changed = next_study(study, study_changes(study, move))
    assert changed.final_epochs == 2 * (given or 8)
    # What the search trains stays the same.
    assert changed.training == study.training
    assert changed.rules == study.rules


@pytest.mark.parametrize("screen", [None, "latin_hypercube"])
def test_the_study_that_measures_effects_has_a_two_level_screen(screen: str | None) -> None:
    factors: dict[str, Any] = {
        name: {"low": 1, "high": 4} for name in ("conv_layers", "fc_layers", "filters")
    }
    content: dict[str, Any] = {
        "name": "few",
        "budget": 8,
        "short_trainings": False,
        "factors": factors,
    }
    content["factors"] |= {"dense_units": {"low": 4, "high": 8}}
    content |= {} if screen is None else {"screen": screen}
    study = parse_study(content, "few.toml")
    assert study.rules.design is None
    move = MeasureEffects(4, least_factorial_budget(study.ranges))
    changed = next_study(study, study_changes(study, move))
    assert changed.budget == move.budget
    assert changed.rules.design is not None
