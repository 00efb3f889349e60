"""A whole study by a budget, the default: short trainings first, then the best cells in full."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.small_study import BEST, STUDY, factorgrid, last_execution, write_study

from analysis.search.procedure import cost

BUDGET, EPOCHS, SHORT = 8, 8, 2
FACTORS = ["conv_layers", "learning_rate"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budget") / "home"


@pytest.fixture(scope="module")
def outcome(home: Path) -> dict[str, Any]:
    text = STUDY[: STUDY.index("[refine]")]
    text = text.replace('name = "tiny"', f'name = "tiny"\nbudget = {BUDGET}')
    study = write_study(home.parent, text.replace("epochs = 4", f"epochs = {EPOCHS}"))
    ended = factorgrid("search", study, "--json", home=home)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.fixture(scope="module")
def runs(outcome: dict[str, Any], home: Path) -> pd.DataFrame:
    assert outcome["run_id"]
    return last_execution(home, "tiny").runs()


def test_it_spends_no_more_than_its_budget(runs: pd.DataFrame, home: Path) -> None:
    rules = last_execution(home, "tiny").study.rules
    assert BUDGET - 1 < cost(rules, runs) <= BUDGET
    # What was trained, in full-length trainings: a continued one trains only what was missing.
    assert runs["epochs_trained"].sum() <= BUDGET * EPOCHS


def test_pilot_and_screen_are_short_and_confirmed_cells_are_full(runs: pd.DataFrame) -> None:
    lengths = {stage: set(own["epochs"]) for stage, own in runs.groupby("stage")}
    assert lengths["screen"] == lengths["pilot"] == {SHORT}
    assert lengths["refine"] == {SHORT, EPOCHS}
    assert lengths["confirm"] == {EPOCHS}


def test_a_full_training_continues_the_short_one_of_its_cell_and_seed(runs: pd.DataFrame) -> None:
    short = runs[runs["epochs"] == SHORT]
    full = runs[(runs["epochs"] == EPOCHS) & (runs["replicate"] == 1)]
    seeds = short.set_index(FACTORS)["seed"]
    for _, run in full.iterrows():
        begun = tuple(run[FACTORS]) in seeds.index
        assert begun == (run["continued_epochs"] == SHORT)
        assert run["epochs_trained"] == EPOCHS - (SHORT if begun else 0)
        if begun:
            assert seeds[tuple(run[FACTORS])] == run["seed"]


def test_the_best_cell_is_chosen_by_its_full_trainings_and_registered(
    outcome: dict[str, Any], runs: pd.DataFrame
) -> None:
    full = runs[runs["epochs"] == EPOCHS]
    best = full.groupby(FACTORS)["val_accuracy"].mean().reset_index().nlargest(1, "val_accuracy")
    assert best[FACTORS].to_dict("records") == [BEST]
    assert outcome["cells"][0]["mean"] == pytest.approx(best["val_accuracy"].item())
    assert {cell["n"] for cell in outcome["cells"]} <= set(full.groupby(FACTORS).size())
    registered = outcome["registered"]["run_id"]
    assert registered in set(full["run_id"])


def test_the_same_command_trains_nothing_again(
    outcome: dict[str, Any], runs: pd.DataFrame, home: Path
) -> None:
    again = factorgrid("search", home.parent / "study.toml", "--json", home=home)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["run_id"] == outcome["run_id"]
    assert list(last_execution(home, "tiny").runs()["run_id"]) == list(runs["run_id"])
